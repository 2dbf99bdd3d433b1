use std::task::Waker;

use proptest::prelude::*;

use super::model::{Bell, Step, play};
use super::{Entry, LEVELS, REACH, TimerKey, Wheel, level_shift};

fn insert(wheel: &mut Wheel, bell: &Bell, deadline: u64) -> TimerKey {
    wheel.insert(deadline, bell.waker(deadline))
}

/// Returns the time under which an entry is filed. A change shows that it was filed again.
fn filed(wheel: &Wheel, key: TimerKey) -> u64 {
    wheel.entry(key.index).filed
}

#[test]
fn fires_at_its_millisecond_and_not_one_before() {
    for deadline in [
        0,
        1,
        63,
        64,
        65,
        4095,
        4096,
        100_000,
        1 << 30,
        (1 << 36) - 1,
        1 << 36,
        REACH,
        1 << 50,
    ] {
        for start in [0, 1, 63, 1 << 30, (1 << 36) - 7] {
            let (mut wheel, bell) = (Wheel::new(), Bell::default());
            assert!(bell.advance(&mut wheel, start).is_empty());
            insert(&mut wheel, &bell, deadline);
            if start < deadline {
                assert!(
                    bell.advance(&mut wheel, deadline - 1).is_empty(),
                    "{start} {deadline}"
                );
            }
            assert_eq!(
                bell.advance(&mut wheel, deadline),
                [deadline],
                "{start} {deadline}"
            );
            assert_eq!(wheel.len(), 0);
        }
    }
}

#[test]
fn a_deadline_in_the_past_fires_at_the_next_advance_even_at_the_same_time() {
    let (mut wheel, bell) = (Wheel::new(), Bell::default());
    bell.advance(&mut wheel, 1000);
    insert(&mut wheel, &bell, 1000);
    insert(&mut wheel, &bell, 3);
    assert_eq!(wheel.next_expiry(), Some(1000));
    assert_eq!(bell.advance(&mut wheel, 1000), [3, 1000]);
}

#[test]
fn time_that_goes_back_stands_still() {
    let (mut wheel, bell) = (Wheel::new(), Bell::default());
    bell.advance(&mut wheel, 1000);
    insert(&mut wheel, &bell, 1001);
    assert!(bell.advance(&mut wheel, 5).is_empty());
    assert_eq!(bell.advance(&mut wheel, 1001), [1001]);
    insert(&mut wheel, &bell, 7);
    assert_eq!(
        bell.advance(&mut wheel, 7),
        [7],
        "what is overdue fires whatever the caller's clock says"
    );
}

#[test]
fn pushing_a_deadline_later_moves_nothing() {
    let (mut wheel, bell) = (Wheel::new(), Bell::default());
    let key = insert(&mut wheel, &bell, 500);
    for later in (501..100_000).step_by(17) {
        assert!(wheel.reset(key, later));
        assert_eq!(filed(&wheel, key), 500);
    }
    assert!(wheel.reset(key, 500), "back to where it is filed");
    assert_eq!(filed(&wheel, key), 500);
    assert!(wheel.reset(key, 7000));
    assert!(bell.advance(&mut wheel, 6999).is_empty());
    assert_eq!(filed(&wheel, key), 7000, "its old slot came due");
    assert_eq!(bell.advance(&mut wheel, 7000), [500]);
}

#[test]
fn making_a_deadline_earlier_files_it_anew() {
    let (mut wheel, bell) = (Wheel::new(), Bell::default());
    let key = insert(&mut wheel, &bell, 100_000);
    assert!(wheel.reset(key, 20));
    assert_eq!(wheel.next_expiry(), Some(20));
    assert_eq!(bell.advance(&mut wheel, 20), [100_000]);
    assert!(!wheel.reset(key, 30), "it has fired");
}

#[test]
fn a_lone_timer_wakes_the_shard_once() {
    let (mut wheel, bell) = (Wheel::new(), Bell::default());
    bell.advance(&mut wheel, 12_345);
    insert(&mut wheel, &bell, 12_345 + 3_600_000);
    assert_eq!(wheel.next_expiry(), Some(12_345 + 3_600_000));
}

#[test]
fn a_removed_timer_never_fires_and_gives_its_waker_back() {
    let (mut wheel, bell) = (Wheel::new(), Bell::default());
    let neighbours = [
        insert(&mut wheel, &bell, 9),
        insert(&mut wheel, &bell, 9),
        insert(&mut wheel, &bell, 9),
    ];
    assert!(wheel.remove(neighbours[1]).is_some());
    assert!(wheel.remove(neighbours[1]).is_none());
    assert!(!wheel.is_armed(neighbours[1]));
    assert_eq!(wheel.len(), 2);
    assert_eq!(bell.advance(&mut wheel, 9), [9, 9]);
}

#[test]
fn wakers_are_exchanged_while_armed_and_handed_back_otherwise() {
    let (mut wheel, bell) = (Wheel::new(), Bell::default());
    let key = wheel.insert(5, bell.waker(1));
    let new = bell.waker(2);
    assert!(!wheel.waker(key).expect("armed").will_wake(&new));
    wheel.replace_waker(key, new.clone()).expect("armed").wake();
    assert!(wheel.waker(key).expect("armed").will_wake(&new));
    assert_eq!(bell.advance(&mut wheel, 5), [1, 2]);
    let back = wheel
        .replace_waker(key, new.clone())
        .expect_err("it has fired");
    assert!(back.will_wake(&new));
    assert!(wheel.waker(key).is_none());
}

#[test]
fn a_stale_key_cannot_touch_the_timer_that_took_its_place() {
    let (mut wheel, bell) = (Wheel::new(), Bell::default());
    let old = insert(&mut wheel, &bell, 5);
    assert!(wheel.remove(old).is_some());
    let new = insert(&mut wheel, &bell, 6);
    assert_eq!(old.index, new.index, "entries are reused");
    assert!(!wheel.reset(old, 1) && wheel.remove(old).is_none() && !wheel.is_armed(old));
    assert_eq!(bell.advance(&mut wheel, 6), [6]);
}

#[test]
fn an_entry_whose_generations_are_used_up_is_retired() {
    let (mut wheel, bell) = (Wheel::new(), Bell::default());
    let first = insert(&mut wheel, &bell, 5);
    wheel.entry_mut(first.index).generation = u32::MAX;
    let last = TimerKey {
        index: first.index,
        generation: u32::MAX,
    };
    assert!(wheel.remove(last).is_some());
    assert!(!wheel.is_armed(last) && !wheel.is_armed(first));
    let next = insert(&mut wheel, &bell, 5);
    assert_ne!(next.index, first.index);
    assert!(wheel.remove(last).is_none());
    assert_eq!(wheel.len(), 1);
}

#[test]
fn take_all_empties_every_level() {
    let (mut wheel, bell) = (Wheel::new(), Bell::default());
    for shift in 0..60 {
        insert(&mut wheel, &bell, 1 << shift);
    }
    let mut wakers = Vec::new();
    wheel.take_all(&mut wakers);
    assert_eq!(
        (wakers.len(), wheel.len(), wheel.next_expiry()),
        (60, 0, None)
    );
    assert!(bell.advance(&mut wheel, u64::MAX).is_empty());
}

#[test]
fn a_million_timers_take_at_most_100_bytes_each_and_reuse_them() {
    const TIMERS: usize = 1_000_000;
    let mut wheel = Wheel::new();
    let mut expired = Vec::new();
    let bytes = |wheel: &Wheel| size_of::<Wheel>() + wheel.entries.capacity() * size_of::<Entry>();
    let keys: Vec<_> = (0..TIMERS as u64)
        .map(|n| wheel.insert(n * 7919 % 10_000_000, Waker::noop().clone()))
        .collect();
    let full = bytes(&wheel);
    assert!(full <= 100 * TIMERS, "{full} bytes");
    for (n, &key) in keys.iter().enumerate() {
        assert!(wheel.reset(key, n as u64 % 777));
    }
    wheel.advance(10_000, &mut expired);
    assert_eq!((expired.len(), wheel.len()), (TIMERS, 0));
    for n in 0..TIMERS as u64 {
        wheel.insert(n, Waker::noop().clone());
    }
    assert_eq!(bytes(&wheel), full, "nothing was allocated the second time");
}

#[test]
fn timers_are_removed_from_every_place_of_every_level() {
    for level in 0..LEVELS {
        let deadline = 3 << level_shift(level);
        // Lists of three, from which one is removed: the first, the middle one, or the last.
        for removed in 0..3 {
            let (mut wheel, bell) = (Wheel::new(), Bell::default());
            let keys: Vec<_> = (0..3)
                .map(|name| wheel.insert(deadline, bell.waker(name)))
                .collect();
            assert_eq!(usize::from(wheel.entry(keys[0].index).level), level);
            assert!(wheel.remove(keys[removed]).is_some());
            let left: Vec<u64> = (0..3).filter(|&name| name != removed as u64).collect();
            assert!(bell.advance(&mut wheel, deadline - 1).is_empty());
            assert_eq!(bell.advance(&mut wheel, deadline), left, "level {level}");
        }
        // Removing the last timer of a level also clears its bit.
        let (mut wheel, bell) = (Wheel::new(), Bell::default());
        let key = insert(&mut wheel, &bell, deadline);
        assert!(wheel.remove(key).is_some());
        assert_eq!((wheel.next_expiry(), wheel.occupied), (None, [0; LEVELS]));
    }
}

#[test]
fn ten_thousand_timers_of_one_slot_are_removed_moved_and_fired_apart() {
    const TIMERS: u64 = 10_000;
    let (mut wheel, bell) = (Wheel::new(), Bell::default());
    // Far enough ahead that all of them move down through two levels together.
    let deadline = 5_000;
    let keys: Vec<_> = (0..TIMERS)
        .map(|name| wheel.insert(deadline, bell.waker(name)))
        .collect();
    for (name, &key) in (0..TIMERS).zip(&keys) {
        match name % 3 {
            0 => assert!(wheel.remove(key).is_some()),
            1 => assert!(wheel.reset(key, deadline + 1)),
            _ => {}
        }
    }
    let of = |rest| {
        (0..TIMERS)
            .filter(|name| name % 3 == rest)
            .collect::<Vec<_>>()
    };
    assert!(bell.advance(&mut wheel, deadline - 1).is_empty());
    assert_eq!(bell.advance(&mut wheel, deadline), of(2));
    assert_eq!(bell.advance(&mut wheel, deadline + 1), of(1));
    assert_eq!(wheel.len(), 0);
}

#[test]
fn the_clock_may_come_to_its_end() {
    let (mut wheel, bell) = (Wheel::new(), Bell::default());
    assert!(bell.advance(&mut wheel, u64::MAX - 100).is_empty());
    let last = insert(&mut wheel, &bell, u64::MAX);
    insert(&mut wheel, &bell, u64::MAX - 50);
    assert!(wheel.next_expiry() <= Some(u64::MAX - 50));
    assert_eq!(bell.advance(&mut wheel, u64::MAX - 1), [u64::MAX - 50]);
    assert!(wheel.is_armed(last));
    assert_eq!(bell.advance(&mut wheel, u64::MAX), [u64::MAX]);
    insert(&mut wheel, &bell, u64::MAX);
    assert_eq!(bell.advance(&mut wheel, u64::MAX), [u64::MAX]);
}

/// Spans of every magnitude, so that all levels and the clamp are reached.
fn span() -> impl Strategy<Value = u64> {
    (0_u32..42, any::<u64>()).prop_map(|(bits, noise)| noise & ((1 << bits) - 1))
}

/// The clock's first value: anywhere near its start, or near its end.
fn origin() -> impl Strategy<Value = u64> {
    (span(), any::<bool>()).prop_map(|(span, at_end)| if at_end { u64::MAX - span } else { span })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => span().prop_map(Step::Insert),
        3 => (any::<usize>(), span(), any::<bool>()).prop_map(|(which, by, later)| {
            let by = i64::try_from(by).expect("below 2^42");
            Step::Reset(which, if later { by } else { -by })
        }),
        1 => any::<usize>().prop_map(Step::Remove),
        2 => span().prop_map(Step::Advance),
        2 => Just(Step::Sleep),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn agrees_with_a_map(origin in origin(), steps in prop::collection::vec(step(), 1..200)) {
        play(origin, steps);
    }
}
