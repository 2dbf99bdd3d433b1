//! Opens the connections of a shard: no more at once than a listener's backlog takes, and no faster than asked.
//!
//! A connection counts as open when its first request was answered, so the limit also holds back where the server accepts
//! slowly. The ramp ends early when a connection fails.

use std::rc::Rc;
use std::sync::Arc;

use reactor::time::sleep_until;

use crate::schedule::{Arrivals, Schedule, Share};
use crate::shard::Shard;

/// Connections of all threads that are not served yet. Below 128, the smallest backlog in common use.
const OPENING_MAX: u32 = 100;

/// Opens every connection of the shard and waits until each is served, or one failed, or the run is over.
pub(crate) async fn ramp(shard: Rc<Shard>) {
    let plan = Arc::clone(&shard.plan);
    let limit = (OPENING_MAX / plan.threads).max(1);
    let share = Share {
        index: shard.index,
        of: plan.threads,
    };
    let mut pace = plan
        .connect_rate
        .map(|rate| Schedule::new(Arrivals::Fixed, rate, share, shard.clock.now(), plan.seed));
    for id in plan.connections_of(shard.index) {
        if let Some(pace) = &mut pace {
            sleep_until(shard.clock.instant(pace.take())).await;
        }
        while shard.opening.get() >= limit && !shard.ramp_stopped.get() {
            shard.ramp_news.wait().await;
        }
        if shard.ramp_stopped.get() {
            return;
        }
        shard.open(id);
    }
    while shard.opening.get() > 0 && !shard.ramp_stopped.get() {
        shard.ramp_news.wait().await;
    }
}
