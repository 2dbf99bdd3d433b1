//! What the spawner of a task holds: [`JoinHandle`], [`AbortHandle`] and [`JoinError`].
//!
//! The handle side of the join protocol (`JOIN.md`): store the waker, then look whether the task completed, while the task
//! announces its output, then takes the waker. Whoever comes second sees the other.

#![expect(
    unsafe_code,
    reason = "moves the output out of the task, of a type only this file knows"
)]

use std::any::Any;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::blocking::JobScheduler;
use crate::budget;
use crate::panics::{Payload, message};
use crate::shard::ShardRef;
use crate::task::header::{Schedule, TaskRef};
use crate::task::meta::TaskId;

/// Waits for a task to end and takes its output.
///
/// Awaiting it gives the task's output, or a [`JoinError`] where the task panicked, was aborted, or ended with its reactor.
/// Dropping the handle detaches the task, which goes on. Same as tokio's.
///
/// # Cancel safety
///
/// Awaiting `&mut handle` and dropping that wait loses nothing: a later wait gets the output.
///
/// # Panics
///
/// Polling it again after it gave the output panics.
///
/// # Examples
///
/// ```
/// let reactor = reactor::Reactor::builder().shards(1).build()?;
/// let handle = reactor.handle().spawn(async { 6 * 7 });
/// assert_eq!(reactor.block_on(handle)?, 42);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct JoinHandle<T> {
    pub(super) of: Of<RawJoin<T, ShardRef>, RawJoin<T, JobScheduler>>,
}

/// What a handle is for: a task of a shard, or a job that may block.
#[derive(Clone)]
pub(super) enum Of<Task, Job> {
    Task(Task),
    Job(Job),
}

impl<T> JoinHandle<T> {
    pub(crate) fn new(task: TaskRef<ShardRef>) -> Self {
        Self {
            of: Of::Task(RawJoin::new(task)),
        }
    }

    /// For a job of `spawn_blocking`.
    pub(crate) fn of_job(job: TaskRef<JobScheduler>) -> Self {
        Self {
            of: Of::Job(RawJoin::new(job)),
        }
    }

    /// Asks for the task's end. Its future is dropped on its shard, at the task's next turn in the queue; a poll under way goes
    /// on to its end first.
    ///
    /// A task that completes before that keeps its output: the handle then gives it as if `abort` had not been called.
    pub fn abort(&self) {
        match &self.of {
            Of::Task(raw) => raw.task().cancel(),
            Of::Job(raw) => raw.task().cancel(),
        }
    }

    /// A handle that can do nothing but abort the task. It does not keep the output alive, and outlives the `JoinHandle`.
    pub fn abort_handle(&self) -> AbortHandle {
        AbortHandle {
            of: match &self.of {
                Of::Task(raw) => Of::Task(TaskRef::clone(raw.task())),
                Of::Job(raw) => Of::Job(TaskRef::clone(raw.task())),
            },
        }
    }

    /// The task's id, which also its [`JoinError`] and the hooks of the builder name.
    pub fn id(&self) -> TaskId {
        match &self.of {
            Of::Task(raw) => raw.task().id(),
            Of::Job(raw) => raw.task().id(),
        }
    }

    /// Whether the task has ended (completed, panicked or was cancelled). The output is there to be taken without waiting.
    pub fn is_finished(&self) -> bool {
        match &self.of {
            Of::Task(raw) => raw.task().is_finished(),
            Of::Job(raw) => raw.task().is_finished(),
        }
    }
}

impl UnwindSafe for AbortHandle {}
impl RefUnwindSafe for AbortHandle {}
impl<T> UnwindSafe for JoinHandle<T> {}
impl<T> RefUnwindSafe for JoinHandle<T> {}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(budget::poll_budget(cx));
        let joined = match &mut self.of {
            Of::Task(raw) => raw.poll(cx),
            Of::Job(raw) => raw.poll(cx),
        };
        if joined.is_ready() {
            budget::charge();
        }
        joined
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field("id", &self.id())
            .field("is_finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

/// The handle's half of the protocol, for any scheduler.
pub(crate) struct RawJoin<T, S: Schedule> {
    task: ManuallyDrop<TaskRef<S>>,
    /// It gave its result; a later poll is a bug of the caller.
    done: bool,
    /// The result was the task's output, which is in the task no more. Not so where the shard was given up: that task may yet
    /// complete, and its output is then this handle's to drop, or its shard's.
    taken: bool,
    /// The handle owns an output of this type once the task completed: `Send` and `Sync` only as that is.
    _output: PhantomData<T>,
}

impl<T, S: Schedule> Unpin for RawJoin<T, S> {}

// SAFETY: a shared reference can ask whether the task has ended and abort it; the output is reached through `&mut` alone, so
// sharing the handle never shares a `T`.
unsafe impl<T: Send, S: Schedule> Sync for RawJoin<T, S> {}

impl<T, S: Schedule> RawJoin<T, S> {
    /// `task` is the reference that `allocate` made for the join handle of a task whose output is a `T`.
    pub(crate) fn new(task: TaskRef<S>) -> Self {
        Self {
            task: ManuallyDrop::new(task),
            done: false,
            taken: false,
            _output: PhantomData,
        }
    }

    pub(crate) fn task(&self) -> &TaskRef<S> {
        &self.task
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, JoinError>> {
        assert!(
            !self.done,
            "a JoinHandle was polled after it gave the task's output"
        );
        if !self.task.is_finished() {
            let waker = cx.waker().clone();
            let replaced = self.task.join_waker().lock().replace(waker);
            drop(replaced);
            // The look after the store: a task that completed in between may have found no waker.
            if crate::sync::mutant("join_no_second_look") || !self.task.is_finished() {
                return Poll::Pending;
            }
        }
        self.done = true;
        if self.task.is_completed() {
            self.taken = true;
            // SAFETY: (1) this is the join handle, the task has completed, and `taken` was false. (2) `new` was told so.
            Poll::Ready(unsafe { self.task.take_output() })
        } else {
            Poll::Ready(Err(JoinError::shutdown(self.task.id())))
        }
    }
}

impl<T, S: Schedule> Drop for RawJoin<T, S> {
    fn drop(&mut self) {
        if self.taken {
            self.task.detach_taken();
        } else {
            // SAFETY: this is the join handle, it did not take an output, and it is dropped once.
            unsafe { self.task.detach() };
        }
        // SAFETY: the field is not used again.
        unsafe { ManuallyDrop::drop(&mut self.task) };
    }
}

/// Aborts a task from anywhere, and does nothing else: see [`JoinHandle::abort_handle`].
#[derive(Clone)]
pub struct AbortHandle {
    of: Of<TaskRef<ShardRef>, TaskRef<JobScheduler>>,
}

impl AbortHandle {
    /// Asks for the task's end, as [`JoinHandle::abort`] does.
    pub fn abort(&self) {
        match &self.of {
            Of::Task(task) => task.cancel(),
            Of::Job(job) => job.cancel(),
        }
    }

    /// The task's id: see [`JoinHandle::id`].
    pub fn id(&self) -> TaskId {
        match &self.of {
            Of::Task(task) => task.id(),
            Of::Job(job) => job.id(),
        }
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        match &self.of {
            Of::Task(task) => task.is_finished(),
            Of::Job(job) => job.is_finished(),
        }
    }
}

impl fmt::Debug for AbortHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AbortHandle")
            .field("id", &self.id())
            .field("is_finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

/// Why a task gave no output.
pub struct JoinError {
    task: TaskId,
    cause: Cause,
}

enum Cause {
    Cancelled,
    Shutdown,
    NoThread(Arc<io::Error>),
    Panicked(Panic),
}

/// A payload that is moved out whole, or looked at for its message.
struct Panic(Payload);

// SAFETY: through a shared reference the payload is only asked whether it is a `&'static str` or a `String`, both of which are
// Sync, and read as that.
unsafe impl Sync for Panic {}

impl Panic {
    fn message(&self) -> Option<&str> {
        message(&*self.0)
    }
}

impl JoinError {
    pub(crate) fn cancelled(task: TaskId) -> Self {
        Self {
            task,
            cause: Cause::Cancelled,
        }
    }

    pub(crate) fn shutdown(task: TaskId) -> Self {
        Self {
            task,
            cause: Cause::Shutdown,
        }
    }

    /// For a job of `spawn_blocking` that no thread could be started for.
    pub(crate) fn no_thread(job: TaskId, error: Arc<io::Error>) -> Self {
        Self {
            task: job,
            cause: Cause::NoThread(error),
        }
    }

    pub(crate) fn panicked(task: TaskId, payload: Payload) -> Self {
        Self {
            task,
            cause: Cause::Panicked(Panic(payload)),
        }
    }

    /// Whether the task was dropped before it completed: it was aborted, its reactor shut down, or no thread could be had for a blocking job.
    pub fn is_cancelled(&self) -> bool {
        !self.is_panic()
    }

    /// Whether the task was dropped because its reactor shut down.
    pub fn is_shutdown(&self) -> bool {
        matches!(self.cause, Cause::Shutdown)
    }

    /// Whether the task panicked: in a poll, or in the drop of its future.
    pub fn is_panic(&self) -> bool {
        matches!(self.cause, Cause::Panicked(_))
    }

    /// The payload of the task's panic, for [`std::panic::resume_unwind`].
    ///
    /// # Panics
    ///
    /// Panics where the task did not: ask [`is_panic`](Self::is_panic) first, or use [`try_into_panic`](Self::try_into_panic).
    #[track_caller]
    pub fn into_panic(self) -> Box<dyn Any + Send> {
        self.try_into_panic()
            .expect("into_panic is for the error of a task that panicked")
    }

    /// The payload of the task's panic.
    ///
    /// # Errors
    ///
    /// Gives the error back where the task did not panic.
    pub fn try_into_panic(self) -> Result<Box<dyn Any + Send>, Self> {
        match self.cause {
            Cause::Panicked(Panic(payload)) => Ok(payload),
            cause => Err(Self { cause, ..self }),
        }
    }

    /// The task that gave no output.
    pub fn id(&self) -> TaskId {
        self.task
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Cancelled => f.write_str("the task was aborted"),
            Cause::Shutdown => f.write_str("the task was dropped, as its reactor has shut down"),
            Cause::NoThread(error) => {
                write!(
                    f,
                    "the job was dropped, as no thread could be started for it: {error}"
                )
            }
            Cause::Panicked(panic) => match panic.message() {
                Some(message) => write!(f, "the task panicked: {message}"),
                None => f.write_str("the task panicked"),
            },
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Cancelled => f.write_str("JoinError::Cancelled"),
            Cause::Shutdown => f.write_str("JoinError::Shutdown"),
            Cause::NoThread(error) => f.debug_tuple("JoinError::NoThread").field(error).finish(),
            Cause::Panicked(panic) => f
                .debug_tuple("JoinError::Panic")
                .field(&panic.message())
                .finish(),
        }
    }
}

impl std::error::Error for JoinError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.cause {
            Cause::NoThread(error) => Some(&**error),
            _ => None,
        }
    }
}

impl From<JoinError> for io::Error {
    fn from(error: JoinError) -> Self {
        Self::other(error)
    }
}
