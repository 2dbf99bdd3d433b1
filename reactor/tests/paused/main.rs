//! The paused clock. `cases.rs` runs on this library and on tokio; the tests here are about what
//! tokio does not have.

#![allow(
    clippy::duplicate_mod,
    reason = "the cases are compiled once per side on purpose"
)]

#[path = "../support/mod.rs"]
mod support;

mod ours;
mod tokio;

use std::future::pending;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use reactor::time::{MissedTickBehavior, advance, coarse_now, interval, pause, sleep, timeout};
use reactor::{Interest, Placement, Reactor, Ready, Registration};

const HOUR: Duration = Duration::from_secs(3600);

#[reactor::test(start_paused = true)]
async fn a_test_may_start_paused() {
    let start = coarse_now();
    sleep(HOUR).await;
    assert_eq!(coarse_now() - start, HOUR);
}

#[test]
fn a_paused_clock_needs_one_shard() {
    let error = Reactor::builder()
        .shards(2)
        .start_paused(true)
        .build()
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn a_thread_without_a_reactor_cannot_pause() {
    assert!(std::panic::catch_unwind(pause).is_err());
}

#[test]
fn a_spinning_shard_does_not_wait_for_a_paused_clock() {
    let reactor = Reactor::builder()
        .shards(1)
        .busy_poll(Duration::from_micros(50))
        .start_paused(true)
        .build()
        .unwrap();
    reactor.block_on(async { sleep(HOUR).await });
}

#[reactor::test(start_paused = true)]
async fn a_tick_that_is_late_by_its_slack_keeps_the_schedule() {
    const SECOND: Duration = Duration::from_secs(1);
    const SLACK: Duration = Duration::from_millis(5);
    for (late, next) in [
        (SLACK, 2 * SECOND),
        (
            SLACK + Duration::from_nanos(1),
            2 * SECOND + SLACK + Duration::from_nanos(1),
        ),
    ] {
        let start = coarse_now();
        let mut ticks = interval(SECOND);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        assert_eq!(ticks.tick().await, start);
        advance(SECOND + late).await;
        assert_eq!(ticks.tick().await, start + SECOND);
        assert_eq!(ticks.tick().await, start + next);
    }
}

#[reactor::test(start_paused = true)]
async fn events_come_before_the_next_timer() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let here = reactor::Handle::current();
    let registration = Registration::new(
        &here,
        Placement::Hash,
        &ours,
        Interest::READABLE,
        Ready::EMPTY,
    )
    .unwrap();
    let start = coarse_now();
    theirs.write_all(b"x").unwrap();
    let ready = timeout(HOUR, registration.readable()).await;
    ready.expect("the event came first").unwrap();
    assert_eq!(coarse_now(), start);
    assert!(timeout(HOUR, pending::<()>()).await.is_err());
    drop(registration);
}
