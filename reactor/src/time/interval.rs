//! [`Interval`]: ticks at a steady rate, with one [`Sleep`] that is reset for each tick.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use crate::time::sleep::{Sleep, after, sleep, sleep_until};

#[cfg(all(test, not(any(reactor_loom, reactor_sim))))]
mod tests;

/// The longest delay of a tick that does not count as missed. The delay of a turn or of the timer's
/// resolution must not shift the schedule. The value is tokio's.
const SLACK: Duration = Duration::from_millis(5);

/// Creates an interval that ticks at once, and then once per `period`. Same as tokio's.
///
/// Ticks are due at the start and at whole periods after it. [`Interval::set_missed_tick_behavior`]
/// sets the behavior for ticks that were not awaited in time. By default, all of them are delivered
/// later. An interval has no entry in the timer store until it is polled.
///
/// After its reactor has shut down, every tick completes at once, as a sleep does. A loop of ticks
/// on another thread has to check [`Handle::is_shutting_down`](crate::Handle::is_shutting_down).
///
/// # Panics
///
/// Panics if `period` is zero. Also panics off a shard if there is no current reactor: see
/// [`Handle::enter`](crate::Handle::enter).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let reactor = reactor::Reactor::builder().shards(1).build()?;
/// reactor.block_on(async {
///     let mut interval = reactor::time::interval(Duration::from_millis(2));
///     let first = interval.tick().await; // at once
///     let second = interval.tick().await;
///     assert_eq!(second - first, Duration::from_millis(2));
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    Interval::new(period, || sleep(Duration::ZERO))
}

/// Creates an interval that ticks at `start`, and then once per `period`. Otherwise the same as
/// [`interval`].
///
/// # Panics
///
/// Panics if `period` is zero. Also panics off a shard if there is no current reactor: see
/// [`Handle::enter`](crate::Handle::enter).
#[track_caller]
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    Interval::new(period, || sleep_until(start))
}

/// The behavior of an [`Interval`] after missed ticks: ticks that were due more than 5 ms before a
/// task awaited them. Same as tokio's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissedTickBehavior {
    /// Ticks as fast as it is polled until it has caught up. Every due tick is delivered, and the
    /// schedule stays.
    ///
    /// ```text
    /// due:     1   2   3   4   5   6
    /// awaited: 1   2           3 4 5 6     (the task was busy after the second)
    /// ```
    #[default]
    Burst,
    /// Counts the period from the late tick. Two ticks are never closer than a period, and the
    /// schedule moves.
    ///
    /// ```text
    /// due:     1   2   3   4   5   6
    /// awaited: 1   2         3   4   5
    /// ```
    Delay,
    /// Skips the missed ticks and continues with the next one that is due. The schedule stays.
    ///
    /// ```text
    /// due:     1   2   3   4   5   6
    /// awaited: 1   2         3 4   5
    /// ```
    Skip,
}

impl MissedTickBehavior {
    /// Returns the time of the next tick, after the tick due at `due` was delivered late, at `now`.
    fn next(self, due: Instant, now: Instant, period: Duration) -> Instant {
        match self {
            Self::Burst => after(due, period),
            Self::Delay => after(now, period),
            Self::Skip => {
                let into_period = remainder(now.saturating_duration_since(due), period);
                after(now, period - into_period)
            }
        }
    }
}

/// Returns the remainder of `duration` after whole periods.
fn remainder(duration: Duration, period: Duration) -> Duration {
    if duration < period {
        return duration;
    }
    let nanos = duration.as_nanos() % period.as_nanos();
    // An overflow needs a clock that has run for 584 years.
    u64::try_from(nanos).map_or(Duration::ZERO, Duration::from_nanos)
}

/// A stream of ticks at a steady rate, from [`interval`] or [`interval_at`].
#[must_use = "an interval does nothing unless its ticks are awaited"]
pub struct Interval {
    /// Its deadline is the next tick.
    next: Sleep,
    period: Duration,
    missed: MissedTickBehavior,
}

impl Interval {
    #[track_caller]
    fn new(period: Duration, first: impl FnOnce() -> Sleep) -> Self {
        assert!(
            !period.is_zero(),
            "the period of an interval must be more than zero"
        );
        Self {
            next: first(),
            period,
            missed: MissedTickBehavior::default(),
        }
    }

    /// Waits for the next tick and returns the time at which it was due.
    ///
    /// # Cancel safety
    ///
    /// A tick that was not returned is not lost: the next call waits for it, or returns it at once.
    pub async fn tick(&mut self) -> Instant {
        poll_fn(|cx| self.poll_tick(cx)).await
    }

    /// Polls for the next tick and returns the time at which it was due. If it is not due yet, the
    /// task is woken when it is.
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        ready!(Pin::new(&mut self.next).poll(cx));
        let due = self.next.deadline();
        let now = self.next.now();
        let next = if now.saturating_duration_since(due) > SLACK {
            self.missed.next(due, now, self.period)
        } else {
            after(due, self.period)
        };
        self.move_next(next);
        Poll::Ready(due)
    }

    /// Restarts the interval: the next tick is due one period from now.
    pub fn reset(&mut self) {
        self.reset_after(self.period);
    }

    /// Restarts the interval: the next tick is due now.
    pub fn reset_immediately(&mut self) {
        self.reset_after(Duration::ZERO);
    }

    /// Restarts the interval: the next tick is due after `wait`.
    pub fn reset_after(&mut self, wait: Duration) {
        self.move_next(after(self.next.now(), wait));
    }

    /// Restarts the interval: the next tick is due at `deadline`, which may have passed.
    pub fn reset_at(&mut self, deadline: Instant) {
        self.move_next(deadline);
    }

    fn move_next(&mut self, deadline: Instant) {
        Pin::new(&mut self.next).reset(deadline);
    }

    /// Returns the time between ticks.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Returns the behavior after missed ticks.
    pub fn missed_tick_behavior(&self) -> MissedTickBehavior {
        self.missed
    }

    /// Sets the behavior after missed ticks.
    pub fn set_missed_tick_behavior(&mut self, behavior: MissedTickBehavior) {
        self.missed = behavior;
    }
}

impl fmt::Debug for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interval")
            .field("next", &self.next.deadline())
            .field("period", &self.period)
            .field("missed_tick_behavior", &self.missed)
            .finish()
    }
}
