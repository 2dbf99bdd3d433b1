//! How many turns tasks wait in the shard's queue, from their wake to their poll.
//!
//! The queue is first in, first out, so nothing has to be noted of a task: of each turn that left tasks in the queue it is noted
//! how many had been queued by its end, and the first task that a turn polls has waited longest of all that it polls. A turn that
//! leaves nothing costs two comparisons. Called by the turn; tests are in `tests.rs` beside it.

use std::collections::VecDeque;

#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// The turns that some queued task came in, oldest first, each with the number of tasks that were ever queued by its end. As
    /// many as the oldest task has waited.
    turns: VecDeque<(u64, u64)>,
}

impl Backlog {
    /// How many turns the oldest task in the queue has waited when `turn` polls it.
    #[inline]
    pub(super) fn waited(&self, turn: u64) -> u64 {
        self.turns.front().map_or(0, |(came, _)| turn - came)
    }

    /// Ends a turn. So many tasks were polled and so many queued since the shard started.
    #[inline]
    pub(super) fn end_turn(&mut self, turn: u64, polled: u64, queued: u64) {
        while let Some(&(_, by_then)) = self.turns.front() {
            if by_then > polled {
                break;
            }
            self.turns.pop_front();
        }
        if queued > polled {
            self.turns.push_back((turn, queued));
        }
    }
}
