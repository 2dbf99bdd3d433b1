//! `Builder::busy_poll`, checked with the shards' counters.

mod support;

use std::future::pending;
use std::time::Duration;

use reactor::{Pinning, Reactor};
use support::{eventually, total};

fn spinning(time: Duration) -> Reactor {
    Reactor::builder()
        .shards(1)
        .pinning(Pinning::None)
        .busy_poll(time)
        .build()
        .unwrap()
}

/// Spawns `rounds` tasks from this thread, and waits for each before the next. The shard is idle in
/// between.
fn work(reactor: &Reactor, rounds: u64) {
    for round in 0..rounds {
        let task = reactor.handle().spawn(async move { round });
        assert_eq!(reactor.block_on(task).unwrap(), round);
    }
}

#[test]
fn a_shard_that_spins_is_never_notified() {
    let reactor = spinning(Duration::from_secs(3_600));
    work(&reactor, 200);
    let handle = reactor.handle();
    assert_eq!(total(handle, |shard| shard.notifies), 0);
    assert_eq!(total(handle, |shard| shard.waits), 0);
    let before = total(handle, |shard| shard.spins);
    eventually("it goes on", || total(handle, |shard| shard.spins) > before);
    assert_eq!(total(handle, |shard| shard.remote_spawns), 200);
    // The end is noticed too.
    drop(handle.spawn(pending::<()>()));
}

#[test]
fn a_shard_without_a_budget_never_spins() {
    let reactor = spinning(Duration::ZERO);
    eventually("it sleeps", || {
        total(reactor.handle(), |shard| shard.waits) > 0
    });
    work(&reactor, 200);
    assert_eq!(total(reactor.handle(), |shard| shard.spins), 0);
}

#[test]
fn a_shard_sleeps_when_its_budget_is_spent_and_wakes_as_ever() {
    let reactor = spinning(Duration::from_millis(1));
    for _ in 0..20 {
        let before = total(reactor.handle(), |shard| shard.waits);
        work(&reactor, 1);
        eventually("it sleeps", || {
            total(reactor.handle(), |shard| shard.waits) > before
        });
    }
    assert!(total(reactor.handle(), |shard| shard.spins) > 0);
}
