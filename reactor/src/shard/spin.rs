//! Busy polling: whether a shard that has nothing to do looks at the OS once more rather than sleep.
//!
//! The shard stays AWAKE for the parker meanwhile, so that what other threads put in costs them no system call: the next turn finds it.
//! Asked by `turn.rs` before each sleep; tests are in `tests.rs`.

use std::cell::Cell;
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct Spin {
    /// How long a shard stays awake without work; zero where it does not spin at all.
    budget: Duration,
    /// How much the shard had done when it was last asked.
    done: Cell<u64>,
    /// Since when it has done nothing more.
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

    /// Whether to go on. `done` is any count that grows with the shard's work.
    #[inline]
    pub(super) fn goes_on(
        &self,
        done: impl FnOnce() -> u64,
        now: impl FnOnce() -> Instant,
    ) -> bool {
        !self.budget.is_zero() && self.is_within_budget(done(), now())
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
