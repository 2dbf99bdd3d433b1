//! Measures the queueing delay of tasks: the turns between a task's wake and its poll.
//!
//! The queue is first in, first out, so tasks carry no timestamp. Each turn that ends with a
//! non-empty queue records the total number of tasks queued so far. The first task that a turn
//! polls has waited longest of all tasks polled in that turn. A turn that ends with an empty queue
//! costs two comparisons. Called by the turn. Tests are in `tests.rs` beside this file.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

#[derive(Debug)]
pub(super) struct Backlog {
    /// One entry per turn that queued a task which still waits, oldest first: the turn's number,
    /// and the total number of tasks queued by its end. There are as many entries as turns that the
    /// oldest task has waited.
    turns: RefCell<VecDeque<(u64, u64)>>,
    /// True if `turns` is empty.
    is_empty: Cell<bool>,
}

impl Default for Backlog {
    fn default() -> Self {
        Self {
            turns: RefCell::default(),
            is_empty: Cell::new(true),
        }
    }
}

impl Backlog {
    /// Returns the number of turns the oldest task in the queue has waited when `turn` polls it.
    #[inline(always)]
    pub(super) fn waited(&self, turn: u64) -> u64 {
        if self.is_empty.get() {
            return 0;
        }
        self.waited_slow(turn)
    }

    #[inline(never)]
    fn waited_slow(&self, turn: u64) -> u64 {
        self.turns
            .borrow()
            .front()
            .map_or(0, |(came, _)| turn - came)
    }

    /// Ends a turn. `polled` and `queued` count the tasks polled and queued since the shard
    /// started.
    #[inline(always)]
    pub(super) fn end_turn(&self, turn: u64, polled: u64, queued: u64) {
        if queued > polled || !self.is_empty.get() {
            self.end_turn_slow(turn, polled, queued);
        }
    }

    #[inline(never)]
    fn end_turn_slow(&self, turn: u64, polled: u64, queued: u64) {
        let mut turns = self.turns.borrow_mut();
        while let Some(&(_, by_then)) = turns.front() {
            if by_then > polled {
                break;
            }
            turns.pop_front();
        }
        if queued > polled {
            turns.push_back((turn, queued));
        }
        self.is_empty.set(turns.is_empty());
    }
}
