//! The times at which the connections of a shard are to be replaced.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::measure::clock::Nanos;
use crate::run::connection_slot::ConnectionSlot;

/// Connections in the order in which they are to go.
pub(crate) type Lives = VecDeque<Life>;

/// When a connection is to go.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) until: Nanos,
    pub(crate) slot: Rc<ConnectionSlot>,
    /// Which of the slot's connections it is.
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

/// Lives for the connections of the ramp, spread evenly over the first lifetime.
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
