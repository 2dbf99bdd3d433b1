//! Work stealing: siblings take the work of a shard that is stuck or overloaded.
//!
//! Each test blocks a shard inside a poll until the work behind it is done on another shard. A
//! reactor that leaves the work on its shard hangs there, and the test fails by its time limit.

use std::future::pending;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use reactor::{
    Handle, Interest, JoinHandle, Placement, Reactor, Ready, Registration, ShardId, spawn_local,
    time, yield_now,
};

/// The time limit of a test.
const LIMIT: Duration = Duration::from_secs(20);

/// A time within which a pinned task would run if it left its shard.
const A_WHILE: Duration = Duration::from_millis(60);

fn two_shards() -> Reactor {
    Reactor::builder()
        .shards(2)
        .pinning(reactor::Pinning::None)
        .build()
        .unwrap()
}

fn shard(handle: &Handle, index: usize) -> ShardId {
    handle.shards().nth(index).unwrap()
}

fn wait_until(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < LIMIT, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A shard that stays inside a poll until this is dropped.
struct Stuck {
    release: Option<Sender<()>>,
    task: Option<JoinHandle<()>>,
    handle: Handle,
}

/// Blocks a shard. `before` runs there first, in the same poll.
fn block(handle: &Handle, on: ShardId, before: impl FnOnce() + Send + 'static) -> Stuck {
    let (started, has_started) = channel();
    let (release, released): (_, Receiver<()>) = channel();
    let task = handle.spawn_on(on, move || async move {
        before();
        started.send(()).unwrap();
        let _ = released.recv();
    });
    has_started.recv_timeout(LIMIT).unwrap();
    Stuck {
        release: Some(release),
        task: Some(task),
        handle: handle.clone(),
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        self.release = None;
        if let Some(task) = self.task.take() {
            self.handle.block_on(task).unwrap();
        }
    }
}

#[test]
fn ready_tasks_of_a_stuck_shard_run_elsewhere() {
    let reactor = two_shards();
    let handle = reactor.handle();
    let (ran, runs) = channel();
    let spawner = handle.clone();
    let _stuck = block(handle, shard(handle, 0), move || {
        for _ in 0..10 {
            let ran = ran.clone();
            drop(spawner.spawn(async move { ran.send(ShardId::current()).unwrap() }));
        }
    });
    for _ in 0..10 {
        let on = runs
            .recv_timeout(LIMIT)
            .expect("the tasks wait behind the stuck one");
        assert_eq!(on, Some(shard(handle, 1)));
    }
    let metrics = handle.metrics();
    assert_eq!(metrics.total(|shard| shard.tasks_given), 10);
    assert_eq!(metrics.shards[1].tasks_stolen, 10);
}

#[test]
fn events_of_a_stuck_shard_are_dispatched_elsewhere() {
    let reactor = two_shards();
    let handle = reactor.handle();
    let on = shard(handle, 0);
    let (mut near, far) = UnixStream::pair().unwrap();
    far.set_nonblocking(true).unwrap();
    let (waits, is_waiting) = channel();
    let (ran, runs) = channel();
    let registrar = handle.clone();
    let task = handle.spawn(async move {
        let registration = Registration::new(
            &registrar,
            Placement::Shard(on),
            &far,
            Interest::READABLE,
            Ready::EMPTY,
        )
        .unwrap();
        let mut byte = [0; 1];
        for _ in 0..3 {
            waits.send(()).unwrap();
            registration
                .async_io(Interest::READABLE, || (&far).read(&mut byte))
                .await
                .unwrap();
            ran.send(ShardId::current()).unwrap();
        }
    });
    is_waiting.recv_timeout(LIMIT).unwrap();
    let stuck = block(handle, on, || {});
    for _ in 0..3 {
        near.write_all(b"x").unwrap();
        let on = runs
            .recv_timeout(LIMIT)
            .expect("the event waits for the stuck shard");
        assert_eq!(on, Some(shard(handle, 1)));
    }
    drop(stuck);
    handle.block_on(task).unwrap();
    assert!(handle.metrics().shards[1].turns_served > 0);
}

#[test]
fn due_timers_of_a_stuck_shard_fire_elsewhere() {
    let reactor = two_shards();
    let handle = reactor.handle();
    let (armed, is_armed) = channel();
    let (ran, runs) = channel();
    let spawner = handle.clone();
    let _stuck = block(handle, shard(handle, 0), move || {
        drop(spawner.spawn(async move {
            armed.send(()).unwrap();
            time::sleep(Duration::from_millis(5)).await;
            ran.send(ShardId::current()).unwrap();
        }));
    });
    is_armed.recv_timeout(LIMIT).unwrap();
    assert_eq!(runs.recv_timeout(LIMIT).unwrap(), Some(shard(handle, 1)));
}

#[test]
fn a_timer_armed_on_a_shard_that_is_stuck_later_fires_elsewhere() {
    let reactor = two_shards();
    let handle = reactor.handle();
    let (armed, is_armed) = channel();
    let (ran, runs) = channel();
    let spawner = handle.clone();
    // A spawn from a shard stays there, so the timer is armed on shard 0.
    let spawn = handle.spawn_on(shard(handle, 0), || async move {
        drop(spawner.spawn(async move {
            let mut sleep = Box::pin(time::sleep(Duration::from_millis(30)));
            std::future::poll_fn(|cx| {
                let polled = sleep.as_mut().poll(cx);
                if polled.is_pending() {
                    let _ = armed.send(ShardId::current());
                }
                polled
            })
            .await;
            ran.send(ShardId::current()).unwrap();
        }));
    });
    handle.block_on(spawn).unwrap();
    assert_eq!(
        is_armed.recv_timeout(LIMIT).unwrap(),
        Some(shard(handle, 0))
    );
    let _stuck = block(handle, shard(handle, 0), || {});
    assert_eq!(runs.recv_timeout(LIMIT).unwrap(), Some(shard(handle, 1)));
}

#[test]
fn wakes_and_spawns_from_other_threads_do_not_wait_for_a_stuck_shard() {
    let reactor = two_shards();
    let handle = reactor.handle();
    let woken = Arc::new(AtomicBool::new(false));
    let (sender, receiver) = channel();
    let (ran, runs) = channel();
    let flag = Arc::clone(&woken);
    let spawner = handle.clone();
    let spawn = handle.spawn_on(shard(handle, 0), || async move {
        drop(spawner.spawn(async move {
            std::future::poll_fn(|cx| {
                if flag.load(SeqCst) {
                    return std::task::Poll::Ready(());
                }
                sender.send(cx.waker().clone()).unwrap();
                std::task::Poll::Pending
            })
            .await;
            ran.send(ShardId::current()).unwrap();
        }));
    });
    handle.block_on(spawn).unwrap();
    let waker = receiver.recv_timeout(LIMIT).unwrap();
    let _stuck = block(handle, shard(handle, 0), || {});
    woken.store(true, SeqCst);
    waker.wake();
    assert_eq!(runs.recv_timeout(LIMIT).unwrap(), Some(shard(handle, 1)));
    // Spawns of this thread are distributed over the shards, so some of these go to the stuck
    // shard.
    for _ in 0..4 {
        handle.block_on(handle.spawn(async {})).unwrap();
    }
}

#[test]
fn tasks_that_yielded_on_a_stuck_shard_go_on_elsewhere() {
    let reactor = two_shards();
    let handle = reactor.handle();
    let spawner = handle.clone();
    let (task_sender, tasks) = channel();
    let goes_on = Arc::new(AtomicBool::new(true));
    let flag = Arc::clone(&goes_on);
    let rounds = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&rounds);
    let spawn = handle.spawn_on(shard(handle, 0), || async move {
        let task = spawner.spawn(async move {
            while flag.load(SeqCst) {
                count.fetch_add(1, SeqCst);
                yield_now().await;
            }
        });
        task_sender.send(task).unwrap();
    });
    handle.block_on(spawn).unwrap();
    let task = tasks.recv_timeout(LIMIT).unwrap();
    let _stuck = block(handle, shard(handle, 0), || {});
    let before = rounds.load(SeqCst);
    wait_until("the task goes on", || rounds.load(SeqCst) > before + 100);
    goes_on.store(false, SeqCst);
    handle.block_on(task).unwrap();
}

#[test]
fn pinned_tasks_never_leave_their_shard() {
    let reactor = two_shards();
    let handle = reactor.handle();
    let home = shard(handle, 0);
    let (ran, runs) = channel();
    let stuck = block(handle, home, move || {
        let on_this_thread = Rc::new(thread::current().id());
        let ran = ran.clone();
        drop(spawn_local(async move {
            for _ in 0..3 {
                assert_eq!(*on_this_thread, thread::current().id());
                yield_now().await;
            }
            ran.send(ShardId::current()).unwrap();
        }));
    });
    let made = handle.spawn_on(home, || async { ShardId::current() });
    assert!(
        runs.recv_timeout(A_WHILE).is_err(),
        "it waits for its shard"
    );
    drop(stuck);
    assert_eq!(runs.recv_timeout(LIMIT).unwrap(), Some(home));
    assert_eq!(handle.block_on(made).unwrap(), Some(home));
    assert_eq!(handle.metrics().total(|shard| shard.tasks_stolen), 0);
}

#[test]
fn without_stealing_everything_waits_for_its_shard() {
    let reactor = Reactor::builder()
        .shards(2)
        .work_stealing(false)
        .build()
        .unwrap();
    let handle = reactor.handle();
    let (ran, runs) = channel();
    let spawner = handle.clone();
    let stuck = block(handle, shard(handle, 0), move || {
        drop(spawner.spawn(async move { ran.send(ShardId::current()).unwrap() }));
    });
    assert!(runs.recv_timeout(A_WHILE).is_err());
    drop(stuck);
    assert_eq!(runs.recv_timeout(LIMIT).unwrap(), Some(shard(handle, 0)));
}

#[test]
fn slow_handlers_of_one_shard_are_shared_before_they_pile_up() {
    let reactor = two_shards();
    let handle = reactor.handle();
    let spawner = handle.clone();
    let home = shard(handle, 0);
    let (ran, runs) = channel();
    let burn = handle.spawn_on(home, move || async move {
        for _ in 0..40 {
            let ran = ran.clone();
            drop(spawner.spawn(async move {
                for _ in 0..5 {
                    let start = Instant::now();
                    while start.elapsed() < Duration::from_micros(400) {}
                    yield_now().await;
                }
                ran.send(ShardId::current()).unwrap();
            }));
        }
    });
    handle.block_on(burn).unwrap();
    for _ in 0..40 {
        runs.recv_timeout(LIMIT).unwrap();
    }
    let stolen = handle.metrics().shards[1].tasks_stolen;
    assert!(stolen >= 10, "shard 1 took {stolen} tasks");
}

#[test]
fn a_stolen_task_is_aborted_joined_and_counted_like_any_other() {
    let reactor = two_shards();
    let handle = reactor.handle();
    let spawner = handle.clone();
    let (task_sender, tasks) = channel();
    let (ran, runs) = channel();
    let stuck = block(handle, shard(handle, 0), move || {
        for kind in 0..3 {
            let ran = ran.clone();
            let task = spawner.spawn(async move {
                ran.send(ShardId::current()).unwrap();
                match kind {
                    0 => 7,
                    1 => panic!("on another shard"),
                    _ => pending().await,
                }
            });
            task_sender.send(task).unwrap();
        }
    });
    let tasks: Vec<JoinHandle<i32>> = tasks.iter().take(3).collect();
    for _ in 0..3 {
        assert_eq!(runs.recv_timeout(LIMIT).unwrap(), Some(shard(handle, 1)));
    }
    tasks[2].abort();
    let results: Vec<_> = tasks
        .into_iter()
        .map(|task| handle.block_on(task))
        .collect();
    assert_eq!(*results[0].as_ref().unwrap(), 7);
    assert!(results[1].as_ref().unwrap_err().is_panic());
    assert!(results[2].as_ref().unwrap_err().is_cancelled());
    drop(stuck);
    wait_until("all tasks are counted", || {
        let metrics = handle.metrics();
        metrics.total(|shard| shard.tasks) == 0 && metrics.total(|shard| shard.tasks_completed) == 4
    });
}

/// Counts the drops of futures.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn a_shutdown_drops_every_task_wherever_it_is() {
    for round in 0..20 {
        let reactor = two_shards();
        let handle = reactor.handle().clone();
        let drops = Arc::new(AtomicUsize::new(0));
        let (ran, runs) = channel();
        let spawner = handle.clone();
        let counter = Arc::clone(&drops);
        let stuck = block(&handle, shard(&handle, 0), move || {
            for task in 0..30 {
                let counted = Counted(Arc::clone(&counter));
                let ran = ran.clone();
                drop(spawner.spawn(async move {
                    let _counted = counted;
                    ran.send(()).unwrap();
                    if task % 2 == 0 {
                        pending().await
                    }
                    loop {
                        time::sleep(Duration::from_micros(100)).await;
                    }
                }));
            }
        });
        for _ in 0..30 {
            runs.recv_timeout(LIMIT).unwrap();
        }
        if round % 2 == 0 {
            drop(stuck);
            drop(reactor);
        } else {
            let mut stuck = stuck;
            let release = thread::spawn(move || {
                thread::sleep(Duration::from_millis(5));
                // Its handle ends with an error, which is not of interest here.
                stuck.task = None;
                drop(stuck);
            });
            reactor.shutdown(Duration::ZERO).unwrap();
            release.join().unwrap();
        }
        assert_eq!(drops.load(SeqCst), 30, "round {round}");
    }
}

#[test]
fn a_shutdown_names_only_the_shard_that_is_stuck() {
    let reactor = two_shards();
    let handle = reactor.handle().clone();
    let spawner = handle.clone();
    let (release, released): (_, Receiver<()>) = channel();
    let (ran, runs) = channel();
    // A mobile task of shard 0 blocks shard 1.
    let stuck = block(&handle, shard(&handle, 0), move || {
        drop(spawner.spawn(async move {
            ran.send(ShardId::current()).unwrap();
            let _ = released.recv();
        }));
    });
    assert_eq!(runs.recv_timeout(LIMIT).unwrap(), Some(shard(&handle, 1)));
    drop(stuck);
    let error = reactor.shutdown(Duration::ZERO).unwrap_err();
    assert_eq!(error.stuck_shards(), [shard(&handle, 1)]);
    drop(release);
}

#[test]
fn a_shard_with_a_backlog_gets_no_spawns_from_other_threads() {
    const SPAWNS: u64 = 100;
    let reactor = two_shards();
    let handle = reactor.handle();
    let (busy, idle) = (shard(handle, 0), shard(handle, 1));
    let ends = Arc::new(AtomicBool::new(false));
    // Tasks that stay on their shard, and whose polls take a millisecond.
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let ends = Arc::clone(&ends);
            handle.spawn_on(busy, move || async move {
                while !ends.load(SeqCst) {
                    let start = Instant::now();
                    while start.elapsed() < Duration::from_millis(1) {
                        std::hint::spin_loop();
                    }
                    yield_now().await;
                }
            })
        })
        .collect();
    wait_until("the shard has a backlog", || {
        handle.backlog(busy) > Duration::from_millis(1)
    });
    let spawns = |shard: ShardId| handle.metrics().shards[shard.index()].remote_spawns;
    let before = (spawns(busy), spawns(idle));
    for _ in 0..SPAWNS {
        reactor.block_on(handle.spawn(async {})).unwrap();
    }
    assert_eq!(
        (spawns(busy) - before.0, spawns(idle) - before.1),
        (0, SPAWNS)
    );
    ends.store(true, SeqCst);
    for task in tasks {
        reactor.block_on(task).unwrap();
    }
}

/// The hook after a sleep stands for a thread that was woken and gets no CPU.
#[test]
fn a_shard_that_waits_for_a_cpu_is_served() {
    let (no_cpu, has_no_cpu) = channel();
    let (release, released) = channel::<()>();
    let (is_armed, released) = (Arc::new(AtomicBool::new(false)), Mutex::new(released));
    let armed = Arc::clone(&is_armed);
    let reactor = Reactor::builder()
        .shards(2)
        .pinning(reactor::Pinning::None)
        .on_thread_unpark(move |shard| {
            if shard.index() == 0 && armed.swap(false, SeqCst) {
                no_cpu.send(()).unwrap();
                let _ = released.lock().unwrap().recv();
            }
        })
        .build()
        .unwrap();
    // It is dropped before the reactor, which waits for the hook.
    let release = release;
    let handle = reactor.handle();
    let (waits, is_waiting) = channel();
    let (mut near, far) = UnixStream::pair().unwrap();
    far.set_nonblocking(true).unwrap();
    let (on, registrar) = (shard(handle, 0), handle.clone());
    let (ran, runs) = channel();
    let reads = handle.spawn(async move {
        let (on, interest) = (Placement::Shard(on), Interest::READABLE);
        let registration = Registration::new(&registrar, on, &far, interest, Ready::EMPTY).unwrap();
        waits.send(()).unwrap();
        let read = || (&far).read(&mut [0; 1]);
        registration.async_io(interest, read).await.unwrap();
        ran.send(ShardId::current()).unwrap();
    });
    is_waiting.recv_timeout(LIMIT).expect("the task waits");
    // A shard looks after its sibling each time that it falls asleep.
    let ticks = handle.spawn_on(shard(handle, 1), || async {
        loop {
            time::sleep(Duration::from_millis(1)).await;
        }
    });
    // A shard that is only about to sleep would call the hook under its poll lock.
    thread::sleep(Duration::from_millis(100));
    is_armed.store(true, SeqCst);
    // A sibling that fetches this notification writes it again, so the shard wakes in any case.
    let pinned = handle.spawn_on(shard(handle, 0), || async {});
    has_no_cpu.recv_timeout(LIMIT).unwrap();
    near.write_all(b"x").unwrap();
    let on = runs
        .recv_timeout(LIMIT)
        .expect("the event waits for a shard without a CPU");
    assert_eq!(on, Some(shard(handle, 1)));
    assert!(handle.metrics().shards[1].turns_served > 0);
    drop(release);
    ticks.abort();
    reactor.block_on(pinned).unwrap();
    reactor.block_on(reads).unwrap();
}
