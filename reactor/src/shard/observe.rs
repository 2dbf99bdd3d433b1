//! Optional measurements of a shard: histograms, the times of each task, and the hooks around
//! polls.
//!
//! A shard without them has no `Observer` and pays nothing: the turn comes here only through
//! branches that it has anyway. A shard with an observer reads the clock once per poll and twice
//! per turn. Tests are in `tests/histograms.rs` and `tests/task_hooks.rs` of the crate.

use std::cell::Cell;

use crate::metrics::histogram::{Recorder, Scale};
use crate::panics::caught;
use crate::shard::arrivals::Arrivals;
use crate::shard::turn::Here;
use crate::shard::{Settings, Shard, ShardRef, ShardShared, current};
use crate::task::{LocalQueue, Runnable, TaskStats};

/// The histograms of a shard.
#[derive(Debug)]
pub(crate) struct Recorders {
    pub(crate) poll_time: Recorder,
    pub(crate) wake_to_poll: Recorder,
    pub(crate) wait_time: Recorder,
    pub(crate) batch_events: Recorder,
}

impl Recorders {
    pub(crate) fn new() -> Self {
        Self {
            poll_time: Recorder::new(Scale::Time),
            wake_to_poll: Recorder::new(Scale::Time),
            wait_time: Recorder::new(Scale::Time),
            batch_events: Recorder::new(Scale::Count),
        }
    }
}

/// The shard thread's own state of its measurements. Times are those of `Clock::nanos`.
#[derive(Debug)]
pub(super) struct Observer {
    tracks_tasks: bool,
    /// The last reading of the clock: the end of a poll, of a wait or of another step.
    mark: Cell<u64>,
    /// The beginning of the step that ended at `mark`.
    step: Cell<u64>,
    /// The end of the last wait.
    woken: Cell<u64>,
    /// The number of events handled before this turn.
    events: Cell<u64>,
    arrivals: Arrivals,
}

impl Observer {
    /// Creates the observer of a shard, if anything is to be observed.
    pub(super) fn new(shared: &ShardShared, settings: Settings) -> Option<Self> {
        let is_needed =
            settings.task_tracking || settings.histograms || shared.hooks.has_poll_hooks();
        let now = shared.clock.nanos();
        is_needed.then(|| Self {
            tracks_tasks: settings.task_tracking,
            mark: Cell::new(now),
            step: Cell::new(now),
            woken: Cell::new(now),
            events: Cell::new(0),
            arrivals: Arrivals::default(),
        })
    }

    /// Ends a step of the turn.
    fn end_step(&self, now: u64) {
        self.step.set(self.mark.replace(now));
    }

    /// Gives the tasks that were queued so far the time `since`, unless they have one.
    fn mark_queued(&self, shared: &ShardShared, since: u64) {
        if shared.recorders.is_none() {
            return;
        }
        let (queued, _) = shared.queue.with(LocalQueue::pushed_and_taken);
        self.arrivals.mark(queued, since);
    }
}

impl Shard {
    /// Marks the beginning of a sleep, which comes after a search for work.
    pub(super) fn observe_park(&self) {
        if let Some(observer) = &self.observer {
            observer.mark.set(self.shared.clock.nanos());
        }
    }

    /// Records a call of `epoll_wait` that has just returned.
    pub(super) fn observe_wait(&self) {
        let Some(observer) = &self.observer else {
            return;
        };
        let now = self.shared.clock.nanos();
        observer.end_step(now);
        observer.woken.set(now);
        if let Some(recorders) = &self.shared.recorders {
            recorders
                .wait_time
                .record(now.saturating_sub(observer.step.get()));
        }
        // This covers the tasks that were stolen or served before the sleep.
        observer.mark_queued(&self.shared, observer.step.get());
    }

    /// Records that tasks were taken from the inbox. The first of them arrived at `since`.
    pub(super) fn observe_inbox(&self, since: Option<u64>) {
        if let (Some(observer), Some(since)) = (&self.observer, since) {
            observer.mark_queued(&self.shared, since);
        }
    }

    /// Ends the steps before the inbox is taken, so that its tasks get a time of their own.
    pub(super) fn observe_before_inbox(&self) {
        if let Some(observer) = &self.observer {
            observer.mark_queued(&self.shared, observer.mark.get());
        }
    }

    fn begin_observed(&self, observer: &Observer) {
        let counters = &self.shared.counters;
        observer.end_step(self.shared.clock.nanos());
        let events = counters.events.get() + counters.stale_events.get();
        let batch = events - observer.events.replace(events);
        if let Some(recorders) = &self.shared.recorders {
            recorders.batch_events.record(batch);
        }
    }

    fn end_observed(&self, observer: &Observer) {
        observer.mark_queued(&self.shared, observer.step.get());
        if !self.shared.group.is_stealing() {
            // With stealing, the load meter measures it.
            let busy = observer.mark.get().saturating_sub(observer.woken.get());
            self.shared.counters.busy_ns.add_own(busy);
        }
        // The turn then calls `observe_wait` after its next wait.
        self.waited_hook.set(true);
    }
}

impl Here<'_> {
    /// Polls the turn's tasks, inside the poll hook if there is one. Observes each poll if there is
    /// an observer.
    #[inline(never)]
    pub(super) fn run_tasks_slow(&self) {
        let observer = self.shard.observer.as_ref();
        if let Some(observer) = observer {
            self.shard.begin_observed(observer);
        }
        let mut poll_next = || match observer {
            Some(observer) => self.poll_observed(observer),
            None => {
                let polled = self.poll_next();
                // The hook's own code is no poll.
                self.shared.counters.polling.set_own(0);
                polled
            }
        };
        match &self.shared.hooks.poll_tasks {
            None => while poll_next() {},
            Some(_) if self.shared.queue.with(LocalQueue::is_empty) => {}
            Some(hook) => self.shard.count_panics(caught(|| hook(&mut poll_next)).1),
        }
        if let Some(observer) = observer {
            self.shard.end_observed(observer);
        }
    }

    /// Polls one task as `poll_next` does, and observes the poll.
    #[inline(always)]
    fn poll_observed(&self, observer: &Observer) -> bool {
        let Some((task, queued, polled)) = self.take_next_counted() else {
            return false;
        };
        let began = observer.mark.get();
        let recorders = self.shared.recorders.as_deref();
        if let Some(recorders) = recorders {
            // This covers the tasks that the last step queued, if it queued any.
            observer.arrivals.mark(queued, observer.step.get());
            if let Some(woken) = observer.arrivals.of_next(polled) {
                recorders.wake_to_poll.record(began.saturating_sub(woken));
            }
        }
        let stats = if observer.tracks_tasks {
            task.task().scheduler().live.stats_of(task.task())
        } else {
            None
        };
        let hooks = &self.shared.hooks;
        let now = if hooks.has_poll_hooks() {
            self.poll_with_hooks(task, stats.as_deref())
        } else {
            self.poll_measured(task, began, stats.as_deref())
        };
        observer.end_step(now);
        if let Some(recorders) = recorders {
            recorders.poll_time.record(now.saturating_sub(began));
        }
        true
    }

    /// Takes the task that `poll_next` polls, with the numbers of tasks that were queued and taken
    /// before.
    #[inline(always)]
    fn take_next_counted(&self) -> Option<(Runnable<ShardRef>, u64, u64)> {
        let polls_left = current::polls_left();
        if polls_left == 0 {
            return None;
        }
        let (task, queued, taken) = self.shared.queue.with(|queue| {
            let (queued, taken) = queue.pushed_and_taken();
            Some((queue.pop()?, queued, taken))
        })?;
        current::set_polls_left(polls_left - 1);
        Some((task, queued, taken))
    }

    /// Polls a task and returns the time of the end. The poll began at `began`.
    #[inline(always)]
    fn poll_measured(
        &self,
        task: Runnable<ShardRef>,
        began: u64,
        stats: Option<&TaskStats>,
    ) -> u64 {
        let poll = || {
            self.poll(task);
            // Cleared before other code than the task's runs: the task may be gone.
            self.shared.counters.polling.set_own(0);
        };
        if let Some(stats) = stats {
            stats.begin_poll(began);
            stats.span.enter(poll);
        } else {
            poll();
        }
        let now = self.shared.clock.nanos();
        if let Some(stats) = stats {
            stats.end_poll(began, now);
        }
        now
    }

    /// Polls a task between the hooks. Their time counts for the shard, but not for the task.
    #[inline(never)]
    fn poll_with_hooks(&self, task: Runnable<ShardRef>, stats: Option<&TaskStats>) -> u64 {
        let hooks = &self.shared.hooks;
        let meta = task.task().meta();
        if let Some(hook) = &hooks.on_before_task_poll {
            self.shard.count_panics(caught(|| hook(&meta)).1);
        }
        self.poll_measured(task, self.shared.clock.nanos(), stats);
        if let Some(hook) = &hooks.on_after_task_poll {
            self.shard.count_panics(caught(|| hook(&meta)).1);
        }
        self.shared.clock.nanos()
    }
}
