//! The shard of the calling thread, if any, and the fast paths that this makes possible.

use std::cell::{Cell, OnceCell};
use std::ptr;
use std::rc::Rc;
use std::task::Waker;

use crate::shard::{Shard, ShardRef, ShardShared};
use crate::task::{LocalQueue, Runnable};

thread_local! {
    /// Set once, when a shard thread starts.
    static CURRENT: OnceCell<Rc<Shard>> = const { OnceCell::new() };

    static HOME: Home = const {
        Home {
            shard: Cell::new(ptr::null()),
            queue: LocalQueue::new(),
        }
    };
}

/// The data that a wake needs on its own thread. It is separate from the shard because it has no
/// destructor. Every wake and every poll accesses it, and needs no check that it still exists.
struct Home {
    /// Identifies the thread's shard, for comparison only. Null on other threads, and after the
    /// shard is dropped.
    shard: Cell<*const ShardShared>,
    /// The shard's woken tasks, in the order in which they run.
    queue: LocalQueue<ShardRef>,
}

/// Binds the calling thread to the shard. Called once by each shard thread.
pub(crate) fn set(shard: Rc<Shard>) {
    CURRENT.with(|current| {
        HOME.with(|home| home.shard.set(shard.shared()));
        assert!(
            current.set(shard).is_ok(),
            "a thread is one shard for all its life"
        );
    });
}

/// Reverts [`set`] before another shard can reuse the address. Called when the shard is dropped.
pub(super) fn unset(shard: &ShardShared) {
    if is(shard) {
        HOME.with(|home| home.shard.set(ptr::null()));
        while pop().is_some() {}
    }
}

/// Calls `f` with the calling thread's shard, or with `None` if the thread has no shard or its
/// thread-locals are destroyed.
#[inline]
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
    HOME.with(|home| ptr::eq(home.shard.get(), shared))
}

/// Queues a task if the calling thread runs its shard; otherwise returns the task.
#[inline]
pub(crate) fn push_if_home(task: Runnable<ShardRef>) -> Result<(), Runnable<ShardRef>> {
    HOME.with(|home| {
        if !ptr::eq(home.shard.get(), ShardRef::as_ptr(task.task().scheduler())) {
            return Err(task);
        }
        home.queue.push(task);
        Ok(())
    })
}

/// Queues a task of the calling thread's shard.
#[inline]
pub(super) fn push(task: Runnable<ShardRef>) {
    HOME.with(|home| home.queue.push(task));
}

/// Takes the next task from the queue of the calling thread's shard.
#[inline]
pub(super) fn pop() -> Option<Runnable<ShardRef>> {
    HOME.with(|home| home.queue.pop())
}

/// Wakes a task after the shard has polled the OS again, or at once if the thread has no shard.
pub(crate) fn defer(waker: &Waker) {
    let deferred = with(|shard| {
        let shard = shard?;
        shard.defer(waker.clone());
        Some(())
    });
    if deferred.is_none() {
        waker.wake_by_ref();
    }
}

/// Returns true if the calling thread's shard has no queued task.
pub(super) fn is_idle() -> bool {
    HOME.with(|home| home.queue.is_empty())
}

/// Returns the number of tasks queued so far on the calling thread's shard.
#[inline]
pub(super) fn queued() -> u64 {
    HOME.with(|home| home.queue.pushed())
}
