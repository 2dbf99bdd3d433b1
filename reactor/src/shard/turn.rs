//! The loop of a shard thread, and one turn of it, in reading order.
//!
//! A turn takes its events and the time as arguments, so that a test or a simulated driver can play
//! any schedule. A turn is bounded: it handles at most `events_per_poll` events and polls at most
//! `event_interval` tasks before the next poll of the OS.

use std::io;
use std::rc::Rc;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::budget;
use crate::driver::{Driver, OsEvent};
use crate::io::Dispatched;
use crate::panics::caught;
use crate::shard::inbox::Command;
use crate::shard::{Settings, Shard, current};
use crate::sync::{Ordering, fence};
use crate::task::JoinError;
use crate::time::clock;
use crate::token::Token;

/// Runs a shard on the calling thread until it is stopped, then drops all remaining tasks here.
pub(crate) fn run(shard: &Rc<Shard>, driver: &mut Driver) -> io::Result<()> {
    let process = shard.shared.io.process();
    let outcome = loop {
        // A child that waited here would take the parent's events.
        process.abort_child();
        let timeout = shard.prepare_wait(|| shard.shared.clock.now());
        let waited = driver.wait(timeout);
        shard.shared.inbox.parker().awake();
        if let Err(error) = waited {
            break Err(error);
        }
        shard.turn(driver.events(), || shard.shared.clock.now());
        if shard.shared.is_stopping() {
            break Ok(());
        }
    };
    shard.end();
    outcome
}

impl Shard {
    /// Decides the driver's wait time: zero while work remains, otherwise until the next timer or
    /// event.
    ///
    /// `now` is called only in two cases: before a sleep with an armed timer, because a timer that
    /// expired while tasks ran must not wait again, and while the shard spins.
    pub(super) fn prepare_wait(&self, now: impl Fn() -> Instant) -> Option<Duration> {
        if !self.is_idle() {
            return Some(Duration::ZERO);
        }
        let counters = &self.shared.counters;
        let done = || counters.polls.get().wrapping_add(counters.events.get());
        if self.spin.goes_on(done, &now) {
            counters.spins.add_own(1);
            return Some(Duration::ZERO);
        }
        let nothing_came =
            self.shared.inbox.parker().prepare(|| {
                self.shared.inbox.is_empty(&self.commands) && !self.shared.is_stopping()
            });
        if !nothing_came {
            return Some(Duration::ZERO);
        }
        counters.waits.add_own(1);
        let timers = self.timers.borrow();
        if timers.is_empty() {
            return None;
        }
        timers.until_next(now)
    }

    /// Returns true if no task is to run, either now or after the next poll of the OS.
    pub(super) fn is_idle(&self) -> bool {
        current::is_idle() && self.deferred.borrow().is_empty()
    }

    /// Runs one turn: OS events, expired timers, the inbox, yielded tasks, then the task queue.
    /// `now` is called only if a timer is armed.
    #[inline]
    pub(super) fn turn(
        &self,
        events: impl Iterator<Item = OsEvent>,
        now: impl FnOnce() -> Instant,
    ) {
        self.shared.counters.turns.add_own(1);
        clock::forget_turn();
        self.publish(events);
        self.fire_timers(now);
        self.take_inbox();
        self.wake_deferred();
        self.run_tasks();
        // Between this batch and the next wait, no fetched event can name a slot that is reused
        // from here on.
        self.shared.io.release_quarantine();
    }

    fn publish(&self, events: impl Iterator<Item = OsEvent>) {
        let (mut published, mut stale, mut notices) = (0, 0, 0);
        for event in events {
            let owner = event.token.id().table();
            // A registration that was moved here still lives in the table of its first shard.
            let io = if owner == self.shared.id.index() {
                &self.shared.io
            } else if event.token == Token::NOTIFIER {
                // This event has ended the wait, which is its only purpose.
                notices += 1;
                continue;
            } else {
                self.handle.io_at(owner)
            };
            match io.dispatch(event) {
                Dispatched::Published => published += 1,
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
        } else if batch >= self.settings.events_per_poll as u64 {
            counters.full_batches.add_own(1);
        }
    }

    fn fire_timers(&self, now: impl FnOnce() -> Instant) {
        if self.timers.borrow().is_empty() {
            return;
        }
        // The wakers leave the store first: a waker may arm or drop timers.
        let mut expired = self.expired.take();
        let now = clock::turn_time(now);
        self.timers.borrow_mut().advance(now, &mut expired);
        for waker in expired.drain(..) {
            self.wake_caught(waker);
        }
        self.expired.replace(expired);
        self.count_timers();
    }

    pub(crate) fn count_timers(&self) {
        let armed = self.timers.borrow().len() as u64;
        self.shared.timers_armed.set_own(armed);
    }

    #[inline]
    fn take_inbox(&self) {
        if !self.shared.inbox.is_empty(&self.commands) {
            self.take_inbox_slow();
        }
    }

    #[inline(never)]
    fn take_inbox_slow(&self) {
        let inbox = &self.shared.inbox;
        inbox.take_wakes(|task| self.push_local(task));
        inbox.take_commands(&self.commands, |command| match command {
            Command::Run(task) => self.push_local(task),
            // Both may wake or drop a waker, which is foreign code.
            Command::Timer(timer) => self.count_panics(caught(|| timer.apply(self)).1),
            Command::Disarm(key) => self.count_panics(caught(|| self.disarm(key)).1),
            Command::MoveUp(key, deadline) => {
                // If the timer fired meanwhile, its task was woken and arms the timer again.
                self.timers.borrow_mut().move_up(key, deadline);
            }
        });
    }

    #[inline]
    fn wake_deferred(&self) {
        if !self.deferred.borrow().is_empty() {
            self.wake_deferred_slow();
        }
    }

    #[inline(never)]
    fn wake_deferred_slow(&self) {
        // The wakers leave the list first: a waker is foreign code and may itself yield.
        let mut deferred = self.deferred.take();
        for waker in deferred.drain(..) {
            self.wake_caught(waker);
        }
        deferred.append(&mut self.deferred.borrow_mut());
        self.deferred.replace(deferred);
    }

    fn run_tasks(&self) {
        let counters = &self.shared.counters;
        let turn = counters.turns.get();
        let waited = self.backlog.borrow().waited(turn);
        if waited > counters.queued_turns_max.get() {
            counters.queued_turns_max.set_own(waited);
        }
        let mut polls = 0;
        match &self.shared.hooks.poll_tasks {
            None => while self.poll_next(&mut polls) {},
            Some(hook) => {
                if !current::is_idle() {
                    self.count_panics(caught(|| hook(&mut || self.poll_next(&mut polls))).1);
                }
            }
        }
        counters.polling.set_own(0);
        budget::end();
        let (polled, queued) = (counters.polls.get(), current::queued());
        self.backlog.borrow_mut().end_turn(turn, polled, queued);
    }

    /// Polls one task, unless none is ready or the turn has made `polls` enough.
    #[inline(always)]
    fn poll_next(&self, polls: &mut u32) -> bool {
        let Settings {
            event_interval,
            task_budget,
            ..
        } = self.settings;
        // The poll before this one may have forked, and so may a waker. A child runs none of the parent's tasks.
        self.shared.io.process().abort_child();
        if *polls == event_interval {
            return false;
        }
        let Some(task) = current::pop() else {
            return false;
        };
        *polls += 1;
        let counters = &self.shared.counters;
        // Both come before the poll: the stall detector has to tell one poll from the next
        // (`stall.rs`).
        counters.polling.set_own(task.task().id().to_bits());
        counters.polls.add_own(1);
        budget::begin(task_budget);
        if let Some(task) = task.run() {
            self.push_local(task);
        }
        true
    }

    /// Ends the shard: refuses new tasks, then drops every future here, whatever their drops do.
    pub(super) fn end(&self) {
        self.shared.live.close();
        while let Some(task) = self.shared.live.any() {
            task.end(JoinError::shutdown(task.id()));
        }
        self.shared.inbox.close();
        self.shared.ended.store(true, Ordering::Relaxed);
        // ORDERING [ended], partner [park-sender]: a sender whose push is missed by this last check
        // of the inbox sees that the shard has ended.
        fence(Ordering::SeqCst);
        self.take_inbox();
        self.wake_deferred();
        // Runnables of tasks that have ended. Dropping them only frees memory.
        while current::pop().is_some() {}
        let mut wakers = Vec::new();
        self.timers.borrow_mut().take_all(&mut wakers);
        // A sleep ends with its reactor, since no timer would end it later.
        for waker in wakers {
            self.wake_caught(waker);
        }
        self.count_timers();
    }

    /// Wakes a task. A waker is foreign code: its panic is caught and counted.
    fn wake_caught(&self, waker: Waker) {
        self.count_panics(caught(|| waker.wake()).1);
    }

    fn count_panics(&self, panics: u32) {
        if panics != 0 {
            self.shared.panics.add_shared(u64::from(panics));
        }
    }
}
