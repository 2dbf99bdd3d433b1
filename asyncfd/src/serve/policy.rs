//! The choice of the shard that serves a new connection.
//!
//! The accept loops call it (`accept.rs`). It reads the counters and does no I/O. Tests:
//! `policy/tests.rs`.

use std::error::Error;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The policy that spreads connections over the shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AcceptPolicy {
    /// A listener per shard on one address (`SO_REUSEPORT`). The kernel spreads connections by a
    /// hash of their addresses, and each stays on the shard that accepted it. TCP only.
    ///
    /// Only Linux spreads them. On other systems one listener may get all of them.
    #[default]
    ReusePort,
    /// One listener; a hash of the descriptor number chooses the shard.
    Hash,
    /// One listener; the shards take turns.
    RoundRobin,
    /// One listener. It chooses the shard whose ready tasks take the fewest whole milliseconds
    /// ([`Handle::backlog`](reactor::Handle::backlog)). Among equal shards, it chooses the one with
    /// the fewest live connections. Shards are usually equal, because each backlog is below one
    /// millisecond.
    LeastLoaded,
    /// A listener per shard, as with [`Self::ReusePort`], but a shard with many more connections
    /// than the least loaded one hands new ones on to that shard. "Many more" is a lead of over
    /// three standard deviations of a fair hash: `lead² > 9 · (own + least)`. It also hands them on
    /// while its ready tasks take more milliseconds than that shard's.
    Hybrid,
    /// One listener, which every shard waits for (`EPOLLEXCLUSIVE`). The kernel wakes one sleeping
    /// shard for a connection, and the connection stays there, so idle shards accept and busy
    /// shards do not. Where the system lacks the flag, each connection wakes all sleeping shards.
    Exclusive,
}

impl AcceptPolicy {
    /// Every policy.
    pub const ALL: [Self; 6] = [
        Self::ReusePort,
        Self::Hash,
        Self::RoundRobin,
        Self::LeastLoaded,
        Self::Hybrid,
        Self::Exclusive,
    ];

    /// Returns the policy's name, as on a command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReusePort => "reuseport",
            Self::Hash => "hash",
            Self::RoundRobin => "round-robin",
            Self::LeastLoaded => "least-loaded",
            Self::Hybrid => "hybrid",
            Self::Exclusive => "exclusive",
        }
    }

    /// Returns true if each shard binds a socket of its own.
    pub(super) const fn binds_on_every_shard(self) -> bool {
        matches!(self, Self::ReusePort | Self::Hybrid)
    }
}

impl fmt::Display for AcceptPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for AcceptPolicy {
    type Err = UnknownPolicy;

    fn from_str(given: &str) -> Result<Self, UnknownPolicy> {
        let mut all = Self::ALL.into_iter();
        all.find(|policy| policy.name() == given)
            .ok_or_else(|| UnknownPolicy(given.to_owned()))
    }
}

/// The error for a word that names no [`AcceptPolicy`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownPolicy(String);

impl fmt::Display for UnknownPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: Vec<&str> = AcceptPolicy::ALL
            .iter()
            .map(|policy| policy.name())
            .collect();
        write!(f, "`{}` is not one of {}", self.0, known.join(", "))
    }
}

impl Error for UnknownPolicy {}

/// The load of a shard. Loads are ordered by preference: the least comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Load {
    /// The shard's backlog in milliseconds. Smaller differences pass before a new connection sends
    /// its first request, and handing it on costs a wake.
    backlog_ms: u128,
    live: u64,
}

impl Load {
    pub(super) fn new(backlog: Duration, live: u64) -> Self {
        Self {
            backlog_ms: backlog.as_millis(),
            live,
        }
    }

    /// Returns true if a shard with this load hands new connections on to the least loaded one.
    pub(super) fn hands_on_to(self, least: Self) -> bool {
        self.backlog_ms > least.backlog_ms
            || (self.backlog_ms == least.backlog_ms && is_overloaded(self.live, least.live))
    }
}

/// The largest lead of a shard that chance alone explains, in standard deviations.
const CHANCE: u64 = 3;

/// Returns true if a shard's lead over the least loaded one is too large to come from the kernel's
/// hash.
///
/// If a fair hash gives two shards `own + least` connections, their difference has a standard
/// deviation of `sqrt(own + least)`, because each connection changes it by one in either direction.
/// Within three standard deviations the load counts as even, and handing on would wake another
/// thread for nothing. A larger lead happens by chance once in 370. So of two shards with `n`
/// connections, neither gets beyond `n / 2 + 1.5 * sqrt(n) + 1`: 65 of 100, 548 of 1,000, 50,474 of
/// 100,000. With more shards, the least loaded one is lower by chance, so a few more are handed on.
fn is_overloaded(own: u64, least: u64) -> bool {
    let ahead = own.saturating_sub(least);
    ahead.saturating_mul(ahead) > own.saturating_add(least).saturating_mul(CHANCE * CHANCE)
}

#[cfg(test)]
mod tests;
