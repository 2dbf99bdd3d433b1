//! Policies: the decisions of a work-conserving shard, as plain data.

use std::fmt;

use crate::workload::US;

/// The rules by which a shard shares its work. `Policy::NONE` is a plain partitioned reactor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Policy {
    /// An idle shard searches its siblings before it sleeps.
    pub(crate) steal: bool,
    /// The condition on which a shard with ready work wakes a sleeping sibling.
    pub(crate) push: Push,
    /// A shard with short polls shares work only after its first ready task has waited for this
    /// many turns. Polls are short if one of them lasts less than the time of `push`.
    pub(crate) lasting: u64,
    /// The time of a turn's polls, after which the shard polls the OS again.
    pub(crate) turn: u64,
    /// The amount that one steal takes.
    pub(crate) amount: Amount,
    /// The maximum number of shards that search at the same time, including woken ones.
    pub(crate) searchers: Searchers,
    /// The place that a search checks.
    pub(crate) search: Search,
    /// The queue of a woken task, if the shard that saw its event is not the one that last ran it.
    pub(crate) wake_to: WakeTo,
    /// The condition on which a registration moves to the shard of its task.
    pub(crate) moves: Moves,
    /// The condition on which idle shards take all waiting work of a sibling in a long poll.
    pub(crate) serve: Option<Serve>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Push {
    Never,
    /// If it has more ready tasks than this.
    Count(usize),
    /// If the last ready task would wait longer than this, by the shard's mean poll time.
    Time(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Amount {
    One,
    Half,
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Searchers {
    AtMost(usize),
    HalfOfShards,
    Unbounded,
}

impl Searchers {
    pub(crate) fn bound(self, shards: usize) -> usize {
        match self {
            Self::AtMost(bound) => bound,
            Self::HalfOfShards => shards.div_ceil(2),
            Self::Unbounded => usize::MAX,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Search {
    /// Every sibling's queue length, from a random sibling on: one cache miss each.
    Scan,
    /// One shared word with a bit for each overloaded shard, then that shard.
    Mask,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WakeTo {
    /// The queue of the shard that dispatches the event.
    Dispatcher,
    /// The shard that ran the task last.
    LastRunner,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moves {
    Never,
    /// After this many consecutive runs on the same other shard.
    SameShard(u32),
    /// After this many consecutive runs on any other shards.
    Away(u32),
}

/// The rule by which others serve a shard in a long poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Serve {
    /// The minimum age of the poll.
    pub(crate) grace: u64,
    /// The period in which one of the idle shards checks the age of all polls, while it finds an
    /// old one,
    pub(crate) shortest: u64,
    /// and the longest such period while it finds none.
    pub(crate) longest: u64,
}

impl Policy {
    pub(crate) const NONE: Self = Self {
        steal: false,
        push: Push::Never,
        lasting: 0,
        turn: u64::MAX,
        amount: Amount::Half,
        searchers: Searchers::HalfOfShards,
        search: Search::Scan,
        wake_to: WakeTo::Dispatcher,
        moves: Moves::Never,
        serve: None,
    };

    pub(crate) const STEAL: Self = Self {
        steal: true,
        ..Self::NONE
    };

    pub(crate) const PUSH: Self = Self {
        push: Self::CHOSEN.push,
        lasting: Self::CHOSEN.lasting,
        turn: Self::CHOSEN.turn,
        ..Self::NONE
    };

    pub(crate) const BOTH: Self = Self {
        steal: true,
        ..Self::PUSH
    };

    /// The policy that ships: the constants of `reactor/src/shard`. The reasons are in
    /// `benches/docs/stealing-policy.md`.
    pub(crate) const CHOSEN: Self = Self {
        steal: true,
        push: Push::Time(100 * US),
        lasting: 3,
        turn: 500 * US,
        amount: Amount::Half,
        searchers: Searchers::HalfOfShards,
        search: Search::Mask,
        wake_to: WakeTo::Dispatcher,
        moves: Moves::Away(16),
        serve: Some(Serve::CHOSEN),
    };
}

impl Serve {
    /// The reactor reads no clock for each poll. It finds a stuck poll at the second of two checks,
    /// which are 200 us apart, so after 300 us on average.
    const CHOSEN: Self = Self {
        grace: 300 * US,
        shortest: 200 * US,
        longest: 2_000 * US,
    };
}

impl fmt::Display for Push {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => write!(f, "never"),
            Self::Count(count) => write!(f, "> {count} tasks"),
            Self::Time(time) => write!(f, "> {} us", time / US),
        }
    }
}

impl fmt::Display for Moves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => write!(f, "never"),
            Self::SameShard(k) => write!(f, "same shard, k = {k}"),
            Self::Away(k) => write!(f, "away, k = {k}"),
        }
    }
}
