//! Tests of the bit layout, exhaustive over the states and by property over the ticks.

use proptest::prelude::*;

use crate::Ready;
use crate::readiness::Snapshot;
use crate::readiness::model::lanes;
use crate::readiness::snapshot::TICK_BITS;

const TICKS: u64 = 1 << TICK_BITS;

fn sets() -> impl Iterator<Item = Ready> {
    (0..=Ready::ALL.bits()).map(Ready::from_bits)
}

fn states() -> impl Strategy<Value = Ready> {
    (0..=Ready::ALL.bits()).prop_map(Ready::from_bits)
}

#[test]
fn an_event_adds_its_states_and_moves_its_directions_only() {
    for held in sets() {
        for event in sets() {
            for closed in [false, true] {
                let before = Snapshot::new(held).with_ticks([5, TICKS - 1, 0]);
                let before = if closed { before.closed() } else { before };
                let after = before.published(event);
                assert_eq!(after.ready(), held | event);
                assert_eq!(after.is_shutdown(), closed);
                let mut ticks = before.ticks();
                for (tick, lane) in ticks.iter_mut().zip(lanes()) {
                    *tick = (*tick + u64::from(lane.intersects(event))) % TICKS;
                }
                assert_eq!(after.ticks(), ticks, "{held:?} then {event:?}");
            }
        }
    }
}

#[test]
fn a_clear_removes_what_it_names_where_nothing_happened_since() {
    for held in sets() {
        for cleared in sets() {
            for moved in sets() {
                let seen = Snapshot::new(held).with_ticks([7, 8, TICKS - 1]);
                let now = seen.published(moved).closed();
                let after = now.cleared(seen, cleared);
                let mut kept = now.ready();
                for lane in lanes() {
                    if !lane.intersects(moved) {
                        kept = kept - (lane & cleared);
                    }
                }
                assert_eq!(
                    after.ready(),
                    kept,
                    "{held:?}, {moved:?}, then cleared {cleared:?}"
                );
                assert!(after.is_shutdown());
                assert_eq!(after.ticks(), now.ticks());
            }
        }
    }
}

#[test]
fn a_stale_clear_is_ignored_at_every_distance() {
    for lane in lanes() {
        let seen = Snapshot::new(Ready::ALL).with_ticks([TICKS - 3, 17, TICKS / 2]);
        let mut now = seen;
        for distance in 1..TICKS {
            now = now.published(lane);
            assert_eq!(
                now.cleared(seen, lane).ready(),
                Ready::ALL,
                "{distance} events late"
            );
        }
        // One more event, and the tick has the same value again: 19 bits reach no further.
        assert_eq!(
            now.published(lane).cleared(seen, lane).ready(),
            Ready::ALL - lane
        );
    }
}

#[test]
fn a_wait_ends_on_its_states_or_on_shutdown() {
    for held in sets() {
        for mask in sets() {
            let word = Snapshot::new(held).with_ticks([TICKS - 1; 3]);
            assert_eq!(word.ends_wait(mask), held.intersects(mask));
            assert!(word.closed().ends_wait(mask));
            assert_eq!(word.restricted_to(mask).ready(), held & mask);
            assert_eq!(word.restricted_to(mask).ticks(), word.ticks());
            assert!(word.closed().restricted_to(mask).is_shutdown());
        }
    }
}

proptest! {
    #[test]
    fn ticks_stay_apart(ticks in prop::array::uniform3(0..TICKS), held in states(), event in states()) {
        let word = Snapshot::new(held).with_ticks(ticks);
        prop_assert_eq!(word.ticks(), ticks);
        let after = word.published(event);
        for ((before, after), lane) in ticks.into_iter().zip(after.ticks()).zip(lanes()) {
            prop_assert_eq!(after, (before + u64::from(lane.intersects(event))) % TICKS);
        }
        prop_assert_eq!(Snapshot::from_bits(word.to_bits()), word);
    }
}
