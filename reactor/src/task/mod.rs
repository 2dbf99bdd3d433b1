//! Tasks of a shard: their memory, their state word, their wakers and handles.
//!
//! A task system of our own rather than `async-task`, because the budgets ask for it: one allocation holds the state, the future
//! and the join cell (there they are two), the link through which other threads queue a task is part of it (no queue that
//! allocates), a panic in a future's drop is an error and not an abort, and the wake of a task on its own shard is one atomic
//! operation and a push. `shard` decides where and when a task runs; this module never looks at a clock or a descriptor.

mod cell;
mod header;
mod join;
mod meta;
mod queue;
mod site;
mod spawn;
mod state;
mod waker;

#[cfg(all(test, not(reactor_loom)))]
mod tests;

pub(crate) use header::{Runnable, Schedule, TaskRef};
#[cfg(all(test, reactor_loom))]
pub(crate) use join::RawJoin;
pub use join::{AbortHandle, JoinError, JoinHandle};
pub use meta::{TaskId, TaskMeta};
pub(crate) use queue::{LocalQueue, RemoteQueue};
pub(crate) use site::SpawnSite;
pub(crate) use spawn::{Spawned, spawn_here, spawn_job, spawn_made, spawn_send};
