//! Descriptors that do not exist, with events that the test reports.

use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::driver::report;
use crate::sim::{DEADLINE, Simulated, clock, reactor, register};
use crate::time::timeout;
use crate::{Interest, Placement, Ready, Registration, is_shutdown_error};

#[test]
fn events_reach_the_tasks_that_wait_for_them() {
    let reactor = reactor(2);
    let (woken, wakes) = channel();
    let fds: Vec<_> = (0..100).map(Simulated).collect();
    let tasks: Vec<_> = fds
        .iter()
        .map(|fd| {
            let registration = register(&reactor, fd);
            let (number, woken) = (fd.as_raw_fd(), woken.clone());
            reactor.handle().spawn(async move {
                for _ in 0..3 {
                    let event = registration.ready(Interest::READABLE).await.unwrap();
                    assert_eq!(event.ready(), Ready::READABLE);
                    registration.clear(event);
                    woken.send(number).unwrap();
                }
            })
        })
        .collect();
    for round in 0..3 {
        for fd in fds.iter().rev() {
            assert_eq!(report(fd.as_raw_fd(), Ready::READABLE), 1, "round {round}");
            assert_eq!(wakes.recv_timeout(DEADLINE).unwrap(), fd.as_raw_fd());
        }
    }
    for task in tasks {
        reactor.block_on(task).unwrap();
    }
    assert_eq!(
        report(fds[0].as_raw_fd(), Ready::READABLE),
        0,
        "deregistered as the task ended"
    );
    assert_eq!(reactor.handle().metrics().total(|shard| shard.events), 300);
}

#[test]
fn one_descriptor_registered_twice_is_refused_and_registers_again_after() {
    let reactor = reactor(2);
    let fd = Simulated(1_000);
    let first = register(&reactor, &fd);
    let both = Interest::READABLE;
    let second = Registration::new(reactor.handle(), Placement::Hash, &fd, both, Ready::EMPTY);
    assert_eq!(
        second.unwrap_err().kind(),
        std::io::ErrorKind::AlreadyExists
    );
    first.deregister().unwrap();
    drop(register(&reactor, &fd));
}

#[test]
fn a_wait_ends_with_its_reactor() {
    let reactor = reactor(2);
    let fd = Simulated(2_000);
    let registration = register(&reactor, &fd);
    let registration = Arc::new(registration);
    let handle = reactor.handle().clone();
    let waits = Arc::clone(&registration);
    let early = handle.spawn(async move {
        let event = waits.ready(Interest::READABLE);
        timeout(Duration::from_millis(5), event).await.map(drop)
    });
    clock(&reactor).advance(Duration::from_millis(5));
    let early = handle.block_on(early).unwrap();
    assert!(early.is_err(), "nothing was reported");
    drop(reactor);
    let error = handle
        .block_on(registration.ready(Interest::READABLE))
        .unwrap_err();
    assert!(is_shutdown_error(&error), "{error}");
}
