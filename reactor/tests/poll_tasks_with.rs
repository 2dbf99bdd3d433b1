//! `Builder::poll_tasks_with`: the hook runs around polls, and a hook that does less does no harm.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use reactor::{Reactor, yield_now};

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

#[test]
fn every_poll_is_inside_the_hook() {
    let turns = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&turns);
    let reactor = Reactor::builder()
        .shards(2)
        .poll_tasks_with(move |poll_next| {
            counted.fetch_add(1, Ordering::Relaxed);
            INSIDE.set(true);
            while poll_next() {}
            INSIDE.set(false);
        })
        .build()
        .unwrap();
    let tasks = reactor.handle().spawn_on_all(|_| async {
        for _ in 0..100 {
            assert!(INSIDE.get());
            yield_now().await;
        }
    });
    for task in tasks {
        reactor.block_on(task).unwrap();
    }
    assert!(turns.load(Ordering::Relaxed) >= 100);
}

#[test]
fn tasks_that_a_hook_leaves_are_polled_later() {
    let reactor = Reactor::builder()
        .shards(1)
        .poll_tasks_with(|poll_next| {
            poll_next();
        })
        .build()
        .unwrap();
    let tasks: Vec<_> = (0..50)
        .map(|i| reactor.handle().spawn(async move { i }))
        .collect();
    for (i, task) in tasks.into_iter().enumerate() {
        assert_eq!(reactor.block_on(task).unwrap(), i);
    }
}

#[test]
fn a_hook_that_panics_is_counted_and_ends_nothing() {
    let first = AtomicU64::new(1);
    let reactor = Reactor::builder()
        .shards(1)
        .poll_tasks_with(move |poll_next| {
            while poll_next() {}
            assert!(first.swap(0, Ordering::Relaxed) == 0, "once");
        })
        .build()
        .unwrap();
    for i in 0..3 {
        assert_eq!(
            reactor
                .block_on(reactor.handle().spawn(async move { i }))
                .unwrap(),
            i
        );
    }
    assert_eq!(reactor.handle().metrics().total(|shard| shard.panics), 1);
}
