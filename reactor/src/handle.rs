//! [`Handle`]: the interface of a reactor for threads outside its shards.

mod spawn;

use std::fmt;
use std::io;
use std::os::fd::RawFd;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use crate::block_on;
use crate::blocking::BlockingPool;
use crate::context::{self, EnterGuard};
use crate::io::ShardIo;
use crate::metrics::ReactorMetrics;
use crate::placement::{Placement, shard_for_fd};
use crate::shard::{ShardId, ShardRef, current};
use crate::shutdown::{Lifecycle, ShutdownRequested};
use crate::sync::{AtomicUsize, Ordering};
use crate::task::{TaskBuilder, TaskInfo, info};
#[cfg(feature = "test-util")]
use crate::time::Clock;

pub(crate) use spawn::{local_shard, start};
pub use spawn::{spawn, spawn_local};

/// The panic message of [`Handle::current`] if there is no reactor.
const NO_REACTOR: &str = "there is no reactor on this thread: call this from a task of a reactor, inside `Handle::enter` or \
     `Reactor::block_on`, or make a reactor global with `Builder::build_global`";

#[cold]
#[track_caller]
pub(crate) fn no_reactor() -> ! {
    panic!("{NO_REACTOR}")
}

/// A reference to a reactor, for spawning tasks, registering descriptors and reading metrics. It is
/// cheap to clone.
///
/// A handle does not keep the reactor running. Once the [`Reactor`](crate::Reactor) has shut down,
/// spawns are refused and their join handles return an error. Registrations fail with an error that
/// [`is_shutdown_error`](crate::is_shutdown_error) recognises.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

struct Shared {
    shards: Box<[ShardRef]>,
    placement: Placement,
    /// The round-robin counter of spawns and registrations.
    next: AtomicUsize,
    lifecycle: Arc<Lifecycle>,
    blocking: Arc<BlockingPool>,
}

impl Handle {
    pub(crate) fn new(
        shards: Box<[ShardRef]>,
        placement: Placement,
        lifecycle: Arc<Lifecycle>,
        blocking: Arc<BlockingPool>,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                shards,
                placement,
                next: AtomicUsize::new(0),
                lifecycle,
                blocking,
            }),
        }
    }

    /// Returns the current reactor: the reactor of the innermost [`enter`](Self::enter) guard or of
    /// the calling shard, otherwise the global reactor.
    ///
    /// # Panics
    ///
    /// Panics if there is no current reactor. The message explains how to get one.
    /// [`try_current`](Self::try_current) does not panic.
    #[track_caller]
    pub fn current() -> Self {
        match Self::try_current() {
            Some(handle) => handle,
            None => no_reactor(),
        }
    }

    /// Returns the current reactor, if there is one. See [`current`](Self::current).
    pub fn try_current() -> Option<Self> {
        context::with(|handle| handle.cloned())
    }

    /// Makes this reactor current on the calling thread until the guard is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// let reactor = reactor::Reactor::builder().shards(1).build()?;
    /// let _guard = reactor.handle().enter();
    /// let current = reactor::Handle::current();
    /// assert_eq!(current.shards().len(), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// Panics in the destructor of a thread-local variable, when the thread is ending.
    #[track_caller]
    pub fn enter(&self) -> EnterGuard<'_> {
        context::enter(self)
    }

    /// Runs a future on the calling thread, with this reactor current, until it completes. The
    /// thread sleeps while the future waits.
    ///
    /// # Panics
    ///
    /// Panics on a shard, where it would stop all tasks: spawn the future there instead. Panics in
    /// a forked child, where the reactor's threads do not exist. A panic of the future propagates
    /// to the caller.
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        assert!(
            ShardId::current().is_none(),
            "block_on on a shard would stop all its tasks: await the future, or spawn it, or block on a thread of its own"
        );
        // Any shard will do for this check: all shards belong to one process.
        self.shared.shards[0].io.refuse_forked();
        let _guard = self.enter();
        block_on::block_on(future, self.shared.shards[0].clock.inhibitor())
    }

    /// Returns the reactor's shards, in order.
    pub fn shards(&self) -> impl ExactSizeIterator<Item = ShardId> + Clone + use<> {
        (0..self.shared.shards.len()).map(ShardId::from_index)
    }

    /// Returns an estimate of the time that the ready tasks of a shard take: their number,
    /// multiplied by the recent duration of a poll there. A new task waits about this long for its
    /// first poll.
    ///
    /// Each shard updates both values once per turn, so a poll that is still running does not
    /// count. The result is zero without [work stealing](crate::Builder::work_stealing), where
    /// shards do not measure polls.
    ///
    /// # Panics
    ///
    /// Panics if the reactor has no such shard.
    ///
    /// # Examples
    ///
    /// ```
    /// let reactor = reactor::Reactor::builder().shards(2).build()?;
    /// let handle = reactor.handle();
    /// let least = handle.shards().min_by_key(|shard| handle.backlog(*shard));
    /// # let _ = least;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    #[track_caller]
    pub fn backlog(&self, shard: ShardId) -> Duration {
        self.shard_ref(shard).backlog()
    }

    /// Returns the shard of the given index.
    ///
    /// # Panics
    ///
    /// Panics if the reactor has no shard of that index.
    ///
    /// # Examples
    ///
    /// ```
    /// let reactor = reactor::Reactor::builder().shards(2).build()?;
    /// let handle = reactor.handle();
    /// let here = handle.spawn_on(handle.shard(1), || async { reactor::ShardId::current() });
    /// assert_eq!(reactor.block_on(here)?, Some(handle.shard(1)));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn shard(&self, index: usize) -> ShardId {
        match self.shared.shards.get(index) {
            Some(shard) => shard.id,
            None => self.no_shard(index),
        }
    }

    /// Returns the shard that [`Placement::Hash`] assigns to a descriptor.
    pub fn shard_for(&self, fd: RawFd) -> ShardId {
        ShardId::from_index(shard_for_fd(fd, self.shared.shards.len()))
    }

    /// Returns the default placement of registrations, set with
    /// [`Builder::placement`](crate::Builder::placement).
    pub fn placement(&self) -> Placement {
        self.shared.placement
    }

    /// Returns a snapshot of every shard's counters.
    ///
    /// # Platform notes
    ///
    /// In a forked child the counters are those of the parent at the fork, without its tasks and
    /// blocking jobs, which do not exist in the child.
    pub fn metrics(&self) -> ReactorMetrics {
        ReactorMetrics {
            shards: self
                .shared
                .shards
                .iter()
                .map(|shard| shard.metrics())
                .collect(),
            blocking: self.shared.blocking.metrics(),
        }
    }

    /// Returns a builder that spawns a task with a name.
    pub fn build_task(&self) -> TaskBuilder {
        TaskBuilder::of(self.clone())
    }

    /// Lists the live tasks of all shards, in no order.
    ///
    /// The time to make the list grows with the number of tasks and registrations. Running tasks do
    /// no extra work for it. The times of a task need
    /// [`Builder::task_tracking`](crate::Builder::task_tracking). The list includes timers only if
    /// the shards steal work or tasks are tracked. Otherwise only a shard's own thread can read its
    /// timers. The shards run while the list is made, so two entries may describe moments that are
    /// some polls apart.
    ///
    /// # Platform notes
    ///
    /// In a forked child the list is empty.
    ///
    /// # Examples
    ///
    /// ```
    /// use reactor::{Reactor, TaskState, TaskWait, time};
    ///
    /// let reactor = Reactor::builder().shards(1).task_tracking(true).build()?;
    /// let (started, has_started) = std::sync::mpsc::channel();
    /// let task = reactor.spawn(async move {
    ///     let hour = time::sleep(time::Duration::from_secs(3600));
    ///     let _ = started.send(());
    ///     hour.await;
    /// });
    /// has_started.recv().expect("the task runs");
    /// let listed = loop {
    ///     let listed = reactor.handle().tasks().remove(0);
    ///     if listed.state == TaskState::Waiting {
    ///         break listed;
    ///     }
    /// };
    /// assert_eq!(listed.id, task.id());
    /// assert!(matches!(listed.waits[..], [TaskWait::Timer { .. }]));
    /// assert_eq!(listed.times.map(|times| times.polls), Some(1));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn tasks(&self) -> Vec<TaskInfo> {
        if self.shared.shards[0].io.is_forked() {
            // A thread that does not exist in this process may hold a lock.
            return Vec::new();
        }
        info::list(self)
    }

    /// Waits until the reactor is about to shut down:
    /// [`Reactor::shutdown`](crate::Reactor::shutdown) announces it, or the reactor is dropped.
    /// Tasks that await it have until the deadline to end by themselves.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: after the announcement, a new future completes at once.
    pub fn shutdown_requested(&self) -> impl Future<Output = ()> + Send + Unpin + use<> {
        ShutdownRequested::new(Arc::clone(&self.shared.lifecycle))
    }

    /// Returns true if the reactor is shutting down or has shut down.
    pub fn is_shutting_down(&self) -> bool {
        self.shared.lifecycle.is_announced()
    }

    pub(crate) fn lifecycle(&self) -> &Arc<Lifecycle> {
        &self.shared.lifecycle
    }

    pub(crate) fn blocking(&self) -> &Arc<BlockingPool> {
        &self.shared.blocking
    }

    #[cfg(feature = "test-util")]
    pub(crate) fn clock(&self) -> Clock {
        self.shared.shards[0].clock.clone()
    }

    pub(crate) fn all_shards(&self) -> &[ShardRef] {
        &self.shared.shards
    }

    /// Returns the calling thread's shard, if it belongs to this reactor.
    fn current_shard(&self) -> Option<ShardRef> {
        current::with(|shard| {
            let shard = shard.filter(|shard| Arc::ptr_eq(&shard.handle().shared, &self.shared))?;
            Some(ShardRef::clone(shard.shared_ref()))
        })
    }

    /// Returns the shard for a task that may run anywhere.
    #[inline]
    pub(crate) fn shard_for_spawn(&self) -> ShardRef {
        match self.current_shard() {
            Some(shard) => shard,
            None => self.any_shard(),
        }
    }

    /// Returns the next shard in round-robin order, or the shard after it if that one has the
    /// smaller backlog.
    ///
    /// Two candidates are enough: the better of two avoids a busy shard nearly as well as the best
    /// of all does (Mitzenmacher, "The power of two choices in randomized load balancing", 2001).
    pub(crate) fn any_shard(&self) -> ShardRef {
        let shards = &self.shared.shards;
        let turn = self.round_robin();
        let (next, other) = (&shards[turn], &shards[(turn + 1) % shards.len()]);
        ShardRef::clone(if other.backlog() < next.backlog() {
            other
        } else {
            next
        })
    }

    fn round_robin(&self) -> usize {
        // Relaxed: the counter only spreads work.
        self.shared.next.fetch_add(1, Ordering::Relaxed) % self.shared.shards.len()
    }

    #[track_caller]
    pub(crate) fn shard_ref(&self, shard: ShardId) -> &ShardRef {
        match self.shared.shards.get(shard.index()) {
            Some(shard) => shard,
            None => self.no_shard(shard.index()),
        }
    }

    #[cold]
    #[track_caller]
    fn no_shard(&self, index: usize) -> ! {
        panic!(
            "this reactor has {} shards, so shard index {index} does not exist",
            self.shared.shards.len()
        )
    }

    /// Returns the shard for a new registration.
    #[inline]
    pub(crate) fn place(&self, placement: Placement, fd: RawFd) -> io::Result<ShardId> {
        match placement {
            Placement::Hash => Ok(self.shard_for(fd)),
            _ => self.place_asking(placement, fd),
        }
    }

    /// Places a registration for placements that need the shards' state.
    fn place_asking(&self, placement: Placement, fd: RawFd) -> io::Result<ShardId> {
        let shards = &self.shared.shards;
        let index = match placement {
            Placement::Hash => return Ok(self.shard_for(fd)),
            Placement::Current => {
                let here = current::with(|shard| {
                    shard
                        .filter(|shard| Arc::ptr_eq(&shard.handle().shared, &self.shared))
                        .map(|shard| shard.shared().id)
                });
                return Ok(here.unwrap_or_else(|| self.shard_for(fd)));
            }
            Placement::RoundRobin => self.round_robin(),
            Placement::LeastLoaded => {
                let loads = shards
                    .iter()
                    .enumerate()
                    .map(|(index, shard)| (shard.io.live(), index));
                loads.min().map_or(0, |(_, index)| index)
            }
            Placement::Shard(shard) if shard.index() < shards.len() => return Ok(shard),
            Placement::Shard(shard) => {
                let message = format!(
                    "this reactor has {} shards, so shard index {shard} does not exist",
                    shards.len()
                );
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
        };
        Ok(ShardId::from_index(index))
    }

    /// Returns a shard's I/O.
    pub(crate) fn io(&self, shard: ShardId) -> &Arc<ShardIo> {
        &self.shared.shards[shard.index()].io
    }

    /// Returns the I/O of the shard whose table a token names.
    pub(crate) fn io_at(&self, index: usize) -> &Arc<ShardIo> {
        &self.shared.shards[index].io
    }
}

// A handle leads only to atomics, and to locks that are released before foreign code runs.
impl UnwindSafe for Handle {}
impl RefUnwindSafe for Handle {}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("shards", &self.shared.shards.len())
            .finish_non_exhaustive()
    }
}
