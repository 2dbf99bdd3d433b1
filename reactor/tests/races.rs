//! Threads that meet inside the reactor in every possible way, and pass plain memory at each
//! meeting. One side writes the memory and the other side reads it. Only the reactor's promises
//! order the two.
//!
//! Run alone, it finds crashes and hangs. Under ThreadSanitizer (`scripts/sanitize.sh thread`) it
//! finds a missing ordering. It does not use libtest's harness, whose threads give false reports
//! there.
#![expect(unsafe_code, reason = "memory that only the reactor's promises order")]

use std::cell::UnsafeCell;
use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use reactor::time::{sleep, timeout};
use reactor::{Handle, Interest, Pinning, Placement, Reactor, Ready, Registration, ShardId};

const DEADLINE: Duration = Duration::from_secs(60);
/// The limit of what depends on the schedule of the operating system.
const LONG: Duration = Duration::from_secs(600);
const THREADS: usize = 3;

fn main() {
    let cases: [(&str, fn()); 10] = [
        ("wakes between shards", wakes_between_shards),
        ("wakes from foreign threads", wakes_from_threads),
        ("wakes of a queued task", wakes_of_a_queued_task),
        ("outputs", outputs),
        ("registrations", registrations),
        ("timers", timers),
        ("blocking jobs", blocking_jobs),
        ("thefts", thefts),
        ("moves", moves),
        ("shutdowns", shutdowns),
    ];
    for (name, case) in cases {
        let begun = Instant::now();
        case();
        println!("{name}: {:?}", begun.elapsed());
    }
}

fn reactor(shards: usize) -> Reactor {
    let builder = Reactor::builder().shards(shards).pinning(Pinning::None);
    builder.build().unwrap()
}

fn shard(handle: &Handle, index: usize) -> ShardId {
    handle.shards().nth(index).unwrap()
}

/// Memory without any ordering of its own.
struct Plain(UnsafeCell<u64>);

// SAFETY: the reactor has to order all accesses, which is the tested property.
unsafe impl Sync for Plain {}

impl Plain {
    fn new() -> Arc<Self> {
        Arc::new(Self(UnsafeCell::new(0)))
    }

    fn add(&self) -> u64 {
        let memory = self.0.get();
        // SAFETY: the reactor gave the caller its turn.
        let value = unsafe { memory.read() } + 1;
        // SAFETY: as above.
        unsafe { memory.write(value) };
        value
    }
}

/// Two tasks on two shards, each polled once per turn, only because of the other's wake. The turn
/// itself is relaxed and orders nothing.
fn wakes_between_shards() {
    const TURNS: u64 = 4_000;
    let reactor = reactor(2);
    let handle = reactor.handle();
    let memory = Plain::new();
    let turn = Arc::new(AtomicUsize::new(usize::MAX));
    let wakers: Arc<[Mutex<Option<Waker>>; 2]> = Arc::default();
    let (waits, waiting) = channel();
    let tasks: Vec<_> = (0..2)
        .map(|me| {
            let (memory, turn, wakers) =
                (Arc::clone(&memory), Arc::clone(&turn), Arc::clone(&wakers));
            let waits = waits.clone();
            handle.spawn_on(shard(handle, me), move || {
                let mut begun = false;
                poll_fn(move |cx| {
                    if !std::mem::replace(&mut begun, true) {
                        *wakers[me].lock().unwrap() = Some(cx.waker().clone());
                        waits.send(()).unwrap();
                        return Poll::Pending;
                    }
                    assert_eq!(turn.load(Relaxed), me, "polled without a wake");
                    let done = memory.add() >= TURNS;
                    turn.store(1 - me, Relaxed);
                    // The waker is not cloned from a lock each time: that would provide the order
                    // that the wake has to provide.
                    if let Some(other) = wakers[1 - me].lock().unwrap().as_ref() {
                        other.wake_by_ref();
                    }
                    if done { Poll::Ready(()) } else { Poll::Pending }
                })
            })
        })
        .collect();
    for _ in 0..2 {
        waiting.recv_timeout(DEADLINE).unwrap();
    }
    turn.store(0, Relaxed);
    let first = wakers[0].lock().unwrap().clone().unwrap();
    first.wake();
    for task in tasks {
        reactor.block_on(task).unwrap();
    }
}

/// Tasks that a thread wakes, each time after it wrote. A channel tells the thread that it may
/// write.
fn wakes_from_threads() {
    const WAKES: u64 = 1_000;
    let reactor = reactor(2);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let memory = Plain::new();
                let (waits, wakers) = channel::<Waker>();
                let theirs = Arc::clone(&memory);
                let task = reactor.handle().spawn(poll_fn(move |cx| {
                    if theirs.add() > 2 * WAKES {
                        return Poll::Ready(());
                    }
                    waits.send(cx.waker().clone()).unwrap();
                    Poll::Pending
                }));
                // Until the task has ended, and with it the sender.
                for waker in wakers {
                    memory.add();
                    waker.wake();
                }
                reactor.block_on(task).unwrap();
            });
        }
    });
}

/// A task that is woken again while it is queued. The second wake queues nothing, but still orders.
fn wakes_of_a_queued_task() {
    const ROUNDS: usize = 200;
    let reactor = reactor(1);
    let handle = reactor.handle();
    for _ in 0..ROUNDS {
        let memory = Plain::new();
        let theirs = Arc::clone(&memory);
        let (waits, wakers) = channel::<Waker>();
        let task = handle.spawn(poll_fn(move |cx| match waits.send(cx.waker().clone()) {
            Ok(()) => Poll::Pending,
            Err(_) => Poll::Ready(theirs.add()),
        }));
        let waker = wakers.recv_timeout(DEADLINE).unwrap();
        let (blocks, blocking) = channel();
        let go = Arc::new(AtomicUsize::new(0));
        let may_go = Arc::clone(&go);
        let blocker = handle.spawn(async move {
            blocks.send(()).unwrap();
            while may_go.load(Relaxed) == 0 {
                thread::yield_now();
            }
        });
        blocking.recv_timeout(DEADLINE).unwrap();
        drop(wakers);
        waker.wake_by_ref();
        memory.add();
        waker.wake_by_ref();
        go.store(1, Relaxed);
        assert_eq!(handle.block_on(task).unwrap(), 2);
        handle.block_on(blocker).unwrap();
    }
}

/// Outputs of tasks, and values owned by closures and futures, move between threads. So do aborts
/// and dropped handles.
fn outputs() {
    const ROUNDS: u64 = 600;
    let reactor = reactor(2);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let handle = reactor.handle();
                for round in 0..ROUNDS {
                    let mut given = vec![round; 3];
                    let task = handle.spawn_on(shard(handle, (round % 2) as usize), move || {
                        given.push(1);
                        async move {
                            reactor::yield_now().await;
                            given.push(2);
                            given
                        }
                    });
                    let abort = task.abort_handle();
                    match round % 4 {
                        0 => drop(task),
                        1 => {
                            abort.abort();
                            if let Ok(output) = handle.block_on(task) {
                                assert_eq!(output.len(), 5);
                            }
                        }
                        2 => {
                            // Polled here once, and joined by a task there.
                            let mut task = task;
                            let mut cx = Context::from_waker(Waker::noop());
                            let output = match Pin::new(&mut task).poll(&mut cx) {
                                Poll::Ready(output) => output,
                                Poll::Pending => handle.block_on(handle.spawn(task)).unwrap(),
                            };
                            assert_eq!(output.unwrap().len(), 5);
                        }
                        _ => {
                            // The check alone shows that the output is stored.
                            while round % 8 == 3 && !task.is_finished() {
                                thread::yield_now();
                            }
                            let output = handle.block_on(task).unwrap();
                            assert_eq!(output, [round, round, round, 1, 2]);
                        }
                    }
                    abort.abort();
                }
            });
        }
    });
}

/// Registrations that are made, get an event, are waited for on another thread than their shard's,
/// move between threads and are dropped.
fn registrations() {
    const ROUNDS: usize = 600;
    let reactor = reactor(2);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let handle = reactor.handle();
                let _guard = handle.enter();
                for round in 0..ROUNDS {
                    let (near, mut far) = UnixStream::pair().unwrap();
                    near.set_nonblocking(true).unwrap();
                    let both = Interest::READABLE | Interest::WRITABLE;
                    let placement = Placement::Shard(shard(handle, round % 2));
                    let registration =
                        Registration::new(handle, placement, &near, both, Ready::EMPTY).unwrap();
                    let registration = Arc::new(registration);
                    let theirs = Arc::clone(&registration);
                    let task = handle.spawn(async move {
                        let event = theirs.ready(Interest::READABLE).await.unwrap();
                        theirs.clear(event);
                    });
                    if round % 3 != 0 {
                        far.write_all(b"x").unwrap();
                        let wait = timeout(DEADLINE, registration.ready(Interest::WRITABLE));
                        handle.block_on(wait).unwrap().unwrap();
                        handle.block_on(task).unwrap();
                    } else {
                        task.abort();
                        let _ = handle.block_on(task);
                    }
                    match Arc::try_unwrap(registration) {
                        Ok(registration) => registration.deregister().unwrap(),
                        Err(shared) => drop(shared),
                    }
                }
            });
        }
    });
}

/// Timers of other threads, which are moved, polled on one thread and dropped on another.
fn timers() {
    const ROUNDS: u64 = 40;
    let reactor = reactor(2);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let handle = reactor.handle();
                let _guard = handle.enter();
                let mut cx = Context::from_waker(Waker::noop());
                for round in 0..ROUNDS {
                    let mut wait = sleep(Duration::from_secs(3_600));
                    assert!(pin!(&mut wait).poll(&mut cx).is_pending());
                    let soon = Instant::now() + Duration::from_millis(round % 2);
                    Pin::new(&mut wait).reset(soon);
                    if round % 2 == 0 {
                        handle.block_on(wait);
                    } else {
                        handle.block_on(handle.spawn(wait)).unwrap();
                    }
                    let mut dropped = sleep(Duration::from_millis(1));
                    assert!(pin!(&mut dropped).poll(&mut cx).is_pending());
                    drop(handle.spawn(async move { drop(dropped) }));
                }
            });
        }
    });
}

/// Jobs, from threads and from tasks.
fn blocking_jobs() {
    const ROUNDS: u64 = 60;
    let builder = Reactor::builder().shards(2).pinning(Pinning::None);
    let builder = builder.max_blocking_threads(2);
    let reactor = builder.thread_keep_alive(Duration::ZERO).build().unwrap();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let handle = reactor.handle();
                for round in 0..ROUNDS {
                    let mut given = vec![round];
                    let job = handle.spawn_blocking(move || {
                        given.push(1);
                        given
                    });
                    let task = handle.spawn(async move {
                        let mut output = job.await.unwrap();
                        output.push(2);
                        reactor::spawn_blocking(move || output).await.unwrap()
                    });
                    assert_eq!(handle.block_on(task).unwrap(), [round, 1, 2]);
                }
            });
        }
    });
}

/// Tasks of a busy shard that a sibling steals between their polls. They yield and sleep, so that
/// queues, timers and lists of yielded tasks are shared too.
fn thefts() {
    const STOLEN: u64 = 100;
    const TASKS: u64 = 24;
    let reactor = reactor(2);
    let handle = reactor.handle();
    let begun = Instant::now();
    while handle.metrics().total(|shard| shard.tasks_stolen) < STOLEN {
        assert!(begun.elapsed() < LONG, "{:?}", handle.metrics());
        let spawner = handle.clone();
        let round = handle.spawn_on(shard(handle, 0), move || async move {
            let tasks: Vec<_> = (0..TASKS)
                .map(|index| {
                    let memory = Plain::new();
                    memory.add();
                    let theirs = Arc::clone(&memory);
                    let task = spawner.spawn(async move {
                        for poll in 0..4 {
                            theirs.add();
                            let spin = Instant::now();
                            while spin.elapsed() < Duration::from_micros(100) {}
                            if index % 8 == 0 && poll == 0 {
                                sleep(Duration::from_millis(1)).await;
                            } else {
                                reactor::yield_now().await;
                            }
                        }
                    });
                    (memory, task)
                })
                .collect();
            for (memory, task) in tasks {
                task.await.unwrap();
                assert_eq!(memory.add(), 6);
            }
        });
        handle.block_on(round).unwrap();
    }
}

/// Registrations that follow their task from shard to shard and back, while bytes arrive.
fn moves() {
    const MOVES: u64 = 6;
    let reactor = reactor(2);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let handle = reactor.handle();
                let (near, far) = UnixStream::pair().unwrap();
                near.set_nonblocking(true).unwrap();
                let readable = Interest::READABLE;
                let registration =
                    Registration::new(handle, Placement::Hash, &near, readable, Ready::EMPTY);
                let socket = Arc::new((registration.unwrap(), near));
                for round in 0..MOVES {
                    let on = shard(handle, (round % 2) as usize);
                    let theirs = Arc::clone(&socket);
                    let task = handle.spawn_on(on, move || async move {
                        let (registration, near) = &*theirs;
                        let begun = Instant::now();
                        while registration.shard() != on {
                            assert!(begun.elapsed() < LONG, "it does not follow");
                            let read = || (&*near).read(&mut [0; 16]);
                            registration.async_io(readable, read).await.unwrap();
                        }
                    });
                    while !task.is_finished() {
                        (&far).write_all(b"x").unwrap();
                        thread::sleep(Duration::from_millis(1));
                    }
                    handle.block_on(task).unwrap();
                }
            });
        }
    });
}

/// Reactors that end while threads spawn, register, wait, wake and join.
fn shutdowns() {
    const ROUNDS: usize = 25;
    for round in 0..ROUNDS {
        let reactor = reactor(2);
        let handle = reactor.handle().clone();
        let (started, starts) = channel();
        // Closed after the shards' last deregistration.
        let pairs = [(); THREADS].map(|()| UnixStream::pair().unwrap());
        thread::scope(|scope| {
            for (near, _far) in &pairs {
                let (handle, started) = (&handle, started.clone());
                scope.spawn(move || {
                    started.send(()).unwrap();
                    while !handle.is_shutting_down() {
                        let owned = String::from("owned");
                        let task = handle.spawn(async move {
                            sleep(Duration::from_micros(200)).await;
                            owned.len()
                        });
                        let registered = Registration::new(
                            handle,
                            Placement::Hash,
                            near,
                            Interest::READABLE,
                            Ready::EMPTY,
                        );
                        if let Ok(registration) = registered {
                            drop(handle.spawn(async move {
                                let _ = registration.ready(Interest::READABLE).await;
                            }));
                        }
                        drop(handle.spawn_blocking(|| ()));
                        let _ = handle.block_on(task);
                    }
                });
            }
            for _ in 0..THREADS {
                starts.recv_timeout(DEADLINE).unwrap();
            }
            match round % 3 {
                0 => drop(reactor),
                1 => drop(reactor.shutdown(Duration::ZERO).unwrap()),
                _ => drop(reactor.shutdown(Duration::from_millis(2)).unwrap()),
            }
        });
    }
}
