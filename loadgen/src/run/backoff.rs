//! How long a place rests before it is connected again, where the server ends its connections without answering on them.
//!
//! A connection that is answered has its pace from the server. One that is not, because its place does not send or has nothing
//! assigned, would be replaced as fast as two sockets can be made, for nothing. So each such end in a row doubles the rest, up
//! to [`REST_MAX`], and chance spreads the places over half of it: those that were dropped at once do not come back at once.
//! Whoever was answered, or lived as long as the longest rest, is replaced without one. Called when a connection's task settles;
//! the pacer (`ramp.rs`) opens the next connection. Tests: at the end of this file and `tests/protocols.rs`.

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use reactor::time::sleep;

use crate::measure::clock::Nanos;
use crate::run::connection_slot::{ConnectionSlot, Directive};
use crate::run::random::mix;
use crate::run::shard::Shard;

/// The rest after the first connection that was of no use, and the longest one.
const REST_MIN: Nanos = 10_000_000;
const REST_MAX: Nanos = 1_000_000_000;

/// Has a place connected again after a connection that the server ended, which had so many answers.
pub(crate) fn replace(shard: &Rc<Shard>, slot: &Rc<ConnectionSlot>, answers: u64) {
    let lived = shard.clock.now().saturating_sub(slot.connected_at.get());
    if answers > 0 || lived >= REST_MAX {
        slot.consecutive_failures.set(0);
        return shard.replace(slot);
    }
    let consecutive_failures = slot.consecutive_failures.get();
    slot.consecutive_failures
        .set(consecutive_failures.saturating_add(1));
    // A number for every connection of the run.
    let random = mix(shard.plan.seed ^ slot.number());
    let rest = Duration::from_nanos(rest(consecutive_failures, random));
    // What is assigned meanwhile goes to others, where there are any.
    slot.away.set(true);
    let (shard, slot) = (Rc::clone(shard), Rc::clone(slot));
    drop(reactor::spawn_local(async move {
        let mut rest = pin!(sleep(rest));
        // The run may end first.
        while slot.directive() == Directive::Continue
            && slot.event.unless_notified(rest.as_mut()).await.is_none()
        {}
        shard.replace(&slot);
    }));
}

/// The rest after a connection that was of no use, as were the `before` ones before it.
fn rest(before: u32, random: u64) -> Nanos {
    let whole = REST_MIN.saturating_mul(1 << before.min(32)).min(REST_MAX);
    whole / 2 + random % (whole / 2 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_doubles_up_to_its_bound_and_is_never_less_than_half() {
        for (before, whole_ms) in [
            (0, 10),
            (1, 20),
            (5, 320),
            (6, 640),
            (7, 1_000),
            (u32::MAX, 1_000),
        ] {
            let whole = whole_ms * 1_000_000;
            assert_eq!(rest(before, 0), whole / 2);
            let rests = (0..1_000).map(|seed| rest(before, mix(seed)));
            let (least, most) = rests.fold((Nanos::MAX, 0), |(least, most), rest| {
                (rest.min(least), rest.max(most))
            });
            assert!(whole / 2 <= least && most <= whole, "{least} to {most}");
            assert!(
                most - least > whole * 2 / 5,
                "chance spreads them: {least} to {most}"
            );
        }
    }
}
