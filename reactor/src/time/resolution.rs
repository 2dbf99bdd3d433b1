//! [`Resolution`]: the unit in which a shard's timers count.
//!
//! This file is pure arithmetic. `ShardTimers` converts with it between times and the wheel's
//! ticks.

use std::time::Duration;

/// A millisecond, or a whole fraction of one down to a microsecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resolution {
    ticks_per_ms: u32,
}

impl Resolution {
    /// The resolution of the OS wait.
    pub(crate) const MILLISECOND: Self = Self { ticks_per_ms: 1 };

    const NANOS_PER_MS: u64 = 1_000_000;
    const TICKS_PER_MS_MAX: u64 = 1_000;

    /// Returns the coarsest resolution that is at least as fine as `unit`, or the finest one if
    /// there is none. `unit` is not zero.
    pub(crate) fn at_most(unit: Duration) -> Self {
        let nanos = u64::try_from(unit.as_nanos()).unwrap_or(u64::MAX).max(1);
        let ticks = Self::NANOS_PER_MS.div_ceil(nanos);
        let ticks = ticks.min(Self::TICKS_PER_MS_MAX);
        Self {
            ticks_per_ms: u32::try_from(ticks).expect("it is at most a thousand"),
        }
    }

    /// Returns true if the resolution is finer than a millisecond, the resolution of the OS wait.
    pub(crate) fn is_fine(self) -> bool {
        self != Self::MILLISECOND
    }

    /// Returns the number of whole ticks in a duration. It saturates: a `u64` holds half a million
    /// years of microseconds.
    pub(super) fn floor(self, duration: Duration) -> u64 {
        let per_ms = u64::from(self.ticks_per_ms);
        let nanos = u64::from(duration.subsec_nanos());
        duration
            .as_secs()
            .saturating_mul(1_000 * per_ms)
            .saturating_add(nanos * per_ms / Self::NANOS_PER_MS)
    }

    /// Returns the shortest duration with this many whole ticks.
    pub(super) fn duration(self, ticks: u64) -> Duration {
        let per_ms = u64::from(self.ticks_per_ms);
        let rest = (ticks % per_ms) * Self::NANOS_PER_MS;
        Duration::from_millis(ticks / per_ms) + Duration::from_nanos(rest.div_ceil(per_ms))
    }

    /// Returns the number of ticks after which a duration has passed.
    pub(super) fn ceil(self, duration: Duration) -> u64 {
        let floor = self.floor(duration);
        if self.duration(floor) < duration {
            floor.saturating_add(1)
        } else {
            floor
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::Resolution;

    #[test]
    fn the_unit_is_a_fraction_of_a_millisecond() {
        let ticks = |unit: Duration| Resolution::at_most(unit).ticks_per_ms;
        assert_eq!(ticks(Duration::from_secs(1)), 1);
        assert_eq!(ticks(Duration::from_millis(1)), 1);
        assert_eq!(ticks(Duration::from_micros(999)), 2);
        assert_eq!(ticks(Duration::from_micros(50)), 20);
        assert_eq!(ticks(Duration::from_micros(300)), 4);
        assert_eq!(ticks(Duration::from_micros(1)), 1_000);
        assert_eq!(ticks(Duration::from_nanos(1)), 1_000);
        assert!(!Resolution::at_most(Duration::from_millis(2)).is_fine());
        assert!(Resolution::at_most(Duration::from_micros(500)).is_fine());
    }

    #[test]
    fn the_longest_durations_saturate() {
        for unit in [1_000_000, 50_000, 1_000] {
            let resolution = Resolution::at_most(Duration::from_nanos(unit));
            assert_eq!(resolution.floor(Duration::MAX), u64::MAX);
            assert_eq!(resolution.ceil(Duration::MAX), u64::MAX);
            assert!(resolution.duration(u64::MAX) > Duration::from_secs(1 << 40));
        }
    }

    proptest! {
        /// A wait never ends early, and is due less than a tick after its deadline.
        #[test]
        fn a_deadline_is_rounded_up_by_less_than_a_tick(
            nanos in 0..=u64::MAX / 2,
            unit in prop::sample::select(vec![1_000, 3_000, 50_000, 333_333, 1_000_000]),
        ) {
            let resolution = Resolution::at_most(Duration::from_nanos(unit));
            let duration = Duration::from_nanos(nanos);
            let ticks = resolution.ceil(duration);
            let due = resolution.duration(ticks);
            prop_assert!(due >= duration);
            prop_assert!(due - duration < Duration::from_nanos(unit + 1));
            // Waking at that time finds the timer due.
            prop_assert!(resolution.floor(due) >= ticks);
            if ticks > 0 {
                let before = due - Duration::from_nanos(1);
                prop_assert!(resolution.floor(before) < ticks);
            }
        }
    }
}
