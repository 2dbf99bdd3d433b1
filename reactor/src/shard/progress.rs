//! Detects a sibling that makes no progress: its thread waits for a CPU, is in a long poll, or
//! sleeps.
//!
//! The operating system may leave a woken thread without a CPU for milliseconds. All connections of
//! its shard wait meanwhile, unless a sibling serves it. No shard can see this directly. So a shard
//! that is about to sleep compares the counters of a sibling with those that it saw before. It
//! checks less often while the checks find nothing. The search for work calls it (`steal.rs`).
//! Tests are at the end.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::shard::ShardShared;

/// The time between two checks while siblings work, and the time without progress after which a
/// sibling is served. A thread that waits for a CPU usually waits for 1 to 4 ms.
const LOOK_EVERY: Duration = if cfg!(reactor_sim) {
    // A simulated clock stands still.
    Duration::ZERO
} else {
    Duration::from_micros(200)
};

/// The maximum time between two checks, which is reached while siblings sleep.
const LOOK_EVERY_MAX: Duration = Duration::from_millis(5);

impl ShardShared {
    /// Returns a number that grows with each turn and each poll.
    pub(super) fn progress(&self) -> u64 {
        let counters = &self.counters;
        counters.turns.get().wrapping_add(counters.polls.get())
    }
}

/// One shard's record of its siblings.
#[derive(Debug)]
pub(super) struct ProgressWatch {
    siblings: Box<[Cell<Seen>]>,
    /// The index of the next sibling to check.
    next: Cell<usize>,
    /// The time of the next check.
    due: Cell<Instant>,
    every: Cell<Duration>,
}

/// The progress of a sibling, and the time of the first check that saw it.
#[derive(Debug, Clone, Copy)]
struct Seen {
    progress: u64,
    since: Instant,
}

impl ProgressWatch {
    /// Creates the record of a shard with this number of siblings.
    pub(super) fn new(siblings: usize, now: Instant) -> Self {
        let seen = Seen {
            progress: u64::MAX,
            since: now,
        };
        Self {
            siblings: vec![Cell::new(seen); siblings].into(),
            next: Cell::new(0),
            due: Cell::new(now),
            every: Cell::new(LOOK_EVERY),
        }
    }

    /// Returns the index of the sibling to check, if a check is due.
    #[inline]
    pub(super) fn is_due(&self, now: Instant) -> Option<usize> {
        (self.due.get() <= now).then_some(self.next.get())
    }

    /// Records the progress of that sibling. Returns the time since its last progress, if that time
    /// is long enough to serve the sibling.
    pub(super) fn stands_still(&self, progress: u64, now: Instant) -> Option<Duration> {
        let sibling = &self.siblings[self.next.get()];
        let seen = sibling.get();
        let still = now.saturating_duration_since(seen.since);
        if seen.progress == progress && still >= LOOK_EVERY {
            return Some(still);
        }
        if seen.progress != progress {
            sibling.set(Seen {
                progress,
                since: now,
            });
        }
        self.look_again(LOOK_EVERY, now);
        None
    }

    /// Records the result of serving that sibling.
    pub(super) fn served(&self, found_work: bool, now: Instant) {
        if found_work {
            // More events may come before it runs again.
            self.due.set(now);
            return;
        }
        self.look_again((self.every.get() * 2).min(LOOK_EVERY_MAX), now);
    }

    fn look_again(&self, every: Duration, now: Instant) {
        self.every.set(every);
        self.due.set(now + every);
        let next = self.next.get() + 1;
        self.next.set(next % self.siblings.len());
    }
}

#[cfg(all(test, not(any(reactor_loom, reactor_sim))))]
mod tests {
    use super::*;

    /// Checks `progress`, if a check is due, and serves a sibling that makes none.
    fn look(watch: &ProgressWatch, progress: u64, finds: bool, now: Instant) -> Option<bool> {
        watch.is_due(now)?;
        let still = watch.stands_still(progress, now).is_some();
        if still {
            watch.served(finds, now);
        }
        Some(still)
    }

    #[test]
    fn a_sibling_that_works_is_never_served() {
        let start = Instant::now();
        let watch = ProgressWatch::new(1, start);
        for look_number in 0..50 {
            let now = start + look_number * LOOK_EVERY;
            assert_eq!(look(&watch, look_number.into(), true, now), Some(false));
            let early = now + LOOK_EVERY / 2;
            assert_eq!(look(&watch, 0, true, early), None, "too early for a look");
        }
    }

    #[test]
    fn a_sibling_that_stands_still_is_served_until_nothing_is_found() {
        let start = Instant::now();
        let watch = ProgressWatch::new(1, start);
        assert_eq!(look(&watch, 7, true, start), Some(false));
        let then = start + LOOK_EVERY;
        assert_eq!(look(&watch, 7, true, then), Some(true));
        assert_eq!(look(&watch, 7, true, then), Some(true), "at once again");
        assert_eq!(look(&watch, 7, false, then), Some(true));
        assert_eq!(look(&watch, 7, false, then), None, "not again so soon");
    }

    #[test]
    fn looks_become_rare_at_a_sibling_that_sleeps() {
        let start = Instant::now();
        let watch = ProgressWatch::new(1, start);
        let second = Duration::from_secs(1);
        let step = LOOK_EVERY / 4;
        let mut served = 0;
        let mut now = start;
        while now < start + second {
            served += u32::from(look(&watch, 7, false, now) == Some(true));
            now += step;
        }
        assert!((150..=210).contains(&served), "served {served} times");
        look(&watch, 8, false, now + LOOK_EVERY_MAX);
        let soon = now + LOOK_EVERY_MAX + LOOK_EVERY;
        assert_eq!(look(&watch, 9, false, soon), Some(false), "often again");
    }

    #[test]
    fn siblings_take_turns() {
        let start = Instant::now();
        let watch = ProgressWatch::new(3, start);
        let indexes: Vec<_> = (0..6)
            .map(|look_number| {
                let now = start + look_number * LOOK_EVERY;
                let index = watch.is_due(now).expect("a check is due");
                watch.stands_still(look_number.into(), now);
                index
            })
            .collect();
        assert_eq!(indexes, [0, 1, 2, 0, 1, 2]);
    }
}
