//! Counters of a server, per shard. A shard writes its own, and any thread may read them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use reactor::ShardId;

/// The counters of one shard.
///
/// All are `Relaxed`: they are counts for reports and for the choice of a shard, and order nothing.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Written by the thread that accepts.
    pub(super) accepted: AtomicU64,
    pub(super) closed: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) cut_off: AtomicU64,
    /// This counter and the next three are written by the accept loop of this shard.
    pub(super) over_limit: AtomicU64,
    pub(super) accept_calls: AtomicU64,
    pub(super) accept_pauses: AtomicU64,
    pub(super) handed_on: AtomicU64,
    /// Written by the streams of this shard's connections.
    pub(super) timed_out: AtomicU64,
}

impl Counters {
    pub(super) fn bump(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }

    /// Returns the number of connections of this shard that have not ended.
    pub(super) fn live(&self) -> u64 {
        // `closed` first: every connection in it was counted as accepted before.
        let closed = self.closed.load(Relaxed);
        self.accepted.load(Relaxed).saturating_sub(closed)
    }

    pub(super) fn read(&self, shard: ShardId) -> ShardStats {
        ShardStats {
            shard,
            live: self.live(),
            accepted: self.accepted.load(Relaxed),
            closed: self.closed.load(Relaxed),
            failed: self.failed.load(Relaxed),
            cut_off: self.cut_off.load(Relaxed),
            over_limit: self.over_limit.load(Relaxed),
            accept_calls: self.accept_calls.load(Relaxed),
            accept_pauses: self.accept_pauses.load(Relaxed),
            handed_on: self.handed_on.load(Relaxed),
            timed_out: self.timed_out.load(Relaxed),
        }
    }
}

/// The way in which a connection ended, for the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// In order.
    Finished,
    /// By an error.
    Failed,
    /// By the reactor's shutdown.
    CutOff,
}

/// The counters of a server on one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShardStats {
    /// The shard.
    pub shard: ShardId,
    /// Connections that were given to this shard.
    pub accepted: u64,
    /// Connections of this shard that ended in any way.
    pub closed: u64,
    /// Connections of this shard that have not ended.
    pub live: u64,
    /// Connections that ended in an error, or whose handler panicked.
    pub failed: u64,
    /// Connections that were still open at the deadline of a drain, or when their reactor ended.
    pub cut_off: u64,
    /// Connections that this shard accepted beyond the limit and closed at once. No other field
    /// counts them.
    pub over_limit: u64,
    /// Calls of accept(2).
    pub accept_calls: u64,
    /// Pauses of the accept loop, because descriptors or memory ran out.
    pub accept_pauses: u64,
    /// Connections that this shard accepted and gave to another one, because the other was less
    /// loaded ([`AcceptPolicy::Hybrid`](super::AcceptPolicy::Hybrid)). The other shard counts them
    /// as accepted.
    pub handed_on: u64,
    /// Connections that a timeout ended: those of [`Timeouts`](super::Timeouts), and in
    /// `serve::http` that of the TLS handshake and of a request's head. They also count as failed,
    /// with two exceptions: an idle connection of HTTP/1, and a connection whose handler returns no
    /// error.
    pub timed_out: u64,
}

/// The counters of a server on every shard.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// One entry per shard, in the order of the shards.
    pub shards: Vec<ShardStats>,
}

impl Stats {
    /// Returns the sum of a counter over all shards.
    ///
    /// ```
    /// # fn show(stats: asyncfd::serve::Stats) -> u64 {
    /// stats.total(|shard| shard.live)
    /// # }
    /// ```
    pub fn total(&self, counter: impl Fn(&ShardStats) -> u64) -> u64 {
        self.shards.iter().map(counter).sum()
    }
}
