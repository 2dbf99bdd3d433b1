//! tokio's side: a runtime with one worker, which drives its epoll in the background.

pub(crate) mod side {
    use std::future::Future;
    use std::io;
    use std::time::Duration;

    use ::tokio::runtime;

    pub(crate) use ::tokio::io::unix::{
        AsyncFd, AsyncFdReadyGuard, AsyncFdReadyMutGuard, AsyncFdRegisterError, AsyncFdTryNewError,
        TryIoError,
    };
    pub(crate) use ::tokio::io::{Interest, Ready};

    use crate::support::DEADLINE;

    /// True if the case may assert promises that only this crate makes.
    pub(crate) const OURS: bool = false;

    pub(crate) struct Runtime {
        runtime: Option<runtime::Runtime>,
        handle: runtime::Handle,
    }

    impl Runtime {
        pub(crate) fn new() -> Self {
            let runtime = runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap();
            let handle = runtime.handle().clone();
            Self {
                runtime: Some(runtime),
                handle,
            }
        }

        /// Runs a closure with this runtime as the current one, even after it was shut down.
        pub(crate) fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
            let _entered = self.handle.enter();
            f()
        }

        pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
            let runtime = self.runtime.as_ref().unwrap();
            runtime
                .block_on(async { ::tokio::time::timeout(DEADLINE, future).await })
                .expect("the case did not end in time")
        }

        pub(crate) fn shut_down(&mut self) {
            self.runtime
                .take()
                .unwrap()
                .shutdown_timeout(Duration::from_secs(5));
        }

        /// Returns the number of live registrations; tokio does not report it.
        pub(crate) fn registrations(&self) -> Option<u64> {
            None
        }
    }

    /// Runs a case with a runtime around it.
    pub(crate) fn run<F, Fut>(case: F)
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        Runtime::new().block_on(case());
    }

    pub(crate) fn is_shutdown_error(error: &io::Error) -> bool {
        error.kind() == io::ErrorKind::Other && error.to_string().contains("shutdown")
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
