//! This crate's side, awaited by a task of tokio's, which two workers move as they like.

pub(crate) mod side {
    use std::future::Future;

    pub(crate) use crate::ours::side::{AsyncFd, Interest, OURS, Ready, TryIoError};

    use crate::executors::Entered;
    use crate::ours::side::Runtime;

    /// Runs a case as a task of tokio's.
    pub(crate) fn run<F, Fut>(case: F)
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let ours = Runtime::new();
        let tokio = ::tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .build()
            .unwrap();
        let task = tokio.spawn(Entered::new(ours.handle(), async { case().await }));
        if let Err(error) = ours.block_on(task) {
            std::panic::resume_unwind(error.into_panic());
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
