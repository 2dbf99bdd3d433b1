//! The clock of timers, and the shard's record of its turn's time.
//!
//! A reactor has one [`Clock`], which its shards share. Under `--cfg reactor_sim`, the clock of
//! `driver_sim.rs` replaces it and stands still until a test moves it. Shutdown deadlines are not
//! timers: user threads wait for them by the system's clock.

use std::cell::Cell;
#[cfg(not(reactor_sim))]
use std::time::Duration;
use std::time::Instant;

#[cfg(reactor_sim)]
pub(crate) use crate::driver::Clock;

thread_local! {
    /// The clock's value in the current turn. `None` outside a turn, and before the first read in a
    /// turn.
    static TURN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The system's monotonic clock, and the reactor's start time on it.
#[cfg(not(reactor_sim))]
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    epoch: Instant,
}

#[cfg(not(reactor_sim))]
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

    /// Lets the calling shard sleep for this time, while other threads have to act before it can go
    /// on.
    pub(crate) fn idle(&self, time: Duration) {
        crate::sync::sleep(time);
    }
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
