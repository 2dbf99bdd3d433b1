//! A connection slot: a run keeps each of its slots filled with a connection.
//!
//! A task owns the socket and the exchange of the connection in the slot. The balancer hands the
//! slot requests, and the supervisor gives it directives, in plain cells of one thread. When a
//! connection ends, the slot stays and gets another one. Tests: at the end of this file.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use crate::measure::clock::Nanos;
use crate::measure::clock::Stamp;
use crate::run::bad_kind::BadKind;
use crate::run::event::Event;

/// The maximum number of timeouts between two complete answers while bytes keep coming. Without
/// this limit, a server that sends an answer byte by byte would hold up the run forever.
const WHOLE_MAX: u64 = 10;

/// An instruction to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Directive {
    /// Go on.
    Continue,
    /// Fail: the server has owed an answer for too long.
    TimedOut,
    /// End. Requests in flight count as unanswered.
    GiveUp,
    /// End. Requests in flight do not count.
    Abort,
}

/// A connection slot, as its shard sees it.
#[derive(Debug)]
pub(crate) struct ConnectionSlot {
    /// The number of its connection. Connections are numbered in the order in which they are
    /// opened.
    number: Cell<u64>,
    /// True if it sends more than its first request.
    pub(crate) active: bool,
    /// The kind of bad client, if it is one.
    pub(crate) bad: Option<BadKind>,
    pub(crate) event: Event,
    directive: Cell<Directive>,
    /// The maximum number of requests on this connection.
    limit: Cell<u64>,
    /// The intended times of assigned requests that it has not taken yet.
    assigned: RefCell<VecDeque<Nanos>>,
    /// Open loop: the number of assigned requests without an answer.
    pub(crate) outstanding: Cell<usize>,
    /// Open loop: its class in the balancer.
    pub(crate) class: Cell<usize>,
    /// True if the balancer's list of free connections has it.
    pub(crate) listed_free: Cell<bool>,
    /// The time since which the server has owed an answer and sent nothing; zero while it owes
    /// nothing.
    pub(crate) owed_since: Cell<Nanos>,
    /// The time since which the server has owed an answer and completed none. It has no meaning
    /// while the server owes nothing.
    pub(crate) unanswered_since: Cell<Nanos>,
    /// The end of its think time; zero without a think time.
    pub(crate) think_until: Cell<Nanos>,
    /// The time at which this connection was established.
    pub(crate) connected_at: Cell<Nanos>,
    /// True if a connection was ever established.
    pub(crate) joined: Cell<bool>,
    /// True if the first answer came.
    pub(crate) served: Cell<bool>,
    /// True if the ramp waits for its first answer.
    pub(crate) awaited: Cell<bool>,
    /// True if its last connection failed, and no other was established since.
    pub(crate) lost: Cell<bool>,
    /// The number of connections in a row that failed or ended without an answer.
    pub(crate) consecutive_failures: Cell<u32>,
    /// True if no connection is open: one is being opened, or waits to be opened.
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

    /// Starts a connection with this number and this maximum number of requests.
    pub(crate) fn occupy(&self, number: u64, limit: u64) {
        self.number.set(number);
        self.limit.set(limit);
    }

    /// Returns the number of the connection.
    #[inline]
    pub(crate) fn number(&self) -> u64 {
        self.number.get()
    }

    /// Returns the number of requests that the connection may still carry after `planned` ones.
    #[inline]
    pub(crate) fn room(&self, planned: u64) -> u64 {
        self.limit.get().saturating_sub(planned)
    }

    /// Returns true if the connection may carry no more than the `planned` requests.
    #[inline]
    pub(crate) fn is_spent(&self, planned: u64) -> bool {
        planned >= self.limit.get()
    }

    /// Ends the connection when its requests are answered.
    pub(crate) fn retire(&self) {
        self.limit.set(0);
        self.event.notify();
    }

    /// Records that the server owes an answer from now on.
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

    /// Gives a directive. A later one does not replace it.
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

    /// Assigns a request to it.
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

    /// Takes back the requests of a connection that ended, for the next one. They go before those
    /// that were assigned since.
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
