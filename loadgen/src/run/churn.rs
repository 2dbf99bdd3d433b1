//! Ends connections that have lived as long as they were to; the pacer (`ramp.rs`) opens the next
//! ones.
//!
//! All lives are equally long, so that those who were connected first are the first to go: one
//! queue and one task per shard, and nothing per request. Requests in flight are answered first.
//! The connections of the ramp, which were all made within a moment, go one after the other over
//! the first such time, so that the load is even from the beginning. Tests: `tests/churn.rs`.

use std::rc::Rc;
use std::time::Duration;

use reactor::time::{sleep, sleep_until};

use crate::measure::clock::Nanos;
use crate::run::lives::Life;
use crate::run::shard::Shard;

/// Ends connections as their time comes, until no request begins any more.
pub(crate) async fn end_lifetimes(shard: Rc<Shard>, lifetime: Nanos) {
    loop {
        let now = shard.clock.now();
        if shard.none_begins_from(now) {
            return;
        }
        let next = shard.lives.borrow().front().map(|life| life.until);
        match next {
            // Whoever connects from now on lives that long.
            None => sleep(Duration::from_nanos(lifetime)).await,
            Some(until) if until > now => sleep_until(shard.clock.instant(until)).await,
            Some(_) => {
                let life = shard.lives.borrow_mut().pop_front();
                if let Some(Life { slot, number, .. }) = life
                    && slot.number() == number
                    && !slot.connecting.get()
                {
                    slot.retire();
                }
            }
        }
    }
}
