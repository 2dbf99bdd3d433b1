//! This crate's side, awaited on a thread that is not a shard. It has one shard, so that events
//! keep the order in which they happened.

pub(crate) mod side {
    use std::future::Future;
    use std::io;
    use std::time::Duration;

    pub(crate) use asyncfd::{
        AsyncFd, AsyncFdReadyGuard, AsyncFdReadyMutGuard, AsyncFdRegisterError, AsyncFdTryNewError,
        Interest, Ready, TryIoError,
    };
    use reactor::{Handle, Reactor};

    use crate::support::DEADLINE;

    /// True if the case may assert promises that only this crate makes.
    pub(crate) const OURS: bool = true;

    pub(crate) struct Runtime {
        reactor: Option<Reactor>,
        handle: Handle,
    }

    impl Runtime {
        pub(crate) fn new() -> Self {
            let reactor = Reactor::builder().shards(1).build().unwrap();
            let handle = reactor.handle().clone();
            Self {
                reactor: Some(reactor),
                handle,
            }
        }

        /// Runs a closure with this reactor as the current one, even after it was shut down.
        pub(crate) fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
            let _entered = self.handle.enter();
            f()
        }

        pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
            let reactor = self.reactor.as_ref().unwrap();
            reactor
                .block_on(async { reactor::time::timeout(DEADLINE, future).await })
                .expect("the case did not end in time")
        }

        pub(crate) fn handle(&self) -> &Handle {
            &self.handle
        }

        pub(crate) fn shut_down(&mut self) {
            self.reactor
                .take()
                .unwrap()
                .shutdown(Duration::ZERO)
                .unwrap();
        }

        /// Returns the number of live registrations.
        pub(crate) fn registrations(&self) -> Option<u64> {
            let shards = self.handle.metrics().shards;
            Some(shards.iter().map(|shard| shard.registrations).sum())
        }
    }

    /// Runs a case with a reactor around it.
    pub(crate) fn run<F, Fut>(case: F)
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        Runtime::new().block_on(case());
    }

    pub(crate) fn is_shutdown_error(error: &io::Error) -> bool {
        error.kind() == io::ErrorKind::Other && reactor::is_shutdown_error(error)
    }
}

#[path = "cases/algebra.rs"]
mod algebra;
#[path = "cases/closed.rs"]
mod closed;
#[path = "cases/construction.rs"]
mod construction;
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
#[path = "cases/shutdown.rs"]
mod shutdown;
#[path = "cases/teardown.rs"]
mod teardown;
#[path = "cases/traits.rs"]
mod traits;
#[path = "cases/waiting.rs"]
mod waiting;
