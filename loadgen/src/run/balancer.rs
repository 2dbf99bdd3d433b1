//! Chooses the connection that sends each request of an open loop.
//!
//! It prefers the connection that has been free longest. If none is free, and the run allows it,
//! the request is pipelined on a connection that has room. Otherwise it waits in the backlog until
//! a connection is free again. So no request is lost for lack of a free connection: it is late, and
//! its latency counts from the intended time.
//!
//! With a hot set (`hot.rs`) a random draw first decides if a request is hot. Independent draws
//! keep Poisson arrivals Poisson on both sets. The balancer reads no clock. The dispatcher hands it
//! requests; connections take requests from the backlog, and report when they are free. Tests: at
//! the end of this file and `tests/outage.rs`.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::measure::clock::Nanos;
use crate::run::connection_slot::ConnectionSlot;
use crate::run::plan::Plan;
use crate::run::random::{Random, mix};
use crate::run::setup::Pace;

/// The maximum number of connections that are checked for room before a request goes to the
/// backlog.
const LOOKS_MAX: usize = 64;
/// A constant that makes the draws independent of the arrival times, which use the same seed.
const DRAWS: u64 = 0x484f_5453;

/// The connections of one shard that send, and the requests that wait for them.
#[derive(Debug, Default)]
pub(crate) struct Balancer {
    /// The connections, grouped by their number modulo the stride of the hot set. Without a hot
    /// set, there is one class.
    classes: Vec<Class>,
    hot: Option<HotSet>,
    /// The maximum number of requests in flight on a connection.
    in_flight_max: usize,
    /// Requests that found no free connection.
    found_none_free: u64,
}

/// The connections of one class. They share their backlog.
#[derive(Debug, Default)]
struct Class {
    slots: Vec<Rc<ConnectionSlot>>,
    /// The slot that was last checked for room.
    turn: usize,
    /// Slots in the order in which they became free. A slot may have been lost since.
    free: VecDeque<Rc<ConnectionSlot>>,
    /// The intended times of the waiting requests, oldest first.
    backlog: VecDeque<Nanos>,
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
    /// Returns the class of the next request.
    fn class(&mut self, intended: Nanos, classes: usize) -> usize {
        let shifts = self.shift.map_or(0, |shift| {
            intended.saturating_sub(self.start) / shift.max(1) % classes as u64
        });
        let phase = usize::try_from(shifts).expect("below the number of classes");
        if self.random.next_unit() <= self.load {
            return phase;
        }
        self.cold = (self.cold + 1) % classes;
        if self.cold == phase {
            self.cold = (self.cold + 1) % classes;
        }
        self.cold
    }
}

impl Balancer {
    /// Makes a balancer of the connections that send, in the order of their numbers. Requests begin
    /// at `start`. In a closed loop it has no connections and gets no requests.
    pub(crate) fn new(
        slots: impl Iterator<Item = Rc<ConnectionSlot>>,
        plan: &Plan,
        start: Nanos,
    ) -> Self {
        let Pace::Open { in_flight_max, .. } = plan.load.pace else {
            return Self::default();
        };
        let classes = plan
            .load
            .hot
            .as_ref()
            .map_or(1, |hot| hot.stride() as usize);
        let mut balancer = Self {
            classes: (0..classes).map(|_| Class::default()).collect(),
            hot: plan.load.hot.as_ref().map(|hot| HotSet {
                load: hot.load(),
                start,
                shift: plan.load.hot_shift,
                random: Random::new(mix(plan.seed ^ DRAWS)),
                cold: 0,
            }),
            in_flight_max,
            found_none_free: 0,
        };
        for (number, slot) in slots.enumerate() {
            slot.class.set(number % classes);
            balancer.classes[number % classes]
                .slots
                .push(Rc::clone(&slot));
            balancer.freed(&slot);
        }
        balancer
    }

    /// Hands a request to a connection, or puts it into the backlog.
    pub(crate) fn dispatch(&mut self, intended: Nanos) {
        let classes = self.classes.len();
        let drawn = match &mut self.hot {
            None => 0,
            Some(hot) => hot.class(intended, classes),
        };
        // If all connections of a class have ended, the next class gets its requests.
        let class = (0..classes)
            .map(|further| (drawn + further) % classes)
            .find(|&class| self.classes[class].is_alive())
            .unwrap_or(drawn);
        let class = &mut self.classes[class];
        if let Some(slot) = class.take_free() {
            return slot.assign(intended);
        }
        self.found_none_free += 1;
        // The oldest request goes first, so that no request overtakes one that waits.
        class.backlog.push_back(intended);
        if let Some(slot) = class.with_room(self.in_flight_max)
            && let Some(oldest) = class.backlog.pop_front()
        {
            slot.assign(oldest);
        }
    }

    /// Notes that a connection may have become free.
    pub(crate) fn freed(&mut self, slot: &Rc<ConnectionSlot>) {
        if let Some(class) = self.classes.get_mut(slot.class.get())
            && slot.is_free()
            && !slot.listed_free.replace(true)
        {
            class.free.push_back(Rc::clone(slot));
        }
    }

    /// Returns the number of requests that a connection should take from the backlog now: its fair
    /// share, but no more than it has room for.
    pub(crate) fn share(&self, slot: &ConnectionSlot) -> usize {
        let Some(class) = self.classes.get(slot.class.get()) else {
            return 0;
        };
        let room = self.in_flight_max.saturating_sub(slot.outstanding.get());
        class
            .backlog
            .len()
            .div_ceil(class.slots.len().max(1))
            .min(room)
    }

    /// Takes the oldest request of the backlog for this connection.
    pub(crate) fn take(&mut self, slot: &ConnectionSlot) -> Option<Nanos> {
        let class = self.classes.get_mut(slot.class.get())?;
        let intended = class.backlog.pop_front()?;
        slot.outstanding.set(slot.outstanding.get() + 1);
        Some(intended)
    }

    /// Takes back requests that a connection did not send. Free connections get them first; the
    /// rest goes to the front of the backlog.
    pub(crate) fn take_back(&mut self, slot: &ConnectionSlot, requests: Vec<Nanos>) {
        let Some(class) = self.classes.get_mut(slot.class.get()) else {
            return;
        };
        for intended in requests.into_iter().rev() {
            class.backlog.push_front(intended);
        }
        while !class.backlog.is_empty() {
            let Some(free) = class.take_free() else { break };
            if let Some(intended) = class.backlog.pop_front() {
                free.assign(intended);
            }
        }
    }

    /// Empties the backlog at the end of the run. These requests are never sent.
    pub(crate) fn take_backlog(&mut self) -> Vec<Nanos> {
        let classes = self.classes.iter_mut();
        classes.flat_map(|class| class.backlog.drain(..)).collect()
    }

    /// Requests that found no free connection.
    pub(crate) fn found_none_free(&self) -> u64 {
        self.found_none_free
    }
}

impl Class {
    /// Returns true if a connection is left. If none is, removes those that have ended from the
    /// class.
    fn is_alive(&mut self) -> bool {
        self.slots.iter().any(|slot| !slot.ended.get()) || {
            self.slots.clear();
            false
        }
    }

    fn take_free(&mut self) -> Option<Rc<ConnectionSlot>> {
        while let Some(slot) = self.free.pop_front() {
            slot.listed_free.set(false);
            if slot.is_free() {
                return Some(slot);
            }
        }
        None
    }

    /// Returns the next connection in turn that has room for a request.
    fn with_room(&mut self, in_flight_max: usize) -> Option<Rc<ConnectionSlot>> {
        if in_flight_max <= 1 {
            return None;
        }
        for _ in 0..self.slots.len().min(LOOKS_MAX) {
            self.turn = (self.turn + 1) % self.slots.len();
            let slot = &self.slots[self.turn];
            if slot.is_open() && slot.outstanding.get() < in_flight_max {
                return Some(Rc::clone(slot));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::settings::Arrivals;
    use crate::run::plan::tests::plan;

    const CONNECTIONS: u32 = 32;

    fn balancer(
        connections: u32,
        in_flight_max: usize,
        hot: Option<&str>,
        shift: Option<Nanos>,
    ) -> (Vec<Rc<ConnectionSlot>>, Balancer) {
        let slots: Vec<_> = (0..connections)
            .map(|_| Rc::new(ConnectionSlot::new(true)))
            .collect();
        slots.iter().for_each(|slot| slot.connecting.set(false));
        let mut plan = plan(connections, connections, 1);
        plan.load.pace = Pace::Open {
            rate: crate::report::rate::Rate::whole(1),
            arrivals: Arrivals::Fixed,
            in_flight_max,
        };
        plan.load.hot = hot.map(|hot| hot.parse().expect(hot));
        plan.load.hot_shift = shift;
        let balancer = Balancer::new(slots.iter().map(Rc::clone), &plan, 1_000);
        (slots, balancer)
    }

    /// Takes all requests that a connection was given. Afterwards the connection is free.
    fn answer(balancer: &mut Balancer, slot: &Rc<ConnectionSlot>) -> Vec<Nanos> {
        let taken: Vec<_> = std::iter::from_fn(|| slot.take_assigned()).collect();
        slot.outstanding.set(0);
        balancer.freed(slot);
        taken
    }

    /// Counts the requests that each connection gets, if each one is answered at once.
    fn requests(slots: &[Rc<ConnectionSlot>], balancer: &mut Balancer, at: Nanos) -> Vec<usize> {
        let mut requests = vec![0; slots.len()];
        for _ in 0..32_000 {
            balancer.dispatch(at);
            for (slot, requests) in slots.iter().zip(&mut requests) {
                if slot.has_assigned() {
                    *requests += answer(balancer, slot).len();
                }
            }
        }
        requests
    }

    #[test]
    fn free_connections_take_turns() {
        let (slots, mut balancer) = balancer(CONNECTIONS, 1, None, None);
        assert_eq!(requests(&slots, &mut balancer, 1_000), [1_000; 32]);
        assert_eq!(balancer.found_none_free(), 0);
    }

    #[test]
    fn a_free_connection_comes_before_one_that_waits_for_an_answer() {
        let (slots, mut balancer) = balancer(3, 8, None, None);
        (1..=3).for_each(|at| balancer.dispatch(at));
        assert_eq!(answer(&mut balancer, &slots[2]), [3]);
        balancer.dispatch(4);
        assert_eq!(answer(&mut balancer, &slots[2]), [4]);
        assert_eq!(balancer.found_none_free(), 0);
        balancer.dispatch(5);
        balancer.dispatch(6);
        assert_eq!(balancer.found_none_free(), 1, "pipelined");
        let outstanding: usize = slots.iter().map(|slot| slot.outstanding.get()).sum();
        assert_eq!(outstanding, 4);
    }

    #[test]
    fn without_pipelining_a_request_waits_for_a_connection() {
        let (slots, mut balancer) = balancer(1, 1, None, None);
        [10, 20, 30]
            .into_iter()
            .for_each(|at| balancer.dispatch(at));
        assert_eq!(
            (balancer.found_none_free(), balancer.share(&slots[0])),
            (2, 0)
        );
        assert_eq!(answer(&mut balancer, &slots[0]), [10]);
        assert_eq!(balancer.share(&slots[0]), 1);
        assert_eq!(balancer.take(&slots[0]), Some(20));
        assert_eq!(balancer.share(&slots[0]), 0);
        assert_eq!(balancer.take_backlog(), [30]);
    }

    #[test]
    fn no_request_overtakes_those_that_wait() {
        let (slots, mut balancer) = balancer(1, usize::MAX, None, None);
        slots[0].connecting.set(true);
        balancer.dispatch(1);
        balancer.dispatch(2);
        slots[0].connecting.set(false);
        balancer.dispatch(3);
        assert_eq!(answer(&mut balancer, &slots[0]), [1]);
        assert_eq!(balancer.take_backlog(), [2, 3]);
    }

    #[test]
    fn requests_wait_while_no_connection_is_open_and_come_back_in_order() {
        let (slots, mut balancer) = balancer(2, usize::MAX, None, None);
        balancer.dispatch(1);
        balancer.dispatch(2);
        slots.iter().for_each(|slot| slot.connecting.set(true));
        balancer.dispatch(3);
        for slot in &slots {
            let unsent: Vec<_> = std::iter::from_fn(|| slot.take_assigned()).collect();
            slot.outstanding.set(0);
            balancer.take_back(slot, unsent);
        }
        slots[1].connecting.set(false);
        assert_eq!(balancer.share(&slots[1]), 2, "half of three, rounded up");
        let mut backlog = balancer.take_backlog();
        backlog.sort_unstable();
        assert_eq!(backlog, [1, 2, 3]);
    }

    #[test]
    fn every_fourth_connection_gets_nine_tenths_of_the_requests() {
        let (slots, mut balancer) = balancer(CONNECTIONS, 1, Some("25%:90%"), None);
        let requests = requests(&slots, &mut balancer, 999_999);
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
        let (slots, mut balancer) = balancer(CONNECTIONS, 1, Some("1/2:100%"), Some(500));
        for (at, hot) in [(1_000, 0), (1_499, 0), (1_500, 1), (2_000, 0), (2_501, 1)] {
            let requests = requests(&slots, &mut balancer, at);
            for (number, requests) in requests.into_iter().enumerate() {
                assert_eq!(requests > 0, number % 2 == hot, "{number} at {at}");
            }
        }
    }

    #[test]
    fn the_requests_of_a_hot_set_that_has_ended_go_to_the_others() {
        let (slots, mut balancer) = balancer(CONNECTIONS, 1, Some("1/2:100%"), None);
        let end = |slot: &Rc<ConnectionSlot>| slot.ended.set(true);
        slots.iter().step_by(2).for_each(end);
        let requests = requests(&slots, &mut balancer, 1_000);
        assert_eq!(requests.iter().sum::<usize>(), 32_000);
        slots.iter().for_each(end);
        balancer.dispatch(7);
        assert_eq!(balancer.take_backlog(), [7], "nobody can send it");
    }
}
