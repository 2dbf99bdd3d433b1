//! The open loop: hands out each scheduled request when its time comes, independent of answers.
//!
//! The reactor's timers have a grain of one millisecond, which is too coarse for a schedule. The
//! dispatcher spins shortly before a send, and yields between two checks so that answers are read
//! meanwhile. The schedule goes on while no connection is open: its requests are still due. Tests:
//! `dispatch/tests.rs`. They run the whole measuring core on a simulated clock.

use std::time::Duration;

use reactor::time::sleep;
use reactor::yield_now;

use crate::measure::clock::Nanos;
use crate::run::plan::Timeline;
use crate::run::schedule::Schedule;
use crate::run::setup::Pace;
use crate::run::shard::Shard;

/// The longest delay of the end of a sleep: the resolution of a timer, plus the wake-up.
const SLEEP_SLACK: Nanos = 2_000_000;
/// The longest sleep, so that the end of a run is noticed.
const SLEEP_MAX: Nanos = 50_000_000;
/// The number of requests handed out before other tasks of the shard run.
const BURST_MAX: u32 = 128;

/// Runs the shard's share of the schedule, if there is one.
pub(crate) async fn dispatch(shard: &Shard, timeline: Timeline) {
    if let Some(mut dispatcher) = Dispatcher::new(shard, timeline) {
        while let Some(next) = dispatcher.hand_out(shard, shard.clock.now()) {
            match next.saturating_sub(shard.clock.now()) {
                near if near <= SLEEP_SLACK => yield_now().await,
                far => {
                    sleep(Duration::from_nanos((far - SLEEP_SLACK).min(SLEEP_MAX))).await;
                }
            }
        }
        shard.schedule_end.set(dispatcher.schedule.peek());
    }
    shard.dispatched.set(true);
}

/// The shard's share of the schedule. It reads no clock.
struct Dispatcher {
    schedule: Schedule,
}

impl Dispatcher {
    /// Returns `None` if there is no schedule, or no part of it for this shard.
    fn new(shard: &Shard, timeline: Timeline) -> Option<Self> {
        let plan = &shard.plan;
        let (Pace::Open { rate, arrivals, .. }, Some(share)) =
            (plan.load.pace, plan.sending_share(shard.index))
        else {
            return None;
        };
        Some(Self {
            schedule: match &plan.load.stages {
                Some(stages) => {
                    Schedule::staged(arrivals, stages, share, timeline.start, plan.seed)
                }
                None => Schedule::new(arrivals, rate, share, timeline.start, plan.seed),
            },
        })
    }

    /// Hands out the requests that are due, and returns the time of the next one, or `None` after
    /// the last.
    fn hand_out(&mut self, shard: &Shard, now: Nanos) -> Option<Nanos> {
        for _ in 0..BURST_MAX {
            let intended = self.schedule.peek();
            if intended > now {
                break;
            }
            if !shard.may_begin(intended) {
                return None;
            }
            self.schedule.take();
            let counters = &mut *shard.counters.borrow_mut();
            counters.scheduled += u64::from(counters.window.contains(intended));
            shard.in_flight.set(shard.in_flight.get() + 1);
            shard.balancer.borrow_mut().dispatch(intended);
        }
        let next = self.schedule.peek();
        (!shard.none_begins_from(next)).then_some(next)
    }
}

#[cfg(test)]
mod tests;
