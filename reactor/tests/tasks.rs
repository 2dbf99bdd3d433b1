//! Tasks: the shards that run them, their ends, and the results of their handles.

mod support;

use std::cell::Cell;
use std::collections::HashSet;
use std::future::{pending, poll_fn};
use std::panic::panic_any;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread::{self, ThreadId};

use reactor::{Pinning, Reactor, ShardId, spawn_local, yield_now};
use support::{eventually, reactor, receive, total};

#[test]
fn a_task_spawned_from_a_shard_stays_there() {
    let reactor = reactor(3);
    for shard in reactor.handle().shards() {
        let handle = reactor.handle().clone();
        let task = reactor.handle().spawn_on(shard, move || async move {
            let inner = handle.spawn(async { ShardId::current() });
            (ShardId::current(), inner.await.unwrap())
        });
        assert_eq!(reactor.block_on(task).unwrap(), (Some(shard), Some(shard)));
    }
}

#[test]
fn spawns_from_outside_go_round_the_shards() {
    // A sibling may run the tasks of a shard that has no CPU.
    let reactor = Reactor::builder()
        .shards(2)
        .pinning(Pinning::None)
        .work_stealing(false)
        .build()
        .unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            reactor
                .handle()
                .spawn(async { ShardId::current().unwrap() })
        })
        .collect();
    let mut per_shard = [0; 2];
    for task in tasks {
        per_shard[reactor.block_on(task).unwrap().index()] += 1;
    }
    assert_eq!(per_shard, [4, 4]);
}

#[test]
fn a_future_that_is_not_send_is_polled_and_dropped_on_its_shard() {
    struct Witness(std::sync::mpsc::Sender<ThreadId>, Rc<Cell<u32>>);
    impl Drop for Witness {
        fn drop(&mut self) {
            self.1.set(self.1.get() + 1);
            self.0.send(thread::current().id()).unwrap();
        }
    }
    let reactor = reactor(1);
    let shard = reactor.handle().shards().next().unwrap();
    let (sender, receiver) = channel();
    let task = reactor.handle().spawn_on(shard, move || async move {
        let count = Rc::new(Cell::new(0));
        let _witness = Witness(sender, Rc::clone(&count));
        spawn_local(async move { count.set(5) }).await.unwrap();
        pending::<()>().await;
    });
    let id = reactor
        .block_on(reactor.handle().spawn(async { thread::current().id() }))
        .unwrap();
    // This thread keeps a waker of the task, and must not drop the future either.
    task.abort();
    assert_eq!(receive(&receiver, "the future's drop"), id);
    let error = reactor.block_on(task).unwrap_err();
    assert!(error.is_cancelled() && !error.is_shutdown(), "{error:?}");
}

#[test]
fn panics_are_errors_with_their_payload_and_the_shard_lives() {
    let reactor = reactor(1);
    let panicking = reactor.handle().spawn(async { panic_any(17_u8) });
    let error = reactor.block_on(panicking).unwrap_err();
    assert!(error.is_panic());
    assert_eq!(*error.into_panic().downcast::<u8>().unwrap(), 17);

    let said = reactor.handle().spawn(async { panic!("with a message") });
    let error = reactor.block_on(said).unwrap_err();
    assert!(error.to_string().contains("with a message"), "{error}");

    assert_eq!(
        reactor
            .block_on(reactor.handle().spawn(async { 1 }))
            .unwrap(),
        1
    );
    assert_eq!(total(reactor.handle(), |shard| shard.panics), 2);
    assert_eq!(total(reactor.handle(), |shard| shard.tasks), 0);
}

struct PanicsInDrop(&'static str);

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        panic!("{}", self.0);
    }
}

#[test]
fn a_panic_in_the_drop_of_a_future_is_an_error() {
    let reactor = reactor(1);
    let bomb = PanicsInDrop("future");
    let completed = reactor.handle().spawn(async move {
        let _bomb = bomb;
        3
    });
    // The bomb is a local of the future: it explodes inside the last poll.
    assert!(reactor.block_on(completed).unwrap_err().is_panic());

    struct Ready(#[allow(dead_code, reason = "held for its drop")] PanicsInDrop);
    impl Future for Ready {
        type Output = u8;
        fn poll(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> Poll<u8> {
            Poll::Ready(4)
        }
    }
    let after_the_output = reactor.handle().spawn(Ready(PanicsInDrop("after")));
    assert!(reactor.block_on(after_the_output).unwrap_err().is_panic());

    let aborted = reactor.handle().spawn(async move {
        let _bomb = PanicsInDrop("aborted");
        pending::<()>().await;
    });
    eventually("the task runs", || {
        total(reactor.handle(), |shard| shard.polls) >= 3
    });
    aborted.abort();
    let error = reactor.block_on(aborted).unwrap_err();
    assert!(
        error.is_panic(),
        "the panic of the drop is reported, not the abort: {error:?}"
    );
    assert_eq!(total(reactor.handle(), |shard| shard.panics), 3);
}

#[test]
fn a_panic_in_the_drop_of_an_output_nobody_wants_is_counted() {
    let reactor = reactor(1);
    drop(reactor.handle().spawn(async { PanicsInDrop("detached") }));
    eventually("the panic", || {
        total(reactor.handle(), |shard| shard.panics) == 1
    });
    assert_eq!(
        reactor
            .block_on(reactor.handle().spawn(async { 1 }))
            .unwrap(),
        1
    );
}

#[test]
fn a_panic_in_a_waker_that_awaits_a_task_is_counted() {
    use std::task::{Context, Wake};
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a waker");
        }
    }
    let reactor = reactor(1);
    let (go, gate) = channel::<()>();
    let mut task = reactor.handle().spawn(async move { gate.recv() });
    let polled = std::pin::Pin::new(&mut task)
        .poll(&mut Context::from_waker(&Waker::from(Arc::new(Panics))));
    assert!(polled.is_pending());
    go.send(()).unwrap();
    eventually("the panic", || {
        total(reactor.handle(), |shard| shard.panics) == 1
    });
    assert!(task.is_finished());
    assert_eq!(reactor.block_on(task).unwrap(), Ok(()));
}

#[test]
fn handles_are_send_and_sync_as_their_output_allows() {
    fn send_and_sync<T: Send + Sync>() {}
    send_and_sync::<reactor::JoinHandle<Cell<u8>>>();
    send_and_sync::<reactor::AbortHandle>();
    send_and_sync::<reactor::JoinError>();
    send_and_sync::<reactor::Handle>();
    send_and_sync::<reactor::time::Sleep>();
}

#[test]
fn dropping_the_handle_detaches() {
    let reactor = reactor(1);
    let (sender, receiver) = channel();
    drop(reactor.handle().spawn(async move {
        yield_now().await;
        sender.send(()).unwrap();
    }));
    receive(&receiver, "a detached task's end");
}

#[test]
fn a_task_aborted_before_its_first_poll_never_runs() {
    let reactor = reactor(1);
    let (go, gate) = channel::<()>();
    let blocker = reactor.handle().spawn(async move { gate.recv().unwrap() });
    let ran = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&ran);
    let task = reactor
        .handle()
        .spawn(async move { flag.store(true, Ordering::SeqCst) });
    let abort = task.abort_handle();
    abort.abort();
    go.send(()).unwrap();
    assert!(reactor.block_on(task).unwrap_err().is_cancelled());
    assert!(abort.is_finished());
    assert!(!ran.load(Ordering::SeqCst));
    reactor.block_on(blocker).unwrap();
    assert_eq!(Arc::strong_count(&ran), 1, "the future is dropped");
}

#[test]
fn abort_after_the_end_keeps_the_output() {
    let reactor = reactor(1);
    let task = reactor.handle().spawn(async { 9 });
    eventually("the task's end", || task.is_finished());
    task.abort();
    assert_eq!(reactor.block_on(task).unwrap(), 9);
}

#[test]
fn wakes_from_other_threads_are_never_lost() {
    // Ping-pong between a task and another thread, each waking the other: one lost wake hangs it.
    const ROUNDS: usize = 20_000;
    let reactor = reactor(1);
    let turn = Arc::new((AtomicUsize::new(0), Mutex::new(None::<Waker>)));
    let theirs = Arc::clone(&turn);
    let task = reactor.handle().spawn(async move {
        for round in 0..ROUNDS {
            poll_fn(|cx| {
                if theirs.0.load(Ordering::Acquire) == 2 * round + 1 {
                    return Poll::Ready(());
                }
                *theirs.1.lock().unwrap() = Some(cx.waker().clone());
                if theirs.0.load(Ordering::Acquire) == 2 * round + 1 {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })
            .await;
            theirs.0.store(2 * round + 2, Ordering::Release);
        }
    });
    let waker = thread::spawn(move || {
        for round in 0..ROUNDS {
            turn.0.store(2 * round + 1, Ordering::Release);
            let waker = turn.1.lock().unwrap().take();
            if let Some(waker) = waker {
                waker.wake();
            }
            eventually("the task's answer", || {
                turn.0.load(Ordering::Acquire) == 2 * round + 2
            });
        }
    });
    reactor.block_on(task).unwrap();
    waker.join().unwrap();
}

#[test]
fn wakes_of_a_shards_own_tasks_are_not_remote() {
    let reactor = reactor(1);
    let task = reactor.handle().spawn(async {
        for _ in 0..100 {
            spawn_local(yield_now()).await.unwrap();
        }
    });
    // Joined from this thread only after it ended, so that no wake crosses threads.
    eventually("the task's end", || task.is_finished());
    let shard = &reactor.handle().metrics().shards[0];
    assert_eq!((shard.remote_wakes_received, shard.remote_spawns), (0, 1));
    assert!(shard.polls > 200, "{shard:?}");
}

#[test]
fn many_wakes_of_a_busy_shard_write_its_eventfd_once_at_most() {
    let reactor = reactor(1);
    let shard = reactor.handle().shards().next().unwrap();
    let wakers = Arc::new(Mutex::new(Vec::new()));
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let wakers = Arc::clone(&wakers);
            let mut woken = false;
            reactor.handle().spawn(poll_fn(move |cx| {
                if woken {
                    return Poll::Ready(());
                }
                woken = true;
                wakers.lock().unwrap().push(cx.waker().clone());
                Poll::Pending
            }))
        })
        .collect();
    eventually("every task waits", || wakers.lock().unwrap().len() == 100);
    let (busy, is_busy) = channel();
    let (go, gate) = channel::<()>();
    let blocker = reactor.handle().spawn_on(shard, move || async move {
        busy.send(()).unwrap();
        gate.recv().unwrap();
    });
    receive(&is_busy, "the blocker runs");
    let before = reactor.handle().metrics().shards[0].clone();
    for waker in wakers.lock().unwrap().drain(..) {
        waker.wake_by_ref();
        waker.wake();
    }
    let after = reactor.handle().metrics().shards[0].clone();
    assert_eq!(
        after.remote_wakes_received - before.remote_wakes_received,
        100,
        "one entry a task"
    );
    assert_eq!(
        after.remote_wakes_coalesced - before.remote_wakes_coalesced,
        100
    );
    assert_eq!(after.notifies, before.notifies, "the shard is awake");
    go.send(()).unwrap();
    for task in tasks {
        reactor.block_on(task).unwrap();
    }
    reactor.block_on(blocker).unwrap();
}

#[test]
fn a_task_that_is_always_ready_lets_others_run() {
    let reactor = reactor(1);
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let hog = reactor.handle().spawn(async move {
        while !flag.load(Ordering::Relaxed) {
            reactor::consume_budget().await;
        }
    });
    reactor.block_on(reactor.handle().spawn(async {})).unwrap();
    stop.store(true, Ordering::Relaxed);
    reactor.block_on(hog).unwrap();
}

#[test]
#[should_panic(expected = "spawn_local is for tasks on a shard")]
fn spawn_local_off_a_shard_panics_with_advice() {
    drop(spawn_local(async {}));
}

#[test]
fn block_on_on_a_shard_panics_with_advice() {
    let reactor = reactor(1);
    let handle = reactor.handle().clone();
    let task = reactor
        .handle()
        .spawn(async move { handle.block_on(async {}) });
    let error = reactor.block_on(task).unwrap_err();
    assert!(
        error.to_string().contains("block on a thread of its own"),
        "{error}"
    );
}

#[test]
fn a_task_of_sleeps_that_are_over_lets_others_run() {
    use std::time::Duration;
    let reactor = reactor(1);
    let stop = Arc::new(AtomicBool::new(false));
    let theirs = Arc::clone(&stop);
    let hog = reactor.handle().spawn(async move {
        while !theirs.load(Ordering::Relaxed) {
            reactor::time::sleep(Duration::ZERO).await;
            let _ = reactor::time::timeout(Duration::ZERO, pending::<()>()).await;
        }
    });
    reactor.block_on(reactor.handle().spawn(async {})).unwrap();
    stop.store(true, Ordering::Relaxed);
    reactor.block_on(hog).unwrap();
}

#[test]
fn ids_rise_on_each_thread_and_differ_on_all() {
    const IDS: usize = 2_000;
    let reactor = reactor(1);
    let ids = || -> Vec<u64> {
        let spawned = (0..IDS).map(|_| reactor.spawn(async {}).id().as_u64());
        spawned.collect()
    };
    let each: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(ids)).collect();
        let ended = threads.into_iter().map(|thread| thread.join().unwrap());
        ended.collect()
    });
    for ids in &each {
        assert!(ids.is_sorted_by(|one, next| one < next));
        // A thread takes them in blocks.
        let steps = ids.windows(2).filter(|pair| pair[0] + 1 == pair[1]);
        assert!(steps.count() > IDS * 9 / 10);
    }
    let all: HashSet<_> = each.iter().flatten().collect();
    assert_eq!(all.len(), 4 * IDS);
}
