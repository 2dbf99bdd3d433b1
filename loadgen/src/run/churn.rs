//! Ends connections that have lived as long as they were to; the door (`ramp.rs`) opens the next ones.
//!
//! All lives are equally long, so that those who were connected first are the first to go: one queue and one task per
//! shard, and nothing per request. Requests in flight are answered first. The connections of the ramp, which were all made
//! within a moment, go one after the other over the first such time, so that the load is even from the beginning. Tests:
//! `tests/churn.rs`.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use reactor::time::{sleep, sleep_until};

use crate::measure::clock::Nanos;
use crate::run::link::Link;
use crate::run::shard::Shard;

/// Connections in the order in which they are to go.
pub(crate) type Lives = VecDeque<Life>;

/// When a connection is to go.
#[derive(Debug)]
pub(crate) struct Life {
    until: Nanos,
    link: Rc<Link>,
    /// Which of the link's connections it is.
    number: u64,
}

impl Life {
    pub(crate) fn new(link: &Rc<Link>, until: Nanos) -> Self {
        Self {
            until,
            link: Rc::clone(link),
            number: link.number(),
        }
    }
}

/// Lives for the connections of the ramp, spread evenly over the first lifetime.
pub(crate) fn spread(links: &[Rc<Link>], from: Nanos, lifetime: Nanos) -> Lives {
    let of = links.len().max(1) as u128;
    let share = |nth: usize| {
        let share = u128::from(lifetime) * (nth as u128 + 1) / of;
        Nanos::try_from(share).expect("no more than the lifetime")
    };
    let lives = links.iter().enumerate();
    lives
        .map(|(nth, link)| Life::new(link, from.saturating_add(share(nth))))
        .collect()
}

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
                if let Some(Life { link, number, .. }) = life
                    && link.number() == number
                    && !link.away.get()
                {
                    link.retire();
                }
            }
        }
    }
}
