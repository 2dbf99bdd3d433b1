//! The clock of timers, and the shard's record of its turn's time.
//!
//! A reactor has one [`Clock`], which its shards share. With the feature `test-util`, the clock of
//! `paused.rs` replaces it. Under `--cfg reactor_sim`, the clock of `driver_sim.rs` replaces it and
//! stands still until a test moves it. Shutdown deadlines are not timers: user threads wait for
//! them by the system's clock.

use std::cell::Cell;
#[cfg(not(feature = "test-util"))]
use std::time::Duration;
use std::time::Instant;

#[cfg(reactor_sim)]
pub(crate) use crate::driver::Clock;
#[cfg(feature = "test-util")]
pub(super) use crate::time::paused::now_elsewhere;
#[cfg(feature = "test-util")]
pub(crate) use crate::time::paused::{Clock, Inhibitor};

thread_local! {
    /// The clock's value in the current turn. `None` outside a turn, and before the first read in a
    /// turn.
    static TURN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The system's monotonic clock, and the reactor's start time on it.
#[cfg(not(any(reactor_sim, feature = "test-util")))]
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    epoch: Instant,
}

#[cfg(not(any(reactor_sim, feature = "test-util")))]
impl Clock {
    /// Returns the clock of a reactor that starts now.
    pub(crate) fn start() -> Self {
        Self {
            epoch: Instant::now(),
        }
    }

    /// Returns the reactor's start time.
    pub(crate) fn epoch(&self) -> Instant {
        self.epoch
    }

    /// Returns the current time.
    pub(crate) fn now(&self) -> Instant {
        Instant::now()
    }

    /// Sleeps for this time. A shard calls it when other threads have to act before the shard can
    /// continue.
    pub(crate) fn idle(&self, time: Duration) {
        crate::sync::sleep(time);
    }
}

impl Clock {
    /// Returns the time in nanoseconds since the reactor's start. A comparison of such numbers
    /// takes one instruction, and a comparison of two `Instant`s takes thirty.
    #[inline]
    pub(crate) fn nanos(&self) -> u64 {
        let since = self.now().saturating_duration_since(self.epoch());
        since.as_secs() * 1_000_000_000 + u64::from(since.subsec_nanos())
    }
}

/// The parts of a clock that cannot be paused.
#[cfg(not(feature = "test-util"))]
impl Clock {
    /// Returns true if the clock is paused.
    #[inline(always)]
    pub(crate) fn is_paused(&self) -> bool {
        false
    }

    /// Returns the sleep time of an idle shard whose next timer is due in `time`.
    #[inline(always)]
    pub(crate) fn wait_for(&self, time: Duration, _done: impl FnOnce() -> u64) -> Option<Duration> {
        Some(time)
    }

    pub(crate) fn inhibitor(&self) -> Inhibitor {
        Inhibitor
    }
}

/// A placeholder that does nothing: only a paused clock advances by itself.
#[cfg(not(feature = "test-util"))]
#[derive(Clone, Debug)]
pub(crate) struct Inhibitor;

#[cfg(not(feature = "test-util"))]
impl Inhibitor {
    #[inline(always)]
    pub(crate) fn begin(&self) {}

    #[inline(always)]
    pub(crate) fn end(&self) {}
}

/// Returns the current time on a thread that runs no shard.
#[cfg(not(feature = "test-util"))]
pub(super) fn now_elsewhere() -> Instant {
    Instant::now()
}

/// Starts a turn: discards the previous turn's time. Called by the shard only.
#[inline]
pub(crate) fn forget_turn() {
    TURN.set(None);
}

/// Returns the current turn's time. It reads the clock if nothing in this turn has read it yet.
/// Called by the shard only.
#[inline]
pub(crate) fn turn_time(now: impl FnOnce() -> Instant) -> Instant {
    TURN.get().unwrap_or_else(|| {
        let now = now();
        TURN.set(Some(now));
        now
    })
}

/// Returns the current turn's time, if there is a turn and something in it has read the clock.
#[inline]
pub(super) fn known_turn_time() -> Option<Instant> {
    TURN.get()
}
