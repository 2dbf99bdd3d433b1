//! Where things go: descriptors to shards, shards to CPUs.
//!
//! Pure policy: numbers in, numbers out. The builder calls [`plan_pins`] and hands each shard its part; `Handle::shard_for`
//! and the registrations call [`shard_for_fd`]. Nothing here asks the system or touches a shard. Tests are in `tests.rs`.

use std::os::fd::RawFd;

use crate::ShardId;

#[cfg(test)]
mod tests;

/// Which shard a descriptor is registered on.
///
/// # Examples
///
/// ```
/// use reactor::Placement;
///
/// assert_eq!(Placement::default(), Placement::Hash);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Placement {
    /// By a multiplicative hash of the descriptor's number: the same number always goes to the same shard, so that
    /// registering one descriptor twice is found out, and consecutive numbers spread evenly.
    #[default]
    Hash,
    /// The shard that the calling thread is, so that no wake crosses threads. As [`Hash`](Self::Hash) elsewhere.
    Current,
    /// One shard after the other, counted per reactor.
    RoundRobin,
    /// The shard with the fewest live registrations at this moment.
    LeastLoaded,
    /// This one.
    Shard(ShardId),
}

/// Which CPU each shard's thread is bound to.
///
/// A pin that is refused leaves its shard unpinned and is reported as a warning; it is never an error.
///
/// # Platform notes
///
/// Threads are pinned on Linux only. Elsewhere `Auto` pins nothing, and each CPU of `Cpus` gets a warning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pinning {
    /// The CPUs that the building thread may use, in order: the first shard on the first of them. Shards beyond them
    /// stay unpinned.
    #[default]
    Auto,
    /// No shard is pinned.
    None,
    /// The first shard on the first CPU listed, and so on. A CPU that this process may not use leaves its shard
    /// unpinned, with a warning; shards beyond the list stay unpinned.
    Cpus(Vec<usize>),
}

/// The shard, of `shards`, that [`Placement::Hash`] gives this descriptor to.
///
/// Fibonacci hashing: multiples of the golden ratio's fraction fill the unit interval so evenly that no run of descriptor
/// numbers, whatever its stride, piles up on one shard. Its upper half is scaled to the number of shards, which needs no
/// division.
#[inline]
pub(crate) fn shard_for_fd(fd: RawFd, shards: usize) -> usize {
    /// 2^64 over the golden ratio, an odd number:
    /// `python3 -c 'import math; print(hex((math.isqrt(5 << 128) - (1 << 64)) // 2))'`.
    const GOLDEN: usize = 0x9E37_79B9_7F4A_7C15;
    debug_assert!(
        0 < shards && shards < 1 << 32,
        "a reactor has between one and 2^32 shards"
    );
    // A negative number is no descriptor and is refused later; that the cast wraps is harmless.
    let hash = (fd as usize).wrapping_mul(GOLDEN);
    ((hash >> 32) * shards) >> 32
}

/// For each shard the CPU to pin it to, and a warning for each CPU asked for in vain.
///
/// `allowed` are the CPUs that the process may use. Where it is empty they are not known: then `Cpus` is taken at its word
/// and the pin itself will show.
pub(crate) fn plan_pins(
    pinning: &Pinning,
    allowed: &[usize],
    shards: usize,
) -> (Vec<Option<usize>>, Vec<String>) {
    let mut warnings = Vec::new();
    let mut plan: Vec<Option<usize>> = match pinning {
        Pinning::Auto => allowed.iter().copied().map(Some).take(shards).collect(),
        Pinning::None => Vec::new(),
        Pinning::Cpus(cpus) => {
            let checked = cpus.iter().take(shards).enumerate().map(|(shard, &cpu)| {
                if allowed.is_empty() || allowed.contains(&cpu) {
                    return Some(cpu);
                }
                warnings.push(format!(
                    "shard {shard} stays unpinned: CPU {cpu} is not among those this process may use, {allowed:?}"
                ));
                None
            });
            checked.collect()
        }
    };
    plan.resize(shards, None);
    (plan, warnings)
}
