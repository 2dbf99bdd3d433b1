//! Helpers of the integration tests.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test program uses a part of it"
)]

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use reactor::{Handle, Pinning, Reactor, ShardMetrics};

/// The time limit of any expected event before the test fails.
pub const DEADLINE: Duration = Duration::from_secs(20);

pub fn reactor(shards: usize) -> Reactor {
    Reactor::builder()
        .shards(shards)
        .pinning(Pinning::None)
        .build()
        .expect("a reactor starts")
}

/// Waits for a message. Panics with the name of the missing one if it does not arrive.
#[track_caller]
pub fn receive<T>(receiver: &Receiver<T>, what: &str) -> T {
    match receiver.recv_timeout(DEADLINE) {
        Ok(message) => message,
        Err(RecvTimeoutError::Timeout) => panic!("{what}: nothing came within {DEADLINE:?}"),
        Err(RecvTimeoutError::Disconnected) => panic!("{what}: the sender is gone"),
    }
}

/// Waits until the condition holds.
#[track_caller]
pub fn eventually(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(
            start.elapsed() < DEADLINE,
            "{what}: not within {DEADLINE:?}"
        );
        std::thread::yield_now();
    }
}

pub fn total(handle: &Handle, counter: impl Fn(&ShardMetrics) -> u64) -> u64 {
    handle.metrics().total(counter)
}
