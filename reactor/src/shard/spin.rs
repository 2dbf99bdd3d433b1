//! Busy polling: decides if an idle shard polls the OS once more instead of sleeping.
//!
//! The shard stays AWAKE for the parker while it spins, so a push from another thread makes no
//! system call: the next turn finds it. `turn.rs` calls this before each sleep. Tests are in
//! `tests.rs`.

use std::cell::Cell;
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct Spin {
    /// The time a shard stays awake without work. Zero disables spinning.
    budget: Duration,
    /// The value of the work counter at the last call.
    done: Cell<u64>,
    /// The time of the first call that saw no new work.
    idle_since: Cell<Option<Instant>>,
}

impl Spin {
    pub(super) fn new(budget: Duration) -> Self {
        Self {
            budget,
            done: Cell::new(0),
            idle_since: Cell::new(None),
        }
    }

    pub(super) fn is_enabled(&self) -> bool {
        !self.budget.is_zero()
    }

    /// Returns true if the shard continues to spin. `done` is any counter that grows with the
    /// shard's work.
    #[inline]
    pub(super) fn goes_on(
        &self,
        done: impl FnOnce() -> u64,
        now: impl FnOnce() -> Instant,
    ) -> bool {
        self.is_enabled() && self.is_within_budget(done(), now())
    }

    fn is_within_budget(&self, done: u64, now: Instant) -> bool {
        if self.done.replace(done) != done {
            self.idle_since.set(None);
        }
        let idle_since = self.idle_since.get().unwrap_or(now);
        self.idle_since.set(Some(idle_since));
        now.saturating_duration_since(idle_since) < self.budget
    }
}
