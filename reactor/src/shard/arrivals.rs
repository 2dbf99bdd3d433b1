//! Estimates the time at which a task in the run queue was woken, without a timestamp in the task.
//!
//! The queue is first in, first out, like the one of `backlog.rs`. Each mark says how many tasks
//! had been queued when a step of the turn ended, and when that step began. A task counts as woken
//! at the beginning of the step that queued it, so an estimate is at most one step too long: one
//! poll, or the handling of one batch of events. Tasks that a sibling stole count as polled, which
//! moves the estimates of later ones by that many places. Used by `observe.rs`.

use std::collections::VecDeque;
use std::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Arrivals {
    /// The total number of tasks queued by the end of a step, and the time of its beginning.
    marks: VecDeque<(u64, Instant)>,
}

impl Arrivals {
    /// Records a step that began at `began`. `queued` counts all tasks queued by its end.
    pub(super) fn mark(&mut self, queued: u64, began: Instant) {
        if self.marks.back().is_none_or(|(before, _)| *before < queued) {
            self.marks.push_back((queued, began));
        }
    }

    /// Returns the time at which the next task to be polled was woken, if known. `polled` counts
    /// the tasks that left the queue before it.
    pub(super) fn of_next(&mut self, polled: u64) -> Option<Instant> {
        while self.marks.front()?.0 <= polled && self.marks.len() > 1 {
            self.marks.pop_front();
        }
        self.marks
            .front()
            .filter(|(queued, _)| *queued > polled)
            .map(|(_, began)| *began)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_task_has_the_time_of_the_step_that_queued_it() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut arrivals = Arrivals::default();
        assert_eq!(arrivals.of_next(0), None);
        arrivals.mark(2, at(1));
        arrivals.mark(2, at(2));
        arrivals.mark(5, at(3));
        let found: Vec<_> = (0..6).map(|polled| arrivals.of_next(polled)).collect();
        let expected = [1, 1, 3, 3, 3].map(|ms| Some(at(ms)));
        assert_eq!(found[..5], expected);
        assert_eq!(found[5], None, "nothing was queued since");
        arrivals.mark(5, at(4));
        assert_eq!(arrivals.of_next(5), None, "that step queued nothing");
        arrivals.mark(6, at(5));
        assert_eq!(arrivals.of_next(5), Some(at(5)));
        assert!(arrivals.marks.len() < 3, "old marks are dropped");
    }
}
