//! Optional measurements of a shard: histograms, the times of each task, and the hooks around
//! polls.
//!
//! A shard without them has no `Observer` and pays nothing: the turn comes here only through
//! branches that it has anyway. A shard with an observer reads the clock once per poll and twice
//! per turn. Tests are in `tests/histograms.rs` and `tests/task_hooks.rs` of the crate.

use std::cell::{Cell, RefCell};
use std::time::Instant;

use crate::metrics::histogram::{Recorder, Scale};
use crate::panics::caught;
use crate::shard::arrivals::Arrivals;
use crate::shard::turn::Here;
use crate::shard::{Settings, Shard, ShardShared};
use crate::task::{LocalQueue, Runnable};

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

/// The shard thread's own state of its measurements.
#[derive(Debug)]
pub(super) struct Observer {
    tracks_tasks: bool,
    /// The last reading of the clock: the end of a poll, of a wait or of another step.
    mark: Cell<Instant>,
    /// The end of the last wait.
    woken: Cell<Instant>,
    /// The number of events handled before this turn.
    events: Cell<u64>,
    arrivals: RefCell<Arrivals>,
}

impl Observer {
    /// Creates the observer of a shard, if anything is to be observed.
    pub(super) fn new(shared: &ShardShared, settings: Settings) -> Option<Self> {
        let is_needed =
            settings.task_tracking || settings.histograms || shared.hooks.has_poll_hooks();
        let now = shared.clock.now();
        is_needed.then(|| Self {
            tracks_tasks: settings.task_tracking,
            mark: Cell::new(now),
            woken: Cell::new(now),
            events: Cell::new(0),
            arrivals: RefCell::default(),
        })
    }

    /// Ends a step of the turn, in which tasks may have been queued.
    fn end_step(&self, shared: &ShardShared, began: Instant) {
        let (queued, _) = shared.queue.with(LocalQueue::pushed_and_taken);
        self.arrivals.borrow_mut().mark(queued, began);
    }
}

impl Shard {
    /// Marks the beginning of a sleep, which comes after a search for work.
    pub(super) fn observe_park(&self) {
        if let Some(observer) = &self.observer {
            observer.mark.set(self.shared.clock.now());
        }
    }

    /// Records a call of `epoll_wait` that has just returned.
    pub(super) fn observe_wait(&self) {
        let Some(observer) = &self.observer else {
            return;
        };
        let now = self.shared.clock.now();
        let began = observer.mark.replace(now);
        observer.woken.set(now);
        if let Some(recorders) = &self.shared.recorders {
            recorders
                .wait_time
                .record_time(now.saturating_duration_since(began));
        }
        // Tasks that were stolen or served before the sleep.
        observer.end_step(&self.shared, began);
    }

    /// Records that tasks were taken from the inbox. The first of them arrived at `since`.
    pub(super) fn observe_inbox(&self, since: Option<Instant>) {
        if let (Some(observer), Some(since)) = (&self.observer, since) {
            observer.end_step(&self.shared, since);
        }
    }

    /// Ends the steps before the inbox is taken, so that its tasks get a time of their own.
    pub(super) fn observe_before_inbox(&self) {
        if let Some(observer) = &self.observer {
            observer.end_step(&self.shared, observer.mark.get());
        }
    }

    fn begin_observed(&self, observer: &Observer) {
        let counters = &self.shared.counters;
        let now = self.shared.clock.now();
        observer.end_step(&self.shared, observer.mark.replace(now));
        let events = counters.events.get() + counters.stale_events.get();
        let batch = events - observer.events.replace(events);
        if let Some(recorders) = &self.shared.recorders {
            recorders.batch_events.record(batch);
        }
    }

    fn end_observed(&self, observer: &Observer) {
        if !self.shared.group.is_stealing() {
            // With stealing, the load meter measures it.
            let busy = observer
                .mark
                .get()
                .saturating_duration_since(observer.woken.get());
            let busy = u64::try_from(busy.as_nanos()).unwrap_or(u64::MAX);
            self.shared.counters.busy_ns.add_own(busy);
        }
        // The turn then calls `observe_wait` after its next wait.
        self.waited_hook.set(true);
    }
}

impl Here<'_> {
    /// Polls the turn's tasks, inside the hook that is around them if there is one, and observes
    /// each poll if anything is to be observed.
    #[cold]
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
    fn poll_observed(&self, observer: &Observer) -> bool {
        let (_, polled) = self.shared.queue.with(LocalQueue::pushed_and_taken);
        let Some(task) = self.take_next() else {
            return false;
        };
        let began = observer.mark.get();
        let recorders = self.shared.recorders.as_deref();
        if let Some(recorders) = recorders {
            if let Some(woken) = observer.arrivals.borrow_mut().of_next(polled) {
                recorders
                    .wake_to_poll
                    .record_time(began.saturating_duration_since(woken));
            }
        }
        self.poll_with_hooks(observer, task, began);
        let now = self.shared.clock.now();
        observer.mark.set(now);
        if let Some(recorders) = recorders {
            recorders
                .poll_time
                .record_time(now.saturating_duration_since(began));
        }
        observer.end_step(self.shared, began);
        true
    }

    fn poll_with_hooks(
        &self,
        observer: &Observer,
        task: Runnable<super::ShardRef>,
        began: Instant,
    ) {
        let hooks = &self.shared.hooks;
        let stats = (observer.tracks_tasks)
            .then(|| task.task().scheduler().live.stats_of(task.task()))
            .flatten();
        let meta = hooks.has_poll_hooks().then(|| task.task().meta());
        if let (Some(hook), Some(meta)) = (&hooks.on_before_task_poll, &meta) {
            self.shard.count_panics(caught(|| hook(meta)).1);
        }
        if let Some(stats) = &stats {
            stats.begin_poll(began);
        }
        let poll = || {
            self.poll(task);
            // Cleared before other code than the task's runs: the task may be gone.
            self.shared.counters.polling.set_own(0);
        };
        match &stats {
            Some(stats) => stats.span.enter(poll),
            None => poll(),
        }
        if let Some(stats) = &stats {
            stats.end_poll(began, self.shared.clock.now());
        }
        if let (Some(hook), Some(meta)) = (&hooks.on_after_task_poll, &meta) {
            self.shard.count_panics(caught(|| hook(meta)).1);
        }
    }
}
