//! All metrics as a list with names, help texts and kinds, for exporters.
//!
//! The tables below are the only place that names a metric. A test checks that every field of the
//! snapshots is in them.

use std::time::Duration;

use crate::metrics::{BlockingMetrics, Histogram, ReactorMetrics, ShardMetrics};
use crate::shard::ShardId;

/// One value of one metric: an entry of [`ReactorMetrics::iter`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Metric {
    /// The name, by the conventions of Prometheus: counters end in `_total`, and the unit is part
    /// of the name.
    pub name: &'static str,
    /// One sentence for people.
    pub help: &'static str,
    /// The kind of the metric.
    pub kind: MetricKind,
    /// The unit of the value, if it has one.
    pub unit: Option<MetricUnit>,
    /// The shard that the value belongs to, or `None` if it belongs to the whole reactor.
    pub shard: Option<ShardId>,
    /// The value.
    pub value: MetricValue,
}

impl Metric {
    /// Creates a counter without a unit, for a program's own metrics beside the reactor's.
    pub const fn counter(
        name: &'static str,
        help: &'static str,
        shard: Option<ShardId>,
        value: u64,
    ) -> Self {
        Self::plain(name, help, MetricKind::Counter, shard, value)
    }

    /// Creates a gauge without a unit, for a program's own metrics beside the reactor's.
    pub const fn gauge(
        name: &'static str,
        help: &'static str,
        shard: Option<ShardId>,
        value: u64,
    ) -> Self {
        Self::plain(name, help, MetricKind::Gauge, shard, value)
    }

    /// Creates a counter of seconds, for a program's own metrics beside the reactor's. Its name
    /// ends in `_seconds_total`.
    pub const fn counter_seconds(
        name: &'static str,
        help: &'static str,
        shard: Option<ShardId>,
        time: Duration,
    ) -> Self {
        Self {
            name,
            help,
            kind: MetricKind::Counter,
            unit: Some(MetricUnit::Seconds),
            shard,
            value: MetricValue::Float(time.as_secs_f64()),
        }
    }

    const fn plain(
        name: &'static str,
        help: &'static str,
        kind: MetricKind,
        shard: Option<ShardId>,
        value: u64,
    ) -> Self {
        Self {
            name,
            help,
            kind,
            unit: None,
            shard,
            value: MetricValue::Integer(value),
        }
    }
}

/// The kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MetricKind {
    /// A count since the start, which never falls.
    Counter,
    /// A current value.
    Gauge,
    /// A distribution of values since the start.
    Histogram,
}

/// The unit of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MetricUnit {
    /// Seconds.
    Seconds,
}

/// The value of a metric.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum MetricValue {
    /// A whole number.
    Integer(u64),
    /// A number with a fraction.
    Float(f64),
    /// A distribution.
    Histogram(Box<Histogram>),
}

/// A row of a table: a metric, and the way to read it from a snapshot.
struct Row<Snapshot> {
    name: &'static str,
    help: &'static str,
    kind: MetricKind,
    unit: Option<MetricUnit>,
    /// Returns `None` if the metric is off.
    read: fn(&Snapshot) -> Option<MetricValue>,
}

type Read<Snapshot> = fn(&Snapshot) -> Option<MetricValue>;

const fn row<Snapshot>(
    kind: MetricKind,
    name: &'static str,
    help: &'static str,
    read: Read<Snapshot>,
) -> Row<Snapshot> {
    Row {
        name,
        help,
        kind,
        unit: None,
        read,
    }
}

const fn counter<Snapshot>(
    name: &'static str,
    help: &'static str,
    read: Read<Snapshot>,
) -> Row<Snapshot> {
    row(MetricKind::Counter, name, help, read)
}

const fn gauge<Snapshot>(
    name: &'static str,
    help: &'static str,
    read: Read<Snapshot>,
) -> Row<Snapshot> {
    row(MetricKind::Gauge, name, help, read)
}

const fn histogram<Snapshot>(
    name: &'static str,
    help: &'static str,
    read: Read<Snapshot>,
) -> Row<Snapshot> {
    row(MetricKind::Histogram, name, help, read)
}

impl<Snapshot> Row<Snapshot> {
    const fn seconds(mut self) -> Self {
        self.unit = Some(MetricUnit::Seconds);
        self
    }

    fn metric(&self, snapshot: &Snapshot, shard: Option<ShardId>) -> Option<Metric> {
        Some(Metric {
            name: self.name,
            help: self.help,
            kind: self.kind,
            unit: self.unit,
            shard,
            value: (self.read)(snapshot)?,
        })
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "a reader returns None if its metric is off"
)]
fn integer(value: u64) -> Option<MetricValue> {
    Some(MetricValue::Integer(value))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "a reader returns None if its metric is off"
)]
fn seconds(time: Duration) -> Option<MetricValue> {
    Some(MetricValue::Float(time.as_secs_f64()))
}

fn distribution(histogram: Option<Histogram>) -> Option<MetricValue> {
    histogram.map(|histogram| MetricValue::Histogram(Box::new(histogram)))
}

/// The metrics of each shard.
const SHARD: &[Row<ShardMetrics>] = &[
    gauge(
        "reactor_shard_cpu",
        "CPU that the shard's thread is pinned to.",
        |shard| integer(shard.cpu? as u64),
    ),
    gauge(
        "reactor_registrations",
        "Live registrations of descriptors.",
        |shard| integer(shard.registrations),
    ),
    gauge("reactor_tasks", "Live tasks.", |shard| integer(shard.tasks)),
    gauge("reactor_timers", "Armed timers.", |shard| {
        integer(shard.timers)
    }),
    gauge(
        "reactor_ready_tasks",
        "Tasks in the run queue after the last turn.",
        |shard| integer(shard.ready_tasks),
    ),
    gauge(
        "reactor_queued_turns_max",
        "Longest queueing delay of a task so far, in turns.",
        |shard| integer(shard.queued_turns_max),
    ),
    counter(
        "reactor_turns_total",
        "Turns of the shard's loop.",
        |shard| integer(shard.turns),
    ),
    counter(
        "reactor_waits_total",
        "Turns that may have slept in the kernel.",
        |shard| integer(shard.waits),
    ),
    counter(
        "reactor_spins_total",
        "Turns that polled the OS instead of sleeping.",
        |shard| integer(shard.spins),
    ),
    counter(
        "reactor_busy_seconds_total",
        "Time that the shard's thread spent outside of sleeps.",
        |shard: &ShardMetrics| seconds(shard.busy),
    )
    .seconds(),
    counter(
        "reactor_events_total",
        "Readiness events published.",
        |shard| integer(shard.events),
    ),
    counter(
        "reactor_stale_events_total",
        "Events dropped because their registration was gone.",
        |shard| integer(shard.stale_events),
    ),
    counter(
        "reactor_empty_batches_total",
        "Calls to epoll_wait that returned no event.",
        |shard| integer(shard.empty_batches),
    ),
    counter(
        "reactor_full_batches_total",
        "Calls to epoll_wait that returned the maximum number of events.",
        |shard| integer(shard.full_batches),
    ),
    counter("reactor_task_polls_total", "Polls of tasks.", |shard| {
        integer(shard.polls)
    }),
    counter(
        "reactor_tasks_completed_total",
        "Tasks that ended.",
        |shard| integer(shard.tasks_completed),
    ),
    counter(
        "reactor_panics_total",
        "Panics caught in tasks and wakers.",
        |shard| integer(shard.panics),
    ),
    counter(
        "reactor_stalls_total",
        "Polls that lasted longer than the stall detector allows.",
        |shard| integer(shard.stalls),
    ),
    counter(
        "reactor_remote_wakes_received_total",
        "Wakes of this shard's tasks by other threads.",
        |shard| integer(shard.remote_wakes_received),
    ),
    counter(
        "reactor_remote_wakes_coalesced_total",
        "Wakes by other threads that needed no system call.",
        |shard| integer(shard.remote_wakes_coalesced),
    ),
    counter(
        "reactor_remote_spawns_total",
        "Tasks that other threads spawned on this shard.",
        |shard| integer(shard.remote_spawns),
    ),
    counter(
        "reactor_notifies_total",
        "System calls of other threads that ended the shard's sleep.",
        |shard| integer(shard.notifies),
    ),
    counter(
        "reactor_tasks_stolen_total",
        "Ready tasks that this shard took from siblings.",
        |shard| integer(shard.tasks_stolen),
    ),
    counter(
        "reactor_tasks_given_total",
        "Ready tasks that siblings took from this shard.",
        |shard| integer(shard.tasks_given),
    ),
    counter(
        "reactor_failed_searches_total",
        "Searches of the siblings that found no work.",
        |shard| integer(shard.failed_searches),
    ),
    counter(
        "reactor_turns_served_total",
        "Times that this shard dispatched the events of a sibling that is stuck, sleeps or waits for a CPU.",
        |shard| integer(shard.turns_served),
    ),
    counter(
        "reactor_registrations_moved_in_total",
        "Registrations that moved to this shard.",
        |shard| integer(shard.registrations_moved_in),
    ),
    counter(
        "reactor_registrations_moved_out_total",
        "Registrations that moved from this shard to another one.",
        |shard| integer(shard.registrations_moved_out),
    ),
    histogram(
        "reactor_task_poll_seconds",
        "Durations of task polls.",
        |shard: &ShardMetrics| distribution(shard.poll_time),
    )
    .seconds(),
    histogram(
        "reactor_wake_to_poll_seconds",
        "Times from the wake of a task to its poll.",
        |shard: &ShardMetrics| distribution(shard.wake_to_poll),
    )
    .seconds(),
    histogram(
        "reactor_wait_seconds",
        "Times that the shard spent in epoll_wait.",
        |shard: &ShardMetrics| distribution(shard.wait_time),
    )
    .seconds(),
    histogram(
        "reactor_batch_events",
        "Events that one call to epoll_wait returned.",
        |shard: &ShardMetrics| distribution(shard.batch_events),
    ),
];

/// The metrics of the blocking threads.
const BLOCKING: &[Row<BlockingMetrics>] = &[
    gauge(
        "reactor_blocking_threads",
        "Threads for blocking jobs.",
        |blocking| integer(blocking.threads),
    ),
    gauge(
        "reactor_blocking_idle_threads",
        "Threads that wait for a blocking job.",
        |blocking| integer(blocking.idle_threads),
    ),
    gauge(
        "reactor_blocking_queue_depth",
        "Blocking jobs that wait for a thread.",
        |blocking| integer(blocking.queue_depth),
    ),
    counter(
        "reactor_blocking_jobs_completed_total",
        "Blocking jobs that ended.",
        |blocking| integer(blocking.jobs_completed),
    ),
    counter(
        "reactor_blocking_panics_total",
        "Panics caught in blocking jobs.",
        |blocking| integer(blocking.panics),
    ),
];

impl ReactorMetrics {
    /// Lists every metric with its name, help text, kind, unit and shard, so that an exporter need
    /// not name them. New metrics of later versions appear in the list by themselves.
    ///
    /// All values of a metric follow each other, in the order of the shards. Metrics that are off
    /// are left out. [`prometheus::encode`](crate::prometheus::encode) writes the list as text.
    ///
    /// # Examples
    ///
    /// ```
    /// use reactor::MetricValue;
    ///
    /// let reactor = reactor::Reactor::builder().shards(2).build()?;
    /// let metrics = reactor.handle().metrics();
    /// let mut tasks = metrics.iter().collect::<Vec<_>>();
    /// tasks.retain(|metric| metric.name == "reactor_tasks");
    /// assert_eq!(tasks.len(), 2);
    /// assert_eq!(tasks[1].shard.map(|shard| shard.index()), Some(1));
    /// assert_eq!(tasks[1].value, MetricValue::Integer(0));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = Metric> + '_ {
        let of_shards = SHARD.iter().flat_map(|row| {
            let shards = self.shards.iter().enumerate();
            shards.filter_map(|(index, shard)| row.metric(shard, Some(ShardId::from_index(index))))
        });
        let of_blocking = BLOCKING
            .iter()
            .filter_map(|row| row.metric(&self.blocking, None));
        of_shards.chain(of_blocking)
    }
}

#[cfg(test)]
mod tests;
