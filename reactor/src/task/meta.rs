//! The identity of a task, for handles, for hooks, and for the people who read their reports.

use std::cell::Cell;
use std::fmt;
use std::num::NonZeroU64;
use std::panic::Location;
use std::ptr::NonNull;

use crate::blocking;
use crate::shard::{Shard, ShardId, current};

thread_local! {
    /// The task whose future or output the thread drops, outside of a poll of that task.
    static DROPPED: Cell<Option<TaskId>> = const { Cell::new(None) };
}

/// Calls `drop`, in which [`TaskId::current`] is `task`.
pub(super) fn as_task<R>(task: TaskId, drop: impl FnOnce() -> R) -> R {
    struct Restore(Option<TaskId>);

    impl Drop for Restore {
        fn drop(&mut self) {
            DROPPED.set(self.0);
        }
    }

    let _restore = Restore(DROPPED.replace(Some(task)));
    drop()
}

/// Identifies a task among those that exist at the same time. Once a task has ended and its handles
/// are gone, another task may get the same id. As tokio's `task::Id`.
///
/// # Examples
///
/// ```
/// let reactor = reactor::Reactor::builder().shards(1).build()?;
/// let task = reactor.handle().spawn(async { reactor::TaskId::current() });
/// let id = task.id();
/// assert_eq!(reactor.block_on(task)?, Some(id));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(NonZeroU64);

impl TaskId {
    /// Returns the id of the task at this address.
    #[inline]
    pub(super) fn of<T>(task: NonNull<T>) -> Self {
        Self(NonZeroU64::try_from(task.addr()).expect("64-bit targets only"))
    }

    /// Returns the id of the task that the calling thread is polling, or of the blocking job that
    /// it runs.
    ///
    /// While a task's future or output is dropped, that is the current task, whichever thread drops
    /// it.
    pub fn current() -> Option<Self> {
        if let Some(dropped) = DROPPED.get() {
            return Some(dropped);
        }
        let polled =
            |shard: Option<&Shard>| Self::from_bits(shard?.shared().counters.polling.get());
        current::with(polled).or_else(blocking::current_job)
    }

    pub(crate) fn from_bits(bits: u64) -> Option<Self> {
        NonZeroU64::new(bits).map(Self)
    }

    #[inline]
    pub(crate) fn to_bits(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskId({self})")
    }
}

/// A description of a task, for the hooks of a [`Builder`](crate::Builder). As tokio's `TaskMeta`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskMeta {
    pub(crate) id: TaskId,
    pub(crate) shard: Option<ShardId>,
    pub(crate) future: &'static str,
    pub(crate) spawned_at: Option<&'static Location<'static>>,
}

impl TaskMeta {
    /// Returns the task's id.
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// Returns the shard that runs the task, or `None` for a job of
    /// [`spawn_blocking`](crate::spawn_blocking).
    pub fn shard(&self) -> Option<ShardId> {
        self.shard
    }

    /// Returns the type name of the task's future, or of its closure for a blocking job, as the
    /// compiler writes it. For an async block it names the enclosing function. It is meant for
    /// people: the form may change with the compiler.
    pub fn future(&self) -> &'static str {
        self.future
    }

    /// Returns the source location that spawned the task. It is unknown if parts of the program are
    /// loaded far from each other in memory.
    pub fn spawned_at(&self) -> Option<&'static Location<'static>> {
        self.spawned_at
    }
}

impl fmt::Display for TaskMeta {
    /// Writes, for example,
    /// `task 5581a0 of app::serve::{{closure}}, spawned at src/main.rs:12:9, on shard 3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {} of {}", self.id, self.future)?;
        if let Some(location) = self.spawned_at {
            write!(f, ", spawned at {location}")?;
        }
        if let Some(shard) = self.shard {
            write!(f, ", on shard {shard}")?;
        }
        Ok(())
    }
}
