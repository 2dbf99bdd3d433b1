//! This crate's side, awaited by a task of the shard that polls the descriptors: the fast path.
//! Only the cases that wait run here. Construction and the end of a runtime do not differ on a
//! shard.

pub(crate) mod side {
    use std::future::Future;
    use std::panic::resume_unwind;

    pub(crate) use crate::ours::side::{AsyncFd, Interest, OURS, Ready, Runtime, TryIoError};

    /// Runs a case as a task of a shard.
    pub(crate) fn run<F, Fut>(case: F)
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        let runtime = Runtime::new();
        let shard = runtime.handle().shards().next().unwrap();
        let task = runtime.handle().spawn_on(shard, case);
        if let Err(error) = runtime.block_on(task) {
            resume_unwind(error.into_panic());
        }
    }
}

#[path = "cases/closed.rs"]
mod closed;
#[path = "cases/ends.rs"]
mod ends;
#[path = "cases/errors.rs"]
mod errors;
#[path = "cases/guards.rs"]
mod guards;
#[path = "cases/kit.rs"]
mod kit;
#[path = "cases/operations.rs"]
mod operations;
#[path = "cases/poll_slots.rs"]
mod poll_slots;
#[path = "cases/waiting.rs"]
mod waiting;
