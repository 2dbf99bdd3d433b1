//! `Builder::detect_stalls`: a task that blocks its shard is counted and reported, and the other
//! shards continue.

mod support;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use reactor::{JoinHandle, Pinning, Reactor, ShardId, Stall};
use support::{DEADLINE, eventually, reactor, receive};

const THRESHOLD: Duration = Duration::from_millis(20);

/// Creates a reactor of two shards whose hook sends stalls, and then panics.
fn watched() -> (Reactor, Receiver<Stall>) {
    let (sender, stalls) = channel();
    let reactor = Reactor::builder()
        .shards(2)
        .pinning(Pinning::None)
        .detect_stalls(THRESHOLD)
        .on_stall(move |stall| {
            sender.send(stall.clone()).unwrap();
            panic!("a hook's panic harms nothing");
        })
        .build()
        .unwrap();
    (reactor, stalls)
}

/// Starts a task that stays in one poll until it receives a message.
#[track_caller]
fn block(reactor: &Reactor, shard: ShardId) -> (JoinHandle<()>, Sender<()>) {
    let (go, gate) = channel::<()>();
    let holds_its_shard = || async move {
        let _ = gate.recv_timeout(DEADLINE);
    };
    (reactor.handle().spawn_on(shard, holds_its_shard), go)
}

/// Returns the next report that this task is stalled. A report on another task comes from a shard
/// that the machine gave no CPU time.
fn report(stalls: &Receiver<Stall>, task: &JoinHandle<()>, is_over: bool) -> Stall {
    loop {
        let stall = receive(stalls, "a report");
        let is_of_it = stall.task().is_some_and(|named| named.id() == task.id());
        if is_of_it && stall.is_over() == is_over {
            return stall;
        }
    }
}

#[test]
fn a_task_that_holds_its_shard_is_counted_and_named_and_the_others_go_on() {
    let (reactor, stalls) = watched();
    let [first, second] = [0, 1].map(|n| reactor.handle().shards().nth(n).unwrap());
    for round in 1..=2 {
        let (task, go) = block(&reactor, first);
        let line = line!() - 1;
        let stall = report(&stalls, &task, false);
        assert_eq!(stall.shard(), first);
        assert!(stall.duration() >= THRESHOLD);
        let named = stall.task().expect("it goes on");
        assert_eq!(named.shard(), Some(first));
        let at = named.spawned_at().expect("a test is one program");
        assert_eq!((at.file(), at.line()), (file!(), line));
        assert!(named.future().contains("holds_its_shard") || named.future().contains("block"));
        let said = stall.to_string();
        assert!(said.contains("shard 0 has been in one poll for"), "{said}");
        assert!(said.contains(&format!("stalls.rs:{line}")), "{said}");

        // It is still stalled, and the other shard works.
        for _ in 0..10 {
            let other = reactor.handle().spawn_on(second, || async { 1 });
            assert_eq!(reactor.block_on(other).unwrap(), 1);
        }
        assert!(!task.is_finished());
        assert!(reactor.handle().metrics().shards[0].stalls >= round);

        go.send(()).unwrap();
        let over = report(&stalls, &task, true);
        assert!(over.duration() >= stall.duration());
        assert!(over.to_string().contains("was in one poll"));
        reactor.block_on(task).unwrap();
    }
}

#[test]
fn the_hook_goes_with_its_reactor() {
    let kept = Arc::new(());
    let with_hook = || {
        let theirs = Arc::clone(&kept);
        Reactor::builder()
            .shards(1)
            .pinning(Pinning::None)
            .detect_stalls(Duration::from_secs(3_600))
            .on_stall(move |_| {
                let _held = &theirs;
            })
            .build()
            .unwrap()
    };
    let dropped = with_hook();
    let handle = dropped.handle().clone();
    drop(dropped);
    assert_eq!(Arc::strong_count(&kept), 1, "the thread is joined");
    with_hook().shutdown(DEADLINE).unwrap();
    assert_eq!(Arc::strong_count(&kept), 1, "the thread is joined");
    assert!(handle.is_shutting_down());

    // A shard that ends the reactor does not wait for the thread.
    let last = with_hook();
    let on_shard = reactor(1);
    let handle = last.handle().clone();
    let ended = handle.spawn(async move { drop(last) });
    let _ = on_shard.block_on(ended);
    eventually("the thread's end", || Arc::strong_count(&kept) == 1);
}

#[test]
fn stalls_are_not_looked_for_unless_asked_for() {
    let plain = reactor(1);
    let shard = plain.handle().shards().next().unwrap();
    let (task, go) = block(&plain, shard);
    go.send(()).unwrap();
    plain.block_on(task).unwrap();
    assert_eq!(plain.handle().metrics().shards[0].stalls, 0);
    let error = Reactor::builder()
        .detect_stalls(Duration::ZERO)
        .build()
        .unwrap_err();
    assert!(error.to_string().contains("detect_stalls"), "{error}");
}

#[test]
fn shutdown_does_not_wait_for_a_stall_hook_that_does_not_return() {
    let (called, calls) = channel();
    let (release, gate) = channel::<()>();
    let gate = Mutex::new(gate);
    let reactor = Reactor::builder()
        .shards(1)
        .pinning(Pinning::None)
        .detect_stalls(THRESHOLD)
        .on_stall(move |_| {
            called.send(()).unwrap();
            // Until the test is over, whatever becomes of it.
            let _ = gate.lock().unwrap().recv();
        })
        .build()
        .unwrap();
    let shard = reactor.handle().shards().next().unwrap();
    let (task, go) = block(&reactor, shard);
    receive(&calls, "the call of the hook");
    go.send(()).unwrap();
    reactor.block_on(task).unwrap();
    let (done, ended) = channel();
    let shutdown = thread::spawn(move || done.send(reactor.shutdown(Duration::ZERO).is_ok()));
    assert!(receive(&ended, "the end of the shutdown"));
    shutdown.join().unwrap().unwrap();
    drop(release);
}
