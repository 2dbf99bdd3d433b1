//! The identity of a task, for handles, for hooks, and for the people who read their reports.

use std::cell::Cell;
use std::fmt;
use std::num::NonZeroU64;
use std::panic::Location;
use std::ptr::NonNull;

use crate::blocking;
use crate::metrics::IdBlocks;
use crate::shard::{ShardId, current};

thread_local! {
    /// The task whose future or output the thread drops, outside of a poll of that task.
    static DROPPED: Cell<Option<TaskId>> = const { Cell::new(None) };
}

/// The number of ids that a thread takes from the process's counter at a time, so that threads
/// which spawn do not write one cache line in turns. A multiple of it is not an id.
const ID_BLOCK: u64 = 256;

thread_local! {
    /// The thread's next id, or a multiple of [`ID_BLOCK`] if it needs another block.
    static NEXT_ID: Cell<u64> = const { Cell::new(0) };
}

/// The process's counter of blocks.
static ID_BLOCKS: IdBlocks = IdBlocks::new();

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

/// An identifier of a task, or of a blocking job, that is unique in the process. Ids are not
/// reused. They grow on each thread that spawns, but not in the order of spawns on several threads.
/// As tokio's `task::Id`.
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
    /// Returns an id that no other task has.
    #[inline]
    pub(super) fn next() -> Self {
        let mut next = NEXT_ID.get();
        if next % ID_BLOCK == 0 {
            next = Self::first_of_new_block();
        }
        NEXT_ID.set(next + 1);
        Self(NonZeroU64::new(next).expect("0 is a multiple of the block's size"))
    }

    #[cold]
    fn first_of_new_block() -> u64 {
        ID_BLOCKS.take() * ID_BLOCK + 1
    }

    /// Splits the id into its upper 16 and its lower 32 bits. It has no more than 48: a thread that
    /// takes a million ids per second needs nine years for them.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the parts of a 48-bit number"
    )]
    pub(super) fn to_parts(self) -> (u16, u32) {
        ((self.0.get() >> 32) as u16, self.0.get() as u32)
    }

    pub(super) fn from_parts(high: u16, low: u32) -> Self {
        let bits = u64::from(high) << 32 | u64::from(low);
        // 0 appears only after 2^48 ids.
        Self(NonZeroU64::new(bits).unwrap_or(NonZeroU64::MIN))
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
        current::polled_task().or_else(blocking::current_job)
    }

    /// Returns the id as a number, for reports.
    pub fn as_u64(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskId({self})")
    }
}

/// The address of a task's header. It tells a task from all others that exist at the same time, and
/// costs a poll nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TaskAddress(NonZeroU64);

impl TaskAddress {
    #[inline]
    pub(super) fn of<T>(task: NonNull<T>) -> Self {
        Self(NonZeroU64::try_from(task.as_ptr().expose_provenance() as u64).expect("not null"))
    }

    pub(crate) fn from_bits(bits: u64) -> Option<Self> {
        NonZeroU64::new(bits).map(Self)
    }

    #[inline]
    pub(crate) fn to_bits(self) -> u64 {
        self.0.get()
    }

    pub(super) fn to_ptr<T>(self) -> *const T {
        std::ptr::with_exposed_provenance(
            usize::try_from(self.0.get()).expect("64-bit targets only"),
        )
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
    /// `task 4711 of app::serve::{{closure}}, spawned at src/main.rs:12:9, on shard 3`.
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
