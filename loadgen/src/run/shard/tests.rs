use super::*;
use crate::run::exchange::Exchange;
use crate::run::payload::Payload;
use crate::run::plan::tests::plan as test_plan;
use crate::run::protocol::echo::Echo;
use crate::run::setup::Load;

fn shard(amount: Amount, pace: Pace) -> Shard {
    let plan = Plan {
        load: Load::new(pace, amount),
        ..test_plan(2, 2, 1)
    };
    Shard::new(0, Arc::new(plan), Clock::start())
}

fn exchange(size: usize) -> Exchange<Echo> {
    Exchange::new(Echo::of(Payload::new(1, 0, &size.into()), true), 1)
}

const TIMELINE: Timeline = Timeline {
    start: 100,
    from: 200,
    until: Nanos::MAX,
};

#[test]
fn nothing_begins_before_the_run_and_a_number_is_kept_after_the_warm_up() {
    let shard = shard(Amount::Requests(2), Pace::Closed { pipeline: 1 });
    assert!(!shard.may_begin(150), "the ramp");
    shard.begin(TIMELINE);
    let begun: Vec<_> = [150, 151, 200, 201, 202]
        .into_iter()
        .map(|now| shard.may_begin(now))
        .collect();
    assert_eq!(begun, [true, true, true, true, false]);
    assert!(shard.all_begun(202));
}

#[test]
fn with_a_duration_requests_begin_until_its_end() {
    let shard = shard(Amount::Time(100), Pace::Closed { pipeline: 1 });
    shard.begin(Timeline {
        until: 300,
        ..TIMELINE
    });
    assert!(shard.may_begin(299) && !shard.all_begun(299));
    assert!(!shard.may_begin(300) && shard.all_begun(300));
}

#[test]
fn a_closed_loop_keeps_its_pipeline_full() {
    let shard = shard(Amount::Time(1), Pace::Closed { pipeline: 3 });
    let (slot, mut exchange) = (Rc::new(ConnectionSlot::new(true)), exchange(64));
    shard.begin(TIMELINE);
    shard.plan_requests(&slot, &mut exchange, 250);
    assert_eq!((exchange.in_flight(), shard.in_flight.get()), (3, 3));
    assert!(!shard.has_more(&slot, &exchange));
    shard.plan_requests(&Rc::new(ConnectionSlot::new(false)), &mut exchange, 250);
    assert_eq!(exchange.in_flight(), 3, "an idle connection sends nothing");
}

#[test]
fn an_open_loop_takes_all_that_was_assigned() {
    let shard = shard(
        Amount::Time(1),
        Pace::Open {
            rate: crate::report::rate::Rate::whole(1),
            arrivals: crate::report::settings::Arrivals::Fixed,
            in_flight_max: usize::MAX,
        },
    );
    let (slot, mut exchange) = (Rc::new(ConnectionSlot::new(true)), exchange(64));
    shard.begin(TIMELINE);
    for at in [210, 220, 230] {
        slot.assign(at);
    }
    shard.plan_requests(&slot, &mut exchange, 240);
    let stamps: Vec<_> = exchange
        .take_in_flight()
        .map(|stamp| (stamp.intended, stamp.sent))
        .collect();
    assert_eq!(stamps, [(210, 240), (220, 240), (230, 240)]);
    assert_eq!(
        shard
            .counters
            .borrow()
            .lag
            .as_ref()
            .map(crate::measure::histogram::Recorder::count),
        Some(3)
    );
}

#[test]
fn large_requests_are_planned_one_buffer_at_a_time() {
    let mut plan = test_plan(1, 1, 1);
    plan.setup.protocol = crate::run::plan::tests::echo(SCRATCH_BYTES / 2);
    plan.load.pace = Pace::Closed { pipeline: 10 };
    let shard = Shard::new(0, Arc::new(plan), Clock::start());
    let (slot, mut exchange) = (
        Rc::new(ConnectionSlot::new(true)),
        exchange(SCRATCH_BYTES / 2),
    );
    shard.begin(TIMELINE);
    shard.plan_requests(&slot, &mut exchange, 250);
    assert_eq!(exchange.in_flight(), 2);
    assert!(shard.has_more(&slot, &exchange));
}

#[test]
fn the_ramp_is_given_up_only_where_nothing_is_served() {
    let fail = |shard: &Shard, slot: &ConnectionSlot, kind| {
        shard.failed_in_ramp(slot, kind);
        slot.consecutive_failures
            .set(slot.consecutive_failures.get() + 1);
    };
    let slots = || [true, true].map(ConnectionSlot::new);
    let fresh = || shard(Amount::Time(1), Pace::Closed { pipeline: 1 });

    // If no connection is served, the fifth failure in a row, or a wrong answer, ends the ramp.
    let (shard, [first, _]) = (fresh(), slots());
    for failures in 1..=RAMP_ATTEMPTS {
        fail(&shard, &first, ErrorKind::Refused);
        assert_eq!(shard.ramp_stopped.get(), failures == RAMP_ATTEMPTS);
    }
    let (shard, [first, _]) = (fresh(), slots());
    fail(&shard, &first, ErrorKind::WrongAnswer);
    assert!(shard.ramp_stopped.get());

    // If another connection is served, the ramp goes on, and no longer waits for the bad one.
    let (shard, [first, second]) = (fresh(), slots());
    shard.first_answer(&second);
    for _ in 0..RAMP_ATTEMPTS {
        assert_eq!(shard.awaited.get(), 1);
        fail(&shard, &first, ErrorKind::Reset);
    }
    assert_eq!((shard.awaited.get(), shard.ramp_stopped.get()), (0, false));
}

#[test]
fn failures_count_in_the_measured_part_or_apart() {
    let shard = shard(Amount::Time(1), Pace::Closed { pipeline: 1 });
    let slot = ConnectionSlot::new(true);
    let failure = Failure::new(ErrorKind::Reset, "gone");
    shard.failed(&slot, &failure, 250);
    shard.begin(Timeline {
        until: 300,
        ..TIMELINE
    });
    for at in [199, 200, 299, 300] {
        shard.failed(&slot, &failure, at);
    }
    assert_eq!(shard.errors.borrow().total(), 2);
    assert_eq!(shard.errors_outside.borrow().total(), 3);
}
