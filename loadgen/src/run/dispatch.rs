//! The open loop: hands each scheduled request to a connection when its time comes, whatever the answers do.
//!
//! Connections take turns. The reactor's timers have a grain of one millisecond, which is too coarse for a schedule: the last
//! stretch before a send is spun, with a yield between looks so that answers are taken meanwhile. Tests: `dispatch/tests.rs`, which
//! run the whole measuring core on a clock of their own.

use std::rc::Rc;
use std::time::Duration;

use reactor::time::sleep;
use reactor::yield_now;

use crate::measure::clock::Nanos;
use crate::run::plan::Pace;
use crate::run::plan::Timeline;
use crate::run::schedule::Schedule;
use crate::run::shard::Shard;
use crate::run::turns::Turns;

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
    let Some(mut dispatcher) = Dispatcher::new(shard, timeline) else {
        return;
    };
    while let Some(next) = dispatcher.hand_out(shard, shard.clock.now()) {
        match next.saturating_sub(shard.clock.now()) {
            near if near <= SLEEP_SLACK => yield_now().await,
            far => sleep(Duration::from_nanos((far - SLEEP_SLACK).min(SLEEP_MAX))).await,
        }
    }
}

/// The shard's share of the schedule, and whose turn it is. Reads no clock.
struct Dispatcher {
    schedule: Schedule,
    turns: Turns,
}

impl Dispatcher {
    /// `None` where there is no schedule, or no part of it for this shard.
    fn new(shard: &Shard, timeline: Timeline) -> Option<Self> {
        let plan = &shard.plan;
        let (Pace::Open { rate, arrivals }, Some(share)) =
            (plan.pace, plan.sending_share(shard.index))
        else {
            return None;
        };
        let slots = shard.slots.borrow();
        let active = slots.iter().filter(|slot| slot.active).map(Rc::clone);
        Some(Self {
            schedule: Schedule::new(arrivals, rate, share, timeline.start, plan.seed),
            turns: Turns::new(active, plan, timeline.start),
        })
    }

    /// Hands out what is due by now, and says when more is; `None` when nothing will be.
    fn hand_out(&mut self, shard: &Shard, now: Nanos) -> Option<Nanos> {
        for _ in 0..BURST_MAX {
            let intended = self.schedule.peek();
            if intended > now {
                break;
            }
            if !shard.may_begin(intended) {
                return None;
            }
            let slot = self.turns.next(intended)?;
            self.schedule.take();
            let counters = &mut *shard.counters.borrow_mut();
            counters.scheduled += u64::from(counters.window.contains(intended));
            shard.in_flight.set(shard.in_flight.get() + 1);
            slot.assign(intended);
        }
        let next = self.schedule.peek();
        (!shard.none_begins_from(next)).then_some(next)
    }
}

#[cfg(test)]
mod tests;
