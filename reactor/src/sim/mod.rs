//! A whole reactor on the simulated driver: no system call for an event, and no time but the test's.

mod descriptors;
mod parity;
mod timers;

use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use crate::time::Clock;
use crate::{Interest, Pinning, Placement, Reactor, Ready, Registration};

/// How long anything that has to happen may take, in the system's time, before the test fails.
const DEADLINE: Duration = Duration::from_secs(20);

/// A number that nothing here has open; nothing asks the system about it either.
struct Simulated(RawFd);

impl AsRawFd for Simulated {
    fn as_raw_fd(&self) -> RawFd {
        100_000 + self.0
    }
}

fn reactor(shards: usize) -> Reactor {
    Reactor::builder()
        .shards(shards)
        .pinning(Pinning::None)
        // Every poll of a task is a turn of its own, so that a yield lets time be looked at.
        .event_interval(1)
        .build()
        .unwrap()
}

fn clock(reactor: &Reactor) -> Clock {
    reactor.handle().all_shards()[0].clock.clone()
}

fn register(reactor: &Reactor, fd: &Simulated) -> Registration {
    let both = Interest::READABLE | Interest::WRITABLE;
    Registration::new(reactor.handle(), Placement::Hash, fd, both, Ready::EMPTY).unwrap()
}
