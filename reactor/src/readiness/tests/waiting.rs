//! Tests of wakes on one thread, with wakers that count, panic or wait again.

use std::sync::{Arc, Weak};
use std::task::{Poll, Wake, Waker};

use crate::Ready;
use crate::readiness::list::{BATCH, WaiterList};
use crate::readiness::place::Places;
use crate::readiness::{ClosedStates, Readiness, Side};
use crate::sync::{AtomicU32, Mutex, Ordering};

/// A task that counts its wakes.
#[derive(Default)]
struct Task(AtomicU32);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Task {
    fn new() -> (Arc<Self>, Waker) {
        let task = Arc::new(Self::default());
        (Arc::clone(&task), Waker::from(task))
    }

    fn wakes(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

fn kept(task: &Arc<Task>) -> bool {
    // One count is the test's own.
    Arc::strong_count(task) > 1
}

#[test]
fn every_matching_waiter_is_woken_once_and_no_other() {
    // Inline waiters, waiters in the slab, and waiters across several of its batches.
    for many in [1, 2, 3, BATCH + 2, BATCH + 3, 3 * BATCH + 5] {
        let ready = Readiness::new();
        let waits: Vec<_> = (0..many)
            .map(|index| {
                let mask = if index % 3 == 0 {
                    Ready::WRITABLE
                } else {
                    Ready::READABLE
                };
                let (task, waker) = Task::new();
                (mask, task, ready.wait(mask, &waker).unwrap())
            })
            .collect();
        assert_eq!(ready.publish(Ready::READABLE), 0);
        for (mask, task, id) in waits {
            let matches = mask == Ready::READABLE;
            assert_eq!(task.wakes(), u32::from(matches), "{many} waiters");
            assert_eq!(ready.poll_wait(id, Waker::noop()).is_ready(), matches);
            if !matches {
                ready.end_wait(id);
            }
            assert!(!kept(&task), "a wait that is over keeps its waker");
        }
    }
}

#[test]
fn places_are_used_again() {
    let ready = Readiness::new();
    let mut first = None;
    for _ in 0..3 {
        let ids: Vec<_> = (0..6)
            .map(|_| ready.wait(Ready::READABLE, Waker::noop()).unwrap())
            .collect();
        let first = first.get_or_insert_with(|| ids.clone());
        let mut sorted = ids.clone();
        sorted.sort_by_key(|id| first.iter().position(|other| other == id));
        assert_eq!(&sorted, first);
        for id in ids {
            ready.end_wait(id);
        }
    }
}

#[test]
fn a_waiter_that_was_notified_keeps_its_place_until_it_looks() {
    let ready = Readiness::new();
    let wait = || ready.wait(Ready::READABLE, Waker::noop()).unwrap();
    let notified = [wait(), wait(), wait()];
    ready.publish(Ready::READABLE);
    ready.clear(ready.load());
    let later = [wait(), wait(), wait()];
    for id in notified {
        assert!(!later.contains(&id));
        assert!(ready.poll_wait(id, Waker::noop()).is_ready());
    }
    for id in later {
        assert!(ready.poll_wait(id, Waker::noop()).is_pending());
        ready.end_wait(id);
    }
    assert_eq!(
        wait(),
        notified[0],
        "a place that was given up is free again"
    );
}

#[test]
fn a_slot_that_is_emptied_has_every_place_free() {
    let ready = Readiness::new();
    let ids = [(); 3].map(|()| ready.wait(Ready::READABLE, Waker::noop()).unwrap());
    ready.publish(Ready::READABLE);
    ready.clear(ready.load());
    // The state that leaked waits leave behind: one notified, one waiting.
    assert!(ready.poll_wait(ids[0], Waker::noop()).is_ready());
    let waiting = ready.wait(Ready::WRITABLE, Waker::noop()).unwrap();
    assert_eq!(ready.take_waiters().unwrap().drop_caught(), 0);
    for id in [waiting, ids[1]] {
        assert_eq!(id, ready.wait(Ready::READABLE, Waker::noop()).unwrap());
    }
}

#[test]
fn a_wait_that_need_not_wait_does_not() {
    let ready = Readiness::new();
    ready.publish(Ready::WRITABLE);
    let (task, waker) = Task::new();
    let seen = ready.wait(Ready::WRITABLE, &waker).unwrap_err();
    assert_eq!(seen.ready(), Ready::WRITABLE);
    let Poll::Ready(seen) = ready.poll_side::<{ Side::WRITE }>(&waker) else {
        panic!("it is writable")
    };
    assert_eq!(seen.ready(), Ready::WRITABLE);
    assert!(ready.poll_side::<{ Side::READ }>(&waker).is_pending());
    drop(waker);
    drop(ready);
    assert!(!kept(&task));
}

#[test]
fn a_notified_waiter_completes_although_the_readiness_was_cleared() {
    let ready = Readiness::new();
    let id = ready.wait(Ready::READABLE, Waker::noop()).unwrap();
    ready.publish(Ready::READABLE);
    ready.clear(ready.load());
    let Poll::Ready(seen) = ready.poll_wait(id, Waker::noop()) else {
        panic!("it was notified")
    };
    assert!(seen.ready().is_empty());
}

#[test]
fn the_newest_waker_of_a_waiter_is_the_one_that_counts() {
    let ready = Readiness::new();
    let (older, waker) = Task::new();
    let id = ready.wait(Ready::READABLE, &waker).unwrap();
    drop(waker);
    let (newer, waker) = Task::new();
    assert!(ready.poll_wait(id, &waker).is_pending());
    assert!(!kept(&older));
    // The same waker again is not cloned again.
    let count = Arc::strong_count(&newer);
    assert!(ready.poll_wait(id, &waker).is_pending());
    assert_eq!(Arc::strong_count(&newer), count);
    ready.publish(Ready::READ_CLOSED | Ready::READABLE);
    assert_eq!((older.wakes(), newer.wakes()), (0, 1));
}

#[test]
fn the_poll_places_are_independent_and_hold_the_newest() {
    let ready = Readiness::new();
    let tasks = [(); 3].map(|()| Task::new());
    let [(_, older), (_, read), (_, write)] = &tasks;
    assert!(ready.poll_side::<{ Side::READ }>(older).is_pending());
    assert!(ready.poll_side::<{ Side::READ }>(read).is_pending());
    assert!(ready.poll_side::<{ Side::WRITE }>(write).is_pending());
    let tasks = tasks.map(|(task, _waker)| task);
    assert!(!kept(&tasks[0]), "the older waker is dropped");
    let id = ready.wait(Ready::READABLE, Waker::noop()).unwrap();
    ready.publish(Ready::READ_CLOSED);
    assert_eq!(tasks.each_ref().map(|task| task.wakes()), [0, 1, 0]);
    assert!(
        ready.poll_wait(id, Waker::noop()).is_pending(),
        "it does not wait for a close"
    );
    ready.publish(Ready::WRITABLE);
    assert_eq!(tasks.each_ref().map(|task| task.wakes()), [0, 1, 1]);
}

#[test]
fn shutdown_ends_every_wait_and_stays() {
    let ready = Readiness::new();
    let (task, waker) = Task::new();
    let ids = [
        Ready::READABLE,
        Ready::WRITABLE,
        Ready::ERROR,
        Ready::CLOSED,
    ]
    .map(|mask| ready.wait(mask, &waker).unwrap());
    assert!(ready.poll_side::<{ Side::READ }>(&waker).is_pending());
    assert!(ready.poll_side::<{ Side::WRITE }>(&waker).is_pending());
    assert_eq!(ready.close(), 0);
    assert_eq!(task.wakes(), 6);
    for id in ids {
        let Poll::Ready(seen) = ready.poll_wait(id, &waker) else {
            panic!("it was notified")
        };
        assert!(seen.is_shutdown());
    }
    ready.publish(Ready::ALL);
    ready.clear(ready.load());
    ready.forget_closed();
    assert!(
        ready
            .wait(Ready::READABLE, &waker)
            .unwrap_err()
            .is_shutdown()
    );
}

#[test]
fn leftover_waiters_are_taken_out_with_their_wakers() {
    let ready = Readiness::new();
    let (task, waker) = Task::new();
    for _ in 0..5 {
        ready.wait(Ready::READABLE, &waker).unwrap();
    }
    assert!(ready.poll_side::<{ Side::READ }>(&waker).is_pending());
    drop(waker);
    drop(ready.take_waiters());
    assert!(!kept(&task));
    assert_eq!(ready.publish(Ready::READABLE), 0);
    assert_eq!(task.wakes(), 0);
}

/// An EAGAIN removes closed states only if nothing was reported since.
#[test]
fn closed_states_are_removed_under_a_fresh_tick_only() {
    let ready = Readiness::new();
    ready.publish(Ready::READABLE | Ready::READ_CLOSED);
    let seen = ready.load();
    ready.clear(seen);
    assert_eq!(
        ready.load().ready(),
        Ready::READ_CLOSED,
        "a plain clear leaves it"
    );
    ready.publish(Ready::READ_CLOSED);
    assert_eq!(ready.clear_with_closed(seen), ClosedStates::Kept);
    assert_eq!(ready.load().ready(), Ready::READ_CLOSED);
    assert_eq!(ready.clear_with_closed(ready.load()), ClosedStates::Removed);
    assert_eq!(ready.load().ready(), Ready::EMPTY);
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        std::panic::panic_any(PanicsAgain);
    }
}

/// A panic whose payload panics too.
struct PanicsAgain;

impl Drop for PanicsAgain {
    fn drop(&mut self) {
        panic!("a payload's drop");
    }
}

#[test]
fn a_waker_that_panics_does_not_keep_the_others_from_being_woken() {
    let ready = Readiness::new();
    let (task, good) = Task::new();
    let bad = Waker::from(Arc::new(Panics));
    for _ in 0..2 * BATCH {
        ready.wait(Ready::READABLE, &bad).unwrap();
        ready.wait(Ready::READABLE, &good).unwrap();
    }
    assert!(ready.poll_side::<{ Side::READ }>(&bad).is_pending());
    let panics = ready.publish(Ready::READABLE);
    assert_eq!(panics, u32::try_from(2 * BATCH + 1).unwrap());
    assert_eq!(task.wakes(), u32::try_from(2 * BATCH).unwrap());
}

/// A task that checks, clears and waits again while it is woken, and once more when its waker is
/// dropped.
struct Returns {
    ready: Weak<Readiness>,
    wakes: AtomicU32,
    waits: Mutex<u32>,
}

impl Wake for Returns {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
        if let Some(ready) = self.ready.upgrade() {
            ready.clear(ready.load());
            ready
                .wait(Ready::READABLE, &Waker::from(Arc::clone(&self)))
                .unwrap();
            *self.waits.lock() += 1;
        }
    }
}

impl Drop for Returns {
    fn drop(&mut self) {
        if let Some(ready) = self.ready.upgrade() {
            ready.clear(ready.load());
            let _ = ready.poll_side::<{ Side::WRITE }>(Waker::noop());
        }
    }
}

#[test]
fn a_waker_may_come_back_to_the_descriptor_it_was_woken_for() {
    let ready = Arc::new(Readiness::new());
    let task = Arc::new(Returns {
        ready: Arc::downgrade(&ready),
        wakes: AtomicU32::new(0),
        waits: Mutex::new(0),
    });
    let waker = Waker::from(Arc::clone(&task));
    for _ in 0..20 {
        ready.wait(Ready::READABLE, &waker).unwrap();
    }
    ready.publish(Ready::READABLE);
    let wakes = task.wakes.load(Ordering::Relaxed);
    assert!(
        (20..=64).contains(&wakes),
        "woken {wakes} times: each waiter, and few that came back"
    );
    drop(waker);
    drop(ready.take_waiters());
    let last = Arc::strong_count(&task);
    assert_eq!(last, 1, "a waker is kept somewhere");
    assert!(
        ready
            .poll_side::<{ Side::READ }>(&Waker::from(task))
            .is_pending()
    );
    // The last reference goes with the waiters, and its drop calls back into the descriptor.
    drop(ready.take_waiters());
    assert!(
        ready
            .poll_side::<{ Side::WRITE }>(Waker::noop())
            .is_pending()
    );
}

#[test]
fn a_cancelled_wait_is_no_longer_counted_wherever_it_waited() {
    let (mut list, places) = (WaiterList::new(), Places::new());
    // Two are in the list itself, the others in the slab.
    let waits: Vec<_> = (0..5)
        .map(|_| list.insert(Ready::READABLE, Waker::noop().clone(), &places))
        .collect();
    assert!(list.more_until() > 0);
    for id in waits {
        assert!(list.remove(id, &places).is_some());
    }
    assert!(list.is_empty());
    assert_eq!(list.more_until(), 0);
}

#[test]
fn a_notified_wait_is_no_longer_counted_wherever_it_waited() {
    let (mut list, places) = (WaiterList::new(), Places::new());
    for _ in 0..5 {
        list.insert(Ready::READABLE, Waker::noop().clone(), &places);
    }
    let first = list.take_first(Ready::READABLE, &places);
    let (mut from, until) = (0, list.more_until());
    let further = list.take_more(Ready::READABLE, &mut from, until);
    assert_eq!(first.iter().chain(&further).flatten().count(), 5);
    assert!(list.is_empty());
    assert_eq!(list.more_until(), 0);
}
