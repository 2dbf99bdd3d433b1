//! Measures the cost of spawning an empty task and waiting for its end.
//!
//! Measured: allocation of the task, one pass through the run queue, one poll, the transfer of its
//! output to the `JoinHandle`, and its release.
//!
//! Held constant: the future is empty. `from its thread` spawns from a task on the shard or runtime
//! that will run it, 100 at a time, then awaits them all in order. `from another thread` spawns
//! from a thread that belongs to neither, and sleeps until the task has ended, one at a time.
//!
//! Noise: from its own thread a few percent, plus the allocator's variation. From another thread
//! almost all of it is two kernel wake-ups, and they vary by half.
#![forbid(unsafe_code)]

mod support;

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use support::{TokioThread, cpus, criterion, on_shard, reactor};

const BATCH: u64 = 100;

/// Calls `spawn` the given number of times, in batches, and measures the total time.
async fn in_batches<J, T, E>(times: u64, spawn: impl Fn() -> J) -> Duration
where
    J: Future<Output = Result<T, E>>,
    E: std::fmt::Debug,
{
    let mut tasks = Vec::with_capacity(usize::try_from(BATCH).expect("a small number"));
    let start = Instant::now();
    for first in (0..times).step_by(usize::try_from(BATCH).expect("a small number")) {
        for _ in first..times.min(first + BATCH) {
            tasks.push(spawn());
        }
        for task in tasks.drain(..) {
            task.await.expect("an empty task ends well");
        }
    }
    start.elapsed()
}

fn from_its_thread(c: &mut Criterion) {
    let mut group = c.benchmark_group("spawn_from_its_thread");

    let reactor = reactor(1);
    group.bench_function("here spawn_local", |b| {
        b.iter_custom(|times| {
            on_shard(&reactor, move || {
                in_batches(times, || reactor::spawn_local(async {}))
            })
        });
    });
    group.bench_function("here Handle::spawn", |b| {
        b.iter_custom(|times| {
            let handle = reactor.handle().clone();
            on_shard(&reactor, move || async move {
                in_batches(times, || handle.spawn(async {})).await
            })
        });
    });
    drop(reactor);

    let thread = TokioThread::start(cpus(1)[0]);
    group.bench_function("tokio current-thread", |b| {
        b.iter_custom(|times| thread.run(in_batches(times, || tokio::spawn(async {}))));
    });
    group.finish();
}

fn from_another_thread(c: &mut Criterion) {
    let mut group = c.benchmark_group("spawn_from_another_thread");

    let reactor = reactor(1);
    group.bench_function("here", |b| {
        b.iter(|| {
            reactor
                .block_on(reactor.handle().spawn(async {}))
                .expect("it ends well")
        });
    });
    drop(reactor);

    let thread = TokioThread::start(cpus(1)[0]);
    // A runtime that only lets this thread wait, like the reactor's `block_on`.
    let waiter = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime starts");
    group.bench_function("tokio current-thread", |b| {
        b.iter(|| {
            waiter
                .block_on(thread.handle.spawn(async {}))
                .expect("it ends well")
        });
    });
    group.finish();
}

criterion_group! { name = benches; config = criterion(); targets = from_its_thread, from_another_thread }
criterion_main!(benches);
