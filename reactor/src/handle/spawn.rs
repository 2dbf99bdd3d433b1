//! Spawning tasks: on the current shard, on a given one, and from any thread.

use std::sync::Arc;

use super::Handle;
use crate::shard::inbox::Command;
use crate::shard::{ShardId, ShardRef, current};
use crate::task::{JoinHandle, SpawnSite, Spawned, TaskRef, spawn_here, spawn_made, spawn_send};

impl Handle {
    /// Spawns a future on a shard. If the caller is a task of this reactor, its shard is used;
    /// otherwise the shards take turns, except that one with a longer [backlog](Self::backlog) than
    /// the next one is left out.
    ///
    /// After the reactor has shut down, the future is dropped at once, and the handle returns an
    /// error.
    ///
    /// # Panics
    ///
    /// Panics in a forked child, where the reactor's threads do not exist. This holds for every
    /// spawn.
    ///
    /// # Examples
    ///
    /// ```
    /// let reactor = reactor::Reactor::builder().shards(1).build()?;
    /// let sum = reactor.handle().spawn(async { 1 + 1 });
    /// assert_eq!(reactor.block_on(sum)?, 2);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let shard = self.shard_for_spawn();
        shard.io.refuse_forked();
        JoinHandle::new(start(spawn_send(future, shard, SpawnSite::here())))
    }

    /// Runs a closure on a shard and spawns the future it returns there. The future need not be
    /// `Send`.
    ///
    /// After the reactor has shut down, the closure is dropped at once, and the handle returns an
    /// error.
    ///
    /// The shard may be pinned to a CPU. Threads and child processes that the future starts inherit
    /// the pin, unless it starts them inside [`unpinned`](crate::unpinned).
    ///
    /// # Panics
    ///
    /// Panics if the reactor has no such shard, and in a forked child.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{cell::Cell, rc::Rc};
    ///
    /// let reactor = reactor::Reactor::builder().shards(2).build()?;
    /// let last = reactor.handle().shards().last().expect("there are two");
    /// let task = reactor.handle().spawn_on(last, || async {
    ///     let kept_on_the_shard = Rc::new(Cell::new(7));
    ///     reactor::yield_now().await;
    ///     kept_on_the_shard.get()
    /// });
    /// assert_eq!(reactor.block_on(task)?, 7);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn spawn_on<M, F>(&self, shard: ShardId, make: M) -> JoinHandle<F::Output>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output: Send> + 'static,
    {
        self.spawn_made(shard, make, SpawnSite::here())
    }

    #[track_caller]
    fn spawn_made<M, F>(&self, shard: ShardId, make: M, at: SpawnSite) -> JoinHandle<F::Output>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output: Send> + 'static,
    {
        let shard = ShardRef::clone(self.shard_ref(shard));
        shard.io.refuse_forked();
        JoinHandle::new(start(spawn_made(make, shard, at)))
    }

    /// Runs a closure on every shard and spawns the futures it returns. Otherwise the same as
    /// [`spawn_on`](Self::spawn_on). The handles are in the order of the shards.
    ///
    /// # Panics
    ///
    /// Panics in a forked child.
    #[track_caller]
    pub fn spawn_on_all<M, F>(&self, make: M) -> Vec<JoinHandle<F::Output>>
    where
        M: Fn(ShardId) -> F + Clone + Send + 'static,
        F: Future<Output: Send> + 'static,
    {
        let at = SpawnSite::here();
        let spawn = |shard| {
            let make = make.clone();
            self.spawn_made(shard, move || make(shard), at)
        };
        self.shards().map(spawn).collect()
    }

    /// Runs a closure that may block on a thread for blocking work. See
    /// [`spawn_blocking`](crate::spawn_blocking).
    ///
    /// After the reactor has shut down, the closure is dropped at once, and the handle returns an
    /// error.
    ///
    /// # Panics
    ///
    /// Panics in a forked child.
    ///
    /// # Examples
    ///
    /// ```
    /// let reactor = reactor::Reactor::builder().shards(1).build()?;
    /// let sum = reactor.handle().spawn_blocking(|| (1..=1_000_000_u64).sum::<u64>());
    /// assert_eq!(reactor.block_on(sum)?, 500_000_500_000);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn spawn_blocking<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.shared.shards[0].io.refuse_forked();
        self.shared.blocking.spawn(self, f, SpawnSite::here())
    }
}

/// Queues a new task's first run on its shard.
pub(crate) fn start(spawned: Spawned<ShardRef>) -> TaskRef<ShardRef> {
    let Spawned { join, first_run } = spawned;
    if let Some(task) = first_run {
        let elsewhere = current::with(|shard| match shard {
            Some(shard) if Arc::ptr_eq(shard.shared_ref(), join.scheduler()) => {
                shard.push_local(task);
                None
            }
            _ => Some(task),
        });
        if let Some(task) = elsewhere {
            join.scheduler().inbox.send(Command::Run(task));
        }
    }
    join
}

/// Spawns a future on the current reactor. See [`Handle::spawn`].
///
/// # Panics
///
/// Panics where no reactor is current, and in a forked child.
///
/// # Examples
///
/// ```
/// let reactor = reactor::Reactor::builder().shards(1).build()?;
/// let sum = reactor.block_on(async { reactor::spawn(async { 1 + 1 }).await })?;
/// assert_eq!(sum, 2);
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    Handle::current().spawn(future)
}

/// Spawns a future on the current shard. The future need not be `Send`.
///
/// # Panics
///
/// Panics on a thread that runs no shard; [`Handle::spawn_on`] sends a future to a shard from any
/// thread. Panics in a child forked by a shard.
///
/// # Examples
///
///
/// ```
/// use std::rc::Rc;
///
/// let reactor = reactor::Reactor::builder().shards(1).build()?;
/// let task = reactor.handle().spawn_on_all(|_| async {
///     let shared = Rc::new(5);
///     let theirs = Rc::clone(&shared);
///     reactor::spawn_local(async move { *theirs }).await
/// });
/// for task in task {
///     assert_eq!(reactor.block_on(task)??, 5);
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn spawn_local<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
{
    JoinHandle::new(start(spawn_here(future, local_shard(), SpawnSite::here())))
}

/// Returns the calling thread's shard, for `spawn_local`.
#[inline]
#[track_caller]
pub(crate) fn local_shard() -> ShardRef {
    let Some(shard) = current::with(|shard| shard.map(|shard| ShardRef::clone(shard.shared_ref())))
    else {
        panic!(
            "spawn_local is for tasks on a shard: from elsewhere use `Handle::spawn_on`, or `Handle::spawn` for a Send future"
        );
    };
    shard.io.refuse_forked();
    shard
}
