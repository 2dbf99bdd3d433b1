//! The CPUs that this process may use: the affinity mask, and the limit of its cgroups.
//!
//! The builder takes the default number of shards from here, and `placement.rs` plans the pins with
//! it. Only [`Cpus::of_current_thread`] asks the system. Tests are at the end.

use std::cmp::Ordering;
use std::fmt;
use std::num::NonZero;
use std::thread;

use crate::sys;

/// A limit on CPU time: this much in each period, on all CPUs together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CpuQuota {
    time_us: u64,
    period_us: NonZero<u64>,
}

impl CpuQuota {
    /// Makes a limit, or returns `None` if either number is zero.
    pub(crate) fn new(time_us: u64, period_us: u64) -> Option<Self> {
        let period_us = NonZero::new(period_us)?;
        (time_us > 0).then_some(Self { time_us, period_us })
    }

    /// Returns the smallest number of CPUs that can use up the limit.
    pub(crate) fn cpus_rounded_up(self) -> usize {
        let cpus = self.time_us.div_ceil(self.period_us.get());
        usize::try_from(cpus).unwrap_or(usize::MAX)
    }

    /// Returns true if the limit is below the time of this many CPUs.
    fn is_below(self, cpus: usize) -> bool {
        u128::from(self.time_us) < cpus as u128 * u128::from(self.period_us.get())
    }
}

impl Ord for CpuQuota {
    /// Compares the share of a CPU: two limits with different periods can be the same.
    fn cmp(&self, other: &Self) -> Ordering {
        let share = |quota: &Self, period: NonZero<u64>| {
            u128::from(quota.time_us) * u128::from(period.get())
        };
        share(self, other.period_us)
            .cmp(&share(other, self.period_us))
            .then(self.period_us.cmp(&other.period_us))
    }
}

impl PartialOrd for CpuQuota {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for CpuQuota {
    /// Writes the number of CPUs, with two digits after the point at most.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpus = self.time_us as f64 / self.period_us.get() as f64;
        write!(f, "{}", (cpus * 100.0).round() / 100.0)
    }
}

/// The mask and the limit of a thread that builds a reactor.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cpus {
    /// The numbers of the CPUs in the mask, ascending. Empty if they are unknown.
    pub(crate) allowed: Vec<usize>,
    pub(crate) quota: Option<CpuQuota>,
}

impl Cpus {
    /// Asks the system. On a pinned thread, the mask is the one from before the pin.
    pub(crate) fn of_current_thread() -> Self {
        Self {
            allowed: sys::allowed_cpus(),
            quota: sys::cpu_quota(),
        }
    }

    /// Returns the default number of shards: one for each allowed CPU, or as many as can use up
    /// the limit. If the mask is unknown, the standard library's number replaces it.
    pub(crate) fn default_shards(&self) -> usize {
        let cpus = if self.allowed.is_empty() {
            thread::available_parallelism().map_or(1, NonZero::get)
        } else {
            self.allowed.len()
        };
        match self.quota {
            Some(quota) => cpus.min(quota.cpus_rounded_up()),
            None => cpus,
        }
    }

    /// Returns the warning that belongs to the default number of shards, if a limit lowered it.
    pub(crate) fn default_shards_warning(&self) -> Option<String> {
        let quota = self.quota?;
        let (shards, cpus) = (self.default_shards(), self.allowed.len());
        let plural = if shards == 1 { "" } else { "s" };
        (shards < cpus).then(|| {
            format!(
                "a cgroup limits this process to {quota} of its {cpus} CPUs, so the reactor has {shards} shard{plural}"
            )
        })
    }

    /// Returns true if a limit keeps this process from using all allowed CPUs all the time.
    pub(crate) fn quota_binds(&self) -> bool {
        self.quota
            .is_some_and(|quota| quota.is_below(self.allowed.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::{CpuQuota, Cpus};

    fn cpus(allowed: &[usize], quota: Option<(u64, u64)>) -> Cpus {
        Cpus {
            allowed: allowed.to_vec(),
            quota: quota.and_then(|(time, period)| CpuQuota::new(time, period)),
        }
    }

    #[test]
    fn a_limit_is_rounded_up_and_shown_exactly() {
        let quota = |time, period| CpuQuota::new(time, period).unwrap();
        for (time, period, rounded, shown) in [
            (100_000, 100_000, 1, "1"),
            (100_001, 100_000, 2, "1"),
            (150_000, 100_000, 2, "1.5"),
            (50_000, 100_000, 1, "0.5"),
            (1_000, 1_000_000, 1, "0"),
            (640_000, 10_000, 64, "64"),
        ] {
            assert_eq!(quota(time, period).cpus_rounded_up(), rounded);
            assert_eq!(quota(time, period).to_string(), shown);
        }
        assert_eq!(CpuQuota::new(0, 100_000), None);
        assert_eq!(CpuQuota::new(100_000, 0), None);
    }

    #[test]
    fn limits_compare_by_their_share() {
        let quota = |time, period| CpuQuota::new(time, period).unwrap();
        assert!(quota(30_000, 10_000) > quota(200_000, 100_000));
        assert!(quota(u64::MAX, 1) > quota(u64::MAX, 2));
        assert_eq!(quota(20, 10).max(quota(20, 10)), quota(20, 10));
    }

    #[test]
    fn the_default_is_the_smaller_of_mask_and_limit() {
        let shards = |allowed, quota| cpus(allowed, quota).default_shards();
        assert_eq!(shards(&[0, 2, 5], None), 3);
        assert_eq!(shards(&[0, 2, 5], Some((150_000, 100_000))), 2);
        assert_eq!(shards(&[0, 2, 5], Some((250_000, 100_000))), 3);
        assert_eq!(shards(&[0, 2, 5], Some((900_000, 100_000))), 3);
        assert_eq!(shards(&[0, 2, 5], Some((1_000, 100_000))), 1);
        assert!(shards(&[], None) >= 1);
        assert_eq!(shards(&[], Some((1_000, 100_000))), 1);
    }

    #[test]
    fn a_lower_number_comes_with_a_warning() {
        let warning = |quota| cpus(&[0, 1, 2, 3], quota).default_shards_warning();
        assert_eq!(warning(None), None);
        assert_eq!(warning(Some((350_000, 100_000))), None);
        let lowered = warning(Some((150_000, 100_000))).unwrap();
        assert!(lowered.contains("1.5 of its 4 CPUs"), "{lowered}");
        assert!(lowered.contains("2 shards"), "{lowered}");
        let one = warning(Some((50_000, 100_000))).unwrap();
        assert!(one.ends_with("1 shard"), "{one}");
    }

    #[test]
    fn a_limit_binds_below_the_time_of_all_allowed_cpus() {
        let binds = |quota| cpus(&[0, 1], quota).quota_binds();
        assert!(!binds(None));
        assert!(!binds(Some((200_000, 100_000))));
        assert!(binds(Some((199_999, 100_000))));
        assert!(binds(Some((100_000, 100_000))));
    }
}
