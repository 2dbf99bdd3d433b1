//! Opens and replaces the connections of a shard at the configured rate.
//!
//! The pacer never opens more connections at once than a listener's backlog takes. The first
//! connection of a slot counts as being opened until its first request is answered, so the pacer
//! also waits for a server that accepts slowly. A replacement counts until it is connected. The
//! ramp is over when every slot was served, or has failed too often to wait for it. Tests:
//! `tests/outage.rs` and `tests/churn.rs`.

use std::rc::Rc;

use reactor::time::sleep_until;

use crate::measure::clock::Nanos;
use crate::report::rate::Rate;
use crate::report::settings::Arrivals;
use crate::run::connection_slot::ConnectionSlot;
use crate::run::schedule::{Schedule, Share};
use crate::run::shard::Shard;

/// The maximum number of connections that all threads open at once. It is below 128, the smallest
/// backlog in common use.
const OPENING_MAX: u32 = 100;
/// The maximum lag that the pacer makes up for. It skips older connections, rather than open them
/// in a burst.
const CATCH_UP: Nanos = 20_000_000;

/// Opens every connection of the shard, then replaces those that end, until the run is over.
pub(crate) async fn keep_open(shard: Rc<Shard>) {
    let mut pacer = Pacer::new(&shard);
    for id in shard.plan.connections_of(shard.index) {
        if !pacer.passes().await {
            return;
        }
        shard.open(Rc::new(ConnectionSlot::new(shard.plan.is_active(id))));
    }
    while !shard.ramp_stopped.get() {
        if shard.awaited.get() == 0 {
            shard.ramped.set(true);
        }
        let Some(slot) = shard.next_to_replace() else {
            shard.ramp_event.wait().await;
            continue;
        };
        if shard.needs_no_more(&slot) {
            shard.end_next_to_replace();
        } else if pacer.passes().await {
            shard.open_again();
        }
    }
}

struct Pacer<'a> {
    shard: &'a Shard,
    pace: Option<Pace>,
    limit: u32,
}

struct Pace {
    rate: Rate,
    schedule: Schedule,
}

impl<'a> Pacer<'a> {
    fn new(shard: &'a Shard) -> Self {
        let mut pacer = Self {
            shard,
            pace: None,
            limit: (OPENING_MAX / shard.plan.setup.threads).max(1),
        };
        pacer.pace = shard.plan.setup.connect_rate.map(|rate| Pace {
            rate: Rate::whole(rate),
            schedule: pacer.schedule(Rate::whole(rate)),
        });
        pacer
    }

    /// Returns the shard's share of the rate, from now on.
    fn schedule(&self, rate: Rate) -> Schedule {
        let plan = &self.shard.plan;
        let share = Share {
            index: plan.setup.part.index() * plan.setup.threads + self.shard.index,
            of: plan.setup.part.of() * plan.setup.threads,
        };
        let now = self.shard.clock.now();
        Schedule::new(Arrivals::Fixed, rate, share, now, plan.seed)
    }

    /// Waits until another connection may be opened. Returns false if no more are opened.
    async fn passes(&mut self) -> bool {
        let shard = self.shard;
        if let Some(Pace { rate, schedule }) = &self.pace
            && schedule.peek() + CATCH_UP < shard.clock.now()
        {
            let (rate, schedule) = (*rate, self.schedule(*rate));
            self.pace = Some(Pace { rate, schedule });
        }
        if let Some(pace) = &mut self.pace {
            sleep_until(shard.clock.instant(pace.schedule.take())).await;
        }
        while shard.opening.get() >= self.limit && !shard.ramp_stopped.get() {
            shard.ramp_event.wait().await;
        }
        !shard.ramp_stopped.get()
    }
}
