//! Sleeps, deadlines and timeouts, based on the timer store of a shard.
//!
//! A wait that is polled on a shard is armed in that shard's own store. This takes no lock, no
//! system call and, once the store has grown, no allocation. A wait that is polled on another
//! thread asks a shard of its reactor to wake it (`remote.rs`), which costs an allocation and a
//! message. Moving either deadline later, as an idle timeout does on every request, is one store.
//!
//! # Rounding
//!
//! Timers have a resolution of one millisecond, counted from the reactor's start. A deadline is
//! rounded up: a wait never ends before its deadline, and is due less than a millisecond after it.
//! It ends in the first turn of its shard from then on. The system wakes a sleeping shard for it,
//! and the system's own resolution may add another millisecond. A busy shard first finishes the
//! current turn. Waits of one shard that are due together end in the order of their milliseconds.
//!
//! [`coarse_now`] returns the same time throughout a turn. A busy server uses it to compute
//! deadlines without reading the clock for each.
//!
//! # Shutdown
//!
//! A sleep ends early when its reactor shuts down, since no timer would end it later.

pub(crate) mod clock;
mod interval;
mod remote;
mod sleep;
mod timeout;
pub(crate) mod wheel;

use std::task::Waker;
use std::time::{Duration, Instant};

pub(crate) use clock::Clock;
pub use interval::{Interval, MissedTickBehavior, interval, interval_at};
pub(crate) use remote::{RemoteTimer, RemoteTimers};
pub use sleep::{Sleep, coarse_now, sleep, sleep_until};
pub use timeout::{Elapsed, Timeout, timeout, timeout_at};
pub(crate) use wheel::TimerKey;
use wheel::Wheel;

/// A shard's timers. The wheel counts milliseconds since the reactor's start.
#[derive(Debug)]
pub(crate) struct ShardTimers {
    wheel: Wheel,
    epoch: Instant,
}

impl ShardTimers {
    pub(crate) fn new(epoch: Instant) -> Self {
        Self {
            wheel: Wheel::new(),
            epoch,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.wheel.len() == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.wheel.len()
    }

    /// Collects the wakers of all timers that are due.
    pub(crate) fn advance(&mut self, now: Instant, expired: &mut Vec<Waker>) {
        let now_ms = millis_floor(now.saturating_duration_since(self.epoch));
        self.wheel.advance(now_ms, expired);
    }

    /// Returns the time the shard may sleep. The clock is read only if a timer is armed.
    pub(crate) fn until_next(&self, now: impl FnOnce() -> Instant) -> Option<Duration> {
        let next = self.wheel.next_expiry_ms()?;
        let due = self.epoch.checked_add(Duration::from_millis(next));
        Some(due.map_or(Duration::MAX, |due| due.saturating_duration_since(now())))
    }

    /// Returns the first whole millisecond at or after the deadline, so that no timer fires early.
    fn deadline_ms(&self, deadline: Instant) -> u64 {
        let since = deadline.saturating_duration_since(self.epoch);
        let floor = millis_floor(since);
        if Duration::from_millis(floor) < since {
            floor.saturating_add(1)
        } else {
            floor
        }
    }

    fn insert(&mut self, deadline: Instant, waker: Waker) -> TimerKey {
        self.wheel.insert(self.deadline_ms(deadline), waker)
    }

    pub(crate) fn reset(&mut self, key: TimerKey, deadline: Instant) -> bool {
        self.wheel.reset(key, self.deadline_ms(deadline))
    }

    /// Moves a deadline earlier. Unlike `reset`, it keeps an earlier deadline, which was set here
    /// after another thread requested this one.
    pub(crate) fn move_up(&mut self, key: TimerKey, deadline: Instant) {
        self.wheel.move_up(key, self.deadline_ms(deadline));
    }

    pub(crate) fn remove(&mut self, key: TimerKey) -> Option<Waker> {
        self.wheel.remove(key)
    }

    /// Removes all timers and collects their wakers.
    pub(crate) fn take_all(&mut self, wakers: &mut Vec<Waker>) {
        self.wheel.take_all(wakers);
    }
}

/// Returns whole milliseconds, saturating: a `u64` holds 584 million years of them.
fn millis_floor(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
