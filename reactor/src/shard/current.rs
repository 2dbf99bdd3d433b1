//! The shard that the calling thread is, if it is one, and the fast paths that this buys.

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

/// What a wake needs of its own thread. It is apart from the shard because it has no destructor: every wake and every poll
/// comes here, and need not ask first whether it is still there.
struct Home {
    /// Which shard the thread is, to be compared and nothing else: null on a thread that is none, and once the shard is gone.
    shard: Cell<*const ShardShared>,
    /// The shard's own woken tasks, in the order in which they run.
    queue: LocalQueue<ShardRef>,
}

/// Makes the calling thread the shard's. Called once by each shard thread.
pub(crate) fn set(shard: Rc<Shard>) {
    CURRENT.with(|current| {
        HOME.with(|home| home.shard.set(shard.shared()));
        assert!(
            current.set(shard).is_ok(),
            "a thread is one shard for all its life"
        );
    });
}

/// Ends what [`set`] began, before the shard's address can mean another one. Called by the shard's drop.
pub(super) fn unset(shard: &ShardShared) {
    if is(shard) {
        HOME.with(|home| home.shard.set(ptr::null()));
        while pop().is_some() {}
    }
}

/// Calls `f` with the calling thread's shard, or with `None` on a thread that is none (or whose thread-locals are gone).
#[inline]
pub(crate) fn with<R>(f: impl FnOnce(Option<&Shard>) -> R) -> R {
    let mut f = Some(f);
    let mut call = |shard: Option<&Shard>| f.take().map(|f| f(shard));
    CURRENT
        .try_with(|current| call(current.get().map(Rc::as_ref)))
        .unwrap_or_else(|_gone| call(None))
        .expect("the closure is called once")
}

/// Whether the calling thread is this shard's.
#[inline]
pub(crate) fn is(shared: &ShardShared) -> bool {
    HOME.with(|home| ptr::eq(home.shard.get(), shared))
}

/// Queues a task on the calling thread where that is its shard; else gives it back.
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

/// Takes the next task of the calling thread's shard out of its queue.
#[inline]
pub(super) fn pop() -> Option<Runnable<ShardRef>> {
    HOME.with(|home| home.queue.pop())
}

/// Wakes a task once the calling thread's shard has looked at the OS again; at once on a thread that is no shard.
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

/// Whether no task of the calling thread's shard is queued.
pub(super) fn is_idle() -> bool {
    HOME.with(|home| home.queue.is_empty())
}

/// How many tasks were ever queued on the calling thread's shard.
#[inline]
pub(super) fn queued() -> u64 {
    HOME.with(|home| home.queue.pushed())
}
