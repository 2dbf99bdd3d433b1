//! The assignment of descriptors to shards and of shards to CPUs.
//!
//! This is pure policy: numbers in, numbers out. The builder calls [`plan_pins`] and passes each
//! shard its part. `Handle::shard_for` and registrations call [`shard_for_fd`]. Nothing here makes
//! a system call or accesses a shard. Tests are in `tests.rs`.

use std::os::fd::RawFd;

use crate::ShardId;
use crate::cpus::Cpus;

#[cfg(test)]
mod tests;

/// The shard on which a descriptor is registered.
///
/// # Examples
///
///
/// ```
/// use reactor::Placement;
///
/// assert_eq!(Placement::default(), Placement::Hash);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Placement {
    /// By a multiplicative hash of the descriptor number. The same number always goes to the same
    /// shard, so that registering one descriptor twice is detected. Consecutive numbers spread
    /// evenly.
    #[default]
    Hash,
    /// The shard of the calling thread, so that no wake crosses threads. On other threads the same
    /// as [`Hash`](Self::Hash).
    Current,
    /// The next shard in turn, counted per reactor.
    RoundRobin,
    /// The shard with the fewest live registrations at this moment.
    LeastLoaded,
    /// The given shard.
    Shard(ShardId),
}

/// The CPU to which each shard's thread is pinned.
///
/// If a pin is refused, its shard stays unpinned and a warning is reported. It is never an error.
///
/// Everything that a task starts from a pinned shard inherits the pin: a child process, a thread,
/// a thread pool on its first use, another runtime. [`unpinned`](crate::unpinned) starts them with
/// the mask from before the pin.
///
/// # Platform notes
///
/// Threads are pinned on Linux only. Elsewhere `Auto` pins nothing, and each CPU of `Cpus` gets a
/// warning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pinning {
    /// The CPUs that the building thread may use, in order, starting with the first shard, if the
    /// shards fill these CPUs. If there are more shards than CPUs, the rest stay unpinned.
    ///
    /// No shard is pinned if there are fewer shards than CPUs, because then every reactor in the
    /// system would choose the same CPUs and leave the others idle. No shard is pinned either if a
    /// cgroup limits the process to less than the time of these CPUs: the system has to choose the
    /// CPUs then.
    #[default]
    Auto,
    /// No shard is pinned.
    None,
    /// The first shard runs on the first CPU listed, and so on. If this process may not use a CPU,
    /// its shard stays unpinned, with a warning. Shards beyond the list stay unpinned.
    Cpus(Vec<usize>),
}

/// Returns the shard, of `shards`, that [`Placement::Hash`] assigns to this descriptor.
///
/// It uses Fibonacci hashing: multiples of the golden ratio's fraction fill the unit interval very
/// evenly. No run of descriptor numbers, whatever its stride, piles up on one shard. The hash's
/// upper half is scaled to the number of shards, which needs no division.
#[inline]
pub(crate) fn shard_for_fd(fd: RawFd, shards: usize) -> usize {
    /// 2^64 divided by the golden ratio, rounded to an odd number:
    /// `python3 -c 'import math; print(hex((math.isqrt(5 << 128) - (1 << 64)) // 2))'`.
    const GOLDEN: usize = 0x9E37_79B9_7F4A_7C15;
    debug_assert!(
        0 < shards && shards < 1 << 32,
        "a reactor has between one and 2^32 shards"
    );
    // A negative number is no descriptor and is refused later, so the wrapping cast does no harm.
    let hash = (fd as usize).wrapping_mul(GOLDEN);
    ((hash >> 32) * shards) >> 32
}

/// Returns the CPU for each shard, and a warning for each requested CPU that cannot be used.
///
/// If the CPUs that the process may use are unknown, `Pinning::Cpus` is accepted as given, and the
/// pin itself shows errors.
pub(crate) fn plan_pins(
    pinning: &Pinning,
    cpus: &Cpus,
    shards: usize,
) -> (Vec<Option<usize>>, Vec<String>) {
    let allowed = &cpus.allowed;
    let fills_cpus = shards >= allowed.len() && !cpus.quota_binds();
    let mut warnings = Vec::new();
    let mut plan: Vec<Option<usize>> = match pinning {
        Pinning::Auto if fills_cpus => allowed.iter().copied().map(Some).collect(),
        Pinning::Auto | Pinning::None => Vec::new(),
        Pinning::Cpus(list) => {
            let checked = list.iter().take(shards).enumerate().map(|(shard, &cpu)| {
                if allowed.is_empty() || allowed.contains(&cpu) {
                    return Some(cpu);
                }
                warnings.push(format!(
                    "shard {shard} stays unpinned: this process may not use CPU {cpu}, only {allowed:?}"
                ));
                None
            });
            checked.collect()
        }
    };
    plan.resize(shards, None);
    (plan, warnings)
}
