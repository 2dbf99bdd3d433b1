//! The choice of the connection that gets the next request of an open loop.
//!
//! Connections take turns. With a hot set (`hot.rs`) a request first draws whether it goes to the
//! hot set, and the connections of each set take turns. Independent draws keep Poisson arrivals
//! Poisson on both sets. Reads no clock. Called by the dispatcher. Tests: at the end of this file.

use std::rc::Rc;

use crate::measure::clock::Nanos;
use crate::run::connection_slot::ConnectionSlot;
use crate::run::plan::Plan;
use crate::run::random::{Random, mix};

/// Places that are passed over, at most, because their connection is being replaced.
const AWAY_MAX: u32 = 16;
/// Makes the draws differ from the arrival times, which derive from the same seed.
const DRAWS: u64 = 0x484f_5453;

/// All connections that send, and the one whose turn it is.
#[derive(Debug)]
pub(crate) struct Turns {
    /// The classes of connections by number modulo the stride; one class without a hot set.
    rounds: Vec<Round>,
    hot: Option<HotSet>,
}

/// The state of a hot set.
#[derive(Debug)]
struct HotSet {
    load: f64,
    start: Nanos,
    shift: Option<Nanos>,
    random: Random,
    /// The class of the last request that was not hot.
    cold: usize,
}

impl HotSet {
    /// Returns the class that is hot at this moment.
    fn phase(&self, at: Nanos, classes: usize) -> usize {
        let shifts = self.shift.map_or(0, |shift| {
            at.saturating_sub(self.start) / shift.max(1) % classes as u64
        });
        usize::try_from(shifts).expect("below the number of classes")
    }
}

impl Turns {
    /// `slots` are the connections that send, in the order of their numbers; requests begin at
    /// `start`.
    pub(crate) fn new(
        slots: impl Iterator<Item = Rc<ConnectionSlot>>,
        plan: &Plan,
        start: Nanos,
    ) -> Self {
        let classes = plan.hot.as_ref().map_or(1, |hot| hot.stride() as usize);
        let mut rounds: Vec<_> = (0..classes).map(|_| Round::default()).collect();
        for (number, slot) in slots.enumerate() {
            rounds[number % classes].slots.push(slot);
        }
        let hot = plan.hot.as_ref().map(|hot| HotSet {
            load: hot.load(),
            start,
            shift: plan.hot_shift,
            random: Random::new(mix(plan.seed ^ DRAWS)),
            cold: 0,
        });
        Self { rounds, hot }
    }

    /// Returns the connection for the request that is intended at this moment; `None` when all have
    /// ended.
    pub(crate) fn next(&mut self, intended: Nanos) -> Option<&Rc<ConnectionSlot>> {
        let classes = self.rounds.len();
        let class = match &mut self.hot {
            None => 0,
            Some(hot) => {
                let phase = hot.phase(intended, classes);
                if hot.random.next_unit() <= hot.load {
                    phase
                } else {
                    hot.cold = (hot.cold + 1) % classes;
                    if hot.cold == phase {
                        hot.cold = (hot.cold + 1) % classes;
                    }
                    hot.cold
                }
            }
        };
        // A class whose connections have all ended leaves its requests to the next one.
        let class = (0..classes)
            .map(|further| (class + further) % classes)
            .find(|&class| self.rounds[class].is_alive())?;
        self.rounds[class].next()
    }
}

/// Connections that take turns.
#[derive(Debug, Default)]
struct Round {
    slots: Vec<Rc<ConnectionSlot>>,
    turn: usize,
}

impl Round {
    /// Drops the connections at the turn that have ended; false when none is left.
    fn is_alive(&mut self) -> bool {
        self.slots.iter().any(|slot| !slot.ended.get()) || {
            self.slots.clear();
            false
        }
    }

    /// Returns the connection whose turn it is. Those that have ended leave the round. One that is
    /// being replaced is passed over while there are others: connecting has a histogram of its own.
    fn next(&mut self) -> Option<&Rc<ConnectionSlot>> {
        let mut passed = 0;
        loop {
            if self.slots.is_empty() {
                return None;
            }
            self.turn = if self.turn + 1 < self.slots.len() {
                self.turn + 1
            } else {
                0
            };
            let slot = &self.slots[self.turn];
            if slot.ended.get() {
                self.slots.swap_remove(self.turn);
            } else if slot.away.get() && passed < AWAY_MAX {
                passed += 1;
            } else {
                return Some(&self.slots[self.turn]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::plan::tests::plan;

    const CONNECTIONS: u32 = 32;

    fn turns(hot: Option<&str>, shift: Option<Nanos>) -> (Vec<Rc<ConnectionSlot>>, Turns) {
        let slots: Vec<_> = (0..CONNECTIONS)
            .map(|_| Rc::new(ConnectionSlot::new(true)))
            .collect();
        let mut plan = plan(CONNECTIONS, CONNECTIONS, 1);
        plan.hot = hot.map(|hot| hot.parse().expect(hot));
        plan.hot_shift = shift;
        let turns = Turns::new(slots.iter().map(Rc::clone), &plan, 1_000);
        (slots, turns)
    }

    /// Counts the requests of each connection among many that are intended at one moment.
    fn requests(slots: &[Rc<ConnectionSlot>], turns: &mut Turns, at: Nanos) -> Vec<u32> {
        let mut requests = vec![0; slots.len()];
        for _ in 0..32_000 {
            let chosen = turns.next(at).expect("all are alive");
            let nth = slots.iter().position(|slot| Rc::ptr_eq(slot, chosen));
            requests[nth.expect("one of ours")] += 1;
        }
        requests
    }

    #[test]
    fn without_a_hot_set_all_take_turns() {
        let (slots, mut turns) = turns(None, None);
        assert_eq!(requests(&slots, &mut turns, 1_000), [1_000; 32]);
    }

    #[test]
    fn every_fourth_connection_gets_nine_tenths_of_the_requests() {
        let (slots, mut turns) = turns(Some("25%:90%"), None);
        let requests = requests(&slots, &mut turns, 999_999);
        for (number, requests) in requests.into_iter().enumerate() {
            // 28,800 over 8 connections, and 3,200 over 24; the bounds are five deviations wide.
            let expected = if number % 4 == 0 {
                3_566..3_634
            } else {
                121..146
            };
            assert!(expected.contains(&requests), "{number}: {requests}");
        }
    }

    #[test]
    fn the_hot_set_moves_to_the_next_connections() {
        let (slots, mut turns) = turns(Some("1/2:100%"), Some(500));
        for (at, hot) in [(1_000, 0), (1_499, 0), (1_500, 1), (2_000, 0), (2_501, 1)] {
            let requests = requests(&slots, &mut turns, at);
            for (number, requests) in requests.into_iter().enumerate() {
                assert_eq!(requests > 0, number % 2 == hot, "{number} at {at}");
            }
        }
    }

    #[test]
    fn the_requests_of_a_hot_set_that_has_ended_go_to_the_others() {
        let (slots, mut turns) = turns(Some("1/2:100%"), None);
        slots
            .iter()
            .step_by(2)
            .for_each(|slot| slot.ended.set(true));
        let requests = requests(&slots, &mut turns, 1_000);
        assert_eq!(requests.iter().sum::<u32>(), 32_000);
        slots.iter().for_each(|slot| slot.ended.set(true));
        assert!(turns.next(1_000).is_none());
    }
}
