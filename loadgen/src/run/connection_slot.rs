//! A connection slot: one of the places that a run keeps filled with connections.
//!
//! A task owns the socket and the exchange of the connection in the slot. The balancer
//! hands the slot requests and the supervisor gives it directives, in plain cells of one thread.
//! The slot stays when its connection ends and another one fills it. Tests: at the end of this
//! file.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use crate::measure::clock::Nanos;
use crate::measure::clock::Stamp;
use crate::run::bad_kind::BadKind;
use crate::run::event::Event;

/// The most time-outs between two whole answers while bytes keep coming. Without this bound, a
/// server that sends an answer byte by byte would hold up the run forever.
const WHOLE_MAX: u64 = 10;

/// An instruction to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Directive {
    /// Go on.
    Continue,
    /// Fail: the server has owed something for too long.
    TimedOut,
    /// End; requests in flight stay unanswered.
    GiveUp,
    /// End; requests in flight do not count.
    Abort,
}

/// A connection slot, as its shard sees it.
#[derive(Debug)]
pub(crate) struct ConnectionSlot {
    /// The number of the connection that fills it; connections are numbered as they are opened.
    number: Cell<u64>,
    /// True if it sends after its first request.
    pub(crate) active: bool,
    /// The way in which it misbehaves, if it is a bad client.
    pub(crate) bad: Option<BadKind>,
    pub(crate) event: Event,
    directive: Cell<Directive>,
    /// The most requests that this connection carries.
    limit: Cell<u64>,
    /// Intended times of requests that were assigned and not taken yet.
    assigned: RefCell<VecDeque<Nanos>>,
    /// Open loop: requests assigned to this connection and not answered.
    pub(crate) outstanding: Cell<usize>,
    /// Open loop: the balancer's class.
    pub(crate) class: Cell<usize>,
    /// True if the balancer's list of free connections has it.
    pub(crate) listed_free: Cell<bool>,
    /// The time since which the server has owed something and sent nothing; zero while it owes
    /// nothing.
    pub(crate) owed_since: Cell<Nanos>,
    /// The time since which the server has owed something and completed no answer. It has no
    /// meaning while the server owes nothing.
    pub(crate) unanswered_since: Cell<Nanos>,
    /// The time until which it waits before it sends again; zero without a think time.
    pub(crate) think_until: Cell<Nanos>,
    /// The time at which this connection was made.
    pub(crate) connected_at: Cell<Nanos>,
    /// True if a connection was ever made.
    pub(crate) joined: Cell<bool>,
    /// True if the first answer came.
    pub(crate) served: Cell<bool>,
    /// True if the ramp waits for its first answer.
    pub(crate) awaited: Cell<bool>,
    /// True if its last connection failed, and no other was made since.
    pub(crate) lost: Cell<bool>,
    /// Connections in a row that were of no use: they failed, or ended without an answer.
    pub(crate) consecutive_failures: Cell<u32>,
    /// True if no connection is open: one is being made, or waits to be made.
    pub(crate) connecting: Cell<bool>,
    /// True if it is empty and will not be filled again.
    pub(crate) ended: Cell<bool>,
}

impl ConnectionSlot {
    pub(crate) fn new(active: bool) -> Self {
        Self {
            number: Cell::new(0),
            active,
            bad: None,
            event: Event::default(),
            directive: Cell::new(Directive::Continue),
            limit: Cell::new(u64::MAX),
            assigned: RefCell::new(VecDeque::new()),
            outstanding: Cell::new(0),
            class: Cell::new(0),
            listed_free: Cell::new(false),
            owed_since: Cell::new(0),
            unanswered_since: Cell::new(0),
            think_until: Cell::new(0),
            connected_at: Cell::new(0),
            joined: Cell::new(false),
            served: Cell::new(false),
            awaited: Cell::new(true),
            lost: Cell::new(false),
            consecutive_failures: Cell::new(0),
            connecting: Cell::new(true),
            ended: Cell::new(false),
        }
    }

    /// The slot of a client that misbehaves.
    pub(crate) fn bad(kind: BadKind) -> Self {
        Self {
            bad: Some(kind),
            awaited: Cell::new(false),
            ..Self::new(false)
        }
    }

    /// Starts a connection: its number, and the most requests that it carries.
    pub(crate) fn occupy(&self, number: u64, limit: u64) {
        self.number.set(number);
        self.limit.set(limit);
    }

    /// The number of the connection.
    #[inline]
    pub(crate) fn number(&self) -> u64 {
        self.number.get()
    }

    /// Requests that the connection may still carry after `planned` ones.
    #[inline]
    pub(crate) fn room(&self, planned: u64) -> u64 {
        self.limit.get().saturating_sub(planned)
    }

    /// Returns true if the connection carries no request beyond the `planned` ones.
    #[inline]
    pub(crate) fn is_spent(&self, planned: u64) -> bool {
        planned >= self.limit.get()
    }

    /// Ends the connection when its requests are answered.
    pub(crate) fn retire(&self) {
        self.limit.set(0);
        self.event.notify();
    }

    /// Notes that the server owes something from now on.
    #[inline]
    pub(crate) fn owes(&self, since: Nanos) {
        self.owed_since.set(since);
        self.unanswered_since.set(since);
    }

    /// Returns true if the server has been silent for this long, or has completed no answer in
    /// [`WHOLE_MAX`] times that.
    pub(crate) fn is_late(&self, now: Nanos, timeout: Nanos) -> bool {
        let since = |moment: &Cell<Nanos>| now.saturating_sub(moment.get());
        self.owed_since.get() != 0
            && (since(&self.owed_since) > timeout
                || since(&self.unanswered_since) > timeout.saturating_mul(WHOLE_MAX))
    }

    #[inline]
    pub(crate) fn directive(&self) -> Directive {
        self.directive.get()
    }

    /// Clears the directive that the server is silent, for the next connection.
    pub(crate) fn forgive(&self) {
        if self.directive.get() == Directive::TimedOut {
            self.directive.set(Directive::Continue);
        }
    }

    /// Gives a directive. The first one stands.
    pub(crate) fn give(&self, directive: Directive) {
        if self.directive.get() == Directive::Continue {
            self.directive.set(directive);
            self.event.notify();
        }
    }

    /// Returns true if a connection is open and may be given requests.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        !self.connecting.get() && !self.ended.get() && self.directive.get() == Directive::Continue
    }

    /// Returns true if a connection is open and has nothing to do.
    #[inline]
    pub(crate) fn is_free(&self) -> bool {
        self.outstanding.get() == 0 && self.is_open()
    }

    /// Hands it a request to send.
    #[inline]
    pub(crate) fn assign(&self, intended: Nanos) {
        self.outstanding.set(self.outstanding.get() + 1);
        self.assigned.borrow_mut().push_back(intended);
        self.event.notify();
    }

    /// Takes the next request to send.
    #[inline]
    pub(crate) fn take_assigned(&self) -> Option<Nanos> {
        self.assigned.borrow_mut().pop_front()
    }

    /// Takes back requests of a connection that ended, for the next one. They come before those
    /// assigned since.
    pub(crate) fn hand_back(&self, unanswered: impl Iterator<Item = Stamp>) {
        let mut assigned = self.assigned.borrow_mut();
        let since = assigned.len();
        assigned.extend(unanswered.map(|stamp| stamp.intended));
        assigned.rotate_left(since);
    }

    #[inline]
    pub(crate) fn has_assigned(&self) -> bool {
        !self.assigned.borrow().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_taken_in_order() {
        let slot = ConnectionSlot::new(true);
        slot.assign(5);
        slot.assign(6);
        let taken = [
            slot.take_assigned(),
            slot.take_assigned(),
            slot.take_assigned(),
        ];
        assert_eq!(taken, [Some(5), Some(6), None]);
        assert!(!slot.has_assigned());
    }

    #[test]
    fn the_first_order_stands() {
        let slot = ConnectionSlot::new(true);
        slot.give(Directive::Abort);
        slot.give(Directive::TimedOut);
        assert_eq!(slot.directive(), Directive::Abort);
    }

    #[test]
    fn what_is_handed_back_comes_first() {
        let slot = ConnectionSlot::new(true);
        slot.assign(7);
        let stamp = |at| Stamp {
            intended: at,
            sent: at,
        };
        slot.hand_back([5, 6].map(stamp).into_iter());
        let taken: Vec<_> = std::iter::from_fn(|| slot.take_assigned()).collect();
        assert_eq!(taken, [5, 6, 7]);
    }

    #[test]
    fn a_connection_is_spent_by_requests_or_by_order() {
        let slot = ConnectionSlot::new(true);
        slot.occupy(3, 10);
        assert_eq!(
            (slot.room(8), slot.is_spent(9), slot.is_spent(10)),
            (2, false, true)
        );
        slot.retire();
        assert_eq!((slot.room(8), slot.is_spent(8)), (0, true));
        slot.occupy(4, 10);
        assert_eq!((slot.number(), slot.is_spent(0)), (4, false));
    }
}
