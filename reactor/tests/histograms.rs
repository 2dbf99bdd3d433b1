//! The histograms of a shard: each is tested with a load of known shape.

mod support;

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use reactor::{Handle, Histogram, Interest, Pinning, Reactor, Ready, Registration, ShardMetrics};

const SLOW: Duration = Duration::from_millis(30);

fn reactor(is_on: bool) -> Reactor {
    let builder = Reactor::builder().shards(1).pinning(Pinning::None);
    builder.histograms(is_on).build().unwrap()
}

fn shard(handle: &Handle) -> ShardMetrics {
    handle.metrics().shards.remove(0)
}

/// Returns the number of values above a number of seconds, to the width of a bucket.
fn above(histogram: &Histogram, seconds: f64) -> u64 {
    let buckets = histogram.buckets();
    buckets
        .filter(|(bound, _)| *bound > seconds)
        .map(|(_, count)| count)
        .sum()
}

#[test]
fn they_are_off_by_default() {
    let reactor = reactor(false);
    reactor.block_on(reactor.spawn(async {})).unwrap();
    let metrics = shard(reactor.handle());
    assert_eq!((metrics.poll_time, metrics.wait_time), (None, None));
    assert!(
        reactor
            .handle()
            .metrics()
            .iter()
            .all(|metric| metric.name != "reactor_batch_events")
    );
}

#[test]
fn each_poll_is_recorded_with_its_duration() {
    let reactor = reactor(true);
    let task = reactor.spawn(async {
        reactor::yield_now().await;
        thread::sleep(SLOW);
    });
    reactor.block_on(task).unwrap();
    // The poll is recorded after the handle was woken.
    reactor.block_on(reactor.spawn(async {})).unwrap();
    support::eventually("the report", || {
        let polls = shard(reactor.handle()).poll_time.unwrap();
        polls.count() == 3 && above(&polls, SLOW.as_secs_f64()) == 1
    });
    let polls = shard(reactor.handle()).poll_time.unwrap();
    assert!(polls.sum() >= SLOW.as_secs_f64());
    assert!(
        shard(reactor.handle()).busy >= SLOW,
        "measured without stealing, too"
    );
}

#[test]
fn a_task_behind_a_slow_one_waited_for_it() {
    let reactor = reactor(true);
    let task = reactor.spawn(async {
        let behind = reactor::spawn(async {});
        thread::sleep(SLOW);
        behind.await.unwrap();
    });
    reactor.block_on(task).unwrap();
    support::eventually("the report", || {
        let waits = shard(reactor.handle()).wake_to_poll.unwrap();
        waits.count() >= 3 && above(&waits, SLOW.as_secs_f64()) == 1
    });
}

#[test]
fn a_wake_by_another_thread_waits_from_its_message_on() {
    let reactor = reactor(true);
    let (go, gate) = channel::<()>();
    let (running, is_running) = channel();
    let stuck = reactor.spawn(async move {
        running.send(()).unwrap();
        gate.recv().unwrap();
    });
    is_running.recv().unwrap();
    let behind = reactor.spawn(async {});
    thread::sleep(SLOW);
    go.send(()).unwrap();
    reactor.block_on(stuck).unwrap();
    reactor.block_on(behind).unwrap();
    let waits = shard(reactor.handle()).wake_to_poll.unwrap();
    assert_eq!(above(&waits, SLOW.as_secs_f64()), 1, "{waits:?}");
}

#[test]
fn a_sleep_is_a_wait_and_an_event_is_in_its_batch() {
    let reactor = reactor(true);
    let (mut near, far) = UnixStream::pair().unwrap();
    far.set_nonblocking(true).unwrap();
    let (waiting, waits) = channel();
    let task = reactor.spawn(async move {
        let registration =
            Registration::new_current(&far, Interest::READABLE, Ready::EMPTY).unwrap();
        waiting.send(()).unwrap();
        registration.readable().await.unwrap();
    });
    waits.recv().unwrap();
    thread::sleep(SLOW);
    near.write_all(b"x").unwrap();
    reactor.block_on(task).unwrap();
    support::eventually("the report", || {
        let metrics = shard(reactor.handle());
        let (batches, waits) = (metrics.batch_events.unwrap(), metrics.wait_time.unwrap());
        batches.sum() >= 1.0 && waits.sum() >= SLOW.as_secs_f64()
    });
}
