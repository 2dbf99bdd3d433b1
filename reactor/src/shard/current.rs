//! The shard of the calling thread, if any, and the fast paths that this makes possible.

#![expect(
    unsafe_code,
    reason = "a wake reaches its shard's queue without a destructor check"
)]

use std::cell::{Cell, OnceCell};
use std::ptr;
use std::rc::Rc;
use std::task::Waker;

use crate::shard::{Shard, ShardRef, ShardShared};
use crate::sync::per_thread;
use crate::sys::is_child;
use crate::task::{LocalQueue, Runnable, TaskAddress, TaskId, TaskRef};

/// The index on a thread that runs no shard.
const NO_SHARD: u32 = u32::MAX;

per_thread! {
    /// Set once, when a shard thread starts.
    static CURRENT: OnceCell<Rc<Shard>> = const { OnceCell::new() };

    static HOME: Home = const {
        Home {
            shard: Cell::new(ptr::null()),
            index: Cell::new(NO_SHARD),
            dispatches: Cell::new(false),
            polls_left: Cell::new(0),
        }
    };
}

/// The data that a wake needs on its own thread. It is separate from the shard because it has no
/// destructor. Every wake and every poll accesses it, and needs no check that it still exists.
struct Home {
    /// Identifies the thread's shard, for comparison only. Null on other threads, after the shard
    /// is dropped, and in a forked child.
    shard: Cell<*const ShardShared>,
    /// The index of the thread's shard. [`NO_SHARD`] on other threads, and in a forked child.
    index: Cell<u32>,
    /// True while the shard dispatches, for itself or for a sibling. A mobile task that becomes
    /// ready meanwhile runs here, wherever it ran before.
    dispatches: Cell<bool>,
    /// The number of tasks that the turn may still poll. Zero in a forked child.
    polls_left: Cell<u32>,
}

/// The facts about a shard's thread that reports need.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShardThread {
    /// The CPU that it is pinned to.
    pub(crate) cpu: Option<usize>,
    #[cfg(feature = "stall-backtrace")]
    pub(crate) number: crate::sys::ThreadNumber,
}

impl ShardThread {
    /// Describes the calling thread.
    pub(crate) fn current(cpu: Option<usize>) -> Self {
        Self {
            cpu,
            #[cfg(feature = "stall-backtrace")]
            number: crate::sys::ThreadNumber::current(),
        }
    }
}

/// Binds the calling thread to the shard. Called once by each shard thread.
pub(crate) fn set(shard: Rc<Shard>) {
    CURRENT.with(|current| {
        HOME.with(|home| {
            home.shard.set(shard.shared());
            // A wait on a thread without an index checks for a fork, and a child may have
            // registrations of its parent.
            if !is_child() {
                home.index.set(u32::from(shard.shared().id.0));
            }
        });
        assert!(
            current.set(shard).is_ok(),
            "a thread is one shard for all its life"
        );
    });
}

/// Reverts [`set`] before another shard can reuse the address. Called when the shard is dropped.
pub(super) fn unset(shard: &ShardShared) {
    if is(shard) {
        HOME.with(|home| {
            home.shard.set(ptr::null());
            home.index.set(NO_SHARD);
        });
        while shard.queue.with(LocalQueue::pop).is_some() {}
    }
}

/// Detaches the calling thread from its shard, in a forked child. No task is at home here
/// afterwards, and a turn ends. The handler of forks calls this.
pub(crate) fn leave() {
    // No other code runs in the child yet. The access fails only on a thread of a model.
    let _ = HOME.try_with(|home| {
        home.shard.set(ptr::null());
        home.index.set(NO_SHARD);
        home.polls_left.set(0);
    });
}

/// Calls `f` with the calling thread's shard, or with `None` if the thread has no shard or its
/// thread-locals are destroyed.
#[inline(always)]
pub(crate) fn with<R>(f: impl FnOnce(Option<&Shard>) -> R) -> R {
    let mut f = Some(f);
    let mut call = |shard: Option<&Shard>| f.take().map(|f| f(shard));
    CURRENT
        .try_with(|current| call(current.get().map(Rc::as_ref)))
        .unwrap_or_else(|_gone| call(None))
        .expect("the closure is called once")
}

/// Returns true if the calling thread runs this shard.
#[inline]
pub(crate) fn is(shared: &ShardShared) -> bool {
    // It has no destructor, so this never fails outside of the models.
    HOME.try_with(|home| ptr::eq(home.shard.get(), shared))
        .unwrap_or(false)
}

/// Returns the id of the task that the calling thread polls.
pub(crate) fn polled_task() -> Option<TaskId> {
    with(|shard| {
        let polling = shard?.shared().counters.polling.get();
        let task = TaskAddress::from_bits(polling)?;
        // SAFETY: (1) it is a task of this reactor, since the turn stored its address. (2) The turn
        // clears `polling` before it calls other code than the task's, except for its own code
        // between two polls, which does not come here. During the poll, the turn's runnable holds a
        // reference.
        Some(unsafe { TaskRef::<ShardRef>::id_at(task) })
    })
}

/// Returns the index of the calling thread's shard in its reactor, or all ones on a thread that
/// runs no shard, and in a forked child.
#[inline]
pub(crate) fn index() -> u32 {
    HOME.with(|home| home.index.get())
}

/// Returns the number of tasks that the turn may still poll. In the child of a task that forked, it
/// is zero.
#[inline(always)]
pub(super) fn polls_left() -> u32 {
    HOME.with(|home| home.polls_left.get())
}

#[inline(always)]
pub(super) fn set_polls_left(polls: u32) {
    HOME.with(|home| home.polls_left.set(polls));
}

/// Queues a task if the calling thread runs its home and the task was spawned there; otherwise
/// returns the task.
#[inline(always)]
pub(crate) fn push_if_home(task: Runnable<ShardRef>) -> Result<(), Runnable<ShardRef>> {
    let shared = task.task().scheduler();
    // In a forked child, a thread that does not exist there may hold the lock of the queue. No
    // thread of the child is a home. A task leaves its first home only if shards share their work.
    if !is(shared) || (shared.queue.is_shared() && task.task().home() != shared.id.0) {
        return Err(task);
    }
    let shared = ShardRef::as_ptr(shared);
    // SAFETY: this thread is the shard, so `CURRENT` keeps it alive until the thread ends. A thief
    // may free the task before the push returns, but not the shard.
    let queue = unsafe { &(*shared).queue };
    queue.with(|queue| queue.push(task));
    Ok(())
}

/// Keeps a task on this thread's shard if its home is here, or if it is mobile and the shard's
/// dispatch made it ready; otherwise returns the task.
#[inline(never)]
pub(super) fn keep_if_dispatched(task: Runnable<ShardRef>) -> Option<Runnable<ShardRef>> {
    let mut task = Some(task);
    with(|shard| {
        let here = shard.filter(|shard| {
            let scheduler = task.as_ref().map(|task| task.task().scheduler());
            scheduler.is_some_and(|scheduler| shard.shared.is_peer(scheduler))
        })?;
        // No thread takes tasks from the queue of a shard that has ended.
        let here = Some(here).filter(|here| !here.shared.has_ended())?;
        let kept = task.take()?;
        if kept.task().home() == here.shared.id.0 {
            here.push_local(kept);
        } else if kept.task().is_mobile() && HOME.with(|home| home.dispatches.get()) {
            here.adopt(kept);
        } else {
            task = Some(kept);
        }
        Some(())
    });
    task
}

/// Calls `f` with the calling thread's shard if it belongs to the same reactor as `shared`.
pub(super) fn with_peer_of(shared: &ShardShared, f: impl FnOnce(&Shard)) {
    with(|shard| {
        if let Some(here) = shard.filter(|shard| shard.shared.is_peer(shared)) {
            f(here);
        }
    });
}

/// Marks the shard as dispatching until the guard is dropped.
pub(super) fn dispatching() -> Dispatching {
    HOME.with(|home| home.dispatches.set(true));
    Dispatching
}

/// The guard of [`dispatching`].
pub(super) struct Dispatching;

impl Drop for Dispatching {
    fn drop(&mut self) {
        HOME.with(|home| home.dispatches.set(false));
    }
}

/// Wakes a task after the shard has polled the OS again, or at once if the thread has no shard.
pub(crate) fn defer(waker: &Waker) {
    let deferred = with(|shard| {
        let shard = shard?;
        shard.shared.defer(waker.clone());
        Some(())
    });
    if deferred.is_none() {
        waker.wake_by_ref();
    }
}
