//! Measures the queueing delay of tasks: the turns between a task's wake and its poll.
//!
//! The queue is first in, first out, so tasks carry no timestamp. Each turn that ends with a
//! non-empty queue records the total number of tasks queued so far. The first task that a turn
//! polls has waited longest of all tasks polled in that turn. A turn that ends with an empty queue
//! costs two comparisons. Called by the turn. Tests are in `tests.rs` beside this file.

use std::collections::VecDeque;

#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// One entry per turn that queued a task which still waits, oldest first: the turn's number,
    /// and the total number of tasks queued by its end. There are as many entries as turns that the
    /// oldest task has waited.
    turns: VecDeque<(u64, u64)>,
}

impl Backlog {
    /// Returns the number of turns the oldest task in the queue has waited when `turn` polls it.
    #[inline]
    pub(super) fn waited(&self, turn: u64) -> u64 {
        self.turns.front().map_or(0, |(came, _)| turn - came)
    }

    /// Ends a turn. `polled` and `queued` count the tasks polled and queued since the shard
    /// started.
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
