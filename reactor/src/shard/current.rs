//! The shard that the calling thread is, if it is one, and the fast paths that this buys.

use std::cell::OnceCell;
use std::rc::Rc;

use crate::shard::{Shard, ShardRef, ShardShared};
use crate::task::Runnable;

thread_local! {
    /// Set once, when a shard thread starts.
    static CURRENT: OnceCell<Rc<Shard>> = const { OnceCell::new() };
}

/// Makes the calling thread the shard's. Called once by each shard thread.
pub(crate) fn set(shard: Rc<Shard>) {
    CURRENT.with(|current| {
        assert!(
            current.set(shard).is_ok(),
            "a thread is one shard for all its life"
        );
    });
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
    CURRENT
        .try_with(|current| {
            current
                .get()
                .is_some_and(|shard| std::ptr::eq(Rc::as_ref(shard).shared(), shared))
        })
        .unwrap_or(false)
}

/// Queues a task on the calling thread where that is its shard; else gives it back.
#[inline]
pub(crate) fn push_if_home(task: Runnable<ShardRef>) -> Result<(), Runnable<ShardRef>> {
    if !is(task.task().scheduler()) {
        return Err(task);
    }
    CURRENT.with(|current| match current.get() {
        Some(shard) => {
            shard.push_local(task);
            Ok(())
        }
        None => Err(task),
    })
}
