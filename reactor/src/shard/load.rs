//! Measures the load of a shard: its busy time, and the time that one poll of a task takes.
//!
//! The shard thread owns it, and the turn updates it. It reads no clock: each call takes the time
//! as an argument. The estimate of a poll's duration decides when a queue is worth sharing
//! (`steal.rs`). Tests are at the end.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// The minimum expected wait of the last ready task at which a shard offers work. A sleeping
/// sibling needs 10 to 50 us to wake and to take a task, so a shorter wait is not worth the
/// wake-up. Polls count as long if one of them alone takes this time.
pub(super) const SURPLUS: u64 = nanos(Duration::from_micros(100));

/// The estimate at most doubles in one turn, but it may always rise to this value. It rises only if
/// two turns in a row were slower. So slow handlers show after a few turns, and one turn that the
/// OS interrupted changes nothing.
const RISE_FLOOR: u64 = nanos(Duration::from_micros(20));

/// The divisor of a decrease, so that one cheap turn among slow ones changes little.
const FALL: u64 = 8;

/// The load of one shard. Durations are in nanoseconds, because a turn with work stealing computes
/// with them each time, and a `Duration` would take a hundred instructions more.
#[derive(Debug)]
pub(super) struct LoadMeter {
    /// The end of the last turn, or of the last sleep.
    mark: Cell<Instant>,
    /// The number of polls at `mark`.
    polls: Cell<u64>,
    /// The estimated duration of one poll, including its share of the turn's other work.
    poll: Cell<u64>,
    /// The duration of one poll in the turn before, as measured.
    last: Cell<u64>,
}

impl LoadMeter {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            mark: Cell::new(now),
            polls: Cell::new(0),
            poll: Cell::new(0),
            last: Cell::new(u64::MAX),
        }
    }

    /// Returns the end of the last turn or sleep.
    pub(super) fn last_mark(&self) -> Instant {
        self.mark.get()
    }

    /// Starts a busy period after a sleep.
    pub(super) fn wake_up(&self, now: Instant) {
        self.mark.set(now);
    }

    /// Ends a busy period and returns its duration. `polls` is the number of polls since the start.
    pub(super) fn end_stretch(&self, now: Instant, polls: u64) -> u64 {
        let busy = nanos(now.saturating_duration_since(self.mark.replace(now)));
        let polls = polls - self.polls.replace(polls);
        if let Some(poll) = busy.checked_div(polls) {
            let before = self.poll.get();
            let poll = poll.min(self.last.replace(poll));
            self.poll.set(if poll > before {
                poll.min((before * 2).max(RISE_FLOOR))
            } else {
                before - (before - poll) / FALL
            });
        }
        busy
    }

    /// Returns the expected duration of this number of polls.
    pub(super) fn expected(&self, polls: u64) -> u64 {
        self.poll.get().saturating_mul(polls)
    }

    /// Returns the number of polls that fit in `time`, at least one and at most `polls_max`.
    pub(super) fn polls_within(&self, time: u64, polls_max: u32) -> u32 {
        if self.expected(polls_max.into()) <= time {
            return polls_max;
        }
        let polls = time / self.poll.get().max(1);
        u32::try_from(polls).unwrap_or(u32::MAX).clamp(1, polls_max)
    }
}

/// Returns a duration in nanoseconds. 2^64 of them are 584 years.
pub(super) const fn nanos(duration: Duration) -> u64 {
    duration
        .as_secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(duration.subsec_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The nanoseconds of a microsecond.
    const US: u64 = 1_000;

    fn us(n: u64) -> Duration {
        Duration::from_micros(n)
    }

    #[test]
    fn the_estimate_rises_in_a_few_turns_and_falls_slowly() {
        let start = Instant::now();
        let meter = LoadMeter::new(start);
        for (turn, expected) in (1..).zip([20, 40, 80, 160, 200, 200]) {
            assert_eq!(meter.end_stretch(start + us(turn * 200), turn), 200 * US);
            assert_eq!(meter.expected(3), 3 * expected * US, "turn {turn}");
        }
        meter.end_stretch(start + us(1_240), 7);
        assert_eq!(meter.expected(1), 180 * US);
    }

    #[test]
    fn one_slow_turn_does_not_raise_the_estimate() {
        let start = Instant::now();
        let meter = LoadMeter::new(start);
        meter.end_stretch(start + us(10), 1);
        meter.end_stretch(start + us(3_010), 2);
        assert_eq!(meter.expected(1), 10 * US);
        meter.end_stretch(start + us(3_020), 3);
        assert_eq!(meter.expected(1), 10 * US);
    }

    #[test]
    fn a_sleep_and_a_turn_without_polls_leave_the_estimate() {
        let start = Instant::now();
        let meter = LoadMeter::new(start);
        meter.end_stretch(start + us(10), 2);
        meter.wake_up(start + us(1_000));
        assert_eq!(meter.end_stretch(start + us(1_001), 2), US);
        assert_eq!(meter.expected(1), 5 * US);
    }

    #[test]
    fn a_turn_is_bounded_by_time_and_by_count() {
        let start = Instant::now();
        let meter = LoadMeter::new(start);
        assert_eq!(meter.polls_within(500 * US, 61), 61);
        meter.end_stretch(start + us(20), 1);
        assert_eq!(meter.polls_within(50 * US, 61), 2);
        assert_eq!(meter.polls_within(US, 61), 1);
    }
}
