//! This crate's side, with every wait moved: no two polls in a row are on the same thread.

pub(crate) mod side {
    use std::future::Future;

    pub(crate) use crate::ours::side::{AsyncFd, Interest, OURS, Ready, TryIoError};

    use crate::executors::{Entered, take_turns};
    use crate::ours::side::Runtime;

    /// Runs a case on two threads that take turns.
    pub(crate) fn run<F, Fut>(case: F)
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let ours = Runtime::new();
        take_turns(Entered::new(ours.handle(), async { case().await }));
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
