//! Sleeps and timeouts, on shards and off them.

mod support;

use std::future::pending;
use std::pin::Pin;
use std::thread;
use std::time::{Duration, Instant};

use reactor::time::{sleep, sleep_until, timeout};
use support::{DEADLINE, eventually, reactor, total};

const SHORT: Duration = Duration::from_millis(15);
const LONG: Duration = Duration::from_secs(3_600);

#[test]
fn a_sleep_is_never_early() {
    let reactor = reactor(1);
    let task = reactor.handle().spawn(async {
        for micros in [0, 1, 999, 1_000, 1_001, 7_300] {
            let start = Instant::now();
            let duration = Duration::from_micros(micros);
            sleep(duration).await;
            assert!(
                start.elapsed() >= duration,
                "{:?} instead of {duration:?}",
                start.elapsed()
            );
        }
    });
    reactor.block_on(task).unwrap();
    let start = Instant::now();
    reactor.block_on(async { sleep(SHORT).await });
    assert!(start.elapsed() >= SHORT);
    eventually("no timer is left", || {
        total(reactor.handle(), |shard| shard.timers) == 0
    });
}

#[test]
fn dropped_sleeps_are_disarmed_wherever_they_were_armed() {
    let reactor = reactor(2);
    let (sender, receiver) = std::sync::mpsc::channel();
    let on_shard = reactor.handle().spawn(async move {
        let mut kept = sleep(LONG);
        assert!(timeout(SHORT, &mut kept).await.is_err());
        // Armed on its shard, dropped elsewhere.
        sender.send(kept).unwrap();
        assert!(timeout(SHORT, sleep(LONG)).await.is_err());
    });
    reactor.block_on(on_shard).unwrap();
    assert_eq!(total(reactor.handle(), |shard| shard.timers), 1);
    drop(receiver.recv().unwrap());
    eventually("no timer is left", || {
        total(reactor.handle(), |shard| shard.timers) == 0
    });
    // Armed from another thread, dropped there.
    reactor.block_on(async { assert!(timeout(SHORT, sleep(LONG)).await.is_err()) });
    eventually("no timer is left", || {
        total(reactor.handle(), |shard| shard.timers) == 0
    });
}

#[test]
fn reset_moves_the_deadline_both_ways() {
    let reactor = reactor(1);
    let body = || async {
        let mut wait = sleep(LONG);
        assert!(timeout(Duration::from_millis(2), &mut wait).await.is_err());
        Pin::new(&mut wait).reset(Instant::now() + SHORT);
        timeout(DEADLINE, &mut wait)
            .await
            .expect("an earlier deadline is kept");
        let start = Instant::now();
        Pin::new(&mut wait).reset(start + Duration::from_millis(1));
        assert!(timeout(Duration::ZERO, &mut wait).await.is_err());
        Pin::new(&mut wait).reset(start + 3 * SHORT);
        wait.await;
        assert!(start.elapsed() >= 3 * SHORT);
    };
    let shard = reactor.handle().shards().next().unwrap();
    reactor
        .block_on(reactor.handle().spawn_on(shard, body))
        .unwrap();
    reactor.block_on(body());
    eventually("no timer is left", || {
        total(reactor.handle(), |shard| shard.timers) == 0
    });
}

#[test]
fn a_result_that_is_there_beats_the_deadline() {
    let reactor = reactor(1);
    reactor.block_on(async {
        assert_eq!(timeout(Duration::ZERO, async { 3 }).await, Ok(3));
        let elapsed = timeout(Duration::ZERO, pending::<()>()).await.unwrap_err();
        assert_eq!(
            std::io::Error::from(elapsed).kind(),
            std::io::ErrorKind::TimedOut
        );
    });
}

#[test]
fn a_sleep_whose_reactor_ends_ends_with_it() {
    let reactor = reactor(1);
    let handle = reactor.handle().clone();
    let sleeper = thread::spawn(move || handle.block_on(async { sleep(LONG).await }));
    eventually("the timer is armed", || {
        total(reactor.handle(), |shard| shard.timers) == 1
    });
    let handle = reactor.handle().clone();
    drop(reactor);
    sleeper.join().unwrap();
    handle.block_on(async { sleep_until(Instant::now() + LONG).await });
}

#[test]
fn many_timers_fire_in_their_order() {
    let reactor = reactor(1);
    let task = reactor.handle().spawn(async {
        let start = Instant::now();
        let order = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let tasks: Vec<_> = (0..1_000_u64)
            .map(|n| {
                let order = std::sync::Arc::clone(&order);
                let at = start + Duration::from_millis(20 + n * 7 % 50);
                reactor::spawn_local(async move {
                    // On a slow machine some are due before they are armed, and those end as they come.
                    let in_time = Instant::now() < at;
                    sleep_until(at).await;
                    assert!(Instant::now() >= at);
                    if in_time {
                        order.lock().unwrap().push(at);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let order = order.lock().unwrap();
        assert!(!order.is_empty());
        assert!(
            order.is_sorted(),
            "an earlier deadline came after a later one"
        );
    });
    reactor.block_on(task).unwrap();
}
