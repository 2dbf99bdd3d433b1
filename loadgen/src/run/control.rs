//! Communication between the main thread and the shards: commands to the shards, events and
//! snapshots from them.
//!
//! All of it is cold. Once per tick of its supervisor, a shard reads the command and publishes its
//! snapshot. No request runs this code.

use parking_lot::Mutex;

use crate::measure::clock::Nanos;
use crate::measure::counters::Counters;
use crate::measure::failure::Errors;
use crate::measure::slices::Slice;
use crate::report::Connections;
use crate::run::bad_kind::BadClientCounters;
use crate::run::plan::Timeline;

/// A command to all shards. Commands only move forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    /// Open the connections and have each served once.
    Ramp,
    /// Send requests.
    Go(Timeline),
    /// Stop at once. Requests in flight do not count.
    Abort,
    /// Close the connections: the run is over.
    Close,
}

/// A message of a shard to the main thread.
#[derive(Debug)]
pub(crate) enum ShardEvent {
    /// All its connections are open and served, unless one `failed`.
    Ramped {
        /// True if a connection failed.
        failed: bool,
    },
    /// Intervals of the time series that are complete.
    Slices(Vec<Slice>),
    /// No request is in flight, and no other one follows.
    Quiet,
    /// The answer to [`Command::Close`]: the shard's result.
    Result(Box<ShardResult>),
    /// Its supervisor panicked. No other event follows from this shard.
    Lost,
    /// A connection failed, and the run ends at a failure (`--fail-fast`).
    FailedFast,
    /// This process got a signal.
    Signal(i32),
}

/// The result of a shard.
#[derive(Debug)]
pub(crate) struct ShardResult {
    pub(crate) counters: Counters,
    /// Failures in the measured part.
    pub(crate) errors: Errors,
    /// Failures before and after it.
    pub(crate) errors_outside: Errors,
    /// Connection counts. The plan and the coordinator have the other counts.
    pub(crate) connections: Connections,
    /// The number of source addresses used.
    pub(crate) sources: u32,
    /// Requests of an open loop that found no free connection.
    pub(crate) found_none_free: u64,
    /// The intended time of the first request after the schedule; zero without one.
    pub(crate) schedule_end: Nanos,
    /// Counts of the bad clients.
    pub(crate) bad: BadClientCounters,
    /// Share of the measured time that the thread was on a CPU.
    pub(crate) busy: f64,
    /// Share of the measured time that it was ready to run and waited for a CPU.
    pub(crate) waited: f64,
}

impl ShardResult {
    /// The result of a shard that measured nothing.
    pub(crate) fn new(counters: Counters) -> Self {
        Self {
            counters,
            errors: Errors::default(),
            errors_outside: Errors::default(),
            connections: Connections::default(),
            sources: 0,
            found_none_free: 0,
            schedule_end: 0,
            bad: BadClientCounters::default(),
            busy: 0.0,
            waited: 0.0,
        }
    }

    /// Adds the result of another shard. For shares and sources, it keeps the larger number.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.counters.merge(&other.counters);
        self.errors.merge(&other.errors);
        self.errors_outside.merge(&other.errors_outside);
        self.connections
            .merge(&other.connections)
            .expect("counts without histograms");
        self.sources = self.sources.max(other.sources);
        self.found_none_free += other.found_none_free;
        // The schedule ends with the earliest of these times; zero means no such time.
        self.schedule_end = match (self.schedule_end, other.schedule_end) {
            (0, end) | (end, 0) => end,
            (one, other) => one.min(other),
        };
        self.bad.merge(&other.bad);
        self.busy = self.busy.max(other.busy);
        self.waited = self.waited.max(other.waited);
    }
}

/// A shard's counters as of its last tick.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Live {
    pub(crate) connected: u32,
    pub(crate) live: u32,
    pub(crate) answers: u64,
    pub(crate) errors: u64,
}

/// The board that all threads of a run share.
#[derive(Debug)]
pub(crate) struct Control {
    command: Mutex<Command>,
    live: Vec<Mutex<Live>>,
}

impl Control {
    pub(crate) fn new(shards: u32) -> Self {
        Self {
            command: Mutex::new(Command::Ramp),
            live: (0..shards).map(|_| Mutex::default()).collect(),
        }
    }

    pub(crate) fn command(&self) -> Command {
        *self.command.lock()
    }

    pub(crate) fn give(&self, command: Command) {
        *self.command.lock() = command;
    }

    pub(crate) fn publish(&self, shard: u32, live: Live) {
        *self.live[shard as usize].lock() = live;
    }

    /// The last snapshot of each shard.
    pub(crate) fn live(&self) -> Vec<Live> {
        self.live.iter().map(|live| *live.lock()).collect()
    }
}
