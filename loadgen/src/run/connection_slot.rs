//! What the rest of a shard sees of one connection, and how it speaks to it.
//!
//! A task owns the socket and the conversation. The dispatcher hands it requests, the supervisor gives it orders, and both do
//! so through its [`ConnectionSlot`]: plain cells of one thread. The slot stays when a connection ends by its plan and another takes its
//! place, with a number of its own. Tests: at the end of this file.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use crate::measure::clock::Nanos;
use crate::measure::clock::Stamp;
use crate::run::bad_kind::BadKind;
use crate::run::event::Event;

/// Time-outs that may pass from one whole answer to the next while bytes keep coming. Without such a bound a server that
/// sends an answer byte by byte, or never ends it, holds up the ramp, or a run of so many requests, for good.
const WHOLE_MAX: u64 = 10;

/// What a connection is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Directive {
    /// Go on.
    Continue,
    /// Fail: the server has owed something for too long.
    TimedOut,
    /// End; what is in flight stays unanswered.
    GiveUp,
    /// End; what is in flight does not count.
    Abort,
}

/// One place in the run that a connection holds, as seen by its shard.
#[derive(Debug)]
pub(crate) struct ConnectionSlot {
    /// The number of the connection that holds it now; those of a run are numbered from zero as they are opened.
    number: Cell<u64>,
    /// Whether it sends after its first request.
    pub(crate) active: bool,
    /// How it misbehaves, where it is no part of the load.
    pub(crate) bad: Option<BadKind>,
    pub(crate) event: Event,
    directive: Cell<Directive>,
    /// Requests this connection carries at most.
    limit: Cell<u64>,
    /// Intended times of requests that the dispatcher assigned and the task has not taken.
    assigned: RefCell<VecDeque<Nanos>>,
    /// Since when the server has owed something without sending anything; zero while it owes nothing.
    pub(crate) owed_since: Cell<Nanos>,
    /// Since when it has owed something without completing an answer; only of meaning while it owes something.
    pub(crate) unanswered_since: Cell<Nanos>,
    /// When this connection was made.
    pub(crate) connected_at: Cell<Nanos>,
    /// Whether a connection was ever made.
    pub(crate) joined: Cell<bool>,
    /// Whether the first answer came.
    pub(crate) served: Cell<bool>,
    /// Connections in a row that the server ended early, without an answer.
    pub(crate) consecutive_failures: Cell<u32>,
    /// Whether a connection ended and its successor is not made yet.
    pub(crate) away: Cell<bool>,
    /// Whether no connection holds it any more, nor will.
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
            owed_since: Cell::new(0),
            unanswered_since: Cell::new(0),
            connected_at: Cell::new(0),
            joined: Cell::new(false),
            served: Cell::new(false),
            consecutive_failures: Cell::new(0),
            away: Cell::new(false),
            ended: Cell::new(false),
        }
    }

    /// The place of a client that misbehaves.
    pub(crate) fn bad(kind: BadKind) -> Self {
        Self {
            bad: Some(kind),
            ..Self::new(false)
        }
    }

    /// A connection takes the place: its number, and the requests it carries at most.
    pub(crate) fn occupy(&self, number: u64, limit: u64) {
        self.number.set(number);
        self.limit.set(limit);
    }

    /// The number of the connection.
    #[inline]
    pub(crate) fn number(&self) -> u64 {
        self.number.get()
    }

    /// Requests the connection may still carry, when it was given `planned`.
    #[inline]
    pub(crate) fn room(&self, planned: u64) -> u64 {
        self.limit.get().saturating_sub(planned)
    }

    /// Whether the connection carries no request beyond the `planned` ones.
    #[inline]
    pub(crate) fn is_spent(&self, planned: u64) -> bool {
        planned >= self.limit.get()
    }

    /// Has the connection end when what it was given is answered.
    pub(crate) fn retire(&self) {
        self.limit.set(0);
        self.event.notify();
    }

    /// From now on the server owes something.
    #[inline]
    pub(crate) fn owes(&self, since: Nanos) {
        self.owed_since.set(since);
        self.unanswered_since.set(since);
    }

    /// Whether the server has been silent for this long, or has not come to the end of an answer in [`WHOLE_MAX`] times that.
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

    /// Gives an order. The first one stands.
    pub(crate) fn give(&self, directive: Directive) {
        if self.directive.get() == Directive::Continue {
            self.directive.set(directive);
            self.event.notify();
        }
    }

    /// Hands it a request to send.
    #[inline]
    pub(crate) fn assign(&self, intended: Nanos) {
        self.assigned.borrow_mut().push_back(intended);
        self.event.notify();
    }

    /// Takes the next request to send.
    #[inline]
    pub(crate) fn take_assigned(&self) -> Option<Nanos> {
        self.assigned.borrow_mut().pop_front()
    }

    /// Takes back requests of a connection that ended, for the one after it. They come before what was assigned since.
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
