//! [`TaskBuilder`]: spawns a task with a name.

use std::fmt;
use std::sync::Arc;

use crate::handle::{Handle, local_shard, start};
use crate::shard::{ShardId, ShardRef};
use crate::task::{JoinHandle, SpawnSite, Spawned, spawn_here, spawn_made, spawn_send};

/// A builder that spawns a task with a name, which [`Handle::tasks`] shows.
///
/// # Examples
///
/// ```
/// let reactor = reactor::Reactor::builder().shards(1).build()?;
/// let task = reactor.handle().build_task().name("ticker").spawn(std::future::pending::<()>());
/// let tasks = reactor.handle().tasks();
/// assert_eq!(tasks[0].id, task.id());
/// assert_eq!(tasks[0].name.as_deref(), Some("ticker"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "a builder does nothing until it spawns"]
pub struct TaskBuilder {
    handle: Handle,
    name: Option<Arc<str>>,
}

impl TaskBuilder {
    /// Creates a builder for a task of the [current](Handle::current) reactor.
    ///
    /// # Panics
    ///
    /// Panics if no reactor is current.
    #[track_caller]
    #[expect(clippy::new_without_default, reason = "it may panic")]
    pub fn new() -> Self {
        Self::of(Handle::current())
    }

    pub(crate) fn of(handle: Handle) -> Self {
        Self { handle, name: None }
    }

    /// Sets the task's name. It is kept as long as the task lives. Several tasks may have the same
    /// name.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Spawns a future. Otherwise the same as [`Handle::spawn`].
    ///
    /// # Panics
    ///
    /// Panics in a forked child. This holds for every spawn.
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let shard = self.handle.shard_for_spawn();
        shard.io.refuse_forked();
        self.start(spawn_send(future, shard, SpawnSite::here()))
    }

    /// Runs a closure on a shard and spawns the future it returns there. Otherwise the same as
    /// [`Handle::spawn_on`].
    ///
    /// # Panics
    ///
    /// Panics if the reactor has no such shard, and in a forked child.
    #[track_caller]
    pub fn spawn_on<M, F>(self, shard: ShardId, make: M) -> JoinHandle<F::Output>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output: Send> + 'static,
    {
        let shard = ShardRef::clone(self.handle.shard_ref(shard));
        shard.io.refuse_forked();
        self.start(spawn_made(make, shard, SpawnSite::here()))
    }

    /// Spawns a future on the current shard. Otherwise the same as
    /// [`spawn_local`](crate::spawn_local).
    ///
    /// # Panics
    ///
    /// Panics on a thread that runs no shard, and in a child forked by a shard.
    #[track_caller]
    pub fn spawn_local<F>(self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
    {
        self.start(spawn_here(future, local_shard(), SpawnSite::here()))
    }

    fn start<T>(self, spawned: Spawned<ShardRef>) -> JoinHandle<T> {
        if let Some(name) = self.name {
            spawned.join.scheduler().live.set_name(&spawned.join, name);
        }
        JoinHandle::new(start(spawned))
    }
}

impl fmt::Debug for TaskBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskBuilder")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
