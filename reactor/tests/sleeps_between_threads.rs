//! Sleeps that are armed, reset, polled and dropped on different threads, and wakers that misbehave
//! in the timer store.

mod support;

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use reactor::time::{Sleep, sleep, sleep_until};
use support::{eventually, reactor, receive, total};

const HOUR: Duration = Duration::from_secs(3_600);

/// Polls a sleep once, which must be pending.
async fn arm(sleep: &mut Sleep) {
    poll_fn(|cx| {
        assert!(Pin::new(&mut *sleep).poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
}

fn poll_with(sleep: &mut Sleep, waker: &Waker) -> Poll<()> {
    Pin::new(sleep).poll(&mut Context::from_waker(waker))
}

#[test]
fn a_reset_from_another_thread_wakes_the_task_at_the_new_deadline() {
    let reactor = reactor(1);
    let shared: Arc<Mutex<Option<Sleep>>> = Arc::default();
    let (armed, is_armed) = mpsc::channel();
    let (done, is_done) = mpsc::channel();
    let theirs = Arc::clone(&shared);
    drop(reactor.handle().spawn(async move {
        *theirs.lock().unwrap() = Some(sleep(HOUR));
        let mut armed = Some(armed);
        poll_fn(|cx| {
            let polled = Pin::new(theirs.lock().unwrap().as_mut().unwrap()).poll(cx);
            if let Some(armed) = armed.take() {
                armed.send(()).unwrap();
            }
            polled
        })
        .await;
        done.send(()).unwrap();
    }));
    receive(&is_armed, "the task waits");
    let soon = Instant::now() + Duration::from_millis(20);
    Pin::new(shared.lock().unwrap().as_mut().unwrap()).reset(soon);
    receive(&is_done, "the new deadline wakes the task");
}

#[test]
fn a_deadline_moved_later_is_kept_off_a_shard_after_the_timer_fired() {
    struct Sends(mpsc::Sender<()>);
    impl Wake for Sends {
        fn wake(self: Arc<Self>) {
            self.0.send(()).unwrap();
        }
    }
    let reactor = reactor(1);
    let _entered = reactor.enter();
    let (sender, woken) = mpsc::channel();
    let waker = Waker::from(Arc::new(Sends(sender)));
    let first = Instant::now() + Duration::from_millis(200);
    let mut sleep = sleep_until(first);
    assert!(poll_with(&mut sleep, &waker).is_pending());
    let later = first + Duration::from_millis(300);
    Pin::new(&mut sleep).reset(later);
    receive(&woken, "the timer fires at the first deadline");
    if poll_with(&mut sleep, &waker).is_pending() {
        receive(&woken, "the timer fires at the later deadline");
    }
    assert!(Instant::now() >= later);
}

#[test]
fn a_sleep_that_comes_to_its_shard_leaves_no_timer_behind() {
    struct Holds(#[expect(dead_code, reason = "counted")] Arc<()>);
    impl Wake for Holds {
        fn wake(self: Arc<Self>) {}
    }
    let reactor = reactor(1);
    let held = Arc::new(());
    let mut wait = {
        let _guard = reactor.enter();
        sleep(HOUR)
    };
    let waker = Waker::from(Arc::new(Holds(Arc::clone(&held))));
    assert!(poll_with(&mut wait, &waker).is_pending());
    drop(waker);
    eventually("the timer is armed", || {
        total(reactor.handle(), |shard| shard.timers) == 1
    });
    let task = reactor.handle().spawn(async move {
        arm(&mut wait).await;
        drop(wait);
    });
    reactor.block_on(task).unwrap();
    eventually("no timer is left", || {
        total(reactor.handle(), |shard| shard.timers) == 0
    });
    assert_eq!(
        Arc::strong_count(&held),
        1,
        "the waker of the first wait is gone"
    );
}

#[test]
fn a_sleep_moved_to_another_shard_is_armed_there() {
    let reactor = reactor(2);
    let shards: Vec<_> = reactor.handle().shards().collect();
    let first = reactor.handle().spawn_on(shards[0], || async {
        let mut wait = sleep(HOUR);
        arm(&mut wait).await;
        Some(wait)
    });
    let mut wait = reactor.block_on(first).unwrap().unwrap();
    let second = reactor.handle().spawn_on(shards[1], || async move {
        arm(&mut wait).await;
        Some(wait)
    });
    let wait = reactor.block_on(second).unwrap();
    let timers = || {
        let metrics = reactor.handle().metrics();
        (metrics.shards[0].timers, metrics.shards[1].timers)
    };
    eventually("only the second shard keeps it", || timers() == (0, 1));
    drop(wait);
    eventually("no timer is left", || timers() == (0, 0));
}

struct PanicsInDrop;

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        if !thread::panicking() {
            panic!("a waker's drop");
        }
    }
}

struct Foreign(#[allow(dead_code, reason = "held for its drop")] PanicsInDrop);

impl Wake for Foreign {
    fn wake(self: Arc<Self>) {
        std::mem::forget(self);
    }
}

#[test]
fn a_waker_that_panics_as_its_timer_is_disarmed_leaves_the_shard_alive() {
    let reactor = reactor(1);
    let task = reactor.handle().spawn(async {
        let mut wait = sleep(HOUR);
        let waker = Waker::from(Arc::new(Foreign(PanicsInDrop)));
        assert!(poll_with(&mut wait, &waker).is_pending());
        // The clone in the timer is the last.
        drop(waker);
        Some(wait)
    });
    // Dropped here, so that the shard is asked to disarm it.
    drop(reactor.block_on(task).unwrap());
    eventually("the panic is counted", || {
        total(reactor.handle(), |shard| shard.panics) == 1
    });
    assert_eq!(
        reactor
            .block_on(reactor.handle().spawn(async { 1 }))
            .unwrap(),
        1
    );
}

#[test]
fn a_waker_that_panics_as_its_shard_ends_takes_nothing_with_it() {
    struct PanicsInWake;
    impl Wake for PanicsInWake {
        fn wake(self: Arc<Self>) {
            panic!("a waker");
        }
    }
    struct Tells(mpsc::Sender<()>);
    impl Wake for Tells {
        fn wake(self: Arc<Self>) {
            let _ = self.0.send(());
        }
    }
    let reactor = reactor(1);
    let handle = reactor.handle().clone();
    let mut sleeps: [Sleep; 4] = {
        let _guard = handle.enter();
        std::array::from_fn(|_| sleep(HOUR))
    };
    let (woken, is_woken) = mpsc::channel();
    let arm_two = |sleeps: &mut [Sleep]| {
        let wakers = [
            Waker::from(Arc::new(PanicsInWake)),
            Waker::from(Arc::new(Tells(woken.clone()))),
        ];
        for (sleep, waker) in sleeps.iter_mut().zip(wakers) {
            assert!(poll_with(sleep, &waker).is_pending());
        }
    };
    // At the shard's end, two are in its store and two in its inbox.
    arm_two(&mut sleeps[..2]);
    eventually("they are armed", || {
        total(&handle, |shard| shard.timers) == 2
    });
    let (running, is_running) = mpsc::channel();
    let (go, may_go) = mpsc::channel::<()>();
    drop(handle.spawn(async move {
        running.send(()).unwrap();
        let _ = may_go.recv();
    }));
    receive(&is_running, "the poll blocks");
    let stopper = thread::spawn(move || catch_unwind(AssertUnwindSafe(|| drop(reactor))).is_ok());
    eventually("the shutdown begins", || handle.is_shutting_down());
    arm_two(&mut sleeps[2..]);
    go.send(()).unwrap();
    assert!(stopper.join().unwrap(), "the reactor's drop panicked");
    for _ in 0..2 {
        receive(&is_woken, "the other sleeps end");
    }
    assert_eq!(total(&handle, |shard| shard.panics), 2);
}

#[test]
fn sleeps_kept_by_a_shard_that_was_given_up_end() {
    let reactor = reactor(1);
    let handle = reactor.handle().clone();
    let (running, is_running) = mpsc::channel();
    let (_release, gate) = mpsc::channel::<()>();
    drop(handle.spawn(async move {
        running.send(()).unwrap();
        let _ = gate.recv();
    }));
    receive(&is_running, "the poll blocks");
    let (started, is_started) = mpsc::channel();
    let before = thread::spawn({
        let handle = handle.clone();
        move || {
            handle.block_on(async {
                let mut wait = sleep(HOUR);
                arm(&mut wait).await;
                started.send(()).unwrap();
                wait.await;
            });
        }
    });
    receive(&is_started, "a sleep waits");
    assert!(reactor.shutdown(Duration::ZERO).is_err());
    let (over, ends) = mpsc::channel();
    thread::spawn(move || {
        before.join().unwrap();
        handle.block_on(async { sleep(HOUR).await });
        over.send(()).unwrap();
    });
    receive(&ends, "a sleep that waited, and one that begins, end");
}
