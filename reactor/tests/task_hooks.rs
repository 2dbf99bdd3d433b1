//! The hooks around the life of a task.

mod support;

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use reactor::{Builder, Pinning, Reactor, TaskId, TaskMeta};

type Log = Arc<Mutex<Vec<(&'static str, TaskId, Option<TaskId>)>>>;

fn builder() -> Builder {
    Reactor::builder().shards(1).pinning(Pinning::None)
}

/// Returns a hook that logs its name, its task, and the current task.
fn logs(log: &Log, name: &'static str) -> impl Fn(&TaskMeta) + Send + Sync + 'static {
    let log = Arc::clone(log);
    move |task| {
        log.lock()
            .unwrap()
            .push((name, task.id(), TaskId::current()))
    }
}

fn ended() -> (impl Fn(&TaskMeta) + Send + Sync + 'static, Receiver<TaskId>) {
    let (sender, receiver) = channel();
    let hook = move |task: &TaskMeta| {
        let _ = sender.send(task.id());
    };
    (hook, receiver)
}

#[test]
fn they_are_called_in_the_order_of_a_tasks_life() {
    let log = Log::default();
    let reactor = builder()
        .on_task_spawn(logs(&log, "spawn"))
        .on_before_task_poll(logs(&log, "before"))
        .on_after_task_poll(logs(&log, "after"))
        .on_task_terminate(logs(&log, "end"))
        .build()
        .unwrap();
    let task = reactor.spawn(async {
        reactor::yield_now().await;
        TaskId::current()
    });
    let id = task.id();
    assert_eq!(reactor.block_on(task).unwrap(), Some(id));
    reactor.shutdown(std::time::Duration::ZERO).unwrap();
    let log = log.lock().unwrap();
    let names: Vec<_> = log.iter().map(|(name, ..)| *name).collect();
    assert_eq!(
        names,
        ["spawn", "before", "after", "before", "end", "after"]
    );
    assert!(log.iter().all(|(_, task, _)| *task == id));
    let current: Vec<_> = log
        .iter()
        .filter(|(.., current)| current.is_some())
        .collect();
    assert_eq!(
        current,
        [&("end", id, Some(id))],
        "hooks around a poll are outside of the task"
    );
}

#[test]
fn an_aborted_task_and_one_that_the_shutdown_cuts_off_terminate() {
    let (hook, ends) = ended();
    let reactor = builder().on_task_terminate(hook).build().unwrap();
    let aborted = reactor.spawn(std::future::pending::<()>());
    let id = aborted.id();
    aborted.abort();
    assert_eq!(support::receive(&ends, "the end"), id);
    let cut_off = reactor.spawn(std::future::pending::<()>()).id();
    drop(reactor);
    assert_eq!(support::receive(&ends, "the end"), cut_off);
}

#[test]
fn a_panic_of_a_hook_does_no_harm() {
    let panics = |_: &TaskMeta| panic!("a hook");
    let reactor = builder()
        .on_task_spawn(panics)
        .on_before_task_poll(panics)
        .on_after_task_poll(panics)
        .on_task_terminate(panics)
        .build()
        .unwrap();
    assert_eq!(reactor.block_on(reactor.spawn(async { 7 })).unwrap(), 7);
}

#[test]
fn a_refused_task_neither_spawns_nor_terminates() {
    let log = Log::default();
    let reactor = builder()
        .on_task_spawn(logs(&log, "spawn"))
        .on_task_terminate(logs(&log, "end"))
        .build()
        .unwrap();
    let handle = reactor.handle().clone();
    drop(reactor);
    let refused = handle.spawn(async {});
    assert!(handle.block_on(refused).unwrap_err().is_shutdown());
    assert!(log.lock().unwrap().is_empty());
}
