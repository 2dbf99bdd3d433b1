//! The measuring core on a clock that the test controls. The schedule, dispatcher, shard,
//! conversation and counters are the production code. The server and the generator stall at given
//! times. The expected values are computed by hand, and whole recorders are compared, so they agree
//! exactly, to the histogram's resolution.

use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use super::*;
use crate::measure::clock::Clock;
use crate::measure::histogram::Recorder;
use crate::report::settings::Arrivals;
use crate::run::connection_slot::ConnectionSlot;
use crate::run::dialogue::Dialogue as _;
use crate::run::exchange::Exchange;
use crate::run::payload::Payload;
use crate::run::plan::Plan;
use crate::run::plan::tests::plan as test_plan;
use crate::run::protocol::echo::Echo;
use crate::run::setup::{Amount, Load};

const MS: Nanos = 1_000_000;
/// The time at which requests begin. It is large, so that no stamp is small by accident.
const START: Nanos = 7_000 * MS;
/// The length of the measured part, in milliseconds. There is no warm-up.
const LENGTH: u64 = 400;
/// The time that the server takes for an answer without a stall, in milliseconds.
const DELAY: u64 = 2;
const SIZE: usize = 8;

/// A run of one connection, with a step every millisecond.
struct World {
    shard: Shard,
    slot: Rc<ConnectionSlot>,
    exchange: Exchange<Echo>,
    /// Answers on their way: the times at which they arrive, in milliseconds, and their bytes.
    answers: VecDeque<(u64, [u8; SIZE])>,
}

impl World {
    fn new(pace: Pace) -> Self {
        let plan = Plan {
            load: Load::new(pace, Amount::Time(LENGTH * MS)),
            ..test_plan(1, 1, 1)
        };
        let shard = Shard::new(0, Arc::new(plan), Clock::start());
        let slot = Rc::new(ConnectionSlot::new(true));
        slot.connecting.set(false);
        shard.slots.borrow_mut().push(Rc::clone(&slot));
        let payload = Payload::new(1, 0, &SIZE.into());
        Self {
            shard,
            slot,
            exchange: Exchange::new(Echo::of(payload, true), 1),
            answers: VecDeque::new(),
        }
    }

    /// Runs all steps. Answers that are due during a stall of the server leave at its end. During a
    /// stall of the generator, it neither sends nor reads.
    fn run(mut self, server_stalls: Range<u64>, generator_stalls: Range<u64>) -> Self {
        let timeline = Timeline {
            start: START,
            from: START,
            until: START + LENGTH * MS,
        };
        self.shard.begin(timeline);
        let mut dispatcher = Dispatcher::new(&self.shard, timeline);
        for at in (0..2 * LENGTH).filter(|at| !generator_stalls.contains(at)) {
            let now = START + at * MS;
            self.read(at, now);
            if let Some(open) = &mut dispatcher
                && open.hand_out(&self.shard, now).is_none()
            {
                dispatcher = None;
            }
            self.write(at, now, &server_stalls);
        }
        assert_eq!(self.shard.in_flight.get(), 0, "all is answered in the end");
        self
    }

    fn read(&mut self, at: u64, now: Nanos) {
        while self.answers.front().is_some_and(|(due, _)| *due <= at) {
            let (_, bytes) = self.answers.pop_front().expect("looked at");
            let (shard, counters) = (&self.shard, &mut *self.shard.counters.borrow_mut());
            let read = self.exchange.received(&bytes, 0, |stamp, _, _| {
                shard.in_flight.set(shard.in_flight.get() - 1);
                let outstanding = self.slot.outstanding.get();
                self.slot.outstanding.set(outstanding.saturating_sub(1));
                counters.answer(stamp, now, false);
            });
            read.expect("the right bytes");
        }
    }

    fn write(&mut self, at: u64, now: Nanos, server_stalls: &Range<u64>) {
        loop {
            let due_before = self.exchange.in_flight();
            self.shard
                .plan_requests(&self.slot, &mut self.exchange, now);
            let mut bytes = [0; SIZE];
            while self.exchange.has_output() {
                assert_eq!(self.exchange.fill(&mut bytes), SIZE);
                self.exchange.wrote(SIZE);
                let due = at + DELAY;
                let due = if server_stalls.contains(&due) {
                    server_stalls.end
                } else {
                    due
                };
                self.answers.push_back((due, bytes));
            }
            if self.exchange.in_flight() == due_before {
                return;
            }
        }
    }
}

/// Returns a recorder with these durations, in milliseconds.
fn recorder(latencies: impl IntoIterator<Item = u64>) -> Recorder {
    let mut recorder = Recorder::new();
    latencies
        .into_iter()
        .for_each(|ms| recorder.record(ms * MS));
    recorder
}

fn open() -> World {
    World::new(Pace::Open {
        rate: crate::report::rate::Rate::whole(1_000),
        arrivals: Arrivals::Fixed,
        in_flight_max: usize::MAX,
    })
}

fn millis(recorder: &Recorder, quantile: f64) -> u64 {
    recorder.quantile(quantile) / MS
}

#[test]
fn a_steady_server_is_measured_exactly() {
    let world = open().run(0..0, 0..0);
    let counters = world.shard.counters.borrow();
    let expected = recorder([DELAY; 400]);
    assert_eq!(counters.raw, expected);
    assert_eq!(counters.corrected.as_ref(), Some(&expected));
    assert_eq!(
        (counters.scheduled, counters.answered, counters.unanswered),
        (400, 400, 0)
    );
    // Two answers come after the measured part.
    assert_eq!(counters.completed, 398);
}

#[test]
fn a_stall_of_the_server_is_in_the_open_loop_with_every_request_it_delayed() {
    let world = open().run(100..200, 0..0);
    let counters = world.shard.counters.borrow();
    // Request k is sent at time k. The answers due from 100 to 199, to the requests 98 to 197,
    // arrive at 200.
    let expected = recorder((0..400).map(|k| match k {
        98..=197 => 200 - k,
        _ => DELAY,
    }));
    assert_eq!(counters.raw, expected, "the generator sends on time");
    assert_eq!(counters.corrected.as_ref(), Some(&expected));
    // A quarter of all requests were delayed, the four longest by 102 to 99 ms.
    assert_eq!(millis(&expected, 0.74), DELAY);
    assert_eq!(millis(&expected, 0.99), 98);
    assert_eq!(
        counters.lag.as_ref().map(Recorder::max),
        Some(1),
        "nothing is less than 1 ns"
    );
}

#[test]
fn the_same_stall_is_one_request_of_the_closed_loop() {
    let world = World::new(Pace::Closed { pipeline: 1 }).run(100..200, 0..0);
    let counters = world.shard.counters.borrow();
    // One every second millisecond: 49 until time 96, the one sent at 98 that waits until 200, and
    // 100 after that.
    let expected = recorder((0..150).map(|nth| if nth == 49 { 102 } else { DELAY }));
    assert_eq!(counters.raw, expected);
    assert_eq!(
        millis(&expected, 0.99),
        DELAY,
        "which is what coordinated omission is"
    );
    assert!(counters.corrected.is_none());
}

#[test]
fn a_stall_of_the_generator_is_in_the_corrected_latency_and_not_in_the_raw_one() {
    let world = open().run(0..0, 100..150);
    let counters = world.shard.counters.borrow();
    // Requests 100 to 149 are sent at 150 and answered at 152. The answers to 98 and 99 are read
    // only at 150.
    let raw = recorder((0..400).map(|k| match k {
        98 | 99 => 150 - k,
        _ => DELAY,
    }));
    let corrected = recorder((0..400).map(|k| match k {
        98 | 99 => 150 - k,
        100..=149 => 152 - k,
        _ => DELAY,
    }));
    let lag = recorder((0..400).map(|k| match k {
        100..=149 => 150 - k,
        _ => 0,
    }));
    assert_eq!(counters.raw, raw);
    assert_eq!(counters.corrected, Some(corrected));
    assert_eq!(counters.lag, Some(lag));
    assert_eq!(
        (millis(&counters.raw, 0.99), counters.scheduled),
        (DELAY, 400)
    );
    assert_eq!(
        counters.corrected.as_ref().map(|all| millis(all, 0.99)),
        Some(50)
    );
}
