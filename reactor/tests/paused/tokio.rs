//! tokio's side: a runtime on the test's thread.

pub(crate) mod side {
    pub(crate) use ::tokio::runtime::Runtime;
    pub(crate) use ::tokio::spawn;
    pub(crate) use ::tokio::task::{spawn_blocking, yield_now};
    pub(crate) use ::tokio::time::{
        Instant, advance, interval, pause, resume, sleep, sleep_until, timeout,
    };

    pub(crate) fn now() -> Instant {
        Instant::now()
    }

    pub(crate) fn runtime(start_paused: bool) -> Runtime {
        ::tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(start_paused)
            .build()
            .unwrap()
    }

    pub(crate) fn with_two_threads() -> Runtime {
        ::tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
    }

    pub(crate) fn run<F: Future<Output = ()> + 'static>(
        start_paused: bool,
        body: impl FnOnce() -> F + Send + 'static,
    ) {
        runtime(start_paused).block_on(body());
    }
}

#[path = "cases.rs"]
mod cases;
