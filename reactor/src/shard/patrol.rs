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

/// The patrol's record of its last check.
#[derive(Debug)]
pub(crate) struct Patrol {
    polls: Vec<Option<PollMark>>,
    turns: u64,
    quiet: u32,
}

impl Patrol {
    pub(crate) fn new(shards: usize) -> Self {
        Self {
            polls: vec![None; shards],
            turns: 0,
            quiet: 0,
        }
    }

    /// Checks all shards, and wakes a sibling for each that is stuck. Returns the time until the
    /// next check.
    pub(crate) fn check(&mut self, shards: &[ShardRef]) -> Duration {
        // Before a sibling is woken.
        let has_sleeper = shards.iter().any(|shard| shard.inbox.parker().is_asleep());
        let mut has_long_polls = false;
        for (index, shard) in shards.iter().enumerate() {
            has_long_polls |= shard.counters.poll_ns.get() >= SURPLUS;
            if let Some(poll) = self.stuck(index, shard.poll_under_way()) {
                has_long_polls = true;
                let (before, from) = shards.split_at(index);
                let siblings = from[1..].iter().chain(before).map(AsRef::as_ref);
                shard.report_stuck(poll, siblings);
            }
        }
        let turns = shards.iter().map(|shard| shard.counters.turns.get()).sum();
        self.next_period(turns, has_long_polls && has_sleeper)
    }

    /// Returns the poll that a shard is in, if the shard was in the same poll at the last check.
    fn stuck(&mut self, index: usize, poll: Option<PollMark>) -> Option<PollMark> {
        let before = std::mem::replace(&mut self.polls[index], poll);
        poll.filter(|_| poll == before)
    }

    fn next_period(&mut self, turns: u64, may_help: bool) -> Duration {
        if std::mem::replace(&mut self.turns, turns) == turns {
            self.quiet = self.quiet.saturating_add(1);
        } else {
            self.quiet = 0;
        }
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
        let mut patrol = Patrol::new(2);
        assert_eq!(patrol.stuck(0, mark(7)), None);
        assert_eq!(patrol.stuck(1, mark(7)), None, "another shard's");
        assert_eq!(patrol.stuck(0, mark(7)), mark(7));
        assert_eq!(patrol.stuck(0, mark(8)), None, "polled again");
        assert_eq!(patrol.stuck(0, None), None);
        assert_eq!(patrol.stuck(0, None), None, "between polls");
    }

    #[test]
    fn checks_become_rare_where_nothing_happens() {
        for may_help in [false, true] {
            let mut patrol = Patrol::new(1);
            patrol.next_period(1, may_help);
            for _ in 1..QUIET_AFTER {
                assert_eq!(patrol.next_period(1, may_help), PERIOD);
            }
            assert_eq!(patrol.next_period(1, may_help), PERIOD_QUIET);
            assert_eq!(patrol.next_period(2, false), PERIOD);
        }
    }

    #[test]
    fn checks_are_frequent_where_they_can_help() {
        let mut patrol = Patrol::new(2);
        assert_eq!(patrol.next_period(1, false), PERIOD);
        assert_eq!(patrol.next_period(2, true), PERIOD_LONG_POLLS);
        assert_eq!(patrol.next_period(3, true), PERIOD_LONG_POLLS);
        assert_eq!(
            patrol.next_period(3, true),
            PERIOD,
            "no shard has made a turn"
        );
        assert_eq!(patrol.next_period(4, false), PERIOD);
    }
}
