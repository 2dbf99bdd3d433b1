//! Estimates the time at which a task in the run queue was woken, without a timestamp in the task.
//!
//! The queue is first in, first out, like the one of `backlog.rs`. Each mark says how many tasks
//! had been queued when a step of the turn ended, and when that step began. A task counts as woken
//! at the beginning of the step that queued it, so an estimate is at most one step too long: one
//! poll, or the handling of one batch of events. Tasks that a sibling stole count as polled, which
//! moves the estimates of later ones by that many places. Used by `observe.rs`.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

#[derive(Debug, Default)]
pub(super) struct Arrivals {
    /// The first number of the newest mark.
    queued: Cell<u64>,
    /// The total number of tasks queued by the end of a step, and the time of its beginning.
    marks: RefCell<VecDeque<(u64, u64)>>,
}

impl Arrivals {
    /// Records a step that began at `began`. `queued` counts all tasks queued by its end.
    #[inline(always)]
    pub(super) fn mark(&self, queued: u64, began: u64) {
        if self.queued.replace(queued) < queued {
            self.marks.borrow_mut().push_back((queued, began));
        }
    }

    /// Returns the time at which the next task to be polled was woken, if known. `polled` counts
    /// the tasks that left the queue before it.
    #[inline(always)]
    pub(super) fn of_next(&self, polled: u64) -> Option<u64> {
        let mut marks = self.marks.borrow_mut();
        loop {
            let &(queued, began) = marks.front()?;
            if queued > polled {
                return Some(began);
            }
            marks.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_task_has_the_time_of_the_step_that_queued_it() {
        let arrivals = Arrivals::default();
        assert_eq!(arrivals.of_next(0), None);
        arrivals.mark(2, 10);
        arrivals.mark(2, 20);
        arrivals.mark(5, 30);
        let found: Vec<_> = (0..6).map(|polled| arrivals.of_next(polled)).collect();
        assert_eq!(found[..5], [10, 10, 30, 30, 30].map(Some));
        assert_eq!(found[5], None, "nothing was queued since");
        arrivals.mark(5, 40);
        assert_eq!(arrivals.of_next(5), None, "that step queued nothing");
        arrivals.mark(6, 50);
        assert_eq!(arrivals.of_next(5), Some(50));
        assert_eq!(arrivals.marks.borrow().len(), 1, "old marks are dropped");
    }
}
