//! The decisions of a policy: the shard to wake, the place to search, the amount to take, and the
//! time at which a registration moves.

use crate::engine::{Engine, Step};
use crate::policy::{Amount, Moves, Push, Search, Serve};

/// The result of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    /// Ready tasks in a sibling's queue.
    Queue(usize),
    /// Ready tasks or events of stuck siblings.
    Stuck,
}

impl Engine<'_> {
    /// Wakes a sleeping sibling if a shard has more ready tasks than it can run soon. Returns the
    /// cost.
    pub(crate) fn push(&mut self, shard: usize) -> u64 {
        let this = &self.shards[shard];
        let ready = this.queue.len();
        // This is called between two polls, so the first task runs at once.
        let behind = ready.saturating_sub(1);
        let loaded = match self.policy.push {
            Push::Never => false,
            Push::Count(count) => ready > count,
            Push::Time(time) => self.waits_long(shard, behind, time),
        };
        if loaded { self.wake_searcher() } else { 0 }
    }

    /// Wakes one sleeping shard to search, if the number of searchers allows it. Returns the cost.
    fn wake_searcher(&mut self) -> u64 {
        if self.searching >= self.policy.searchers.bound(self.shards.len()) {
            return 0;
        }
        let Some(sleeper) =
            self.any_shard(|engine, shard| engine.shards[shard].step == Step::Asleep)
        else {
            return 0;
        };
        self.wake(sleeper);
        self.shards[sleeper].searching = true;
        self.searching += 1;
        self.counts.notifies += 1;
        self.costs.notify
    }

    /// Returns true if a shard that is about to sleep may join the searchers.
    pub(crate) fn may_search(&self, shard: usize) -> bool {
        self.policy.steal
            && !self.shards[shard].searching
            && self.searching < self.policy.searchers.bound(self.shards.len())
    }

    /// Ends a search that found work. Wakes the next shard if there is more. Returns the cost.
    pub(crate) fn stop_searching(&mut self, shard: usize) -> u64 {
        if !self.shards[shard].searching {
            return 0;
        }
        self.shards[shard].searching = false;
        self.searching -= 1;
        if self.policy.push == Push::Never {
            return 0;
        }
        match self.any_shard(|engine, shard| engine.has_surplus(shard)) {
            Some(_) => self.wake_searcher(),
            None => 0,
        }
    }

    /// Returns true if a sibling may take ready tasks of this shard.
    fn has_surplus(&self, shard: usize) -> bool {
        let ready = self.stealable(shard);
        match self.policy.push {
            Push::Never | Push::Count(_) => ready > 0,
            Push::Time(time) => self.waits_long(shard, ready, time),
        }
    }

    /// Returns true if the last of this number of polls would wait longer than `limit`, and the
    /// load is more than a burst of short polls.
    fn waits_long(&self, shard: usize, polls: usize, limit: u64) -> bool {
        let poll = self.shards[shard].mean_poll;
        let is_lasting = poll >= limit || self.waited(shard) >= self.policy.lasting;
        polls as u64 * poll > limit && is_lasting
    }

    /// Returns the number of ready tasks that others may take. A shard between two polls runs its
    /// first one at once.
    fn stealable(&self, shard: usize) -> usize {
        let this = &self.shards[shard];
        this.queue
            .len()
            .saturating_sub(usize::from(this.poll_since.is_none()))
    }

    /// Marks the siblings that others serve because their poll is too long. Returns the cost of
    /// checking all of them.
    ///
    /// With a mask, one shard after the other does this, once per period. The period doubles while
    /// no poll is old.
    pub(crate) fn mark_stuck(&mut self, shard: usize) -> u64 {
        let now = self.now;
        let Some(Serve {
            grace,
            shortest,
            longest,
        }) = self.policy.serve
        else {
            return 0;
        };
        if now < self.next_watch && self.policy.search == Search::Mask {
            return 0;
        }
        let mut any_old = false;
        for other in &mut self.shards {
            let old = other.poll_since.is_some_and(|since| now - since >= grace);
            any_old |= old;
            other.stuck |= old;
        }
        debug_assert!(!self.shards[shard].stuck, "the caller polls nothing");
        self.period = if any_old {
            shortest
        } else {
            longest.min(2 * self.period)
        };
        self.next_watch = now + self.period;
        self.costs.search * (self.shards.len() as u64 - 1)
    }

    /// Searches the siblings of a shard for work. Returns the result and the cost of the search.
    pub(crate) fn find(&mut self, shard: usize) -> (Found, u64) {
        let siblings = self.shards.len() as u64 - 1;
        if let Some(victim) =
            self.any_shard(|engine, other| other != shard && engine.has_surplus(other))
        {
            let looked_at = match self.policy.search {
                Search::Mask => 2,
                // On average half of them.
                Search::Scan => siblings.div_ceil(2),
            };
            return (Found::Queue(victim), self.costs.search * looked_at);
        }
        let looked_at = match self.policy.search {
            Search::Mask => 1,
            Search::Scan => siblings,
        };
        let stuck = self.shards.iter().filter(|other| other.stuck).count() as u64;
        let cost = self.costs.search * looked_at + self.costs.serve * stuck;
        let waiting = |engine: &Self, other: usize| {
            let this = &engine.shards[other];
            this.stuck && !(this.queue.is_empty() && this.epoll.is_empty())
        };
        match self.any_shard(waiting) {
            Some(_) => (Found::Stuck, cost),
            None => (Found::Nothing, cost),
        }
    }

    /// Takes the work that a search found. Returns the cost.
    pub(crate) fn take(&mut self, shard: usize, found: Found) -> u64 {
        match found {
            Found::Nothing => 0,
            Found::Queue(victim) => {
                let amount = match self.policy.amount {
                    Amount::One => 1,
                    Amount::Half => self.stealable(victim).div_ceil(2),
                    Amount::All => self.stealable(victim),
                };
                self.steal(shard, victim, amount)
            }
            Found::Stuck => {
                let mut cost = 0;
                for other in 0..self.shards.len() {
                    if self.shards[other].stuck {
                        cost += self.serve(shard, other);
                    }
                }
                cost
            }
        }
    }

    fn steal(&mut self, shard: usize, victim: usize, amount: usize) -> u64 {
        let victim = &mut self.shards[victim];
        let first = usize::from(victim.poll_since.is_none());
        let taken: Vec<usize> = victim.queue.drain(first..first + amount).collect();
        for connection in taken {
            self.queue(shard, connection);
        }
        self.counts.stolen += amount as u64;
        self.costs.steal + self.costs.stolen * amount as u64
    }

    /// Takes all waiting work of a stuck sibling.
    fn serve(&mut self, shard: usize, stuck: usize) -> u64 {
        let mut cost = 0;
        let ready = self.stealable(stuck);
        if ready > 0 {
            cost += self.steal(shard, stuck, ready);
        }
        let events: Vec<usize> = self.shards[stuck].epoll.drain(..).collect();
        if !events.is_empty() {
            self.counts.served += 1;
            cost += self.dispatch(shard, &events);
        }
        cost
    }

    /// Counts a run of a task, and moves its registration if the policy requires it. Returns the
    /// cost.
    pub(crate) fn note_run(&mut self, shard: usize, connection: usize) -> u64 {
        let connection = &mut self.connections[connection];
        if connection.home == shard {
            connection.away = 0;
            return 0;
        }
        let limit = match self.policy.moves {
            Moves::Never => return 0,
            Moves::Away(limit) => limit,
            Moves::SameShard(limit) => {
                if connection.away_shard != shard {
                    connection.away_shard = shard;
                    connection.away = 0;
                }
                limit
            }
        };
        connection.away += 1;
        if connection.away < limit {
            return 0;
        }
        connection.home = shard;
        connection.away = 0;
        self.counts.moves += 1;
        self.costs.moving
    }

    /// Returns a shard with a property: the first one after a random start.
    fn any_shard(&mut self, has: impl Fn(&Self, usize) -> bool) -> Option<usize> {
        let count = self.shards.len();
        let start = self.rng.usize(..count);
        (start..start + count)
            .map(|index| index % count)
            .find(|&shard| has(self, shard))
    }
}
