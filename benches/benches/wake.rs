//! Measures the cost of waking a task, on the same thread and on another one.
//!
//! Measured: two tasks pass a baton back and forth. A round is two passes. Each pass stores a flag,
//! takes the other's waker out of an uncontended mutex, wakes it, and ends with the poll of the
//! other task.
//!
//! Held constant: the baton is the same code for all, without any I/O. `same thread` has both tasks
//! on one shard, or one current-thread runtime. `other thread` has them on two shards, or two
//! current-thread runtimes, pinned to two CPUs if there are two. Each pass then wakes a sleeping
//! thread, unless that thread busy polls (it then never sleeps, and takes its whole CPU). tokio's
//! multi-thread runtime is included as the usual way to have two threads, but its scheduler may run
//! both tasks on one worker, and usually does.
//!
//! Noise: on the same thread a few percent. On another thread almost all of it is the kernel's
//! wake-up, which changes by half with the CPU's sleep states, the hypervisor and other load. Use
//! only medians of many runs there, and count system calls instead.
#![forbid(unsafe_code)]

mod support;

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use reactor::Reactor;
use support::{TokioThread, cpus, criterion, on_shard, reactor, run_on, shard, started};

/// A flag for the task whose turn it is, and the waker of the task that waits for it.
struct Baton {
    turn: AtomicUsize,
    wakers: [Mutex<Option<Waker>>; 2],
}

impl Baton {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            turn: AtomicUsize::new(0),
            wakers: [Mutex::new(None), Mutex::new(None)],
        })
    }

    /// Takes the baton and passes it on, `rounds` times. Returns the duration.
    async fn play(self: Arc<Self>, me: usize, rounds: u64) -> Duration {
        let start = Instant::now();
        for _ in 0..rounds {
            poll_fn(|cx| {
                if self.turn.load(Ordering::Acquire) == me {
                    return Poll::Ready(());
                }
                let mut waker = self.wakers[me].lock().unwrap();
                match &mut *waker {
                    Some(waker) if waker.will_wake(cx.waker()) => {}
                    other => *other = Some(cx.waker().clone()),
                }
                drop(waker);
                // The other task may have passed the baton before the waker was stored.
                if self.turn.load(Ordering::Acquire) == me {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })
            .await;
            let other = 1 - me;
            self.turn.store(other, Ordering::Release);
            let waker = self.wakers[other].lock().unwrap().take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
        start.elapsed()
    }
}

fn same_thread(c: &mut Criterion) {
    let mut group = c.benchmark_group("wake_same_thread");

    let reactor = reactor(1);
    group.bench_function("here", |b| {
        b.iter_custom(|rounds| {
            on_shard(&reactor, move || async move {
                let baton = Baton::new();
                let other = reactor::spawn_local(Arc::clone(&baton).play(1, rounds));
                let time = baton.play(0, rounds).await;
                other.await.expect("the other player ends");
                time
            })
        });
    });
    drop(reactor);

    let thread = TokioThread::start(cpus(1)[0]);
    group.bench_function("tokio current-thread", |b| {
        b.iter_custom(|rounds| {
            thread.run(async move {
                let baton = Baton::new();
                let other = tokio::spawn(Arc::clone(&baton).play(1, rounds));
                let time = baton.play(0, rounds).await;
                other.await.expect("the other player ends");
                time
            })
        });
    });
    group.finish();
}

fn other_thread(c: &mut Criterion) {
    let mut group = c.benchmark_group("wake_other_thread");

    for (name, busy_poll) in [
        ("here", Duration::ZERO),
        ("here, busy polling", Duration::from_micros(200)),
    ] {
        let reactor = started(Reactor::builder().shards(2).busy_poll(busy_poll));
        group.bench_function(name, |b| {
            b.iter_custom(|rounds| {
                let baton = Baton::new();
                let second = Arc::clone(&baton);
                let handle = reactor.handle();
                drop(handle.spawn_on(shard(handle, 1), move || second.play(1, rounds)));
                on_shard(&reactor, move || baton.play(0, rounds))
            });
        });
        let metrics = reactor.handle().metrics();
        let notifies = metrics.total(|shard| shard.notifies);
        let wakes = metrics.total(|shard| shard.remote_wakes_received);
        eprintln!("{name}: {notifies} eventfd writes for {wakes} wakes by the other shard");
    }

    let threads = cpus(2)
        .into_iter()
        .map(TokioThread::start)
        .collect::<Vec<_>>();
    group.bench_function("tokio two current-thread", |b| {
        b.iter_custom(|rounds| {
            let baton = Baton::new();
            drop(threads[1].handle.spawn(Arc::clone(&baton).play(1, rounds)));
            threads[0].run(baton.play(0, rounds))
        });
    });

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a runtime starts");
    group.bench_function("tokio multi-thread", |b| {
        b.iter_custom(|rounds| {
            let baton = Baton::new();
            drop(runtime.spawn(Arc::clone(&baton).play(1, rounds)));
            run_on(runtime.handle(), baton.play(0, rounds))
        });
    });
    group.finish();
}

criterion_group! { name = benches; config = criterion(); targets = same_thread, other_thread }
criterion_main!(benches);
