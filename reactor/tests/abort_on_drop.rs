//! [`AbortOnDropHandle`].

mod support;

use std::future::pending;
use std::sync::mpsc::channel;

use reactor::AbortOnDropHandle;
use support::{eventually, reactor, receive};

#[test]
fn dropping_the_handle_aborts_the_task() {
    let reactor = reactor(1);
    let handle = AbortOnDropHandle::new(reactor.spawn(pending::<()>()));
    let abort = handle.abort_handle();
    assert!(!handle.is_finished() && handle.id() == abort.id());
    drop(handle);
    eventually("the abort", || abort.is_finished());
}

#[test]
fn the_output_is_the_tasks() {
    let reactor = reactor(1);
    let mut handle = AbortOnDropHandle::new(reactor.spawn(async { 5 }));
    assert_eq!(reactor.block_on(&mut handle).unwrap(), 5);
    assert!(handle.is_finished());
    let handle = AbortOnDropHandle::new(reactor.spawn(pending::<()>()));
    handle.abort();
    assert!(reactor.block_on(handle).unwrap_err().is_cancelled());
}

#[test]
fn a_detached_task_goes_on() {
    let reactor = reactor(1);
    let (release, gate) = channel::<()>();
    let (ends, ended) = channel();
    let job = reactor.spawn_blocking(move || {
        gate.recv().unwrap();
        ends.send(()).unwrap();
    });
    drop(AbortOnDropHandle::new(job).detach());
    release.send(()).unwrap();
    receive(&ended, "the end of the detached job");
}
