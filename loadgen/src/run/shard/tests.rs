use super::*;
use crate::run::payload::Payload;
use crate::run::plan::tests::plan as test_plan;
use crate::run::protocol::echo::Echo;

fn shard(amount: Amount, pace: Pace) -> Shard {
    let plan = Plan {
        amount,
        pace,
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
    let (slot, mut exchange) = (ConnectionSlot::new(true), exchange(64));
    shard.begin(TIMELINE);
    shard.plan_requests(&slot, &mut exchange, 250);
    assert_eq!((exchange.in_flight(), shard.in_flight.get()), (3, 3));
    assert!(!shard.has_more(&slot, &exchange));
    shard.plan_requests(&ConnectionSlot::new(false), &mut exchange, 250);
    assert_eq!(exchange.in_flight(), 3, "an idle connection sends nothing");
}

#[test]
fn an_open_loop_takes_all_that_was_assigned() {
    let shard = shard(
        Amount::Time(1),
        Pace::Open {
            rate: 1,
            arrivals: crate::report::settings::Arrivals::Fixed,
        },
    );
    let (slot, mut exchange) = (ConnectionSlot::new(true), exchange(64));
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
    plan.protocol = crate::run::plan::tests::echo(SCRATCH_BYTES / 2);
    plan.pace = Pace::Closed { pipeline: 10 };
    let shard = Shard::new(0, Arc::new(plan), Clock::start());
    let (slot, mut exchange) = (ConnectionSlot::new(true), exchange(SCRATCH_BYTES / 2));
    shard.begin(TIMELINE);
    shard.plan_requests(&slot, &mut exchange, 250);
    assert_eq!(exchange.in_flight(), 2);
    assert!(shard.has_more(&slot, &exchange));
}

#[test]
fn a_failure_during_the_ramp_stops_it() {
    let shard = shard(Amount::Time(1), Pace::Closed { pipeline: 1 });
    let failure = Failure::new(ErrorKind::Refused, "no");
    shard.failed(&ConnectionSlot::new(true), &failure);
    assert!(shard.ramp_stopped.get());
}
