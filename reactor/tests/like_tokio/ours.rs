//! This library's side.

pub(crate) mod side {
    use std::time::Duration;

    pub(crate) use reactor::time::{error::Elapsed, timeout};
    pub(crate) use reactor::{JoinSet, Reactor as Runtime, TaskId, spawn};

    pub(crate) fn runtime() -> Runtime {
        crate::support::reactor(1)
    }

    pub(crate) fn current_task() -> Option<TaskId> {
        TaskId::current()
    }

    pub(crate) fn shut_down(runtime: Runtime) {
        runtime.shutdown(Duration::ZERO).unwrap();
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
