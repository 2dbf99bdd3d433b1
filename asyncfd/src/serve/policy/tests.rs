//! Tests of the policies' names, and of the condition under which a shard hands connections on.

use super::*;

#[test]
fn a_shard_without_a_lead_hands_nothing_on() {
    for n in [0, 1, 9, 1_000, u64::MAX] {
        assert!(!is_overloaded(n, n), "{n}");
        assert!(!is_overloaded(0, n), "{n}");
    }
}

#[test]
fn the_lead_that_is_allowed_is_three_standard_deviations() {
    // The largest lead over an empty shard: n * n <= 9 * n.
    assert!(!is_overloaded(9, 0));
    assert!(is_overloaded(10, 0));
    // With 10,000 connections between them, the limit is a lead of 300.
    assert!(!is_overloaded(5_150, 4_850));
    assert!(is_overloaded(5_151, 4_849));
}

#[test]
fn even_when_all_come_to_one_shard_the_other_gets_its_share() {
    for (n, most) in [(100, 66), (1_000, 549), (100_000, 50_475)] {
        let (mut own, mut other) = (0_u64, 0_u64);
        for _ in 0..n {
            if is_overloaded(own, other) {
                other += 1;
            } else {
                own += 1;
            }
        }
        assert!(own <= most, "{own} of {n}");
        assert!(own > other, "it keeps what it may: {own} of {n}");
    }
}

#[test]
fn an_even_load_is_hardly_ever_handed_on() {
    // A fair coin for each connection, from a seeded generator so that the figure repeats.
    let (mut shards, mut handed_on) = ([0_u64; 2], 0);
    let mut state = 1_u64;
    const CONNECTIONS: u32 = 100_000;
    for _ in 0..CONNECTIONS {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let here = usize::from(state >> 63 == 1);
        if is_overloaded(shards[here], shards[1 - here]) {
            handed_on += 1;
            shards[1 - here] += 1;
        } else {
            shards[here] += 1;
        }
    }
    assert!(handed_on < CONNECTIONS / 100, "{handed_on}");
}

#[test]
fn names_come_back() {
    for policy in AcceptPolicy::ALL {
        assert_eq!(policy.to_string().parse(), Ok(policy));
    }
    let error = "sticky".parse::<AcceptPolicy>().unwrap_err().to_string();
    assert!(error.contains("hybrid, exclusive"), "{error}");
}

#[test]
fn the_shard_that_is_through_soonest_has_the_least_load() {
    let load = |micros, live| Load::new(Duration::from_micros(micros), live);
    assert!(load(0, 9) < load(1_000, 0));
    // Below a millisecond, connections count.
    assert!(load(999, 1) < load(0, 2));
    assert_eq!(load(999, 1), load(0, 1));
}

#[test]
fn a_long_backlog_hands_on_and_a_short_one_keeps() {
    let load = |millis, live| Load::new(Duration::from_millis(millis), live);
    assert!(load(1, 0).hands_on_to(load(0, 50)));
    assert!(!load(0, 50).hands_on_to(load(0, 50)));
    // A lead in connections means nothing while the other shard is busier.
    assert!(load(0, 50).hands_on_to(load(0, 0)));
    assert!(!load(0, 50).hands_on_to(load(1, 0)));
}
