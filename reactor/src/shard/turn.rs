//! The loop of a shard thread, and one turn of it, in reading order.
//!
//! A turn takes its events and the time as arguments, so that a test or a simulated driver can play
//! any schedule. A turn is bounded: it handles at most `events_per_poll` events and polls at most
//! `event_interval` tasks before the next poll of the OS.

use std::io;
use std::ptr;
use std::rc::Rc;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::budget;
use crate::driver::{OsEvent, SIBLINGS_FETCH};
use crate::hooks::ThreadHook;
use crate::io::{Dispatched, ShardIo};
use crate::panics::caught;
use crate::shard::commands::Commands;
use crate::shard::inbox::Command;
use crate::shard::schedule::send_back;
use crate::shard::steal::Search;
use crate::shard::{Shard, ShardRef, ShardShared, current};
use crate::sync::{Ordering, fence, mutant};
use crate::task::{AtHome, JoinError, LocalQueue, Runnable};
use crate::time::clock;
use crate::token::Token;

/// The longest sleep of a shard while a sibling is stuck. It then polls the sibling's epoll too.
/// The resolution of the OS wait is one millisecond.
const STANDBY: Duration = Duration::from_millis(1);

/// The time between two checks of an ending shard whose tasks are still at siblings.
const END_LOOK: Duration = Duration::from_millis(1);

/// The shard of the calling thread, with the parts that its loop uses all the time. The loop loads
/// them once. Otherwise the compiler loads them again after each call of foreign code.
#[derive(Debug)]
pub(super) struct Here<'a> {
    pub(super) shard: &'a Shard,
    pub(super) shared: &'a ShardShared,
    io: &'a ShardIo,
    home: AtHome<'a, ShardRef>,
    task_budget: u32,
    shares_work: bool,
    /// True if the shard has extra steps before or after a sleep: it searches for work, spins, or
    /// calls hooks.
    is_busy_around_sleep: bool,
}

/// Runs a shard on the calling thread until it is stopped, then drops all remaining tasks here.
#[inline(never)]
pub(crate) fn run(shard: &Rc<Shard>) -> io::Result<()> {
    let here = shard.here();
    let shared = here.shared;
    let now = || shared.clock.now();
    let mut dispatch = shared.dispatch.lock();
    let outcome = loop {
        // All fetched events are handled, so none can name a slot that is reused from here on.
        here.io.release_quarantine();
        let timeout = here.prepare_wait(&dispatch.commands, now);
        let waited;
        if here.shares_work && SIBLINGS_FETCH && timeout != Some(Duration::ZERO) {
            // A sibling may serve this shard while it sleeps, or while it waits for a CPU.
            let mut driver = dispatch.take_driver();
            drop(dispatch);
            waited = driver.wait(timeout);
            here.wake_up(timeout, now);
            dispatch = shared.dispatch.lock();
            dispatch.put_driver(driver);
        } else {
            waited = dispatch.driver().wait(timeout);
            if here.is_busy_around_sleep {
                here.wake_up(timeout, now);
            }
        }
        shared.inbox.parker().awake();
        if let Err(error) = waited {
            break Err(error);
        }
        here.begin_turn();
        here.dispatch_for(shared, dispatch.batch(), &dispatch.commands, now);
        // Without work stealing, a shard keeps its poll lock.
        if here.shares_work {
            drop(dispatch);
            here.run_tasks();
            shard.end_stretch(now());
            shared.report_unstuck();
            dispatch = shared.dispatch.lock();
        } else {
            here.run_tasks();
        }
        if shared.is_stopping() {
            break Ok(());
        }
    };
    // Siblings no longer serve this shard.
    shard.end(&mut dispatch.commands);
    outcome
}

impl Shard {
    /// Returns the loop's view of this shard.
    ///
    /// # Panics
    ///
    /// Panics on any thread but the shard's own.
    pub(super) fn here(&self) -> Here<'_> {
        let shared = self.shared();
        let shares_work = shared.group.is_stealing();
        Here {
            shard: self,
            shared,
            io: &shared.io,
            home: AtHome::new(&self.shared),
            task_budget: self.settings.task_budget,
            shares_work,
            is_busy_around_sleep: shares_work || self.spin.is_enabled() || self.has_park_step,
        }
    }

    /// Calls the hook before a sleep. If the hook forks, the child is aborted: it would take the
    /// parent's events.
    #[cold]
    fn call_park_hook(&self) {
        if self.shared.hooks.has_park_hook() {
            self.parks.set(true);
            self.waited_hook.set(true);
            self.call_hook(self.shared.hooks.on_thread_park.as_ref());
            self.shared.io.process().abort_child();
        }
        self.observe_park();
    }

    /// Observes a wait that has ended, and calls the hook that follows a sleep.
    #[cold]
    fn after_wait(&self) {
        self.observe_wait();
        if self.parks.take() {
            self.call_hook(self.shared.hooks.on_thread_unpark.as_ref());
            self.shared.io.process().abort_child();
        }
    }

    fn call_hook(&self, hook: Option<&ThreadHook>) {
        if let Some(hook) = hook {
            self.count_panics(caught(|| hook(self.shared.id)).1);
        }
    }

    /// Ends a busy period, which began at the end of the last sleep or busy period.
    fn end_stretch(&self, now: Instant) {
        let counters = &self.shared.counters;
        let busy = self.meter.end_stretch(now, counters.polls.get());
        counters.busy_ns.add_own(busy);
        counters.poll_ns.set_own(self.meter.expected(1));
    }
}

impl Here<'_> {
    /// Decides the driver's wait time: zero while work remains, otherwise until the next timer or
    /// event.
    ///
    /// `now` is called only in two cases: before a sleep with an armed timer, because a timer that
    /// expired while tasks ran must not wait again, and while the shard spins.
    #[inline(always)]
    pub(super) fn prepare_wait(
        &self,
        commands: &Commands<Command>,
        now: impl Fn() -> Instant,
    ) -> Option<Duration> {
        if !self.is_idle() {
            return Some(Duration::ZERO);
        }
        let search = if self.is_busy_around_sleep {
            self.search_before_sleep(&now)
        } else {
            Search::Nothing
        };
        if search == Search::Found {
            return Some(Duration::ZERO);
        }
        let nothing_came = self.shared.inbox.parker().prepare(|| {
            self.shared.inbox.is_empty(commands)
                && !self.shared.is_stopping()
                && !(self.shares_work && self.shard.is_called_after(search))
        });
        if !nothing_came {
            return Some(Duration::ZERO);
        }
        self.shared.counters.waits.add_own(1);
        let until_next = if self.shared.has_timers() {
            self.until_next_timer(now)
        } else {
            None
        };
        if search == Search::Standby {
            return Some(until_next.map_or(STANDBY, |timer| timer.min(STANDBY)));
        }
        until_next
    }

    /// Runs the extra steps before a sleep: the spinning, the search for work, and the hook.
    /// Returns `Found` if the shard must not sleep.
    #[inline(never)]
    fn search_before_sleep(&self, now: impl Fn() -> Instant) -> Search {
        let shard = self.shard;
        // A paused clock would never end the spinning.
        if !self.shared.clock.is_paused() && shard.spin.goes_on(|| self.work_done(), now) {
            self.shared.counters.spins.add_own(1);
            return Search::Found;
        }
        let mut search = shard.search();
        if search == Search::Nothing && self.shares_work && shard.look_after_sibling() {
            search = Search::Found;
        }
        if search != Search::Found && shard.has_park_step {
            shard.call_park_hook();
            // The hook may have made tasks ready on this shard. The later check, after the
            // announcement of the sleep, does not look at the local queue.
            if !self.is_idle() {
                return Search::Found;
            }
        }
        search
    }

    #[inline(never)]
    fn until_next_timer(&self, now: impl Fn() -> Instant) -> Option<Duration> {
        let until_next = self.shared.with_timers(|timers| timers.until_next(now));
        until_next.and_then(|time| self.shared.clock.wait_for(time, || self.work_done()))
    }

    /// A count that grows with the shard's work.
    fn work_done(&self) -> u64 {
        let counters = &self.shared.counters;
        counters.polls.get().wrapping_add(counters.events.get())
    }

    /// Ends a sleep, if there was one. Its time does not count as busy time, which is measured only
    /// if shards share their work.
    #[inline(never)]
    fn wake_up(&self, timeout: Option<Duration>, now: impl Fn() -> Instant) {
        if self.shares_work && timeout != Some(Duration::ZERO) {
            self.shard.meter.wake_up(now());
        }
        if self.shard.waited_hook.take() {
            self.shard.after_wait();
        }
    }

    /// Returns true if no task is to run, either now or after the next poll of the OS.
    #[inline(always)]
    pub(super) fn is_idle(&self) -> bool {
        self.shared.queue.with(LocalQueue::is_empty) && !self.shared.has_deferred()
    }

    /// Starts a turn.
    #[inline(always)]
    pub(super) fn begin_turn(&self) {
        self.shared.counters.turns.add_own(1);
        clock::forget_turn();
    }

    /// Runs the first half of a turn, which makes tasks ready. It handles the OS events, the
    /// expired timers, the inbox and the yielded tasks of `of`: this shard, or a sibling that it
    /// serves. The caller holds the poll lock of `of`. `now` is called only if a timer is armed.
    #[inline(always)]
    pub(super) fn dispatch_for(
        &self,
        of: &ShardShared,
        events: impl Iterator<Item = OsEvent>,
        commands: &Commands<Command>,
        now: impl FnOnce() -> Instant,
    ) {
        let _mark = current::dispatching();
        self.publish(of, events);
        if of.has_timers() {
            self.shard.fire_timers(of, now);
        }
        if !of.inbox.is_empty(commands) {
            self.shard.take_inbox(of, commands);
        }
        if of.has_deferred() {
            self.shard.wake_deferred(of);
        }
    }

    #[inline(always)]
    fn publish(&self, of: &ShardShared, events: impl Iterator<Item = OsEvent>) {
        let (table, own) = (of.id.index(), &*of.io);
        let (mut published, mut stale, mut notices) = (0, 0, 0);
        for event in events {
            let owner = event.token.id().table();
            // A registration that was moved here still lives in the table of its first shard.
            let io = if owner == table {
                own
            } else if event.token == Token::NOTIFIER {
                // This event has ended the wait, which is its only purpose.
                notices += 1;
                continue;
            } else {
                self.shard.handle.io_at(owner)
            };
            match io.dispatch(event) {
                Dispatched::Published { panics } => {
                    published += 1;
                    self.shard.count_panics(panics);
                }
                Dispatched::Stale => stale += 1,
            }
        }
        let counters = &self.shared.counters;
        counters.events.add_own(published);
        if stale != 0 {
            counters.stale_events.add_own(stale);
        }
        let batch = published + stale + notices;
        if batch == 0 {
            counters.empty_batches.add_own(1);
        } else if batch >= self.shard.settings.events_per_poll as u64 {
            counters.full_batches.add_own(1);
        }
    }

    #[inline(always)]
    pub(super) fn run_tasks(&self) {
        let (shard, counters) = (self.shard, &self.shared.counters);
        // A waker may have forked. A child runs none of the parent's tasks.
        self.io.process().abort_child();
        let turn = counters.turns.get();
        let waited = shard.backlog.waited(turn);
        if waited > counters.queued_turns_max.get() {
            counters.queued_turns_max.set_own(waited);
        }
        let polls_max = shard.settings.event_interval;
        current::set_polls_left(if self.shares_work {
            shard.offer_surplus(polls_max, waited)
        } else {
            polls_max
        });
        if shard.has_plain_polls {
            while self.poll_next() {}
        } else {
            self.run_tasks_slow();
        }
        // If a task forked, its child has no polls left, leaves the loop, and arrives here.
        self.io.process().abort_child();
        counters.polling.set_own(0);
        budget::end();
        let (pushed, taken) = self.shared.queue.with(LocalQueue::pushed_and_taken);
        counters.ready.set_own(pushed - taken);
        shard.backlog.end_turn(turn, taken, pushed);
    }

    /// Polls one task, unless none is ready or the turn has no polls left.
    #[inline(always)]
    pub(super) fn poll_next(&self) -> bool {
        let task = self.take_next();
        task.map(|task| self.poll(task)).is_some()
    }

    /// Takes the task that `poll_next` polls.
    #[inline(always)]
    pub(super) fn take_next(&self) -> Option<Runnable<ShardRef>> {
        let polls_left = current::polls_left();
        if polls_left == 0 {
            return None;
        }
        let task = self.shared.queue.with(LocalQueue::pop)?;
        current::set_polls_left(polls_left - 1);
        Some(task)
    }

    /// Polls a task that was taken from the queue.
    #[inline(always)]
    pub(super) fn poll(&self, task: Runnable<ShardRef>) {
        let counters = &self.shared.counters;
        // Both counters change before the poll, so that the stall detector can tell one poll from
        // the next (`stall.rs`).
        counters.polling.set_own(task.task().address().to_bits());
        counters.polls.add_own(1);
        budget::begin(self.task_budget);
        task.run_at(&self.home, |again| {
            self.io.process().abort_child();
            self.shard.push_local(again);
        });
    }
}

impl Shard {
    #[inline(never)]
    fn fire_timers(&self, of: &ShardShared, now: impl FnOnce() -> Instant) {
        // The wakers leave the store first: a waker may arm or drop timers.
        let mut expired = self.expired.take();
        let now = clock::turn_time(now);
        of.with_timers(|timers| timers.advance(now, &mut expired));
        for waker in expired.drain(..) {
            self.wake_caught(waker);
        }
        self.expired.replace(expired);
        of.count_timers();
    }

    #[inline(never)]
    fn take_inbox(&self, of: &ShardShared, commands: &Commands<Command>) {
        self.observe_before_inbox();
        of.inbox.take_wakes(|task| self.push_for(of, task));
        of.inbox.take_commands(commands, |command| match command {
            Command::Run(task) => self.push_for(of, task),
            // Both may wake or drop a waker, which is foreign code.
            Command::Timer(timer) => self.count_panics(caught(|| timer.apply(of)).1),
            Command::Disarm(key) => self.count_panics(caught(|| of.disarm(key)).1),
            Command::MoveUp(key, deadline) => {
                // If the timer fired meanwhile, its task was woken and arms the timer again.
                of.with_timers(|timers| timers.move_up(key, deadline));
            }
        });
        self.observe_inbox(of.inbox.take_first_arrival());
    }

    /// Queues a task from the inbox of `of`: on this shard if it may run here, otherwise on `of`.
    fn push_for(&self, of: &ShardShared, task: Runnable<ShardRef>) {
        let is_own = ptr::eq(of, self.shared());
        if task.task().is_mobile() {
            if is_own && task.task().home() == of.id.0 {
                self.push_local(task);
            } else {
                self.adopt(task);
            }
        } else {
            of.queue.with(|queue| queue.push(task));
        }
    }

    #[inline(never)]
    fn wake_deferred(&self, of: &ShardShared) {
        // The wakers leave the list first: a waker is foreign code and may itself yield.
        let mut yielded = of.take_deferred();
        for waker in yielded.drain(..) {
            self.wake_caught(waker);
        }
        of.give_back_deferred(yielded);
    }

    /// Ends the shard: refuses new tasks, then drops every future of its tasks, whatever their
    /// destructors do. A mobile task that a sibling has taken is dropped there, and this waits for
    /// it.
    pub(super) fn end(&self, commands: &mut Commands<Command>) {
        let shared = &self.shared;
        if mutant("inbox_closed_first") {
            shared.inbox.close(|task| self.end_queued(task));
        }
        shared.live.close();
        for task in shared.live.all() {
            if !task.is_mobile() {
                task.end(JoinError::shutdown(task.id()));
            } else if let Some(idle) = task.cancel_idle() {
                idle.run();
            }
        }
        loop {
            self.take_inbox(shared, commands);
            while let Some(task) = shared.queue.with(LocalQueue::pop) {
                self.end_queued(task);
            }
            if shared.live.len() == 0 || shared.is_abandoned() {
                break;
            }
            // The remaining tasks run on siblings, or are on their way here. This is rare, and a
            // shutdown may take a millisecond.
            shared.awaits_siblings.store(true, Ordering::Relaxed);
            shared.clock.idle(END_LOOK);
        }
        shared.inbox.close(|task| self.end_queued(task));
        shared.ended.store(true, Ordering::Relaxed);
        // ORDERING [ended], partner [park-sender]: a sender whose push is missed by this last check
        // of the inbox sees that the shard has ended.
        fence(Ordering::SeqCst);
        self.take_inbox(shared, commands);
        // A later command is dropped. A task that stayed in the channel would keep the shard alive,
        // and the shard would keep the channel alive. The drop of a waker is foreign code.
        let late = commands.close();
        self.count_panics(caught(|| drop(late)).1);
        self.wake_deferred(shared);
        while let Some(task) = shared.queue.with(LocalQueue::pop) {
            self.end_queued(task);
        }
        let mut wakers = Vec::new();
        shared.with_timers(|timers| timers.take_all(&mut wakers));
        // A sleep ends with its reactor, since no timer would end it later.
        for waker in wakers {
            self.wake_caught(waker);
        }
        shared.count_timers();
    }

    /// Runs a task of this shard, which was cancelled or has ended. Returns any other task to its
    /// shard.
    fn end_queued(&self, task: Runnable<ShardRef>) {
        if ptr::eq(ShardRef::as_ptr(task.task().scheduler()), self.shared()) {
            let queued_again = task.run();
            debug_assert!(queued_again.is_none(), "a task ends after it is cancelled");
        } else {
            send_back(task);
        }
    }

    /// Wakes a task. A waker is foreign code: its panic is caught and counted.
    fn wake_caught(&self, waker: Waker) {
        self.count_panics(caught(|| waker.wake()).1);
    }

    #[inline(always)]
    pub(super) fn count_panics(&self, panics: u32) {
        if panics != 0 {
            self.count_panics_slow(panics);
        }
    }

    #[cold]
    fn count_panics_slow(&self, panics: u32) {
        self.shared.panics.add_shared(u64::from(panics));
    }
}
