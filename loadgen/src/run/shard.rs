//! The state that one thread of the generator owns: connections, counters and buffers, all in plain
//! cells.
//!
//! The tasks of a shard share one [`Shard`] through an `Rc`: the connections (`connection.rs`), the
//! ramp that opens them (`ramp.rs`), the dispatcher of an open loop (`dispatch.rs`) and the
//! supervisor (`supervisor.rs`). No other thread sees it. `shard/slots.rs` fills and empties the
//! connection slots. Tests: `shard/tests.rs`, and every integration test.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use reactor::time::sleep_until;

use crate::measure::clock::{Clock, Nanos, Stamp};
use crate::measure::counters::{Counters, Window};
use crate::measure::failure::{ErrorKind, Errors, Failure};
use crate::run::bad_kind::BadClientCounters;
use crate::run::balancer::Balancer;
use crate::run::connection_slot::ConnectionSlot;
use crate::run::dialogue::Dialogue;
use crate::run::event::Event;
use crate::run::lives::{self, Lives};
use crate::run::plan::{Plan, Timeline};
use crate::run::protocol::STREAM_RESET;
use crate::run::scratch::{SCRATCH_BYTES, Scratch};
use crate::run::setup::{Amount, OnFailure, Pace};
use crate::run::sources::Sources;

mod slots;

/// The number of consecutive failures after which the ramp no longer waits for a slot: 150 ms of
/// back-off.
const RAMP_ATTEMPTS: u32 = 5;

/// The state of one thread.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) index: u32,
    pub(crate) plan: Arc<Plan>,
    pub(crate) clock: Clock,
    pub(crate) sources: Sources,
    pub(crate) incoming: Scratch,
    pub(crate) outgoing: Scratch,
    pub(crate) counters: RefCell<Counters>,
    /// Failures in the measured part.
    pub(crate) errors: RefCell<Errors>,
    /// Failures before and after it.
    pub(crate) errors_outside: RefCell<Errors>,
    pub(crate) slots: RefCell<Vec<Rc<ConnectionSlot>>>,
    /// Open loop: chooses the connection of each request.
    pub(crate) balancer: RefCell<Balancer>,
    /// Slots that wait for the pacer to open their next connection.
    to_replace: RefCell<VecDeque<Rc<ConnectionSlot>>>,
    /// The times at which connections are replaced; empty without a lifetime.
    pub(crate) lives: RefCell<Lives>,
    /// Wakes the pacer: a connection was opened, has failed or has to be replaced, or the run is
    /// over.
    pub(crate) ramp_event: Event,
    /// The number of connections that are being opened.
    pub(crate) opening: Cell<u32>,
    /// The number of connections begun so far.
    begun_connections: Cell<u64>,
    /// The number of slots whose first answer the ramp waits for.
    pub(crate) awaited: Cell<u32>,
    /// The number of slots that ever had an established connection.
    pub(crate) connected: Cell<u32>,
    /// The number of slots that were served.
    pub(crate) served: Cell<u32>,
    /// The number of open connections.
    pub(crate) live: Cell<u32>,
    /// The number of slots that send and have not ended.
    pub(crate) active_slots: Cell<u32>,
    /// The number of connections established.
    pub(crate) established: Cell<u64>,
    /// The number of connections that ended as planned.
    pub(crate) retired: Cell<u64>,
    /// The number of connections that the server ended while it owed nothing.
    pub(crate) left: Cell<u64>,
    /// The number of connections that failed after they were established.
    pub(crate) broken: Cell<u64>,
    /// The number of connections established in a slot whose previous one had failed.
    pub(crate) reconnected: Cell<u64>,
    pub(crate) bad: RefCell<BadClientCounters>,
    /// True if the ramp is over.
    pub(crate) ramped: Cell<bool>,
    /// True if no further connection is opened.
    pub(crate) ramp_stopped: Cell<bool>,
    /// True if a failure ends the run (`--fail-fast`).
    pub(crate) failed_fast: Cell<bool>,
    /// The number of requests handed out and not answered.
    pub(crate) in_flight: Cell<u64>,
    /// True if the run was cut short.
    was_cut: Cell<bool>,
    /// True if requests may have begun.
    pub(crate) begun: Cell<bool>,
    /// The start of the measured part.
    from: Cell<Nanos>,
    /// The time after which no request begins; zero until the run begins.
    end: Cell<Nanos>,
    /// The number of measured requests that may still begin; `u64::MAX` if time decides.
    remaining: Cell<u64>,
    /// True if the schedule has been used up.
    pub(crate) dispatched: Cell<bool>,
    /// The intended time of the first request after the schedule; zero without one.
    pub(crate) schedule_end: Cell<Nanos>,
    /// The number of requests that a connection plans before it writes: those that fit into the
    /// buffer.
    batch: usize,
}

impl Shard {
    pub(crate) fn new(index: u32, plan: Arc<Plan>, clock: Clock) -> Self {
        let by_request = matches!(plan.load.amount, Amount::Requests(_));
        Self {
            index,
            clock,
            sources: Sources::new(&plan.target, &plan.setup.sources, plan.seed),
            incoming: Scratch::new(),
            outgoing: Scratch::new(),
            counters: RefCell::new(Counters::new(plan.is_open(), by_request)),
            errors: RefCell::default(),
            errors_outside: RefCell::default(),
            slots: RefCell::default(),
            balancer: RefCell::default(),
            to_replace: RefCell::default(),
            lives: RefCell::default(),
            ramp_event: Event::default(),
            opening: Cell::new(0),
            begun_connections: Cell::new(0),
            awaited: Cell::new(slots_of(&plan, index, false)),
            connected: Cell::new(0),
            served: Cell::new(0),
            live: Cell::new(0),
            active_slots: Cell::new(slots_of(&plan, index, true)),
            established: Cell::new(0),
            retired: Cell::new(0),
            left: Cell::new(0),
            broken: Cell::new(0),
            reconnected: Cell::new(0),
            bad: RefCell::default(),
            ramped: Cell::new(false),
            ramp_stopped: Cell::new(false),
            failed_fast: Cell::new(false),
            in_flight: Cell::new(0),
            was_cut: Cell::new(false),
            begun: Cell::new(false),
            from: Cell::new(Nanos::MAX),
            end: Cell::new(0),
            remaining: Cell::new(plan.requests_of(index)),
            dispatched: Cell::new(false),
            schedule_end: Cell::new(0),
            batch: (SCRATCH_BYTES / plan.setup.protocol.mean_size()).max(1),
            plan,
        }
    }

    /// Lets requests begin, unless the run was cut short before.
    pub(crate) fn begin(&self, timeline: Timeline) {
        if self.was_cut.get() {
            return;
        }
        self.begun.set(true);
        self.counters.borrow_mut().window = Window {
            from: timeline.from,
            until: timeline.until,
        };
        self.counters
            .borrow_mut()
            .slices
            .begin(timeline.from, self.plan.setup.interval);
        self.from.set(timeline.from);
        self.end.set(timeline.until);
        if let Some(lifetime) = self.plan.setup.lifetime {
            *self.lives.borrow_mut() =
                lives::spread(&self.slots.borrow(), timeline.start, lifetime);
        }
        let active: Vec<_> = self
            .slots
            .borrow()
            .iter()
            .filter(|slot| slot.active)
            .map(Rc::clone)
            .collect();
        *self.balancer.borrow_mut() = Balancer::new(active.into_iter(), &self.plan, timeline.start);
        for kind in self.plan.bad_of(self.index) {
            let slot = Rc::new(ConnectionSlot::bad(kind));
            self.slots.borrow_mut().push(Rc::clone(&slot));
            self.replace(&slot);
        }
        if !self.plan.is_open() {
            for slot in self.slots.borrow().iter().filter(|slot| slot.active) {
                slot.event.notify();
            }
        }
    }

    /// Lets no further request begin, and ends the measured part.
    pub(crate) fn cut(&self, now: Nanos) {
        self.was_cut.set(true);
        self.ramp_stopped.set(true);
        self.ramp_event.notify();
        self.end.set(self.end.get().min(now));
        let window = &mut self.counters.borrow_mut().window;
        window.until = window.until.min(now);
    }

    /// Returns true if all requests that were to begin have begun.
    pub(crate) fn all_begun(&self, now: Nanos) -> bool {
        match self.plan.load.pace {
            Pace::Closed { .. } => self.none_begins_from(now),
            Pace::Open { .. } => self.dispatched.get(),
        }
    }

    /// Returns true if no request begins at this time or later.
    pub(crate) fn none_begins_from(&self, at: Nanos) -> bool {
        at >= self.end.get() || self.remaining.get() == 0
    }

    /// Takes one of the requests that may begin now.
    #[inline]
    pub(crate) fn may_begin(&self, now: Nanos) -> bool {
        if now >= self.end.get() {
            return false;
        }
        let remaining = self.remaining.get();
        if remaining == u64::MAX || now < self.from.get() {
            return true;
        }
        if remaining == 0 {
            return false;
        }
        self.remaining.set(remaining - 1);
        true
    }

    /// Plans the requests this connection should send now.
    #[inline(always)]
    pub(crate) fn plan_requests<D: Dialogue>(
        &self,
        slot: &Rc<ConnectionSlot>,
        dialogue: &mut D,
        now: Nanos,
    ) {
        // An idle connection may be woken too, by a ping of the server or after a reconnect.
        if !slot.active {
            return;
        }
        match self.plan.load.pace {
            Pace::Closed { pipeline } => {
                if now < slot.think_until.get() {
                    return;
                }
                for _ in dialogue.in_flight()..pipeline.min(dialogue.in_flight() + self.batch) {
                    if slot.is_spent(dialogue.planned()) || !self.may_begin(now) {
                        return;
                    }
                    self.in_flight.set(self.in_flight.get() + 1);
                    plan(
                        slot,
                        dialogue,
                        Stamp {
                            intended: now,
                            sent: now,
                        },
                    );
                }
            }
            Pace::Open { .. } => self.plan_scheduled(slot, dialogue, now),
        }
    }

    /// Makes a connection of a closed loop wait before it sends again.
    pub(crate) fn think(&self, slot: &Rc<ConnectionSlot>, now: Nanos) {
        let until = now + self.plan.load.think_time;
        slot.think_until.set(until);
        let (slot, until) = (Rc::clone(slot), self.clock.instant(until));
        drop(reactor::spawn_local(async move {
            sleep_until(until).await;
            slot.event.notify();
        }));
    }

    /// Plans the requests that the balancer assigned, then this connection's share of the backlog.
    #[inline]
    fn plan_scheduled<D: Dialogue>(&self, slot: &Rc<ConnectionSlot>, dialogue: &mut D, now: Nanos) {
        let room = slot.room(dialogue.planned()).min(self.batch as u64);
        let mut left = usize::try_from(room).unwrap_or(self.batch);
        while left > 0
            && let Some(intended) = slot.take_assigned()
        {
            left -= 1;
            let stamp = Stamp {
                intended,
                sent: now,
            };
            // If the connection was not open yet, the generator was not late.
            if intended >= slot.connected_at.get() {
                self.counters.borrow_mut().lag(stamp);
            }
            plan(slot, dialogue, stamp);
        }
        let mut balancer = self.balancer.borrow_mut();
        for _ in 0..balancer.share(slot).min(left) {
            let Some(intended) = balancer.take(slot) else {
                break;
            };
            // It waited for a connection, so this does not count as lag of the generator either.
            let stamp = Stamp {
                intended,
                sent: now,
            };
            plan(slot, dialogue, stamp);
        }
        if left > 0 {
            balancer.freed(slot);
        }
    }

    /// Plans the requests that the connection before this one left unanswered. In an open loop the
    /// balancer has them.
    pub(crate) fn plan_again<D: Dialogue>(&self, slot: &ConnectionSlot, dialogue: &mut D) {
        if !self.plan.is_open() {
            while let Some(at) = slot.take_assigned() {
                let (intended, sent) = (at, at);
                plan(slot, dialogue, Stamp { intended, sent });
            }
        }
    }

    /// Returns true if this connection, having written everything, has more to send before it
    /// reads.
    #[inline]
    pub(crate) fn has_more<D: Dialogue>(&self, slot: &ConnectionSlot, dialogue: &D) -> bool {
        match self.plan.load.pace {
            Pace::Closed { pipeline } => {
                // During its think time, a connection sends nothing before it is notified.
                dialogue.in_flight() < pipeline
                    && self.begun.get()
                    && slot.active
                    && slot.think_until.get() == 0
            }
            Pace::Open { .. } => slot.has_assigned(),
        }
    }

    /// Counts the failure of a connection. It belongs to the measured part if it happens there, or
    /// if its oldest request, intended at `at`, does.
    pub(crate) fn failed(&self, slot: &ConnectionSlot, failure: &Failure, at: Nanos) {
        let window = self.counters.borrow().window;
        let inside = window.contains(at) || window.contains(self.clock.now());
        self.record(slot, failure, inside);
    }

    fn record(&self, slot: &ConnectionSlot, failure: &Failure, inside: bool) {
        let errors = if inside {
            &self.errors
        } else {
            &self.errors_outside
        };
        errors.borrow_mut().record(slot.number(), failure);
        if self.plan.setup.on_failure == OnFailure::Abort {
            self.failed_fast.set(true);
        }
    }

    /// Decides if the ramp still waits for a slot whose connection failed.
    pub(crate) fn failed_in_ramp(&self, slot: &ConnectionSlot, kind: ErrorKind) {
        if !slot.awaited.get() {
            return;
        }
        let deterministic = matches!(
            kind,
            ErrorKind::Silent
                | ErrorKind::ConnectTimeout
                | ErrorKind::WrongAnswer
                | ErrorKind::Internal
        );
        let hopeless = deterministic || slot.consecutive_failures.get() + 1 >= RAMP_ATTEMPTS;
        let stop = match self.plan.setup.on_failure {
            OnFailure::Abort => true,
            OnFailure::Reconnect => hopeless && self.served.get() == 0,
            OnFailure::End => false,
        };
        if stop {
            self.ramp_stopped.set(true);
        } else if hopeless || self.plan.setup.on_failure == OnFailure::End {
            self.await_no_more(slot);
            let all_failed = self.awaited.get() == 0 && self.served.get() == 0;
            if all_failed {
                self.ramp_stopped.set(true);
            }
        }
        self.ramp_event.notify();
    }

    fn await_no_more(&self, slot: &ConnectionSlot) {
        if slot.awaited.replace(false) {
            self.awaited.set(self.awaited.get() - 1);
        }
    }

    /// Counts an answer by which the server refused a request.
    #[cold]
    pub(crate) fn refused(&self, slot: &ConnectionSlot, status: u16, intended: Nanos) {
        let failure = match status {
            STREAM_RESET => Failure::new(ErrorKind::StreamReset, "the server reset the stream"),
            _ => Failure::new(ErrorKind::of_status(status), format!("status {status}")),
        };
        let inside = self.counters.borrow().window.contains(intended);
        self.record(slot, &failure, inside);
        if inside && status != STREAM_RESET {
            let counters = &mut *self.counters.borrow_mut();
            *counters.statuses.entry(status).or_default() += 1;
        }
    }

    /// Records that a slot got its first answer.
    #[cold]
    pub(crate) fn first_answer(&self, slot: &ConnectionSlot) {
        slot.served.set(true);
        self.served.set(self.served.get() + 1);
        self.await_no_more(slot);
        self.ramp_event.notify();
    }

    /// Returns true if every slot that sends has lost its connection, or has ended.
    pub(crate) fn is_cut_off(&self) -> bool {
        let slots = self.slots.borrow();
        let mut sending = slots.iter().filter(|slot| slot.active);
        sending.all(|slot| slot.lost.get() || slot.ended.get())
    }
}

/// Slots of a shard: all, or those that send.
fn slots_of(plan: &Plan, shard: u32, active: bool) -> u32 {
    let numbers = plan.connections_of(shard);
    let count = numbers.filter(|&number| !active || plan.is_active(number));
    u32::try_from(count.count()).expect("no more than all connections")
}

/// Adds a request to the exchange. The server owes an answer from now on.
#[inline]
pub(crate) fn plan<D: Dialogue>(slot: &ConnectionSlot, dialogue: &mut D, stamp: Stamp) {
    if dialogue.in_flight() == 0 {
        slot.owes(stamp.sent);
    }
    dialogue.plan(stamp);
}

#[cfg(test)]
mod tests;
