//! What the rest of a shard sees of one connection, and how it speaks to it.
//!
//! The connection's task owns the socket and the conversation. The dispatcher hands it requests, the supervisor gives it
//! orders, and both do so through its [`Link`]: plain cells of one thread. Tests: at the end of this file.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use crate::clock::Nanos;
use crate::news::News;

/// What a connection is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Go on.
    GoOn,
    /// Fail: the server has owed something for too long.
    TimedOut,
    /// End; what is in flight stays unanswered.
    GiveUp,
    /// End; what is in flight does not count.
    Abort,
}

/// One connection, as seen by its shard.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: u32,
    /// Whether it sends after its first request.
    pub(crate) active: bool,
    pub(crate) news: News,
    order: Cell<Order>,
    /// Intended times of requests that the dispatcher assigned and the task has not taken.
    assigned: RefCell<VecDeque<Nanos>>,
    /// Since when the server has owed something without sending anything; zero while it owes nothing.
    pub(crate) owed_since: Cell<Nanos>,
    /// Whether its first answer came.
    pub(crate) served: Cell<bool>,
    /// Whether its task has ended.
    pub(crate) ended: Cell<bool>,
}

impl Link {
    pub(crate) fn new(id: u32, active: bool) -> Self {
        Self {
            id,
            active,
            news: News::default(),
            order: Cell::new(Order::GoOn),
            assigned: RefCell::new(VecDeque::new()),
            owed_since: Cell::new(0),
            served: Cell::new(false),
            ended: Cell::new(false),
        }
    }

    #[inline]
    pub(crate) fn order(&self) -> Order {
        self.order.get()
    }

    /// Gives an order. The first one stands.
    pub(crate) fn give(&self, order: Order) {
        if self.order.get() == Order::GoOn {
            self.order.set(order);
            self.news.tell();
        }
    }

    /// Hands it a request to send.
    #[inline]
    pub(crate) fn assign(&self, intended: Nanos) {
        self.assigned.borrow_mut().push_back(intended);
        self.news.tell();
    }

    /// Takes the next request to send.
    #[inline]
    pub(crate) fn take_assigned(&self) -> Option<Nanos> {
        self.assigned.borrow_mut().pop_front()
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
        let link = Link::new(1, true);
        link.assign(5);
        link.assign(6);
        let taken = [
            link.take_assigned(),
            link.take_assigned(),
            link.take_assigned(),
        ];
        assert_eq!(taken, [Some(5), Some(6), None]);
        assert!(!link.has_assigned());
    }

    #[test]
    fn the_first_order_stands() {
        let link = Link::new(1, true);
        link.give(Order::Abort);
        link.give(Order::TimedOut);
        assert_eq!(link.order(), Order::Abort);
    }
}
