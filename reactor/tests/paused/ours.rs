//! This library's side.

pub(crate) mod side {
    pub(crate) use reactor::time::{
        advance, coarse_now as now, interval, pause, resume, sleep, sleep_until, timeout,
    };
    pub(crate) use reactor::{Reactor as Runtime, spawn, spawn_blocking, yield_now};

    pub(crate) fn runtime(start_paused: bool) -> Runtime {
        let builder = Runtime::builder().shards(1).start_paused(start_paused);
        builder.build().unwrap()
    }

    pub(crate) fn with_two_threads() -> Runtime {
        crate::support::reactor(2)
    }

    /// Runs the body of a test as a task of the shard.
    pub(crate) fn run<F: Future<Output = ()> + 'static>(
        start_paused: bool,
        body: impl FnOnce() -> F + Send + 'static,
    ) {
        let runtime = runtime(start_paused);
        let shard = runtime.handle().shard(0);
        let task = runtime.handle().spawn_on(shard, body);
        runtime.block_on(task).unwrap();
    }
}

#[path = "cases.rs"]
mod cases;
