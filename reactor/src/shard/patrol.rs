//! The patrol: finds shards that are stuck in one poll, so that a sibling serves them.
//!
//! It runs on the watch thread of a reactor with work stealing (`stall.rs`), and reads counters
//! that the shards write anyway. A poll that is running at two checks in a row counts as stuck. The
//! checks are frequent only where they can help: while polls are long and a shard sleeps. While no
//! shard makes a turn, they become rare, so an idle reactor costs ten wake-ups per second. Tests
//! are at the end.

use std::time::Duration;

use crate::shard::load::SURPLUS;
use crate::shard::{ShardRef, ShardShared};
use crate::task::TaskAddress;

/// The time between two checks while shards work: a poll that lasts twice as long is always found.
/// A check of eight shards takes about 1 us, so this costs less than 0.1% of one CPU.
const PERIOD: Duration = Duration::from_millis(2);

/// The time between two checks while polls are long and a shard sleeps, so that its CPU is free. On
/// Linux, the timer of a thread adds 50 us. The simulation of policies compares this time with
/// others (`benches/docs/stealing-policy.md`).
const PERIOD_LONG_POLLS: Duration = Duration::from_micros(150);

/// The time between two checks while no shard works.
const PERIOD_QUIET: Duration = Duration::from_millis(100);

/// The number of checks without a turn after which a reactor counts as quiet.
const QUIET_AFTER: u32 = 250;

/// The number of checks in a row, about 20 ms, that are frequent because of one and the same poll.
const FREQUENT_MAX: u32 = 100;

/// One poll of one task: the task, and the shard's number of polls at that time.
pub(crate) type PollMark = (TaskAddress, u64);

impl ShardShared {
    /// Returns the shard's current poll, if there is one. If the shard moves on to the next poll
    /// meanwhile, the two numbers may belong to adjacent polls. Such a pair is read only once.
    pub(crate) fn poll_under_way(&self) -> Option<PollMark> {
        let task = TaskAddress::from_bits(self.counters.polling.get())?;
        Some((task, self.counters.polls.get()))
    }
}

/// The patrol's record of its checks.
#[derive(Debug)]
pub(crate) struct Patrol {
    shards: Vec<Seen>,
    quiet: u32,
}

/// One shard, at the last check.
#[derive(Clone, Debug, Default)]
struct Seen {
    poll: Option<PollMark>,
    /// The number of checks before, in a row, that saw the same poll.
    checks: u32,
    turns: u64,
}

impl Seen {
    /// Records a check. Returns the number of checks before that saw the same poll.
    fn poll(&mut self, poll: Option<PollMark>) -> u32 {
        let is_same = poll.is_some() && poll == self.poll;
        self.checks = if is_same {
            self.checks.saturating_add(1)
        } else {
            0
        };
        self.poll = poll;
        self.checks
    }

    /// Records a check. Returns true if the shard has made a turn since the last one.
    fn turns(&mut self, turns: u64) -> bool {
        std::mem::replace(&mut self.turns, turns) != turns
    }
}

impl Patrol {
    pub(crate) fn new(shards: usize) -> Self {
        Self {
            shards: vec![Seen::default(); shards],
            quiet: 0,
        }
    }

    /// Checks all shards, and wakes a sibling for each that is stuck. Returns the time until the
    /// next check.
    pub(crate) fn check(&mut self, shards: &[ShardRef]) -> Duration {
        // Before a sibling is woken.
        let has_sleeper = shards.iter().any(|shard| shard.inbox.parker().is_asleep());
        let (mut has_turned, mut has_long_polls) = (false, false);
        for (index, shard) in shards.iter().enumerate() {
            let seen = &mut self.shards[index];
            if seen.turns(shard.counters.turns.get()) {
                has_turned = true;
                has_long_polls |= shard.counters.poll_ns.get() >= SURPLUS;
            }
            let poll = shard.poll_under_way();
            let checks = seen.poll(poll);
            if let Some(poll) = poll.filter(|_| checks > 0) {
                has_long_polls |= checks <= FREQUENT_MAX;
                let (before, from) = shards.split_at(index);
                let siblings = from[1..].iter().chain(before).map(AsRef::as_ref);
                shard.report_stuck(poll, siblings);
            }
        }
        self.next_period(has_turned, has_long_polls && has_sleeper)
    }

    fn next_period(&mut self, has_turned: bool, may_help: bool) -> Duration {
        self.quiet = if has_turned {
            0
        } else {
            self.quiet.saturating_add(1)
        };
        if self.quiet == 0 && may_help {
            PERIOD_LONG_POLLS
        } else if self.quiet < QUIET_AFTER {
            PERIOD
        } else {
            PERIOD_QUIET
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_poll_at_two_checks_is_stuck() {
        let task = TaskAddress::from_bits(64);
        let mark = |polls| task.map(|task| (task, polls));
        let (mut seen, mut other) = (Seen::default(), Seen::default());
        assert_eq!(seen.poll(mark(7)), 0);
        assert_eq!(other.poll(mark(7)), 0, "another shard's");
        assert_eq!(seen.poll(mark(7)), 1);
        assert_eq!(seen.poll(mark(7)), 2);
        assert_eq!(seen.poll(mark(8)), 0, "polled again");
        assert_eq!(seen.poll(None), 0);
        assert_eq!(seen.poll(None), 0, "between polls");
    }

    #[test]
    fn a_shard_without_a_turn_since_the_last_check_does_not_count() {
        let mut seen = Seen::default();
        assert!(seen.turns(1));
        assert!(!seen.turns(1));
        assert!(seen.turns(2));
    }

    #[test]
    fn checks_become_rare_where_nothing_happens() {
        for may_help in [false, true] {
            let mut patrol = Patrol::new(1);
            patrol.next_period(true, may_help);
            for _ in 1..QUIET_AFTER {
                assert_eq!(patrol.next_period(false, may_help), PERIOD);
            }
            assert_eq!(patrol.next_period(false, may_help), PERIOD_QUIET);
            assert_eq!(patrol.next_period(true, false), PERIOD);
        }
    }

    #[test]
    fn checks_are_frequent_where_they_can_help() {
        let mut patrol = Patrol::new(2);
        assert_eq!(patrol.next_period(true, false), PERIOD);
        assert_eq!(patrol.next_period(true, true), PERIOD_LONG_POLLS);
        assert_eq!(patrol.next_period(true, true), PERIOD_LONG_POLLS);
        assert_eq!(
            patrol.next_period(false, true),
            PERIOD,
            "no shard has made a turn"
        );
        assert_eq!(patrol.next_period(true, false), PERIOD);
    }
}
