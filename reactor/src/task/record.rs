//! Facts about one task that its header has no room for: its name, and the times of its polls.
//!
//! The shard's list of live tasks keeps them (`shard/live.rs`), for named tasks and for all tasks
//! if [`Builder::task_tracking`](crate::Builder::task_tracking) is on.

use std::sync::Arc;
use std::time::Duration;

use crate::metrics::Counter;
use crate::trace::TaskSpan;

/// The facts about one task.
#[derive(Debug, Clone, Default)]
pub(crate) struct TaskRecord {
    pub(crate) name: Option<Arc<str>>,
    pub(crate) stats: Option<Arc<TaskStats>>,
}

/// The times of a task. Written by the shard that polls it; a task that moves to another shard
/// hands them over with its state word.
#[derive(Debug)]
pub(crate) struct TaskStats {
    pub(crate) span: TaskSpan,
    /// The time of the spawn. This and the next two are nanoseconds since the reactor's start.
    spawned: u64,
    polls: Counter,
    busy_ns: Counter,
    /// The beginning of the current poll, plus one. 0 between polls.
    polling_since: Counter,
    /// The end of the last poll, plus one. 0 before the first.
    polled_at: Counter,
}

impl TaskStats {
    pub(crate) fn new(spawned: u64, span: TaskSpan) -> Self {
        Self {
            span,
            spawned,
            polls: Counter::new(),
            busy_ns: Counter::new(),
            polling_since: Counter::new(),
            polled_at: Counter::new(),
        }
    }

    #[inline(always)]
    pub(crate) fn begin_poll(&self, now: u64) {
        self.polling_since.set_own(now + 1);
    }

    #[inline(always)]
    pub(crate) fn end_poll(&self, began: u64, now: u64) {
        self.polls.add_own(1);
        self.busy_ns.add_own(now.saturating_sub(began));
        self.polled_at.set_own(now + 1);
        self.polling_since.set_own(0);
    }

    pub(crate) fn read(&self, now: u64) -> TaskTimes {
        let since = |time: u64| Duration::from_nanos(now.saturating_sub(time));
        let ago = |at: &Counter| Some(since(at.get().checked_sub(1)?));
        let current = ago(&self.polling_since);
        let busy = Duration::from_nanos(self.busy_ns.get()) + current.unwrap_or_default();
        TaskTimes {
            polls: self.polls.get() + u64::from(current.is_some()),
            busy,
            // A poll may have ended after `now`. No task is busy for longer than it lives.
            age: since(self.spawned).max(busy),
            current_poll: current,
            since_last_poll: ago(&self.polled_at),
        }
    }
}

/// The times of a task, measured if [`Builder::task_tracking`](crate::Builder::task_tracking) is
/// on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskTimes {
    /// The number of polls, with the current one.
    pub polls: u64,
    /// The total time of the polls, with the current one.
    pub busy: Duration,
    /// The time since the task was spawned.
    pub age: Duration,
    /// The time that the current poll has lasted so far, or `None` between polls.
    pub current_poll: Option<Duration>,
    /// The time since the end of the last poll, or `None` before the end of the first.
    pub since_last_poll: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{TaskId, TaskMeta};

    #[test]
    fn a_poll_under_way_counts() {
        let at = |ms: u64| 7 + ms * 1_000_000;
        let ms = Duration::from_millis;
        let span = TaskSpan::new(&TaskMeta {
            id: TaskId::next(),
            shard: None,
            future: "f",
            spawned_at: None,
        });
        let stats = TaskStats::new(at(0), span);
        assert_eq!(stats.read(at(1)).since_last_poll, None);
        stats.begin_poll(at(2));
        stats.end_poll(at(2), at(5));
        stats.begin_poll(at(7));
        let during = stats.read(at(9));
        assert_eq!((during.polls, during.busy, during.age), (2, ms(5), ms(9)));
        assert_eq!(during.current_poll, Some(ms(2)));
        assert_eq!(during.since_last_poll, Some(ms(4)));
        stats.end_poll(at(7), at(10));
        let after = stats.read(at(11));
        assert_eq!(
            (after.polls, after.busy, after.current_poll),
            (2, ms(6), None)
        );
        assert_eq!(after.since_last_poll, Some(ms(1)));
        let now_before_the_end = stats.read(at(5));
        assert_eq!(
            (now_before_the_end.busy, now_before_the_end.age),
            (ms(6), ms(6))
        );
    }
}
