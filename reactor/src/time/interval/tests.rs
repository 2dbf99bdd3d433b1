//! Tests of the schedule, without a wait.

use std::time::{Duration, Instant};

use super::{MissedTickBehavior, interval, remainder};
use crate::{Pinning, Reactor};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_remainder_is_less_than_a_period() {
    for (nanos, period, left) in [
        (0, 5, 0),
        (4, 5, 4),
        (5, 5, 0),
        (6, 5, 1),
        (14, 5, 4),
        (3_000_000_007, 1_000_000_000, 7),
    ] {
        assert_eq!(
            remainder(Duration::from_nanos(nanos), Duration::from_nanos(period)),
            Duration::from_nanos(left),
            "{nanos} after periods of {period}"
        );
    }
}

#[test]
fn a_late_tick_moves_the_schedule_as_requested() {
    let due = Instant::now();
    let next = |behavior: MissedTickBehavior, late| behavior.next(due, due + late, SECOND);
    let late = SECOND * 5 / 2;
    assert_eq!(next(MissedTickBehavior::Burst, late), due + SECOND);
    assert_eq!(next(MissedTickBehavior::Delay, late), due + late + SECOND);
    assert_eq!(next(MissedTickBehavior::Skip, late), due + 3 * SECOND);
    assert_eq!(next(MissedTickBehavior::Skip, SECOND), due + 2 * SECOND);
    assert_eq!(next(MissedTickBehavior::Skip, SECOND / 4), due + SECOND);
}

fn reactor() -> Reactor {
    let builder = Reactor::builder().shards(1).pinning(Pinning::None);
    builder.build().unwrap()
}

#[test]
fn a_reset_moves_the_next_tick() {
    let reactor = reactor();
    let _entered = reactor.enter();
    let mut ticks = interval(SECOND);
    let next_is_in = |ticks: &super::Interval, before: Instant, wait| {
        let next = ticks.next.deadline();
        assert!(before + wait <= next && next <= Instant::now() + wait);
    };
    let before = Instant::now();
    ticks.reset();
    next_is_in(&ticks, before, SECOND);
    ticks.reset_after(7 * SECOND);
    next_is_in(&ticks, before, 7 * SECOND);
    ticks.reset_immediately();
    next_is_in(&ticks, before, Duration::ZERO);
    ticks.reset_at(before + 9 * SECOND);
    assert_eq!(ticks.next.deadline(), before + 9 * SECOND);
}

#[test]
fn an_interval_shows_its_settings() {
    let reactor = reactor();
    let _entered = reactor.enter();
    let mut ticks = interval(SECOND);
    assert_eq!(ticks.period(), SECOND);
    assert_eq!(ticks.missed_tick_behavior(), MissedTickBehavior::Burst);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    assert_eq!(ticks.missed_tick_behavior(), MissedTickBehavior::Skip);
}
