//! The run's clock: nanoseconds since the run began, in one `u64`.
//!
//! Every stamp of a run (intended, sent, answered) comes from one [`Clock`], so stamps of different
//! threads can be compared. A send reads it once, and a receive reads it once. Tests: at the end of
//! this file.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds on the run's clock.
pub type Nanos = u64;

/// The intended and the actual send time of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The scheduled time. In a closed loop it is the same as `sent`.
    pub intended: Nanos,
    /// The time just before the system got its first byte.
    pub sent: Nanos,
}

/// A monotonic clock that starts at 1 when it is created, so that 0 can mean "never".
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// The zero of this clock as an [`Instant`].
    base: Instant,
    /// The zero of this clock in the system's time.
    base_ns: Nanos,
}

impl Clock {
    /// Starts a clock now.
    #[must_use]
    pub fn start() -> Self {
        let (base, base_ns) = pair(|| (Instant::now(), monotonic(), Instant::now()));
        Self { base, base_ns }
    }

    /// Returns the nanoseconds since the clock began, plus one.
    #[must_use]
    #[inline]
    pub fn now(&self) -> Nanos {
        monotonic().saturating_sub(self.base_ns) + 1
    }

    /// Returns the instant of `at`.
    #[must_use]
    pub fn instant(&self, at: Nanos) -> Instant {
        self.base + Duration::from_nanos(at.saturating_sub(1))
    }
}

/// Returns one moment on both clocks. `read` reads the second clock between two readings of the
/// first. The result is the fastest of many tries: if the thread waits for a CPU between the
/// readings, they belong to different moments, which would be wrong for the whole run.
fn pair(mut read: impl FnMut() -> (Instant, Nanos, Instant)) -> (Instant, Nanos) {
    const READINGS: usize = 32;
    let readings = (0..READINGS).map(|_| read());
    let closest = readings.min_by_key(|&(before, _, after)| after - before);
    let (before, at, _) = closest.expect("more than none");
    (before, at)
}

/// Reads the system's monotonic clock. [`Instant`] and [`Duration`] would take three times as many
/// instructions, and every answer reads the clock.
#[inline]
fn monotonic() -> Nanos {
    let at = clock_gettime(ClockId::Monotonic);
    at.tv_sec.cast_unsigned() * 1_000_000_000 + at.tv_nsec.cast_unsigned()
}

/// Returns a duration in nanoseconds, or the largest value if it does not fit (584 years).
#[must_use]
#[inline]
pub fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Converts seconds of a report to nanoseconds. A number that is not a time gives zero.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from a float saturates"
)]
pub fn nanos_f64(seconds: f64) -> Nanos {
    (seconds * 1e9).round() as Nanos
}

/// Converts nanoseconds to seconds, for reports.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "a report shows at most nine digits"
)]
pub fn seconds(ns: Nanos) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_above_zero_and_never_goes_back() {
        let clock = Clock::start();
        let first = clock.now();
        let second = clock.now();
        assert!(first >= 1);
        assert!(second >= first);
    }

    #[test]
    fn an_instant_maps_back_to_its_stamp() {
        let clock = Clock::start();
        let at = 5_000_000_001;
        assert_eq!(clock.instant(at) - clock.instant(1), Duration::from_secs(5));
    }

    #[test]
    fn both_clocks_mean_one_moment_though_the_thread_was_interrupted() {
        let start = Instant::now();
        let mut time = 0;
        let (at, on_second) = pair(|| {
            let before = time;
            // All readings except one are interrupted before the second clock is read.
            let second = before + if before == 20_000 { 10 } else { 900 };
            time += 1_000;
            let instant = |at| start + Duration::from_nanos(at);
            (instant(before), second, instant(second + 10))
        });
        assert_eq!(at, start + Duration::from_nanos(20_000));
        assert_eq!(on_second, 20_010);
    }
}
