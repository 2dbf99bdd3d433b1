//! Sleeps, deadlines and timeouts, based on the timer store of a shard.
//!
//! A wait that is polled on a shard is armed in that shard's own store. This takes no lock, no
//! system call and, once the store has grown, no allocation. A wait that is polled on another
//! thread asks a shard of its reactor to wake it (`remote.rs`), which costs an allocation and a
//! message. Moving either deadline later, as an idle timeout does on every request, is one store.
//!
//! # Rounding
//!
//! Timers have a resolution of one millisecond, counted from the reactor's start, or the finer one
//! of [`Builder::timer_resolution`](crate::Builder::timer_resolution). A deadline is rounded up: a
//! wait never ends before its deadline, and it is due less than one unit of the resolution after
//! the deadline. It ends in the first turn of its shard from then on. The system wakes a sleeping
//! shard for it, and without a finer resolution the OS wait may add another millisecond. A busy
//! shard first finishes the current turn. Waits of one shard that are due together end in the order
//! of their ticks.
//!
//! [`coarse_now`] returns the same time throughout a turn. A busy server uses it to compute
//! deadlines without reading the clock for each.
//!
//! # Shutdown
//!
//! A sleep ends early when its reactor shuts down, since no timer would end it later.

pub(crate) mod clock;
mod interval;
#[cfg(feature = "test-util")]
mod paused;
mod remote;
pub(crate) mod resolution;
mod sleep;
#[cfg(all(test, not(any(reactor_loom, reactor_sim))))]
mod tests;
mod timeout;
pub(crate) mod wheel;

use std::task::Waker;
pub use std::time::{Duration, Instant};

pub(crate) use clock::{Clock, Inhibitor};
pub use interval::{Interval, MissedTickBehavior, interval, interval_at};
#[cfg(feature = "test-util")]
#[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
pub use paused::{advance, pause, resume};
pub(crate) use remote::{RemoteTimer, RemoteTimers};
use resolution::Resolution;
pub(crate) use sleep::wake_after;
pub use sleep::{Sleep, coarse_now, sleep, sleep_until};
pub use timeout::{Elapsed, Timeout, timeout, timeout_at};
pub(crate) use wheel::TimerKey;
use wheel::Wheel;

/// The error of [`timeout()`], under tokio's path.
pub mod error {
    pub use super::Elapsed;
}

/// A shard's timers. The wheel counts ticks of the resolution since the reactor's start.
#[derive(Debug)]
pub(crate) struct ShardTimers {
    wheel: Wheel,
    epoch: Instant,
    resolution: Resolution,
}

impl ShardTimers {
    pub(crate) fn new(epoch: Instant, resolution: Resolution) -> Self {
        Self {
            wheel: Wheel::new(),
            epoch,
            resolution,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.wheel.len()
    }

    /// Collects the wakers of all timers that are due.
    pub(crate) fn advance(&mut self, now: Instant, expired: &mut Vec<Waker>) {
        let since = now.saturating_duration_since(self.epoch);
        self.wheel.advance(self.resolution.floor(since), expired);
    }

    /// Returns the time that the shard may sleep. The clock is read only if a timer is armed.
    pub(crate) fn until_next(&self, now: impl FnOnce() -> Instant) -> Option<Duration> {
        let next = self.wheel.next_expiry()?;
        let due = self.epoch.checked_add(self.resolution.duration(next));
        Some(due.map_or(Duration::MAX, |due| due.saturating_duration_since(now())))
    }

    /// Returns the first whole tick at or after the deadline, so that no timer fires early.
    fn ticks(&self, deadline: Instant) -> u64 {
        self.resolution
            .ceil(deadline.saturating_duration_since(self.epoch))
    }

    fn insert(&mut self, deadline: Instant, waker: Waker) -> TimerKey {
        self.wheel.insert(self.ticks(deadline), waker)
    }

    pub(crate) fn reset(&mut self, key: TimerKey, deadline: Instant) -> bool {
        self.wheel.reset(key, self.ticks(deadline))
    }

    /// Moves a deadline earlier. Unlike `reset`, it keeps an earlier deadline, which was set here
    /// after another thread requested this one.
    pub(crate) fn move_up(&mut self, key: TimerKey, deadline: Instant) {
        self.wheel.move_up(key, self.ticks(deadline));
    }

    pub(crate) fn remove(&mut self, key: TimerKey) -> Option<Waker> {
        self.wheel.remove(key)
    }

    /// Visits all armed timers, in no order. `visit` runs no foreign code.
    pub(crate) fn each(&self, mut visit: impl FnMut(Instant, &Waker)) {
        for (deadline, waker) in self.wheel.armed() {
            if let Some(deadline) = self.epoch.checked_add(self.resolution.duration(deadline)) {
                visit(deadline, waker);
            }
        }
    }

    /// Removes all timers and collects their wakers.
    pub(crate) fn take_all(&mut self, wakers: &mut Vec<Waker>) {
        self.wheel.take_all(wakers);
    }
}
