//! The slot table compared with a simple model, and cases that the model does not cover.

use std::collections::{HashMap, HashSet};
use std::task::Waker;

use proptest::prelude::*;

use super::{PAGE_SLOTS, PAGES_MAX, SlotTable};
use crate::Ready;
use crate::error::is_shutdown_error;
use crate::sync::Ordering;
use crate::token::Token;

#[derive(Debug, Clone)]
enum Op {
    Allocate(Ready),
    Free(usize),
    Release,
    Publish(usize, Ready),
}

fn ops() -> impl Strategy<Value = Op> {
    let states = || (0..=Ready::ALL.bits()).prop_map(Ready::from_bits);
    prop_oneof![
        5 => states().prop_map(Op::Allocate),
        4 => any::<usize>().prop_map(Op::Free),
        2 => Just(Op::Release),
        3 => (any::<usize>(), states()).prop_map(|(token, event)| Op::Publish(token, event)),
    ]
}

proptest! {
    /// No slot has two owners, no slot is reused before the quarantine is released, and no token
    /// resolves to another registration's slot.
    #[test]
    fn the_table_agrees_with_a_model(ops in prop::collection::vec(ops(), 0..200)) {
        let table = SlotTable::new(3);
        let mut live: Vec<(Token, Ready)> = Vec::new();
        let mut quarantined: HashSet<u32> = HashSet::new();
        let mut issued: Vec<Token> = Vec::new();
        let mut high_water = 0;
        for op in ops {
            match op {
                Op::Allocate(initial) => {
                    let token = table.allocate(7, initial).unwrap();
                    let slot = token.id().slot();
                    prop_assert_eq!(token.id().table(), 3);
                    prop_assert!(token.generation() > 0);
                    prop_assert!(!issued.contains(&token), "a token twice");
                    prop_assert!(!quarantined.contains(&slot), "used again too early");
                    prop_assert!(live.iter().all(|(other, _)| other.id() != token.id()));
                    prop_assert_eq!(table.slot(token.id()).readiness().load().ready(), initial);
                    high_water = high_water.max(slot + 1);
                    issued.push(token);
                    live.push((token, initial));
                }
                Op::Free(index) if !live.is_empty() => {
                    let (token, _) = live.swap_remove(index % live.len());
                    quarantined.insert(token.id().slot());
                    prop_assert_eq!(table.free_id(token.id()).0 as usize, quarantined.len());
                }
                Op::Release => {
                    table.release_quarantine();
                    quarantined.clear();
                }
                Op::Publish(index, event) if !issued.is_empty() => {
                    let token = issued[index % issued.len()];
                    let owner = live.iter_mut().find(|(other, _)| *other == token);
                    match (table.resolve(token), owner) {
                        (Some(slot), Some((_, ready))) => {
                            *ready |= event;
                            slot.readiness().publish(event);
                        }
                        (Some(slot), None) => {
                            let waits = quarantined.contains(&token.id().slot());
                            prop_assert!(waits, "a stale token found a slot in use");
                            slot.readiness().publish(event);
                        }
                        (None, owner) => prop_assert!(owner.is_none()),
                    }
                }
                Op::Free(_) | Op::Publish(..) => {}
            }
            for (token, ready) in &live {
                prop_assert_eq!(table.slot(token.id()).readiness().load().ready(), *ready);
            }
            // New slots are made only if none is free.
            prop_assert!(high_water as usize <= issued.len());
        }
    }
}

#[test]
fn churn_uses_the_same_slots_again() {
    let table = SlotTable::new(0);
    let mut seen = HashMap::<u32, u32>::new();
    for turn in 0..100 {
        let tokens: Vec<_> = (0..10)
            .map(|fd| table.allocate(fd, Ready::EMPTY).unwrap())
            .collect();
        for token in tokens {
            let generation = seen.insert(token.id().slot(), token.generation());
            assert!(
                generation.is_none_or(|older| older < token.generation()),
                "turn {turn}"
            );
            table.free_id(token.id());
        }
        table.release_quarantine();
    }
    assert_eq!(seen.len(), 10);
}

#[test]
fn slots_never_move() {
    let table = SlotTable::new(0);
    let first = table.allocate(0, Ready::READABLE).unwrap();
    let address = std::ptr::from_ref(table.slot(first.id()));
    let tokens: Vec<_> = (0..3 * PAGE_SLOTS)
        .map(|_| table.allocate(1, Ready::EMPTY).unwrap())
        .collect();
    assert_eq!(std::ptr::from_ref(table.slot(first.id())), address);
    assert_eq!(address.align_offset(128), 0);
    let slots: HashSet<_> = tokens
        .iter()
        .map(|token| std::ptr::from_ref(table.slot(token.id())))
        .collect();
    assert_eq!(slots.len(), tokens.len());
}

#[test]
fn a_slot_is_retired_when_its_generations_are_used_up() {
    let table = SlotTable::new(0);
    let token = table.allocate(0, Ready::EMPTY).unwrap();
    table
        .slot(token.id())
        .generation
        .store(u32::MAX, Ordering::Relaxed);
    table.free_id(token.id());
    table.release_quarantine();
    let last = Token::new(token.id(), u32::MAX);
    assert!(table.resolve(last).is_none());
    assert!(table.resolve(token).is_none());
    for _ in 0..3 {
        let next = table.allocate(0, Ready::EMPTY).unwrap();
        assert_ne!(next.id(), token.id());
    }
}

#[test]
fn tokens_that_were_never_issued_find_nothing() {
    let table = SlotTable::new(0);
    assert!(
        table
            .resolve(Token::from_bits(u64::from(u32::MAX >> 10) | 1 << 32))
            .is_none()
    );
    let token = table.allocate(0, Ready::EMPTY).unwrap();
    assert!(table.resolve(token).is_some());
    assert!(table.resolve(Token::new(token.id(), 2)).is_none());
    assert!(table.resolve(Token::new(token.id(), 0)).is_none());
}

#[test]
fn shutdown_closes_every_slot_and_refuses_more() {
    let table = SlotTable::new(0);
    let tokens: Vec<_> = (0..1030)
        .map(|fd| table.allocate(fd, Ready::EMPTY).unwrap())
        .collect();
    let waits: Vec<_> = tokens
        .iter()
        .map(|token| {
            let readiness = table.slot(token.id()).readiness();
            (
                readiness,
                readiness.wait(Ready::READABLE, Waker::noop()).unwrap(),
            )
        })
        .collect();
    assert_eq!(table.shut_down(), 0);
    for (readiness, id) in waits {
        assert!(readiness.poll_wait(id, Waker::noop()).is_ready());
        assert!(readiness.load().is_shutdown());
    }
    // Freeing still works, and does not reopen the table.
    table.free_id(tokens[0].id());
    table.release_quarantine();
    assert!(is_shutdown_error(
        &table.allocate(0, Ready::EMPTY).unwrap_err()
    ));
}

#[test]
fn a_release_keeps_the_slots_that_were_free_before() {
    let table = SlotTable::new(0);
    let tokens = [1, 2].map(|fd| table.allocate(fd, Ready::EMPTY).unwrap());
    for token in tokens {
        table.free_id(token.id());
        table.release_quarantine();
    }
    let again = [3, 4].map(|fd| table.allocate(fd, Ready::EMPTY).unwrap().id());
    assert_eq!(again, [tokens[1].id(), tokens[0].id()]);
}

#[test]
fn a_table_has_room_for_more_than_a_few_pages() {
    const SLOTS: usize = PAGE_SLOTS + PAGES_MAX + 1;
    let table = SlotTable::new(0);
    let tokens = (0..SLOTS).map(|_| table.allocate(7, Ready::EMPTY).unwrap());
    let slots: HashSet<_> = tokens.map(|token| token.id().slot()).collect();
    assert_eq!(slots.len(), SLOTS);
}
