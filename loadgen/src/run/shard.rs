//! What one thread of the generator owns: its connections, its counters, its buffers, all in plain cells.
//!
//! The tasks of a shard share one [`Shard`] through an `Rc`: the connections (`connection.rs`), the ramp that opens them
//! (`ramp.rs`), the dispatcher of an open loop (`dispatch.rs`) and the supervisor (`supervisor.rs`). No other thread sees it.
//! Which connection holds which place is in `shard/slots.rs`. Tests: `shard/tests.rs`, and every integration test.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use crate::measure::clock::Stamp;
use crate::measure::clock::{Clock, Nanos};
use crate::measure::counters::{Counters, Window};
use crate::measure::failure::{ErrorKind, Errors, Failure};
use crate::run::bad_kind::BadClientCounters;
use crate::run::connection_slot::ConnectionSlot;
use crate::run::event::Event;
use crate::run::exchange::Exchange;
use crate::run::lives::{self, Lives};
use crate::run::plan::Timeline;
use crate::run::plan::{Amount, Pace, Plan};
use crate::run::protocol::Protocol;
use crate::run::scratch::{SCRATCH_BYTES, Scratch};
use crate::run::sources::Sources;

mod slots;

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
    pub(crate) errors: RefCell<Errors>,
    /// Every place that a connection holds or held.
    pub(crate) slots: RefCell<Vec<Rc<ConnectionSlot>>>,
    /// Places whose connection ended by its plan, and waits to be replaced.
    away: RefCell<VecDeque<Rc<ConnectionSlot>>>,
    /// When connections are to go; empty where they live as long as the run.
    pub(crate) lives: RefCell<Lives>,
    /// Wakes the pacer: a connection passed it, failed or is to be replaced, or the run is over.
    pub(crate) ramp_event: Event,
    /// Connections that stand in the pacer.
    pub(crate) opening: Cell<u32>,
    /// Connections begun so far.
    begun_connections: Cell<u64>,
    /// Places that a connection was made for.
    pub(crate) connected: Cell<u32>,
    /// Places that were served.
    pub(crate) served: Cell<u32>,
    /// Connections that are open.
    pub(crate) live: Cell<u32>,
    /// Places of those that send, connected at least once and not ended.
    pub(crate) active_slots: Cell<u32>,
    /// Connections made.
    pub(crate) established: Cell<u64>,
    /// Connections that ended by their plan.
    pub(crate) retired: Cell<u64>,
    /// Connections that the server ended, owing nothing.
    pub(crate) left: Cell<u64>,
    /// What came of the bad clients.
    pub(crate) bad: RefCell<BadClientCounters>,
    /// Whether every connection of the ramp was served.
    pub(crate) ramped: Cell<bool>,
    /// Whether no further connection is to be opened.
    pub(crate) ramp_stopped: Cell<bool>,
    /// Requests handed to connections and not answered.
    pub(crate) in_flight: Cell<u64>,
    /// Whether the run was ended before its time.
    was_cut: Cell<bool>,
    /// Whether requests may have begun.
    pub(crate) begun: Cell<bool>,
    /// Measured requests begin here.
    from: Cell<Nanos>,
    /// No request begins from here on; zero until the run begins.
    end: Cell<Nanos>,
    /// Measured requests that may still begin; `u64::MAX` where time decides.
    remaining: Cell<u64>,
    /// Whether the schedule has been used up.
    pub(crate) dispatched: Cell<bool>,
    /// Requests a connection plans before it writes: what fits the buffer.
    batch: usize,
}

impl Shard {
    pub(crate) fn new(index: u32, plan: Arc<Plan>, clock: Clock) -> Self {
        let by_request = matches!(plan.amount, Amount::Requests(_));
        Self {
            index,
            clock,
            sources: Sources::new(&plan.target, plan.seed),
            incoming: Scratch::new(),
            outgoing: Scratch::new(),
            counters: RefCell::new(Counters::new(plan.is_open(), by_request)),
            errors: RefCell::default(),
            slots: RefCell::default(),
            away: RefCell::default(),
            lives: RefCell::default(),
            ramp_event: Event::default(),
            opening: Cell::new(0),
            begun_connections: Cell::new(0),
            connected: Cell::new(0),
            served: Cell::new(0),
            live: Cell::new(0),
            active_slots: Cell::new(0),
            established: Cell::new(0),
            retired: Cell::new(0),
            left: Cell::new(0),
            bad: RefCell::default(),
            ramped: Cell::new(false),
            ramp_stopped: Cell::new(false),
            in_flight: Cell::new(0),
            was_cut: Cell::new(false),
            begun: Cell::new(false),
            from: Cell::new(Nanos::MAX),
            end: Cell::new(0),
            remaining: Cell::new(plan.requests_of(index)),
            dispatched: Cell::new(false),
            batch: (SCRATCH_BYTES / plan.protocol.mean_size()).max(1),
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
            .begin(timeline.from, self.plan.interval);
        self.from.set(timeline.from);
        self.end.set(timeline.until);
        if let Some(lifetime) = self.plan.lifetime {
            *self.lives.borrow_mut() =
                lives::spread(&self.slots.borrow(), timeline.start, lifetime);
        }
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

    /// Lets no further request begin, and ends what is measured.
    pub(crate) fn cut(&self, now: Nanos) {
        self.was_cut.set(true);
        self.ramp_stopped.set(true);
        self.ramp_event.notify();
        self.end.set(self.end.get().min(now));
        let window = &mut self.counters.borrow_mut().window;
        window.until = window.until.min(now);
    }

    /// Whether all requests that were to begin have begun.
    pub(crate) fn all_begun(&self, now: Nanos) -> bool {
        match self.plan.pace {
            Pace::Closed { .. } => self.none_begins_from(now),
            Pace::Open { .. } => self.dispatched.get(),
        }
    }

    /// Whether no request begins at this time or later.
    pub(crate) fn none_begins_from(&self, at: Nanos) -> bool {
        at >= self.end.get() || self.remaining.get() == 0
    }

    /// Takes one request out of what may begin now.
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
    pub(crate) fn plan_requests<P: Protocol>(
        &self,
        slot: &ConnectionSlot,
        exchange: &mut Exchange<P>,
        now: Nanos,
    ) {
        match self.plan.pace {
            Pace::Closed { pipeline } => {
                if !slot.active {
                    return;
                }
                for _ in exchange.in_flight()..pipeline.min(exchange.in_flight() + self.batch) {
                    if slot.is_spent(exchange.planned()) || !self.may_begin(now) {
                        return;
                    }
                    self.in_flight.set(self.in_flight.get() + 1);
                    plan(
                        slot,
                        exchange,
                        Stamp {
                            intended: now,
                            sent: now,
                        },
                    );
                }
            }
            Pace::Open { .. } => {
                let room = slot.room(exchange.planned());
                for _ in 0..room.min(self.batch as u64) {
                    let Some(intended) = slot.take_assigned() else {
                        return;
                    };
                    let stamp = Stamp {
                        intended,
                        sent: now,
                    };
                    // Where the connection was not there yet, it is not the generator that was late.
                    if intended >= slot.connected_at.get() {
                        self.counters.borrow_mut().lag(stamp);
                    }
                    plan(slot, exchange, stamp);
                }
            }
        }
    }

    /// Plans what the connection before this one was asked and did not answer. An open loop takes it with what was assigned.
    pub(crate) fn plan_again<P: Protocol>(
        &self,
        slot: &ConnectionSlot,
        exchange: &mut Exchange<P>,
    ) {
        if !self.plan.is_open() {
            while let Some(at) = slot.take_assigned() {
                let (intended, sent) = (at, at);
                plan(slot, exchange, Stamp { intended, sent });
            }
        }
    }

    /// Whether this connection, having written everything, has more to send before it reads.
    #[inline]
    pub(crate) fn has_more<P: Protocol>(
        &self,
        slot: &ConnectionSlot,
        exchange: &Exchange<P>,
    ) -> bool {
        match self.plan.pace {
            Pace::Closed { pipeline } => {
                exchange.in_flight() < pipeline && self.begun.get() && slot.active
            }
            Pace::Open { .. } => slot.has_assigned(),
        }
    }

    /// Counts a failed connection. During the ramp it stops the ramp: a run is never silently smaller than asked for.
    pub(crate) fn failed(&self, slot: &ConnectionSlot, failure: &Failure) {
        self.errors.borrow_mut().record(slot.number(), failure);
        if !self.begun.get() {
            self.ramp_stopped.set(true);
        }
    }

    /// Counts an answer that says the server did not do what was asked.
    #[cold]
    pub(crate) fn refused(&self, slot: &ConnectionSlot, status: u16) {
        let failure = Failure::new(ErrorKind::of_status(status), format!("status {status}"));
        self.errors.borrow_mut().record(slot.number(), &failure);
    }

    /// Notes that a connection got its first answer.
    #[cold]
    pub(crate) fn first_answer(&self, slot: &ConnectionSlot) {
        slot.served.set(true);
        self.served.set(self.served.get() + 1);
        self.opened();
    }
}

/// Adds a request to the conversation; from now on the server owes an answer.
#[inline]
pub(crate) fn plan<P: Protocol>(slot: &ConnectionSlot, exchange: &mut Exchange<P>, stamp: Stamp) {
    if exchange.in_flight() == 0 {
        slot.owes(stamp.sent);
    }
    exchange.plan(stamp);
}

#[cfg(test)]
mod tests;
