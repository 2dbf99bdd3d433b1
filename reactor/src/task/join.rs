//! The handles of a task's spawner: [`JoinHandle`] and [`AbortHandle`].
//!
//! This is the handle's side of the join protocol (`JOIN.md`). The handle stores its waker, then
//! checks if the task has completed. The task announces its output, then takes the waker. Whichever
//! side comes second sees the other.

#![expect(
    unsafe_code,
    reason = "moves the output out of the task, of a type only this file knows"
)]

use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::blocking::JobScheduler;
use crate::budget;
use crate::error::forked;
use crate::shard::ShardRef;
use crate::task::error::JoinError;
use crate::task::header::{Schedule, TaskRef};
use crate::task::meta::TaskId;

/// A handle that waits for a task to end and takes its output.
///
/// Awaiting the handle returns the task's output, or a [`JoinError`] if the task panicked, was
/// aborted, or ended with its reactor. Dropping the handle detaches the task, which keeps running.
/// Same as tokio's.
///
/// # Cancel safety
///
/// Awaiting `&mut handle` and dropping that wait loses nothing: a later wait gets the output.
///
/// # Panics
///
/// Panics if it is polled again after it returned the output.
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
    pub(super) of: TaskOrJob<RawJoin<T, ShardRef>, RawJoin<T, JobScheduler>>,
}

/// The two kinds of task behind a handle: a task of a shard, or a blocking job.
#[derive(Clone)]
pub(super) enum TaskOrJob<Task, Job> {
    Task(Task),
    Job(Job),
}

/// Evaluates an expression for either kind.
macro_rules! either {
    ($of:expr, $one:ident => $value:expr) => {
        match $of {
            TaskOrJob::Task($one) => $value,
            TaskOrJob::Job($one) => $value,
        }
    };
}

impl<T> JoinHandle<T> {
    pub(crate) fn new(task: TaskRef<ShardRef>) -> Self {
        Self {
            of: TaskOrJob::Task(RawJoin::new(task)),
        }
    }

    /// Creates the handle of a `spawn_blocking` job.
    pub(crate) fn of_job(job: TaskRef<JobScheduler>) -> Self {
        Self {
            of: TaskOrJob::Job(RawJoin::new(job)),
        }
    }

    /// Aborts the task. Its shard drops the future when it next takes the task from its queue. A
    /// running poll finishes first.
    ///
    /// A task that completes before that keeps its output: the handle returns it as if `abort` had
    /// not been called.
    pub fn abort(&self) {
        either!(&self.of, raw => raw.task().cancel())
    }

    /// Returns a handle that can only abort the task. It does not keep the output alive, and may
    /// outlive the `JoinHandle`.
    pub fn abort_handle(&self) -> AbortHandle {
        AbortHandle {
            of: match &self.of {
                TaskOrJob::Task(raw) => TaskOrJob::Task(TaskRef::clone(raw.task())),
                TaskOrJob::Job(raw) => TaskOrJob::Job(TaskRef::clone(raw.task())),
            },
        }
    }

    /// Returns the task's id. Its [`JoinError`] and the builder's hooks report the same id.
    pub fn id(&self) -> TaskId {
        either!(&self.of, raw => raw.task().id())
    }

    /// Returns true if the task has ended: it completed, panicked or was cancelled. The output can
    /// then be taken without waiting.
    pub fn is_finished(&self) -> bool {
        either!(&self.of, raw => raw.task().is_finished())
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
        let joined = either!(&mut self.of, raw => raw.poll(cx));
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
    /// True once the handle returned its result. A later poll is a bug of the caller.
    done: bool,
    /// True if the result was the task's output, which is then no longer in the task. This stays
    /// false if the shard was abandoned: that task may still complete, and its output is then
    /// dropped by this handle or by its shard.
    taken: bool,
    /// The handle owns an output of this type once the task has completed. Therefore it is `Send`
    /// and `Sync` only if that type allows it.
    _output: PhantomData<T>,
}

impl<T, S: Schedule> Unpin for RawJoin<T, S> {}

// SAFETY: a shared reference can only check if the task has ended, and abort it. The output is
// reached only through `&mut`, so sharing the handle never shares a `T`.
unsafe impl<T: Send, S: Schedule> Sync for RawJoin<T, S> {}

impl<T, S: Schedule> RawJoin<T, S> {
    /// Creates the join half of a task whose output is a `T`. `task` is the reference that
    /// `allocate` made for it.
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
            "a JoinHandle was polled after it returned the task's output"
        );
        if !self.task.is_finished() {
            if self.task.scheduler().is_forked() {
                // The task runs in the parent, so the wait would never end in this child.
                forked();
            }
            let waker = cx.waker().clone();
            let replaced = self.task.join_waker().lock().replace(waker);
            drop(replaced);
            // This check follows the store: a task that completed in between may have found no
            // waker.
            if crate::sync::mutant("join_no_second_look") || !self.task.is_finished() {
                return Poll::Pending;
            }
            // The task may have taken the old waker before the new one was stored. In every other
            // case it takes the last waker, because it announces its output first.
            self.task.forget_join();
        }
        self.done = true;
        if self.task.is_completed() {
            self.taken = true;
            // SAFETY: (1) this is the join handle, the task has completed, and `taken` was false.
            // (2) The caller of `new` answers for the type.
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

/// A handle that can only abort a task, from any thread. See [`JoinHandle::abort_handle`].
#[derive(Clone)]
pub struct AbortHandle {
    of: TaskOrJob<TaskRef<ShardRef>, TaskRef<JobScheduler>>,
}

impl AbortHandle {
    /// Aborts the task, like [`JoinHandle::abort`].
    pub fn abort(&self) {
        either!(&self.of, task => task.cancel())
    }

    /// Returns the task's id. See [`JoinHandle::id`].
    pub fn id(&self) -> TaskId {
        either!(&self.of, task => task.id())
    }

    /// Returns true if the task has ended.
    pub fn is_finished(&self) -> bool {
        either!(&self.of, task => task.is_finished())
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
