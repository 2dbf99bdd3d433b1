//! Back-off: the time a connection slot waits before it is connected again.
//!
//! Without it, a connection that fails, or that the server ends without an answer, would be
//! replaced as fast as sockets can be made. Each such end in a row doubles the wait, up to
//! [`REST_MAX`]. A random part of up to half of the wait spreads the slots, so that connections
//! lost together do not come back together. A connection that ended well after an answer is
//! replaced at once. A connection's task calls this at its end; the pacer (`ramp.rs`) opens the
//! next connection. Tests: at the end of this file, `tests/protocols.rs` and `tests/outage.rs`.

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use reactor::time::sleep;

use crate::measure::clock::Nanos;
use crate::run::connection_slot::{ConnectionSlot, Directive};
use crate::run::random::mix;
use crate::run::shard::Shard;

/// The wait after the first failure, and the longest one.
const REST_MIN: Nanos = 10_000_000;
const REST_MAX: Nanos = 1_000_000_000;

/// Reconnects a slot after its connection ended; `answers` is the number of answers it had.
pub(crate) fn replace(shard: &Rc<Shard>, slot: &Rc<ConnectionSlot>, answers: u64, failed: bool) {
    let lived = shard.clock.now().saturating_sub(slot.connected_at.get());
    let useful = answers > 0 || (!failed && lived >= REST_MAX);
    if useful {
        slot.consecutive_failures.set(0);
        if !failed {
            return shard.replace(slot);
        }
    }
    let before = slot.consecutive_failures.get();
    slot.consecutive_failures.set(before.saturating_add(1));
    // Each connection of the run has another number.
    let random = mix(shard.plan.seed ^ slot.number());
    let rest = Duration::from_nanos(rest(before, random));
    slot.connecting.set(true);
    let (shard, slot) = (Rc::clone(shard), Rc::clone(slot));
    drop(reactor::spawn_local(async move {
        let mut rest = pin!(sleep(rest));
        // The run may end during the wait.
        while slot.directive() == Directive::Continue
            && slot.event.unless_notified(rest.as_mut()).await.is_none()
        {}
        shard.replace(&slot);
    }));
}

/// Returns the wait after a failure that follows `before` other failures in a row.
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
