//! The open loop: hands each scheduled request to a connection when its time comes, whatever the answers do.
//!
//! Connections take turns. The reactor's timers have a grain of one millisecond, which is too coarse for a schedule: the last
//! stretch before a send is spun, with a yield between looks so that answers are taken meanwhile.

use std::rc::Rc;
use std::time::Duration;

use reactor::time::sleep;
use reactor::yield_now;

use crate::clock::Nanos;
use crate::control::Timeline;
use crate::link::Link;
use crate::plan::Pace;
use crate::schedule::Schedule;
use crate::shard::Shard;

/// A sleep ends up to this much late: the grain of a timer, and waking up.
const SLEEP_SLACK: Nanos = 2_000_000;
/// How long a run that is cut short may go unnoticed.
const SLEEP_MAX: Nanos = 50_000_000;
/// Requests handed out before other tasks of the shard get their turn.
const BURST_MAX: u32 = 128;

/// Runs the shard's share of the schedule, if there is one.
pub(crate) async fn dispatch(shard: &Shard, timeline: Timeline) {
    run(shard, timeline).await;
    shard.dispatched.set(true);
}

async fn run(shard: &Shard, timeline: Timeline) {
    let plan = &shard.plan;
    let (Pace::Open { rate, arrivals }, Some(share)) = (plan.pace, plan.sending_share(shard.index))
    else {
        return;
    };
    let mut schedule = Schedule::new(arrivals, rate, share, timeline.start, plan.seed);
    let mut turns: Vec<Rc<Link>> = shard
        .links
        .borrow()
        .iter()
        .filter(|link| link.active)
        .map(Rc::clone)
        .collect();
    let mut turn = 0;
    loop {
        let now = shard.clock.now();
        for _ in 0..BURST_MAX {
            let intended = schedule.peek();
            if intended > now {
                break;
            }
            if !shard.may_begin(intended) {
                return;
            }
            let Some(link) = next_alive(&mut turns, &mut turn) else {
                return;
            };
            schedule.take();
            let tally = &mut *shard.tally.borrow_mut();
            tally.scheduled += u64::from(tally.window.contains(intended));
            shard.due.set(shard.due.get() + 1);
            link.assign(intended);
        }
        if shard.none_begins_from(schedule.peek()) {
            return;
        }
        match schedule.peek().saturating_sub(shard.clock.now()) {
            near if near <= SLEEP_SLACK => yield_now().await,
            far => sleep(Duration::from_nanos((far - SLEEP_SLACK).min(SLEEP_MAX))).await,
        }
    }
}

/// Places that are passed over, at most, because their connection is being replaced.
const AWAY_MAX: u32 = 16;

/// The connection whose turn it is; those that have ended leave the round. One that is being replaced is passed over while
/// there are others: the time connecting takes has a histogram of its own.
fn next_alive<'a>(turns: &'a mut Vec<Rc<Link>>, turn: &mut usize) -> Option<&'a Rc<Link>> {
    let mut passed = 0;
    loop {
        if turns.is_empty() {
            return None;
        }
        *turn = if *turn + 1 < turns.len() {
            *turn + 1
        } else {
            0
        };
        let link = &turns[*turn];
        if link.ended.get() {
            turns.swap_remove(*turn);
        } else if link.away.get() && passed < AWAY_MAX {
            passed += 1;
        } else {
            return Some(&turns[*turn]);
        }
    }
}
