//! Tasks of a shard: their memory, their state word, their wakers and handles.
//!
//! The reactor has its own task system rather than `async-task`, because its budgets require it:
//!
//! - One allocation holds the state, the future and the join cell; with `async-task` there are two.
//! - The link through which other threads queue a task is part of that allocation, so no queue
//!   allocates.
//! - A panic in a future's drop is an error and not an abort.
//! - Waking a task on its own shard is one atomic operation and a push.
//!
//! `shard` decides when and on which thread a task runs. This module never reads a clock and never
//! accesses a descriptor.

mod abort_on_drop;
mod builder;
mod cell;
mod error;
mod header;
pub(crate) mod info;
mod join;
mod join_set;
mod meta;
mod queue;
mod record;
mod runnable;
mod site;
mod spawn;
mod state;
mod waiter;
mod waker;

#[cfg(all(test, not(reactor_loom)))]
mod tests;

pub use abort_on_drop::AbortOnDropHandle;
pub use builder::TaskBuilder;
pub use error::JoinError;
pub(crate) use header::{Schedule, TaskRef};
pub use info::{TaskInfo, TaskState, TaskWait};
#[cfg(all(test, reactor_loom))]
pub(crate) use join::RawJoin;
pub use join::{AbortHandle, JoinHandle};
pub use join_set::JoinSet;
pub(crate) use meta::TaskAddress;
pub use meta::{TaskId, TaskMeta};
pub(crate) use queue::{LocalQueue, RemoteQueue};
pub use record::TaskTimes;
pub(crate) use record::{TaskRecord, TaskStats};
pub(crate) use runnable::{AtHome, Runnable};
pub(crate) use site::SpawnSite;
pub(crate) use spawn::{Spawned, spawn_here, spawn_job, spawn_made, spawn_send};
#[cfg(all(test, reactor_loom))]
pub(crate) use state::{Mobility, State};
