//! The runtime itself: entering, spawning and shutting down.

use std::future::pending;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::mpsc::channel;

use super::side::{Runtime, runtime, shut_down, spawn};
use crate::support::{DEADLINE, receive};

#[test]
fn it_is_unwind_safe() {
    fn check<T: UnwindSafe + RefUnwindSafe + Send + Sync>() {}
    check::<Runtime>();
}

#[test]
fn it_shuts_down_while_a_guard_lives() {
    let runtime = runtime();
    let _guard = runtime.enter();
    let task = spawn(pending::<()>());
    shut_down(runtime);
    assert!(task.is_finished());
}

#[test]
fn it_spawns_from_outside_and_from_inside() {
    let runtime = runtime();
    assert_eq!(runtime.block_on(runtime.spawn(async { 1 })).unwrap(), 1);
    let job = runtime.spawn_blocking(|| 2);
    assert_eq!(runtime.block_on(job).unwrap(), 2);
    // In `block_on` and in a task the runtime is current.
    let inner = runtime.block_on(async { spawn(async { 3 }).await.unwrap() });
    assert_eq!(inner, 3);
    let nested = runtime.spawn(async { spawn(async { 4 }).await.unwrap() });
    assert_eq!(runtime.block_on(nested).unwrap(), 4);
}

#[test]
fn a_shutdown_in_the_background_does_not_wait_for_a_poll() {
    let runtime = runtime();
    let (runs, running) = channel();
    let (release, gate) = channel::<()>();
    let (ends, ended) = channel();
    let task = runtime.spawn(async move {
        runs.send(()).unwrap();
        gate.recv_timeout(DEADLINE).unwrap();
        ends.send(()).unwrap();
        pending::<()>().await;
    });
    receive(&running, "the task runs");
    // A shutdown that waited would wait for the release below.
    runtime.shutdown_background();
    release.send(()).unwrap();
    receive(&ended, "the poll's end");
    crate::support::eventually("the task's end", || task.is_finished());
}
