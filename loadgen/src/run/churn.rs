//! Ends connections whose lifetime is over; the pacer (`ramp.rs`) opens the next ones.
//!
//! All lifetimes are equal, so the oldest connections end first. One queue and one task per shard
//! are enough, and a request costs nothing. Requests in flight are answered first. The connections
//! of the ramp were all opened at nearly the same time. They end one by one during the first
//! lifetime, so that the load is even from the beginning. Tests: `tests/churn.rs`.

use std::rc::Rc;
use std::time::Duration;

use reactor::time::{sleep, sleep_until};

use crate::measure::clock::Nanos;
use crate::run::lives::Life;
use crate::run::shard::Shard;

/// Ends connections when their lifetime is over, until no more requests begin.
pub(crate) async fn end_lifetimes(shard: Rc<Shard>, lifetime: Nanos) {
    loop {
        let now = shard.clock.now();
        if shard.none_begins_from(now) {
            return;
        }
        let next = shard.lives.borrow().front().map(|life| life.until);
        match next {
            // Connections opened from now on have this lifetime.
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
