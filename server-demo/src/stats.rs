//! Counters per shard, for the connections that the shard was given. Any thread may read them.
//! While load is even, no cache line of counters is written by one shard and read by another.
//! Tests: `tests/` of this package.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use asyncfd::serve;

/// The counters of one shard, on cache lines of their own.
///
/// All are `Relaxed`: they are counts for reports and order nothing else.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    /// Bytes echoed. Another shard writes it while it runs a connection of this one.
    bytes: AtomicU64,
    /// Connections closed because no byte moved.
    pub(crate) idle_closed: AtomicU64,
    /// Connections closed because the peer did not read an answer in time.
    pub(crate) unread_closed: AtomicU64,
}

impl Counters {
    /// Adds one to a counter.
    pub(crate) fn bump(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }

    /// Adds to the bytes echoed.
    pub(crate) fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// Returns these counters beside those of the serving layer.
    pub(crate) fn read(&self, layer: &serve::ShardStats) -> ShardStats {
        ShardStats {
            live: layer.live,
            accepted: layer.accepted,
            closed: layer.closed,
            bytes: self.bytes.load(Relaxed),
            over_limit: layer.over_limit,
            idle_closed: self.idle_closed.load(Relaxed),
            unread_closed: self.unread_closed.load(Relaxed),
            failed: layer.failed,
            cut_off: layer.cut_off,
            accept_pauses: layer.accept_pauses,
            handed_on: layer.handed_on,
            polls: 0,
            queued_turns_max: 0,
            remote_wakes: 0,
            tasks: 0,
            registrations: 0,
            timers: 0,
            cpu: None,
        }
    }
}

/// The counters of one shard so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShardStats {
    /// Connections given to this shard.
    pub accepted: u64,
    /// Connections of this shard that ended, for any reason.
    pub closed: u64,
    /// Connections of this shard that have not ended.
    pub live: u64,
    /// Bytes echoed on connections of this shard, whichever shard ran them.
    pub bytes: u64,
    /// Connections that this shard accepted over the limit, and closed at once. No other count
    /// includes them.
    pub over_limit: u64,
    /// Connections closed by the idle timeout.
    pub idle_closed: u64,
    /// Connections cut off by the write timeout.
    pub unread_closed: u64,
    /// Connections that ended in an error, such as a reset by the peer.
    pub failed: u64,
    /// Connections that were still open when the drain's time was over.
    pub cut_off: u64,
    /// Times this shard's acceptor paused because descriptors or memory ran out.
    pub accept_pauses: u64,
    /// Connections that this shard accepted and handed on to a less loaded shard, under
    /// [`AcceptPolicy::Hybrid`](crate::AcceptPolicy::Hybrid). The shard that received them counts
    /// them as accepted.
    pub handed_on: u64,
    /// Task polls, as the reactor counts them.
    pub polls: u64,
    /// The maximum number of turns that a task waited between its wake and its poll, as the reactor
    /// counts them. In the sum over shards, it is the largest value.
    pub queued_turns_max: u64,
    /// Wakes sent to this shard by other threads, as the reactor counts them. A server in steady
    /// echo sends none.
    pub remote_wakes: u64,
    /// Tasks on this shard now, as the reactor counts them: one for each connection and one for
    /// each listener. One shard also has the task that waits for the drain.
    pub tasks: u64,
    /// Descriptors registered on this shard now, as the reactor counts them.
    pub registrations: u64,
    /// Timers armed on this shard now, as the reactor counts them.
    pub timers: u64,
    /// The CPU this shard is pinned to.
    pub cpu: Option<usize>,
}

/// The counters of every shard so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// One entry per shard, in shard order.
    pub shards: Vec<ShardStats>,
}

impl Stats {
    /// Returns the sums over all shards.
    #[must_use]
    pub fn total(&self) -> ShardStats {
        self.shards
            .iter()
            .fold(ShardStats::default(), |sum, shard| ShardStats {
                accepted: sum.accepted + shard.accepted,
                closed: sum.closed + shard.closed,
                live: sum.live + shard.live,
                bytes: sum.bytes + shard.bytes,
                over_limit: sum.over_limit + shard.over_limit,
                idle_closed: sum.idle_closed + shard.idle_closed,
                unread_closed: sum.unread_closed + shard.unread_closed,
                failed: sum.failed + shard.failed,
                cut_off: sum.cut_off + shard.cut_off,
                accept_pauses: sum.accept_pauses + shard.accept_pauses,
                handed_on: sum.handed_on + shard.handed_on,
                polls: sum.polls + shard.polls,
                queued_turns_max: sum.queued_turns_max.max(shard.queued_turns_max),
                remote_wakes: sum.remote_wakes + shard.remote_wakes,
                tasks: sum.tasks + shard.tasks,
                registrations: sum.registrations + shard.registrations,
                timers: sum.timers + shard.timers,
                cpu: None,
            })
    }
}

/// A table for people: one line per shard, then the sums.
impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        type Count = fn(&ShardStats) -> u64;
        const COLUMNS: [(&str, usize, Count); 16] = [
            ("accepted", 10, |s| s.accepted),
            ("closed", 10, |s| s.closed),
            ("live", 8, |s| s.live),
            ("bytes", 15, |s| s.bytes),
            ("over limit", 10, |s| s.over_limit),
            ("idle", 8, |s| s.idle_closed),
            ("unread", 8, |s| s.unread_closed),
            ("failed", 8, |s| s.failed),
            ("cut off", 8, |s| s.cut_off),
            ("handed on", 9, |s| s.handed_on),
            ("polls", 12, |s| s.polls),
            ("turns waited", 12, |s| s.queued_turns_max),
            ("remote wakes", 12, |s| s.remote_wakes),
            ("tasks", 8, |s| s.tasks),
            ("registered", 10, |s| s.registrations),
            ("timers", 8, |s| s.timers),
        ];
        write!(f, "{:>5} {:>4}", "shard", "cpu")?;
        for (heading, width, _) in COLUMNS {
            write!(f, " {heading:>width$}")?;
        }
        writeln!(f)?;
        let mut line = |name: &str, shard: &ShardStats| {
            let cpu = shard
                .cpu
                .map_or_else(|| "-".to_owned(), |cpu| cpu.to_string());
            write!(f, "{name:>5} {cpu:>4}")?;
            for (_, width, count) in COLUMNS {
                write!(f, " {:>width$}", count(shard))?;
            }
            writeln!(f)
        };
        for (index, shard) in self.shards.iter().enumerate() {
            line(&index.to_string(), shard)?;
        }
        line("all", &self.total())
    }
}
