//! Tests of what a deadline is computed from.

use std::time::{Duration, Instant};

use super::sleep::after;

#[test]
fn a_deadline_that_the_clock_cannot_represent_is_far_ahead() {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    let start = Instant::now();
    assert_eq!(after(start, YEAR), start + YEAR);
    assert!(after(start, Duration::MAX) >= start + 29 * YEAR);
}

#[cfg(feature = "test-util")]
#[test]
fn a_clock_counts_the_nanoseconds_since_the_reactors_start() {
    let reactor = crate::Reactor::builder()
        .shards(1)
        .pinning(crate::Pinning::None)
        .start_paused(true)
        .build()
        .unwrap();
    let clock = reactor.handle().clock();
    assert_eq!(clock.nanos(), 0);
    reactor.block_on(super::advance(Duration::new(3, 7)));
    assert_eq!(clock.nanos(), 3_000_000_007);
}
