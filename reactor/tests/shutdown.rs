//! The end of a reactor: the announcement, the deadline, stuck shards, and the absence of leaks.

mod support;

use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use reactor::{Reactor, spawn_local};
use support::{DEADLINE, eventually, reactor, receive, total};

#[test]
fn shutdown_announces_and_ends_early_when_no_task_remains() {
    let reactor = reactor(2);
    let tasks = reactor.handle().spawn_on_all(|_| async {
        reactor::Handle::current().shutdown_requested().await;
        "announced"
    });
    eventually("the tasks wait", || {
        total(reactor.handle(), |shard| shard.polls) >= 2
    });
    let handle = reactor.handle().clone();
    let start = Instant::now();
    reactor.shutdown(DEADLINE).unwrap();
    assert!(
        start.elapsed() < DEADLINE,
        "the deadline was not waited for"
    );
    for task in tasks {
        assert_eq!(handle.block_on(task).unwrap(), "announced");
    }
}

#[test]
fn tasks_left_at_the_deadline_are_dropped_on_their_shard() {
    let reactor = reactor(2);
    let (sender, receiver) = channel();
    let tasks = reactor.handle().spawn_on_all(move |shard| {
        struct Witness(
            std::sync::mpsc::Sender<bool>,
            thread::ThreadId,
            #[expect(dead_code, reason = "makes it !Send")] Rc<Cell<()>>,
        );
        impl Drop for Witness {
            fn drop(&mut self) {
                // A spawn in a drop at the end is refused, and must neither hang nor leak.
                drop(spawn_local(pending::<()>()));
                self.0.send(thread::current().id() == self.1).unwrap();
            }
        }
        let sender = sender.clone();
        async move {
            let _witness = Witness(sender, thread::current().id(), Rc::default());
            assert!(shard.index() < 2);
            pending::<()>().await;
        }
    });
    eventually("the tasks wait", || {
        total(reactor.handle(), |shard| shard.polls) >= 2
    });
    let handle = reactor.handle().clone();
    reactor.shutdown(Duration::from_millis(1)).unwrap();
    for task in tasks {
        assert!(
            receive(&receiver, "a future's drop"),
            "dropped on the thread that polled it"
        );
        let error = handle.block_on(task).unwrap_err();
        assert!(error.is_shutdown() && error.is_cancelled(), "{error:?}");
    }
    assert_eq!(total(&handle, |shard| shard.tasks), 0);
}

#[test]
fn a_spawn_after_the_end_is_refused_and_its_future_dropped_here() {
    let reactor = reactor(1);
    let handle = reactor.handle().clone();
    drop(reactor);
    let held = Arc::new(());
    let theirs = Arc::clone(&held);
    let task = handle.spawn(async move {
        let _theirs = theirs;
        pending::<()>().await;
    });
    assert_eq!(Arc::strong_count(&held), 1);
    assert!(task.is_finished());
    assert!(handle.block_on(task).unwrap_err().is_shutdown());
    let theirs = Arc::clone(&held);
    let shard = handle.shards().next().unwrap();
    let task = handle.spawn_on(shard, move || async move { drop(theirs) });
    assert_eq!(Arc::strong_count(&held), 1);
    assert!(handle.block_on(task).unwrap_err().is_shutdown());
}

#[test]
fn a_stuck_shard_is_named_and_its_handles_end() {
    let reactor = reactor(2);
    let stuck_on = reactor.handle().shards().nth(1).unwrap();
    let (entered, has_entered) = channel();
    let (release, gate) = channel::<()>();
    let stuck = reactor.handle().spawn_on(stuck_on, move || async move {
        entered.send(()).unwrap();
        let _ = gate.recv();
    });
    let beside = reactor.handle().spawn_on(stuck_on, pending::<()>);
    receive(&has_entered, "the task blocks");
    let handle = reactor.handle().clone();
    let waiting = thread::spawn({
        let handle = handle.clone();
        move || handle.block_on(beside)
    });
    let error = reactor.shutdown(Duration::ZERO).unwrap_err();
    assert_eq!(error.stuck_shards(), [stuck_on]);
    assert!(error.to_string().contains("shard 1"), "{error}");
    assert!(handle.block_on(stuck).unwrap_err().is_shutdown());
    assert!(waiting.join().unwrap().unwrap_err().is_shutdown());
    drop(release);
}

#[test]
fn drop_waits_for_a_running_poll() {
    let reactor = reactor(1);
    let (entered, has_entered) = channel();
    let (release, gate) = channel::<()>();
    let task = reactor.handle().spawn(async move {
        entered.send(()).unwrap();
        gate.recv().unwrap();
        7
    });
    receive(&has_entered, "the task blocks");
    let handle = reactor.handle().clone();
    let dropper = thread::spawn(move || drop(reactor));
    eventually("the drop begins", || handle.is_shutting_down());
    release.send(()).unwrap();
    dropper.join().unwrap();
    assert_eq!(handle.block_on(task).unwrap(), 7);
}

#[test]
fn a_reactor_dropped_on_its_own_shard_does_not_join_itself() {
    let reactor = reactor(2);
    let handle = reactor.handle().clone();
    let (sender, receiver) = channel::<Reactor>();
    let task = handle.spawn(async move { drop(receiver.recv()) });
    sender.send(reactor).unwrap();
    handle.block_on(task).unwrap();
    eventually("every task is gone", || {
        total(&handle, |shard| shard.tasks) == 0
    });
}

#[test]
fn wakers_kept_by_others_outlive_everything_harmlessly() {
    let reactor = reactor(1);
    let (sender, receiver) = channel();
    drop(reactor.handle().spawn(std::future::poll_fn(move |cx| {
        sender.send(cx.waker().clone()).unwrap();
        std::task::Poll::<()>::Pending
    })));
    let waker = receive(&receiver, "a waker");
    let waking = thread::spawn(move || {
        for _ in 0..10_000 {
            waker.wake_by_ref();
        }
        waker
    });
    drop(reactor);
    waking.join().unwrap().wake();
}

#[test]
fn shutdown_races_with_spawns_and_wakes() {
    for round in 0..200_u32 {
        let reactor = reactor(2);
        let handle = reactor.handle().clone();
        let spawner = thread::spawn(move || {
            let tasks: Vec<_> = (0..20)
                .map(|_| handle.spawn(reactor::yield_now()))
                .collect();
            for task in tasks {
                // Done or refused, but it always ends.
                let _ = handle.block_on(task);
            }
        });
        if round % 2 == 0 {
            thread::yield_now();
        }
        drop(reactor);
        spawner.join().unwrap();
    }
}

/// A value that is not `Send`. Its drop reports if it runs on the thread that made the value.
struct Local(
    thread::ThreadId,
    std::sync::mpsc::Sender<bool>,
    #[expect(dead_code, reason = "makes it !Send")] Rc<()>,
);

impl Drop for Local {
    fn drop(&mut self) {
        let _ = self.1.send(self.0 == thread::current().id());
    }
}

#[test]
fn an_output_of_a_shard_that_was_given_up_is_dropped_on_its_own_thread() {
    use std::cell::RefCell;
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::task::{Poll, Waker};

    let reactor = reactor(1);
    let shard = reactor.handle().shards().next().unwrap();
    let (running, is_running) = channel();
    let (go, may_go) = channel::<()>();
    let (keep, kept) = channel::<Waker>();
    let (dropped, was_at_home) = channel();
    let (ended, has_ended) = channel();
    drop(reactor.handle().spawn_on(shard, move || async move {
        let waker = Rc::new(RefCell::new(None));
        let slot = Rc::clone(&waker);
        // Completes at the second poll. Another thread keeps a waker of it, and so its memory.
        let inner = spawn_local(async move {
            let mut first = true;
            poll_fn(|cx| {
                if !std::mem::take(&mut first) {
                    return Poll::Ready(());
                }
                keep.send(cx.waker().clone()).unwrap();
                *slot.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            })
            .await;
            Local(thread::current().id(), dropped, Rc::new(()))
        });
        reactor::yield_now().await;
        Waker::wake(waker.take().unwrap());
        // The shard is abandoned during this poll. The inner task's run is queued behind it.
        running.send(()).unwrap();
        let _ = may_go.recv();
        let mut inner = inner;
        assert!(
            poll_fn(|cx| Pin::new(&mut inner).poll(cx)).await.is_err(),
            "it has ended with the shutdown error"
        );
        reactor::yield_now().await;
        drop(inner);
        ended.send(()).unwrap();
    }));
    let waker = receive(&kept, "the inner task was polled");
    receive(&is_running, "the outer task blocks");
    assert!(reactor.shutdown(Duration::ZERO).is_err());
    go.send(()).unwrap();
    // The shard continues, or ends first and drops the outer task. Both are correct.
    let _ = has_ended.recv_timeout(DEADLINE);
    drop(waker);
    assert!(
        receive(&was_at_home, "the output is dropped"),
        "dropped on a foreign thread"
    );
}

#[test]
fn a_shutdown_does_not_overlook_a_task_that_hands_over() {
    use std::pin::Pin;
    use std::sync::atomic::{AtomicBool, Ordering};
    fn hop(left: usize, done: Arc<AtomicBool>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            if left == 0 {
                done.store(true, Ordering::Relaxed);
                return;
            }
            let handle = reactor::Handle::current();
            let here = reactor::ShardId::current().unwrap();
            let last = handle.shards().len() - 1;
            let next = handle
                .shards()
                .nth(if here.index() == 0 { last } else { 0 })
                .unwrap();
            drop(handle.spawn_on(next, move || hop(left - 1, done)));
        })
    }
    for _ in 0..5 {
        let reactor = reactor(100);
        let done = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&done);
        let first = reactor.handle().shards().next().unwrap();
        drop(reactor.handle().spawn_on(first, move || hop(5_000, theirs)));
        reactor.shutdown(DEADLINE).unwrap();
        assert!(
            done.load(Ordering::Relaxed),
            "a live task was dropped before the deadline"
        );
    }
}

#[test]
fn a_shard_with_many_tasks_ends_in_time() {
    const TASKS: u64 = 100_000;
    let reactor = reactor(1);
    for _ in 0..TASKS {
        drop(reactor.handle().spawn(pending::<()>()));
    }
    eventually("all wait", || {
        total(reactor.handle(), |shard| shard.polls) == TASKS
    });
    // Quadratic work would be reported as a stuck shard.
    reactor.shutdown(Duration::ZERO).unwrap();
}

#[test]
fn the_report_names_the_tasks_that_were_cut_off() {
    let reactor = Reactor::builder().shards(2).build().unwrap();
    let stays = reactor.spawn(pending::<()>()).id();
    let handle = reactor.handle().clone();
    drop(reactor.spawn(async move { handle.shutdown_requested().await }));
    let report = reactor.shutdown(Duration::from_millis(50)).unwrap();
    assert_eq!(
        report
            .cut_off()
            .iter()
            .map(|task| task.id())
            .collect::<Vec<_>>(),
        [stays]
    );
    assert!(
        report.to_string().starts_with("1 task was cut off: task "),
        "{report}"
    );
}
