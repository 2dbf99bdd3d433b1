//! Counters that are always on, and the snapshots of them that callers get.
//!
//! A shard writes its own counters with plain loads and stores, on cache lines that only reports
//! read. The few counters that other threads write use an atomic addition, beside data that those
//! threads write anyway.
#![expect(clippy::disallowed_types, reason = "no model has counters")]

pub(crate) mod histogram;
mod list;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

pub use histogram::Histogram;
pub use list::{Metric, MetricKind, MetricUnit, MetricValue};

/// An event counter. Every access is relaxed: only reports read it, and no decision depends on it.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds to a counter that only the calling thread writes. It uses no locked instruction.
    #[inline]
    pub(crate) fn add_own(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Sets a gauge that only the calling thread writes.
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

/// The process's counter of blocks of task ids.
#[derive(Debug)]
pub(crate) struct IdBlocks(AtomicU64);

impl IdBlocks {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Takes the next block. Relaxed: the numbers order nothing.
    pub(crate) fn take(&self) -> u64 {
        self.0.fetch_add(1, Relaxed)
    }
}

/// The counters of a shard thread's own work.
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
    /// The address of the task that is being polled, or 0.
    pub(crate) polling: Counter,
    pub(crate) queued_turns_max: Counter,
    /// The length of the run queue at the end of the last turn.
    pub(crate) ready: Counter,
    /// The expected duration of a poll, in nanoseconds.
    pub(crate) poll_ns: Counter,
    /// Nanoseconds outside of sleeps.
    pub(crate) busy_ns: Counter,
    pub(crate) stolen: Counter,
    pub(crate) failed_searches: Counter,
    pub(crate) served: Counter,
    pub(crate) moved_in: Counter,
}

/// A snapshot of every shard's counters, from [`Handle::metrics`](crate::Handle::metrics).
///
/// The counters are read one after the other while the shards run, so two of them may be some
/// events apart.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReactorMetrics {
    /// One entry per shard, in the order of [`ShardId::index`](crate::ShardId::index).
    pub shards: Vec<ShardMetrics>,
    /// The threads of [`spawn_blocking`](crate::spawn_blocking).
    pub blocking: BlockingMetrics,
}

impl ReactorMetrics {
    /// Sums one counter over all shards.
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

/// Metrics of the blocking threads and their jobs. The first three are current values; the rest
/// count since the start.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct BlockingMetrics {
    /// The number of threads.
    pub threads: u64,
    /// The number of threads that wait for a job.
    pub idle_threads: u64,
    /// The number of jobs that wait for a thread.
    pub queue_depth: u64,
    /// The number of jobs that ended: they completed, panicked, or were dropped before they began.
    pub jobs_completed: u64,
    /// The number of panics caught in jobs, in drops of their outputs, and in wakers that awaited
    /// them.
    pub panics: u64,
}

/// One shard's counters. `registrations`, `tasks`, `ready_tasks` and `timers` are current values;
/// the rest count since the start.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ShardMetrics {
    /// The CPU that the shard's thread is pinned to, if any.
    pub cpu: Option<usize>,
    /// The number of live registrations (descriptors).
    pub registrations: u64,
    /// The number of live tasks: spawned and neither completed nor cancelled.
    pub tasks: u64,
    /// Turns of the shard's loop.
    pub turns: u64,
    /// Turns that may have slept in the kernel, because nothing was left to run.
    pub waits: u64,
    /// Turns that polled the OS instead of sleeping, because of
    /// [`Builder::busy_poll`](crate::Builder::busy_poll).
    pub spins: u64,
    /// Readiness events published.
    pub events: u64,
    /// Events dropped because their registration was gone.
    pub stale_events: u64,
    /// Calls to `epoll_wait` that returned no event: nothing was ready while tasks ran, or a timer
    /// ended a sleep.
    pub empty_batches: u64,
    /// Calls to `epoll_wait` that returned the maximum number of events
    /// ([`Builder::events_per_poll`](crate::Builder::events_per_poll)). If there are many, the
    /// shard is overloaded, or the batches are too small.
    pub full_batches: u64,
    /// Polls of tasks.
    pub polls: u64,
    /// The longest queueing delay of a task of this shard, in turns from its wake to its poll; 0 if
    /// each was polled in the turn that woke it. A turn polls
    /// [`event_interval`](crate::Builder::event_interval) tasks, oldest first. So a task waits one
    /// turn per `event_interval` tasks that were woken before it, however busy these are.
    pub queued_turns_max: u64,
    /// Tasks that ended: they completed, panicked or were cancelled.
    pub tasks_completed: u64,
    /// Panics caught in tasks (in a poll, in the drop of a future, in the drop of an output) and in
    /// wakers that the shard woke.
    pub panics: u64,
    /// Polls that lasted longer than [`Builder::detect_stalls`](crate::Builder::detect_stalls)
    /// allows; 0 if the detector is off.
    pub stalls: u64,
    /// Wakes of this shard's tasks by other threads.
    pub remote_wakes_received: u64,
    /// Tasks that other threads spawned on this shard.
    pub remote_spawns: u64,
    /// Wakes by other threads that needed no system call, because the shard was awake or already
    /// notified.
    pub remote_wakes_coalesced: u64,
    /// Writes of the shard's eventfd: system calls that other threads made to end its sleep.
    pub notifies: u64,
    /// The number of armed timers.
    pub timers: u64,
    /// The time that the shard's thread spent outside of sleeps, up to its last turn. It is
    /// measured if two or more shards share work
    /// ([`Builder::work_stealing`](crate::Builder::work_stealing)), or with
    /// [`Builder::histograms`](crate::Builder::histograms) or
    /// [`Builder::task_tracking`](crate::Builder::task_tracking). Otherwise it is zero: it would
    /// cost two readings of the clock per turn.
    pub busy: Duration,
    /// The length of the run queue after the last turn.
    pub ready_tasks: u64,
    /// Ready tasks that this shard took from the queues of siblings.
    pub tasks_stolen: u64,
    /// Ready tasks that siblings took from this shard's queue.
    pub tasks_given: u64,
    /// Searches of the siblings that found no work.
    pub failed_searches: u64,
    /// Times that this shard dispatched the events of a sibling that made no progress: the sibling
    /// was in a long poll, waited for a CPU, or slept.
    pub turns_served: u64,
    /// Registrations that moved to this shard's epoll.
    pub registrations_moved_in: u64,
    /// Registrations that moved from this shard's epoll to another one.
    pub registrations_moved_out: u64,
    /// The durations of task polls. As the next three, it is `None` unless
    /// [`Builder::histograms`](crate::Builder::histograms) is on.
    pub poll_time: Option<Histogram>,
    /// The times from the wake of a task to its poll.
    pub wake_to_poll: Option<Histogram>,
    /// The times that the shard spent in `epoll_wait`, with or without a sleep.
    pub wait_time: Option<Histogram>,
    /// The numbers of events that calls to `epoll_wait` returned.
    pub batch_events: Option<Histogram>,
}
