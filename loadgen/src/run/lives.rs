//! The times at which the connections of a shard are replaced.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::measure::clock::Nanos;
use crate::run::connection_slot::ConnectionSlot;

/// The connections in the order of their ends.
pub(crate) type Lives = VecDeque<Life>;

/// The end of a connection's life.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) until: Nanos,
    pub(crate) slot: Rc<ConnectionSlot>,
    /// The number of the connection in its slot.
    pub(crate) number: u64,
}

impl Life {
    pub(crate) fn new(slot: &Rc<ConnectionSlot>, until: Nanos) -> Self {
        Self {
            until,
            slot: Rc::clone(slot),
            number: slot.number(),
        }
    }
}

/// Makes lives for the connections of the ramp, whose ends spread evenly over the first lifetime.
pub(crate) fn spread(slots: &[Rc<ConnectionSlot>], from: Nanos, lifetime: Nanos) -> Lives {
    let of = slots.len().max(1) as u128;
    let share = |nth: usize| {
        let share = u128::from(lifetime) * (nth as u128 + 1) / of;
        Nanos::try_from(share).expect("no more than the lifetime")
    };
    let lives = slots.iter().enumerate();
    lives
        .map(|(nth, slot)| Life::new(slot, from.saturating_add(share(nth))))
        .collect()
}
