//! Counters that are always on, and the snapshot callers get of them.
//!
//! A shard writes its own counters with plain loads and stores, on cache lines that only reports read; the few that other
//! threads write are counted with an atomic addition, beside data those threads write anyway.
#![expect(clippy::disallowed_types, reason = "no model has counters")]

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// An event count. Every access is relaxed: reports read it, nothing is decided by it.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds to a counter that only the calling thread ever writes: no locked instruction.
    #[inline]
    pub(crate) fn add_own(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Sets a gauge that only the calling thread ever writes.
    #[inline]
    pub(crate) fn set_own(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// Adds to a counter that several threads write.
    #[inline]
    pub(crate) fn add_shared(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What a shard thread counts of its own work.
#[derive(Debug, Default)]
pub(crate) struct ShardCounters {
    pub(crate) turns: Counter,
    pub(crate) waits: Counter,
    pub(crate) spins: Counter,
    pub(crate) events: Counter,
    pub(crate) stale_events: Counter,
    pub(crate) empty_batches: Counter,
    pub(crate) full_batches: Counter,
    pub(crate) polls: Counter,
    pub(crate) tasks_completed: Counter,
    /// The id of the task that is polled now, or 0.
    pub(crate) polling: Counter,
    pub(crate) queued_turns_max: Counter,
}

/// A look at every shard's counters, from [`Handle::metrics`](crate::Handle::metrics).
///
/// The counters are read one after the other while the shards go on, so two of them may be some events apart.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReactorMetrics {
    /// One entry a shard, in the order of [`ShardId::index`](crate::ShardId::index).
    pub shards: Vec<ShardMetrics>,
    /// The threads of [`spawn_blocking`](crate::spawn_blocking).
    pub blocking: BlockingMetrics,
}

impl ReactorMetrics {
    /// Adds one counter up over all shards.
    ///
    /// # Examples
    ///
    /// ```
    /// let reactor = reactor::Reactor::builder().shards(2).build()?;
    /// let tasks = reactor.handle().metrics().total(|shard| shard.tasks);
    /// assert_eq!(tasks, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn total(&self, counter: impl Fn(&ShardMetrics) -> u64) -> u64 {
        self.shards.iter().map(counter).sum()
    }
}

/// The threads for blocking jobs, and the jobs: the first three are of this moment, the rest has grown since the start.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct BlockingMetrics {
    /// Threads there are.
    pub threads: u64,
    /// Threads that wait for a job.
    pub idle_threads: u64,
    /// Jobs that wait for a thread.
    pub queue_depth: u64,
    /// Jobs that ended, by completing, panicking or being dropped before they began.
    pub jobs_completed: u64,
    /// Panics caught in jobs, in the drop of their outputs, and in wakers that awaited them.
    pub panics: u64,
}

/// One shard's counters: `registrations` and `tasks` are what is live now, the rest has grown since the start.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ShardMetrics {
    /// The CPU that the shard's thread is pinned to, if any.
    pub cpu: Option<usize>,
    /// Live registrations (descriptors).
    pub registrations: u64,
    /// Live tasks: spawned and neither completed nor cancelled.
    pub tasks: u64,
    /// Turns of the shard's loop.
    pub turns: u64,
    /// Turns that may have slept in the kernel, because nothing was left to run.
    pub waits: u64,
    /// Turns that looked at the OS rather than sleep, because of [`Builder::busy_poll`](crate::Builder::busy_poll).
    pub spins: u64,
    /// Readiness events published.
    pub events: u64,
    /// Events dropped because their registration was gone.
    pub stale_events: u64,
    /// Looks at the OS that brought nothing: nobody has news while tasks run, or a timer ended a sleep.
    pub empty_batches: u64,
    /// Looks at the OS that brought as many events as one may ([`Builder::events_per_poll`](crate::Builder::events_per_poll)). Where
    /// these are many, the shard has more to do than it can, or the batches are too small.
    pub full_batches: u64,
    /// Polls of tasks.
    pub polls: u64,
    /// The most turns that a task of this shard ever waited from its wake to its poll; 0 if each was polled in the turn that woke
    /// it. A turn polls [`event_interval`](crate::Builder::event_interval) tasks, oldest first, so a task waits one turn for
    /// every so many that were woken before it, however busy these are.
    pub queued_turns_max: u64,
    /// Tasks that ended, by completing, panicking or being cancelled.
    pub tasks_completed: u64,
    /// Panics caught in tasks: in a poll, in the drop of a future, in the drop of an output; and in wakers the shard woke.
    pub panics: u64,
    /// Polls that lasted longer than [`Builder::detect_stalls`](crate::Builder::detect_stalls) allows; 0 where it was not asked for.
    pub stalls: u64,
    /// Wakes of this shard's tasks by other threads.
    pub remote_wakes_received: u64,
    /// Tasks that other threads spawned onto this shard.
    pub remote_spawns: u64,
    /// Wakes by other threads that needed no system call, as the shard was awake or notified already.
    pub remote_wakes_coalesced: u64,
    /// Writes of the shard's eventfd: system calls that other threads made to end its sleep.
    pub notifies: u64,
    /// Timers armed now.
    pub timers: u64,
}
