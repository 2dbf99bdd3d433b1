//! The end of a task: the error of its handle, and the state of the thread that drops its parts.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::mpsc::{Sender, channel};
use std::task::{Context, Poll};
use std::thread;

use super::side::{TaskId, current_task, runtime, spawn};
use crate::support::{eventually, receive};

struct PanicsInDrop;

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        panic!("in the drop");
    }
}

#[test]
fn an_aborted_task_whose_drop_panics_ends_with_the_panic() {
    let runtime = runtime();
    let (runs, running) = channel();
    let task = runtime.spawn(async move {
        let _bomb = PanicsInDrop;
        runs.send(()).unwrap();
        pending::<()>().await;
    });
    receive(&running, "the task runs");
    task.abort();
    let error = runtime.block_on(task).unwrap_err();
    assert!(error.is_panic() && !error.is_cancelled(), "{error:?}");
    let payload = error.into_panic();
    assert_eq!(payload.downcast_ref(), Some(&"in the drop"));
}

#[test]
fn an_aborted_task_is_cancelled() {
    let runtime = runtime();
    let task = runtime.spawn(pending::<()>());
    let id = task.id();
    let abort = task.abort_handle();
    assert!(!abort.is_finished());
    abort.abort();
    let error = runtime.block_on(task).unwrap_err();
    assert!(error.is_cancelled() && !error.is_panic(), "{error:?}");
    assert_eq!(error.id(), id);
    assert!(abort.is_finished());
}

/// Panics in its poll. Its drop sends whether the thread is panicking.
struct PanicsInPoll(Sender<bool>);

impl Future for PanicsInPoll {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        panic!("in the poll");
    }
}

impl Drop for PanicsInPoll {
    fn drop(&mut self) {
        self.0.send(thread::panicking()).unwrap();
    }
}

#[test]
fn a_future_whose_poll_panics_is_dropped_while_the_thread_panics() {
    let runtime = runtime();
    let (sender, dropped) = channel();
    let task = runtime.spawn(PanicsInPoll(sender));
    assert!(receive(&dropped, "the drop"), "the panic still unwinds");
    let error = runtime.block_on(task).unwrap_err();
    assert_eq!(error.into_panic().downcast_ref(), Some(&"in the poll"));
}

#[test]
fn an_aborted_future_is_dropped_while_nothing_panics() {
    let runtime = runtime();
    let (runs, running) = channel();
    let (sender, dropped) = channel();
    let task = runtime.spawn(async move {
        let _reports = SendsInDrop(move || sender.send(thread::panicking()).unwrap());
        runs.send(()).unwrap();
        pending::<()>().await;
    });
    receive(&running, "the task runs");
    task.abort();
    assert!(!receive(&dropped, "the drop"));
}

/// Calls a closure in its drop.
struct SendsInDrop<F: Fn()>(F);

impl<F: Fn()> Drop for SendsInDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn sends_current_task(sender: Sender<Option<TaskId>>) -> SendsInDrop<impl Fn()> {
    SendsInDrop(move || sender.send(current_task()).unwrap())
}

#[test]
fn the_current_task_in_the_drop_of_an_output_is_its_own() {
    let runtime = runtime();
    let (sender, dropped) = channel();

    // By a handle, on a thread that runs no task.
    let output = sends_current_task(sender.clone());
    let task = runtime.spawn(async { output });
    eventually("the task's end", || task.is_finished());
    let id = task.id();
    assert_eq!(current_task(), None);
    drop(task);
    assert_eq!(receive(&dropped, "the drop"), Some(id));
    assert_eq!(current_task(), None);

    // By a handle, in another task.
    let output = sends_current_task(sender);
    let task = runtime.spawn(async { output });
    eventually("the task's end", || task.is_finished());
    let id = task.id();
    let dropper = runtime.spawn(async move {
        drop(task);
        current_task()
    });
    let dropper_id = dropper.id();
    assert_eq!(runtime.block_on(dropper).unwrap(), Some(dropper_id));
    assert_eq!(receive(&dropped, "the drop"), Some(id));
}

#[test]
fn the_current_task_in_the_drop_of_a_future_is_its_own() {
    let runtime = runtime();
    let (runs, running) = channel();
    let (sender, dropped) = channel();
    let spawn_one = || {
        let (runs, sender) = (runs.clone(), sender.clone());
        runtime.spawn(async move {
            let _reports = sends_current_task(sender);
            runs.send(()).unwrap();
            pending::<()>().await;
        })
    };
    let aborted = spawn_one();
    receive(&running, "the task runs");
    aborted.abort();
    assert_eq!(receive(&dropped, "the drop"), Some(aborted.id()));

    // At the end of the runtime no task is polled any more.
    let left = spawn_one();
    receive(&running, "the task runs");
    drop(runtime);
    assert_eq!(receive(&dropped, "the drop"), Some(left.id()));
}

#[test]
fn a_handle_may_be_dropped_without_a_warning() {
    #![deny(unused_must_use)]
    let runtime = runtime();
    let (sender, ended) = channel();
    runtime.block_on(async {
        spawn(async move { sender.send(()).unwrap() });
    });
    receive(&ended, "the detached task's end");
}
