//! The one door to the time that timers go by, and the shard's memory of when its turn looked at it.
//!
//! A reactor has one [`Clock`], which its shards share. Under `--cfg reactor_sim` the clock of `driver_sim.rs` takes this one's
//! place, and stands still until a test moves it. Deadlines of shutdown are no timers: they are waited for by user threads, in
//! the system's time.

use std::cell::Cell;
use std::time::Instant;

#[cfg(reactor_sim)]
pub(crate) use crate::driver::Clock;

thread_local! {
    /// What the clock said in the turn under way; none outside a turn, and before anything asked.
    static TURN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The system's monotonic clock, and when the reactor started by it.
#[cfg(not(reactor_sim))]
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    epoch: Instant,
}

#[cfg(not(reactor_sim))]
impl Clock {
    /// The clock of a reactor that starts now.
    pub(crate) fn start() -> Self {
        Self {
            epoch: Instant::now(),
        }
    }

    /// When the reactor started.
    pub(crate) fn epoch(&self) -> Instant {
        self.epoch
    }

    /// The time.
    pub(crate) fn now(&self) -> Instant {
        Instant::now()
    }
}

/// Starts a turn: what the clock said in the last one is forgotten. The shard only.
#[inline]
pub(crate) fn forget_turn() {
    TURN.set(None);
}

/// The time of the turn under way; reads the clock where nothing in this turn has. The shard only.
#[inline]
pub(crate) fn turn_time(now: impl FnOnce() -> Instant) -> Instant {
    TURN.get().unwrap_or_else(|| {
        let now = now();
        TURN.set(Some(now));
        now
    })
}

/// The time of the turn under way, if there is one and anything in it has asked.
#[inline]
pub(super) fn known_turn_time() -> Option<Instant> {
    TURN.get()
}
