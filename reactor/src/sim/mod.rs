//! A whole reactor on the simulated driver. Events make no system call, and only the test moves the
//! time.

mod cast;
mod descriptors;
mod parity;
mod pipe;
mod stealing;
mod timers;

use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use crate::time::Clock;
use crate::{Interest, Pinning, Placement, Reactor, Ready, Registration};

/// The time limit of any expected event, on the system's clock, before the test fails.
const DEADLINE: Duration = Duration::from_secs(20);

/// A descriptor number that nothing here has open. The system is never asked about it.
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
        // Every poll of a task is a turn of its own, so that a yield lets the turn read the time.
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
