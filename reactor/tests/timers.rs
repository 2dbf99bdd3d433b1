//! Sleeps, timeouts and intervals, on shards and off them. Tests with a simulated clock are in
//! `src/sim/`.

mod support;

use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use reactor::time::{
    Elapsed, Interval, MissedTickBehavior, Sleep, Timeout, coarse_now, interval, sleep,
    sleep_until, timeout,
};
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
fn a_reset_on_its_shard_is_not_undone_by_an_older_one_from_elsewhere() {
    let reactor = reactor(1);
    let task = reactor.handle().spawn(async {
        let mut wait = sleep(LONG);
        assert!(timeout(Duration::from_millis(2), &mut wait).await.is_err());
        // Its message waits in the shard's inbox while the shard runs this task.
        let elsewhere = thread::spawn(move || {
            Pin::new(&mut wait).reset(Instant::now() + LONG / 2);
            wait
        });
        let mut wait = elsewhere.join().unwrap();
        Pin::new(&mut wait).reset(Instant::now() + SHORT);
        timeout(DEADLINE, wait).await
    });
    reactor
        .block_on(task)
        .unwrap()
        .expect("the last reset is the one that counts");
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
                    let mut wait = sleep_until(at);
                    // On a slow machine some are due before they are armed. Those complete when
                    // they are polled.
                    let armed =
                        poll_fn(|cx| Poll::Ready(Pin::new(&mut wait).poll(cx).is_pending()));
                    let armed = armed.await;
                    if armed {
                        wait.await;
                    }
                    assert!(Instant::now() >= at);
                    if armed {
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

/// The requirements of INTEROP.md on timers that other stacks keep in their own types.
const _: () = {
    const fn anywhere<T: Send + Sync + Unpin + 'static>() {}
    anywhere::<Sleep>();
    anywhere::<Interval>();
    anywhere::<Timeout<Sleep>>();
    anywhere::<Elapsed>();
    anywhere::<MissedTickBehavior>();
};

/// Works on any executor: a shard keeps the timer, and its waker is the executor's.
async fn timers_keep_their_time() {
    let start = Instant::now();
    let mut interval = interval(SHORT);
    let first = interval.tick().await;
    for n in 1..=3 {
        assert_eq!(interval.tick().await, first + n * SHORT);
        assert!(start.elapsed() >= n * SHORT);
    }
    assert!(timeout(SHORT, sleep(LONG)).await.is_err());
    assert!(timeout(LONG, sleep(SHORT)).await.is_ok());
    let mut wait = sleep(LONG);
    assert!(timeout(SHORT, &mut wait).await.is_err());
    assert!(!wait.is_elapsed());
    Pin::new(&mut wait).reset(Instant::now() + SHORT);
    wait.await;
    // Moved from one thread to another, as a work-stealing executor does.
    let mut wait = sleep(LONG);
    assert!(timeout(SHORT, &mut wait).await.is_err());
    Pin::new(&mut wait).reset(Instant::now() + SHORT);
    let deadline = wait.deadline();
    let handle = reactor::Handle::current();
    let moved = thread::spawn(move || handle.block_on(wait));
    // A blocking join would stop the shard that keeps the timer, if this runs on one.
    while !moved.is_finished() {
        sleep(Duration::from_millis(1)).await;
    }
    moved.join().unwrap();
    assert!(Instant::now() >= deadline);
    assert!(coarse_now() <= Instant::now());
}

#[test]
fn timers_work_on_a_shard_on_a_bare_thread_and_in_a_foreign_executor() {
    let reactor = reactor(2);
    reactor.block_on(timers_keep_their_time());
    let on_shard = reactor.handle().spawn(timers_keep_their_time());
    let foreign = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let handle = reactor.handle().clone();
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let handle = handle.clone();
            // The reactor is current where a timer is made. The thread that polls it does not
            // matter.
            let made = move || {
                let _current = handle.enter();
                (
                    sleep(SHORT),
                    interval(SHORT),
                    timeout(SHORT, pending::<()>()),
                )
            };
            foreign.spawn(async move {
                let (sleep, mut interval, timeout) = made();
                sleep.await;
                let first = interval.tick().await;
                assert_eq!(interval.tick().await, first + SHORT);
                assert!(timeout.await.is_err());
            })
        })
        .collect();
    for task in tasks {
        foreign.block_on(task).unwrap();
    }
    reactor.block_on(on_shard).unwrap();
    eventually("no timer is left", || {
        total(reactor.handle(), |shard| shard.timers) == 0
    });
}
