//! tokio's side: a runtime with one worker.

pub(crate) mod side {
    use std::time::Duration;

    pub(crate) use ::tokio::runtime::Runtime;
    pub(crate) use ::tokio::spawn;
    pub(crate) use ::tokio::task::{Id as TaskId, JoinSet};
    pub(crate) use ::tokio::time::{error::Elapsed, timeout};

    pub(crate) fn runtime() -> Runtime {
        ::tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap()
    }

    pub(crate) fn current_task() -> Option<TaskId> {
        ::tokio::task::try_id()
    }

    pub(crate) fn shut_down(runtime: Runtime) {
        runtime.shutdown_timeout(Duration::from_secs(20));
    }
}

#[path = "cases/join_set.rs"]
mod join_set;
#[path = "cases/runtime.rs"]
mod runtime;
#[path = "cases/task_ends.rs"]
mod task_ends;
#[path = "cases/timeout.rs"]
mod timeout;
