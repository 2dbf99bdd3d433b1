//! Timers finer than a millisecond, where the builder asks for them.

mod support;

use std::time::{Duration, Instant};

use reactor::{Pinning, Reactor, time, yield_now};

const SLEEP: Duration = Duration::from_micros(50);

fn reactor(resolution: Option<Duration>) -> Reactor {
    let mut builder = Reactor::builder().shards(1).pinning(Pinning::None);
    if let Some(resolution) = resolution {
        builder = builder.timer_resolution(resolution);
    }
    builder.build().unwrap()
}

/// Returns how late each of some sleeps on a shard ended, ascending.
fn lateness(reactor: &Reactor) -> Vec<Duration> {
    let task = reactor.spawn(async {
        let mut late = Vec::new();
        for _ in 0..300 {
            let deadline = Instant::now() + SLEEP;
            time::sleep_until(deadline).await;
            // Panics where a sleep ended early.
            late.push(Instant::now().checked_duration_since(deadline).unwrap());
        }
        late.sort();
        late
    });
    reactor.block_on(task).unwrap()
}

#[test]
fn sleeps_of_microseconds_end_in_time() {
    let late = lateness(&reactor(Some(Duration::from_micros(10))));
    println!("median {:?}, p99 {:?}", late[150], late[297]);
    // A busy machine delays most of them, but not all.
    assert!(late[0] < Duration::from_micros(400), "{late:?}");
}

#[test]
fn a_millisecond_is_the_resolution_without_it() {
    let counted = |reactor: &Reactor| {
        reactor
            .block_on(reactor.spawn(async {
                let mut wakes = 0;
                for _ in 0..20 {
                    time::sleep(SLEEP).await;
                    wakes += 1;
                }
                wakes
            }))
            .unwrap()
    };
    let started = Instant::now();
    assert_eq!(counted(&reactor(None)), 20);
    // Each sleep waits for a whole millisecond, of which the first may be nearly over.
    assert!(started.elapsed() >= Duration::from_millis(19));
}

#[test]
fn events_and_wakes_end_a_precise_wait() {
    let reactor = reactor(Some(Duration::from_micros(10)));
    let task = reactor.spawn(async {
        // Armed throughout, so that every sleep of the shard is a precise one.
        let mut never = std::pin::pin!(time::sleep(Duration::from_secs(3600)));
        std::future::poll_fn(|cx| {
            assert!(never.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        let (sender, receiver) = std::sync::mpsc::channel();
        let started = Instant::now();
        let job = reactor::spawn_blocking(move || receiver.recv().unwrap());
        yield_now().await;
        sender.send(7).unwrap();
        assert_eq!(job.await.unwrap(), 7);
        assert!(started.elapsed() < support::DEADLINE);
    });
    reactor.block_on(task).unwrap();
    // A wait on another thread is as precise.
    let (deadline, late) = reactor.block_on(async {
        let deadline = Instant::now() + SLEEP;
        time::sleep_until(deadline).await;
        (deadline, Instant::now())
    });
    assert!(late >= deadline);
}

#[test]
fn zero_is_refused() {
    let error = Reactor::builder()
        .shards(1)
        .timer_resolution(Duration::ZERO)
        .build()
        .unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}
