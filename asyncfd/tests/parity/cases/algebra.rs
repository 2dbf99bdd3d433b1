//! `Interest` and `Ready` as sets: every combination, compared with the names of its members.

use super::side::{Interest, OURS, Ready};

/// Every state, by name.
const STATES: [(Ready, &str); 6] = [
    (Ready::READABLE, "READABLE"),
    (Ready::WRITABLE, "WRITABLE"),
    (Ready::READ_CLOSED, "READ_CLOSED"),
    (Ready::WRITE_CLOSED, "WRITE_CLOSED"),
    (Ready::PRIORITY, "PRIORITY"),
    (Ready::ERROR, "ERROR"),
];

const INTERESTS: [(Interest, &str); 4] = [
    (Interest::READABLE, "READABLE"),
    (Interest::WRITABLE, "WRITABLE"),
    (Interest::PRIORITY, "PRIORITY"),
    (Interest::ERROR, "ERROR"),
];

/// Returns the set of the states whose bits are set in `mask`.
fn ready(mask: u32) -> Ready {
    let held = (0..6).filter(|bit| mask & (1 << bit) != 0);
    held.fold(Ready::EMPTY, |set, bit| set | STATES[bit].0)
}

/// The same for interests, which have no empty set.
fn interest(mask: u32) -> Option<Interest> {
    let mut held = (0..4).filter(|bit| mask & (1 << bit) != 0);
    let first = INTERESTS[held.next()?].0;
    Some(held.fold(first, |set, bit| set | INTERESTS[bit].0))
}

fn names(mask: u32, all: &[(impl Copy, &'static str)]) -> Vec<&'static str> {
    let held = (0..all.len()).filter(|bit| mask & (1 << bit) != 0);
    held.map(|bit| all[bit].1).collect()
}

#[test]
fn ready_sets_are_sets() {
    for a in 0..64 {
        for b in 0..64 {
            let (x, y) = (ready(a), ready(b));
            assert_eq!(x | y, ready(a | b));
            assert_eq!(x & y, ready(a & b));
            assert_eq!(x - y, ready(a & !b));
            assert_eq!(x == y, a == b);
            let mut sum = x;
            sum |= y;
            assert_eq!(sum, x | y);
            if x & y == x {
                assert!(x <= y, "{x:?} is in {y:?}, so not after it");
            }
        }
    }
    assert_eq!(ready(63), Ready::ALL);
}

#[test]
fn a_ready_set_tells_its_states_and_closed_counts_as_ready() {
    for mask in 0..64 {
        let set = ready(mask);
        let holds = |bit: u32| mask & (1 << bit) != 0;
        assert_eq!(set.is_empty(), mask == 0);
        assert_eq!(set.is_readable(), holds(0) || holds(2), "{set:?}");
        assert_eq!(set.is_writable(), holds(1) || holds(3), "{set:?}");
        assert_eq!(set.is_read_closed(), holds(2));
        assert_eq!(set.is_write_closed(), holds(3));
        assert_eq!(set.is_priority(), holds(4));
        assert_eq!(set.is_error(), holds(5));
    }
}

#[test]
fn interests_are_sets_that_are_never_empty() {
    for a in 1..16 {
        let x = interest(a).unwrap();
        assert_eq!(x.is_readable(), a & 1 != 0);
        assert_eq!(x.is_writable(), a & 2 != 0);
        assert_eq!(x.is_priority(), a & 4 != 0);
        assert_eq!(x.is_error(), a & 8 != 0);
        for b in 1..16 {
            let y = interest(b).unwrap();
            assert_eq!(x | y, interest(a | b).unwrap());
            assert_eq!(x.add(y), x | y);
            assert_eq!(x.remove(y), interest(a & !b), "{x:?} without {y:?}");
            let mut sum = x;
            sum |= y;
            assert_eq!(sum, x | y);
        }
    }
    const SUM: Interest = Interest::READABLE.add(Interest::WRITABLE);
    assert_eq!(SUM, Interest::READABLE | Interest::WRITABLE);
}

#[test]
fn interests_show_their_names() {
    for mask in 1..16 {
        let shown = format!("{:?}", interest(mask).unwrap());
        let mut shown: Vec<_> = shown.split(" | ").collect();
        let mut expected = names(mask, &INTERESTS);
        shown.sort_unstable();
        expected.sort_unstable();
        assert_eq!(shown, expected);
    }
    let both = Interest::WRITABLE | Interest::READABLE;
    assert_eq!(format!("{both:?}"), "READABLE | WRITABLE");
}

#[test]
fn ready_sets_show_their_names() {
    for mask in 0..64 {
        let shown = format!("{:?}", ready(mask));
        for (bit, (_, name)) in STATES.iter().enumerate() {
            let holds = mask & (1 << bit) != 0;
            if OURS {
                let has = shown.split(" | ").any(|part| part == *name);
                assert_eq!(has, holds, "{shown}");
            } else {
                // tokio prints one field per state.
                let field = format!("is_{}: ", name.to_lowercase());
                assert!(shown.contains(&field), "{shown}");
            }
        }
    }
}
