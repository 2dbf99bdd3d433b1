//! Fills and empties the connection slots of a shard, and counts requests that will not be
//! answered.
//!
//! The pacer (`ramp.rs`), the tasks of connections and the supervisor call it. Tests:
//! `tests/churn.rs` and `tests/outage.rs`.

use std::rc::Rc;
use std::time::Duration;

use asyncfd::net::{TcpStream, UnixStream};
use reactor::spawn_local;
use server_demo::IoSurface;

use super::Shard;
use crate::measure::clock::Stamp;
use crate::measure::clock::{Nanos, nanos};
use crate::measure::counters::Lost;
use crate::run::bad_client;
use crate::run::connection;
use crate::run::connection_slot::{ConnectionSlot, Directive};
use crate::run::dialogue::Dialogue;
use crate::run::exchange::Exchange;
use crate::run::lives::Life;
use crate::run::protocol::echo::Echo;
use crate::run::protocol::fixed::Fixed;
use crate::run::protocol::{Answers, Protocol, ProtocolSpec};
use crate::run::sources::Address;
use crate::run::transport::{Guards, Helpers, Polling};

impl Shard {
    /// Opens a connection for a new slot, as a task of this shard.
    pub(crate) fn open(self: &Rc<Self>, slot: Rc<ConnectionSlot>) {
        self.slots.borrow_mut().push(Rc::clone(&slot));
        self.connect(slot);
    }

    /// Opens a connection for the slot that has waited longest, unless the run ended meanwhile.
    pub(crate) fn open_again(self: &Rc<Self>) {
        let slot = self.to_replace.borrow_mut().pop_front();
        if let Some(slot) = slot {
            self.connect(slot);
        }
    }

    fn connect(self: &Rc<Self>, slot: Rc<ConnectionSlot>) {
        let nth = self.begun_connections.get();
        self.begun_connections.set(nth + 1);
        let number = u64::from(self.index) + nth * u64::from(self.plan.setup.threads);
        slot.occupy(
            number,
            self.plan.setup.requests_per_conn.unwrap_or(u64::MAX),
        );
        self.opening.set(self.opening.get() + 1);
        match &self.plan.setup.protocol {
            ProtocolSpec::Echo { .. } => self.spawn::<Echo>(slot),
            #[cfg(feature = "http2")]
            ProtocolSpec::Fixed {
                answer: Answers::Http2 { .. },
                ..
            } => self.converse::<crate::run::http2::Streams>(slot),
            #[cfg(not(feature = "http2"))]
            ProtocolSpec::Fixed {
                answer: Answers::Http2 { .. },
                ..
            } => unreachable!("the command line refuses it"),
            ProtocolSpec::Fixed { .. } => self.spawn::<Fixed>(slot),
            #[cfg(feature = "websocket")]
            ProtocolSpec::WebSocket { .. } => {
                self.converse::<crate::run::websocket::WebSocketEcho>(slot);
            }
            #[cfg(not(feature = "websocket"))]
            ProtocolSpec::WebSocket { .. } => unreachable!("the command line refuses it"),
        }
    }

    /// Starts the connection of a protocol whose answers come in order.
    fn spawn<P: Protocol>(self: &Rc<Self>, slot: Rc<ConnectionSlot>) {
        let shard = Rc::clone(self);
        if let Some(kind) = slot.bad {
            return drop(spawn_local(bad_client::run::<P>(shard, slot, kind)));
        }
        self.converse::<Exchange<P>>(slot);
    }

    fn converse<D: Dialogue>(self: &Rc<Self>, slot: Rc<ConnectionSlot>) {
        let shard = Rc::clone(self);
        #[cfg(feature = "tls")]
        if self.plan.tls.is_some() {
            use crate::run::encrypted::Encrypted;
            return match &self.plan.target {
                Address::Tcp(_) => drop(spawn_local(connection::run::<Encrypted<TcpStream>, D>(
                    shard, slot,
                ))),
                Address::Unix(_) => drop(spawn_local(connection::run::<Encrypted<UnixStream>, D>(
                    shard, slot,
                ))),
            };
        }
        // The task reports through the shard, even if it panics, so no other task awaits it.
        match (self.plan.setup.io, &self.plan.target) {
            (IoSurface::Helpers, Address::Tcp(_)) => drop(spawn_local(connection::run::<
                Helpers<TcpStream>,
                D,
            >(shard, slot))),
            (IoSurface::Helpers, Address::Unix(_)) => drop(spawn_local(connection::run::<
                Helpers<UnixStream>,
                D,
            >(shard, slot))),
            (IoSurface::Guards, _) => drop(spawn_local(connection::run::<Guards, D>(shard, slot))),
            (IoSurface::Poll, _) => drop(spawn_local(connection::run::<Polling, D>(shard, slot))),
        }
    }

    /// Counts a connection that was just established, after connecting since `began`. The handshake
    /// of TLS took this part of that time.
    pub(crate) fn connected(
        &self,
        slot: &Rc<ConnectionSlot>,
        began: Nanos,
        handshake: Option<Duration>,
    ) {
        let now = self.clock.now();
        let counters = &mut *self.counters.borrow_mut();
        counters.connect.record(now.saturating_sub(began));
        if let Some(handshake) = handshake {
            let recorder = counters.handshake.get_or_insert_default();
            recorder.record(nanos(handshake));
        }
        self.established.set(self.established.get() + 1);
        self.live.set(self.live.get() + 1);
        slot.connected_at.set(now);
        slot.connecting.set(false);
        if slot.lost.replace(false) {
            self.reconnected.set(self.reconnected.get() + 1);
        }
        if !slot.joined.replace(true) {
            self.connected.set(self.connected.get() + 1);
        }
        // Lifetimes do not count before the run begins. At that time, those of the ramp's
        // connections are spread.
        if let Some(lifetime) = self.plan.setup.lifetime
            && self.begun.get()
        {
            let life = Life::new(slot, now.saturating_add(lifetime));
            self.lives.borrow_mut().push_back(life);
        }
    }

    /// Frees a place in the pacer for the next connection.
    pub(crate) fn opened(&self) {
        self.opening.set(self.opening.get() - 1);
        self.ramp_event.notify();
    }

    /// Asks the pacer to open another connection for a slot.
    pub(crate) fn replace(&self, slot: &Rc<ConnectionSlot>) {
        if slot.directive() == Directive::Continue {
            slot.connecting.set(true);
            self.to_replace.borrow_mut().push_back(Rc::clone(slot));
            self.ramp_event.notify();
        } else {
            self.end(slot);
        }
    }

    /// Returns the slot that has waited longest for another connection.
    pub(crate) fn next_to_replace(&self) -> Option<Rc<ConnectionSlot>> {
        self.to_replace.borrow().front().map(Rc::clone)
    }

    /// Returns true if a slot has nothing to do in the rest of the run.
    pub(crate) fn needs_no_more(&self, slot: &ConnectionSlot) -> bool {
        let waiting = self.plan.is_open() && self.in_flight.get() > 0;
        self.begun.get()
            && self.none_begins_from(self.clock.now())
            && !slot.has_assigned()
            && !waiting
    }

    /// Ends the slot that has waited longest.
    pub(crate) fn end_next_to_replace(&self) {
        let slot = self.to_replace.borrow_mut().pop_front();
        if let Some(slot) = slot {
            self.end(&slot);
        }
    }

    /// Counts requests that were sent and will not be answered.
    pub(crate) fn lose(&self, slot: &ConnectionSlot, sent: impl Iterator<Item = Stamp>) {
        let now = self.clock.now();
        let lost = if slot.directive() == Directive::Abort {
            Lost::Interrupted
        } else {
            Lost::Unanswered
        };
        let mut counters = self.counters.borrow_mut();
        for stamp in sent {
            self.in_flight.set(self.in_flight.get() - 1);
            counters.lose(stamp, now, lost);
        }
    }

    /// Takes back the requests that a connection did not send, for other connections. In a closed
    /// loop they stay with their slot.
    pub(crate) fn take_back(&self, slot: &ConnectionSlot, sent: impl Iterator<Item = Stamp>) {
        slot.hand_back(sent);
        if self.plan.is_open() {
            slot.outstanding.set(0);
            let unsent = std::iter::from_fn(|| slot.take_assigned()).collect();
            self.balancer.borrow_mut().take_back(slot, unsent);
        }
    }

    /// Accounts for the end of a slot.
    pub(crate) fn end(&self, slot: &ConnectionSlot) {
        if slot.ended.replace(true) {
            return;
        }
        let active = u32::from(slot.active);
        self.active_slots.set(self.active_slots.get() - active);
        if self.plan.is_open() && slot.directive() == Directive::Continue {
            return self.take_back(slot, std::iter::empty());
        }
        self.lose_unsent(std::iter::from_fn(|| slot.take_assigned()));
    }

    /// Counts requests that were due and never sent.
    fn lose_unsent(&self, requests: impl IntoIterator<Item = Nanos>) {
        let now = self.clock.now();
        let mut counters = self.counters.borrow_mut();
        for intended in requests {
            self.in_flight.set(self.in_flight.get() - 1);
            let sent = now;
            counters.lose(Stamp { intended, sent }, now, Lost::Unsent);
        }
    }

    /// Gives every connection a directive, ends the slots without a connection, and gives up the
    /// backlog.
    pub(crate) fn direct_all(&self, directive: Directive) {
        for slot in self.slots.borrow().iter() {
            slot.give(directive);
        }
        while self.next_to_replace().is_some() {
            self.end_next_to_replace();
        }
        self.give_up_backlog();
    }

    /// Counts the requests that wait for a connection as never sent.
    pub(crate) fn give_up_backlog(&self) {
        let backlog = self.balancer.borrow_mut().take_backlog();
        self.lose_unsent(backlog);
    }
}
