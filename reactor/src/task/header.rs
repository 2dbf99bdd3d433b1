//! The header of a task's allocation: the state word, the link for queues, and the join waker. The
//! future or its output lies behind it (`cell.rs`).
//!
//! [`TaskRef`] is a counted reference that erases the future's type. It is `Send`, because other
//! threads can only count, wake and cancel through it. Only [`Runnable::run`] and [`TaskRef::end`]
//! access the future, and the shard calls both on its own thread. The state word names the owner of
//! the output (`state.rs`).

#![expect(
    unsafe_code,
    reason = "counted references, and a vtable to what lies behind the header"
)]

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::task::{Context, Poll, Waker};

use crate::hooks::{PanicPlace, TaskPanic};
use crate::panics::{Payload, caught};
use crate::shard::ShardId;
use crate::sync::{AtomicPtr, AtomicU32};
use crate::task::error::JoinError;
use crate::task::info::TaskState;
use crate::task::meta::{TaskAddress, TaskId, TaskMeta};
use crate::task::runnable::Runnable;
use crate::task::site::SpawnSite;
use crate::task::state::{Mobility, Output, State, Wake};
use crate::task::waiter::WaiterCell;

/// The destination of woken tasks, and the receiver of events in a task's life. The reactor has
/// two: [`crate::shard::ShardShared`], and the one in `blocking.rs` for blocking jobs. Models have
/// their own.
///
/// # Safety
///
/// `is_home` returns true only on the one thread that runs this scheduler's pinned tasks. Their
/// futures may be polled and dropped on that thread. `shares_home` returns true only if both
/// schedulers always have the same home, and that is one thread for good.
pub(crate) unsafe trait Schedule: Sized + Send + Sync + 'static {
    /// Returns true if the calling thread runs this scheduler's pinned tasks.
    fn is_home(&self) -> bool;

    /// Returns true if the other scheduler has the same home. A false result is always allowed.
    fn shares_home(&self, _other: &Self) -> bool {
        false
    }

    /// Returns the index of the shard that is a new task's home.
    fn first_home(&self) -> u16;

    /// Returns true if the scheduler ends its tasks because it shuts down.
    fn is_ending(&self) -> bool;

    /// Adds a new task to the list of live tasks, or returns it if that list is closed.
    fn adopt(&self, task: TaskRef<Self>) -> Result<(), TaskRef<Self>>;

    /// Puts a woken task into the queue of its shard. Called on the thread that woke it.
    ///
    /// There is no `self`: once the task is in another thread's queue, it may end and be freed
    /// together with its scheduler.
    fn schedule(task: Runnable<Self>);

    /// Records that the task's future is gone. Called before the output is announced: at home, or
    /// on the spawner's thread for a refused task.
    fn completed(&self, task: &TaskRef<Self>);

    /// Reports a caught panic of a task. Called on the task's home, on the thread of a handle that
    /// drops an output, or on the thread of a refused spawn.
    fn task_panicked(&self, panic: &TaskPanic<'_>);

    /// Deals with a panic that no handle reports. Called where an output is dropped.
    fn panic_unhandled(&self, panic: &TaskPanic<'_>);

    /// Records that a waker panicked while a task's waiter was woken.
    fn waker_panicked(&self);

    /// Returns true if this process was forked from the one that made the scheduler.
    fn is_forked(&self) -> bool;

    /// Returns the shard with this index, if shards run the tasks.
    fn shard(&self, home: u16) -> Option<ShardId>;

    /// Returns true if the shard was abandoned with its tasks: it was stuck in a poll when the
    /// reactor shut down.
    fn abandoned(&self) -> bool;
}

/// The part of a task that does not depend on its future's type.
#[repr(C)]
pub(crate) struct Header<S: 'static> {
    pub(super) state: State,
    pub(super) vtable: &'static Vtable<S>,
    /// The next task in a queue. The queue owns this field while the task is in it.
    pub(super) next: AtomicPtr<Self>,
    pub(super) scheduler: S,
    /// The task's index in its shard's list of live tasks. Written under that list's lock.
    live_index: AtomicU32,
    spawned_at: SpawnSite,
    /// The waker of the task that waits for the output, and this task's id. The waker is taken out
    /// before it is woken or dropped.
    join_waker: WaiterCell,
}

/// The references of a new task: the list of live tasks, the first run, and the join handle.
const INITIAL_REFS: usize = 3;

impl<S> Header<S> {
    /// Creates the header of a task with three references, queued for the first time.
    pub(super) fn new(
        vtable: &'static Vtable<S>,
        scheduler: S,
        mobility: Mobility,
        spawned_at: SpawnSite,
    ) -> Self
    where
        S: Schedule,
    {
        Self {
            state: State::new(INITIAL_REFS, mobility, scheduler.first_home()),
            vtable,
            next: AtomicPtr::new(std::ptr::null_mut()),
            scheduler,
            live_index: AtomicU32::new(0),
            spawned_at,
            join_waker: WaiterCell::new(TaskId::next()),
        }
    }
}

impl<S: Schedule> Header<S> {
    pub(super) fn id(&self) -> TaskId {
        self.join_waker.id()
    }

    fn meta(&self) -> TaskMeta {
        TaskMeta {
            id: self.id(),
            shard: self.scheduler.shard(self.state.home()),
            future: (self.vtable.future)(),
            spawned_at: self.spawned_at.location(),
        }
    }

    /// Runs user code of the future or the output. A panic is reported before it is returned.
    #[inline]
    pub(super) fn guarded<R>(
        &self,
        place: PanicPlace,
        f: impl FnOnce() -> R,
    ) -> Result<R, Payload> {
        catch_unwind(AssertUnwindSafe(f)).inspect_err(|payload| self.report(place, payload))
    }

    /// Reports a panic that no handle takes.
    #[cold]
    pub(super) fn report_unhandled(&self, place: PanicPlace, payload: &(dyn Any + Send)) {
        self.scheduler.panic_unhandled(&TaskPanic {
            task: self.meta(),
            place,
            payload,
        });
    }

    /// Reports a caught panic to the scheduler.
    #[cold]
    fn report(&self, place: PanicPlace, payload: &Payload) {
        self.scheduler.task_panicked(&TaskPanic {
            task: self.meta(),
            place,
            payload: &**payload,
        });
    }
}

/// The operations that depend on the future's type. Each takes a header that is the head of a
/// `Cell<F, S>`.
pub(super) struct Vtable<S: 'static> {
    /// Polls the future. A panic of the future propagates. It has two demands. (1) It is called on
    /// the task's shard thread, or on any thread if the task is mobile. (2) The caller made the
    /// state RUNNING.
    pub(super) poll: unsafe fn(NonNull<Header<S>>, &mut Context<'_>) -> Polled,
    /// Drops the future and stores an error as the output. The demands of `poll` hold, or the shard
    /// is shutting down and runs nothing, or no other thread has seen the task.
    pub(super) fail: unsafe fn(NonNull<Header<S>>, JoinError) -> Polled,
    /// Moves the output to the pointer, which points to a `Poll<Result<F::Output, JoinError>>`. The
    /// caller owns the output.
    pub(super) take_output: unsafe fn(NonNull<Header<S>>, *mut ()),
    /// Drops the output. The caller owns it.
    pub(super) drop_output: unsafe fn(NonNull<Header<S>>),
    /// Frees the memory. The caller released the last reference.
    pub(super) dealloc: unsafe fn(NonNull<Header<S>>),
    /// The task's name in reports.
    pub(super) future: fn() -> &'static str,
}

/// The outcome of a poll.
#[derive(PartialEq, Eq)]
pub(super) enum Polled {
    /// The output is stored and the future dropped.
    Done,
    Pending,
}

/// One counted reference to a task.
pub(crate) struct TaskRef<S: Schedule> {
    pub(super) header: NonNull<Header<S>>,
    _owns: PhantomData<S>,
}

// SAFETY: through a reference, a thread reaches the state word, the links and the join waker (all
// synchronised), and the scheduler (Send + Sync by its bound). It reaches the future and the output
// only as the module's opening says, and there the caller answers for the thread.
unsafe impl<S: Schedule> Send for TaskRef<S> {}
// SAFETY: as for Send. Every safe method that takes `&self` only touches synchronised fields.
unsafe impl<S: Schedule> Sync for TaskRef<S> {}

impl<S: Schedule> fmt::Debug for TaskRef<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskRef")
            .field("state", &self.header().state)
            .finish_non_exhaustive()
    }
}

/// A new task's three references.
pub(super) struct NewTask<S: Schedule> {
    pub(crate) live: TaskRef<S>,
    pub(crate) first_run: Runnable<S>,
    pub(crate) join: TaskRef<S>,
}

impl<S: Schedule> TaskRef<S> {
    /// Returns the pointer to the whole task. A reference to the header would cover only a part of
    /// it.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *const Header<S> {
        self.header.as_ptr()
    }

    #[inline]
    pub(super) fn header(&self) -> &Header<S> {
        // SAFETY: this reference is counted, so the memory is alive. The header is only accessed
        // through shared references.
        unsafe { self.header.as_ref() }
    }

    /// Returns the scheduler that the task was made with.
    #[inline]
    pub(crate) fn scheduler(&self) -> &S {
        &self.header().scheduler
    }

    #[inline]
    pub(crate) fn id(&self) -> TaskId {
        self.header().id()
    }

    /// Returns the task's address, which tells it from all tasks that exist at the same time.
    #[inline]
    pub(crate) fn address(&self) -> TaskAddress {
        TaskAddress::of(self.header)
    }

    /// Returns the id of the task at an address.
    ///
    /// # Safety
    ///
    /// 1. The address is that of a task with this scheduler. 2. Some reference keeps the task alive
    ///    during the call.
    pub(crate) unsafe fn id_at(task: TaskAddress) -> TaskId {
        let header: *const Header<S> = task.to_ptr();
        // SAFETY: by the demands. The address was exposed when it was taken.
        unsafe { &*header }.id()
    }

    /// Returns the state of a task that has not completed.
    pub(crate) fn phase(&self) -> Option<TaskState> {
        self.header().state.phase()
    }

    /// Returns a description of the task, for reports.
    pub(crate) fn meta(&self) -> TaskMeta {
        self.header().meta()
    }

    /// Returns true if both refer to the same task.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.header == other.header
    }

    /// Returns the task's index in the list of live tasks. Used by that list.
    pub(crate) fn live_index(&self) -> &AtomicU32 {
        &self.header().live_index
    }

    /// Returns the slot of the join handle's waker, for code that replaces or wakes it.
    pub(super) fn join_waker(&self) -> &WaiterCell {
        &self.header().join_waker
    }

    /// Queues the task, unless it is already queued, running or completed.
    pub(super) fn wake_by_ref(&self) {
        if self.header().state.wake() == Wake::Enqueue {
            S::schedule(Runnable(self.clone()));
        }
    }

    /// Like `wake_by_ref`, but passes this reference on if a queue needs one.
    pub(super) fn wake(self) {
        if self.header().state.wake() == Wake::Enqueue {
            S::schedule(Runnable(self));
        }
    }

    /// Requests the task's cancellation: its shard drops the future at the next run.
    pub(crate) fn cancel(&self) {
        if self.scheduler().is_forked() {
            // The task runs in the parent, which a forked child must not affect.
            return;
        }
        if let Some(idle) = self.cancel_idle() {
            S::schedule(idle);
        }
    }

    /// Cancels the task like `cancel`. An idle task is returned to the caller, which has to run it.
    /// Any other task ends on the shard where it is queued or runs.
    pub(crate) fn cancel_idle(&self) -> Option<Runnable<S>> {
        (self.header().state.cancel() == Wake::Enqueue).then(|| Runnable(self.clone()))
    }

    /// Returns true if any shard may run the task.
    #[inline]
    pub(crate) fn is_mobile(&self) -> bool {
        self.header().state.is_mobile()
    }

    /// Returns the index of the task's home: the shard that queues it after a wake.
    #[inline]
    pub(crate) fn home(&self) -> u16 {
        self.header().state.home()
    }

    /// Turns the reference into a bare pointer, for a queue's link.
    pub(super) fn into_raw(self) -> NonNull<Header<S>> {
        std::mem::ManuallyDrop::new(self).header
    }

    /// Turns a bare pointer back into a reference.
    ///
    /// # Safety
    ///
    /// The pointer comes from `into_raw` and is turned back once; or the task is new, and this is
    /// one of its first references.
    pub(super) unsafe fn from_raw(header: NonNull<Header<S>>) -> Self {
        Self {
            header,
            _owns: PhantomData,
        }
    }

    /// Drops the future here and ends the task with the error. Not allowed during a poll of the
    /// task.
    ///
    /// # Panics
    ///
    /// Panics on any thread but the task's home.
    pub(crate) fn end(&self, error: JoinError) {
        assert!(
            self.scheduler().is_home(),
            "a task is ended by its own shard"
        );
        if !self.is_completed() {
            // SAFETY: this is the task's home, which runs nothing else meanwhile.
            unsafe { self.end_with(error) };
        }
    }

    /// Ends a task that no list accepted, on the thread that spawned it.
    ///
    /// # Safety
    ///
    /// The calling thread has just allocated the task. It was not adopted, and no other thread has
    /// seen it.
    pub(super) unsafe fn refuse(&self) {
        // SAFETY: no thread polls it, and the future has not left this thread.
        unsafe { self.end_with(JoinError::shutdown(self.id())) };
    }

    /// Stores an error as the output and completes the task.
    ///
    /// # Safety
    ///
    /// The future exists and may be dropped on this thread, and no poll of it is under way.
    unsafe fn end_with(&self, error: JoinError) {
        // SAFETY: by the demand.
        unsafe { (self.header().vtable.fail)(self.header, error) };
        self.finish();
    }

    /// Announces a stored output and wakes its waiter. The task leaves the counters first, so that
    /// code which learns of its end finds counters without it.
    pub(super) fn finish(&self) {
        self.scheduler().completed(self);
        match self.header().state.complete() {
            Output::ForHandle => self.wake_join(),
            // SAFETY: the state word says that no handle owns the output, so this side does.
            Output::Unwanted => unsafe { (self.header().vtable.drop_output)(self.header) },
        }
    }

    /// Wakes the waiter of the output, if there is one.
    pub(crate) fn wake_join(&self) {
        let waiting = self.join_waker().lock().take();
        let (_, panics) = caught(|| waiting.map(Waker::wake));
        if panics != 0 {
            self.scheduler().waker_panicked();
        }
    }

    #[cold]
    pub(super) fn reason_to_end(&self) -> JoinError {
        if self.scheduler().is_ending() {
            JoinError::shutdown(self.id())
        } else {
            JoinError::cancelled(self.id())
        }
    }

    pub(super) fn is_completed(&self) -> bool {
        self.header().state.is_completed()
    }

    /// Returns true if there is nothing left to wait for: the task has ended, or was abandoned with
    /// its shard.
    pub(super) fn is_finished(&self) -> bool {
        self.is_completed() || self.scheduler().abandoned()
    }

    /// Moves the output out.
    ///
    /// # Safety
    ///
    /// 1. The caller is the join handle, the task has completed, and the output was not taken
    ///    before.
    /// 2. `T` is the type of the task's output.
    pub(super) unsafe fn take_output<T>(&self) -> Result<T, JoinError> {
        let mut output: Poll<Result<T, JoinError>> = Poll::Pending;
        // SAFETY: the caller owns the output (1), and the pointer is to the type the vtable writes
        // (2).
        unsafe { (self.header().vtable.take_output)(self.header, (&raw mut output).cast()) };
        match output {
            Poll::Ready(output) => output,
            Poll::Pending => unreachable!("take_output always writes"),
        }
    }

    /// Gives up the join handle's interest, and drops an output that is already stored.
    ///
    /// # Safety
    ///
    /// Called once, by the join handle, which did not take the output.
    pub(super) unsafe fn detach(&self) {
        if self.header().state.detach() == Output::ForHandle {
            // SAFETY: the state word says that the task completed while the handle existed, so the
            // output belongs to the handle.
            unsafe { (self.header().vtable.drop_output)(self.header) };
        }
        self.forget_join();
    }

    /// Gives up the join handle's interest after it took the output. Its waker is gone by then.
    pub(super) fn detach_taken(&self) {
        self.header().state.detach();
    }

    /// Drops the waker that waits for the output. It is dropped now and not with the task's memory,
    /// because the waker may keep that memory alive.
    pub(super) fn forget_join(&self) {
        if self.scheduler().is_forked() {
            // A thread that does not exist in this process may hold the lock.
            return;
        }
        let waiting = self.join_waker().lock().take();
        caught(|| drop(waiting));
    }
}

impl<S: Schedule> Clone for TaskRef<S> {
    #[inline]
    fn clone(&self) -> Self {
        self.header().state.retain();
        Self {
            header: self.header,
            _owns: PhantomData,
        }
    }
}

impl<S: Schedule> Drop for TaskRef<S> {
    #[inline]
    fn drop(&mut self) {
        if self.header().state.release() {
            // SAFETY: that was the last reference.
            unsafe { (self.header().vtable.dealloc)(self.header) };
        }
    }
}
