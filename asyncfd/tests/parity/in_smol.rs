//! This crate's side, awaited by a task of smol's global executor.

pub(crate) mod side {
    use std::future::Future;

    pub(crate) use crate::ours::side::{AsyncFd, Interest, OURS, Ready, TryIoError};

    use crate::executors::Entered;
    use crate::ours::side::Runtime;

    /// Runs a case as a task of smol's.
    pub(crate) fn run<F, Fut>(case: F)
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let ours = Runtime::new();
        let task = smol::spawn(Entered::new(ours.handle(), async { case().await }));
        ours.block_on(task);
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
