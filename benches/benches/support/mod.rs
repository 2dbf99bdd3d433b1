//! Shared by the benches: the threads that run measured code, and the measurement time.
//!
//! Both sides run on one thread of their own, pinned to the first CPU that this process may use: a
//! shard of a reactor, or a current-thread runtime. criterion's own thread only waits for them, so
//! it takes no CPU time from them.

#![allow(dead_code, reason = "no bench uses all of it")]

use std::future::Future;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use benches::pin::{pin_current, plan};
use criterion::Criterion;
use reactor::{Builder, Handle, Pinning, Reactor, ShardId};

/// Returns settings that give intervals of a few percent on a quiet machine, in about a minute per
/// bench.
pub(crate) fn criterion() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .sample_size(50)
        .configure_from_args()
}

/// Returns the CPUs that threads are pinned to, in order.
pub(crate) fn cpus(threads: usize) -> Vec<Option<usize>> {
    plan(&Pinning::Auto, threads).expect("the allowed CPUs are allowed")
}

/// Returns a reactor of `shards` shards, each on its own CPU while there are enough.
pub(crate) fn reactor(shards: usize) -> Reactor {
    started(Reactor::builder().shards(shards))
}

fn allowed_cpus() -> Vec<usize> {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    cores.into_iter().map(|core| core.id).collect()
}

/// Builds the reactor, with each shard pinned while there are CPUs.
pub(crate) fn started(builder: Builder) -> Reactor {
    let reactor = builder
        .pinning(Pinning::Cpus(allowed_cpus()))
        .build()
        .expect("a reactor starts");
    for warning in reactor.warnings() {
        eprintln!("warning: {warning}");
    }
    reactor
}

/// Returns shard number `index`.
pub(crate) fn shard(handle: &Handle, index: usize) -> ShardId {
    handle
        .shards()
        .nth(index)
        .expect("the reactor has that many shards")
}

/// Runs a task on the first shard and returns the duration that it reports.
pub(crate) fn on_shard<M, F>(reactor: &Reactor, make: M) -> Duration
where
    M: FnOnce() -> F + Send + 'static,
    F: Future<Output = Duration> + 'static,
{
    let handle = reactor.handle();
    let task = handle.spawn_on(shard(handle, 0), make);
    reactor.block_on(task).expect("measured tasks do not panic")
}

/// A current-thread tokio runtime on its own thread, which ends with the process.
pub(crate) struct TokioThread {
    pub(crate) handle: tokio::runtime::Handle,
}

impl TokioThread {
    /// Starts the thread, pinned to `cpu`.
    pub(crate) fn start(cpu: Option<usize>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime starts");
        let handle = runtime.handle().clone();
        thread::spawn(move || {
            pin_current(cpu);
            runtime.block_on(std::future::pending::<()>());
        });
        Self { handle }
    }

    /// Runs a task there and returns the duration that it reports.
    pub(crate) fn run<F>(&self, task: F) -> Duration
    where
        F: Future<Output = Duration> + Send + 'static,
    {
        run_on(&self.handle, task)
    }
}

/// Runs a task on a runtime and returns the duration that it reports.
pub(crate) fn run_on<F>(handle: &tokio::runtime::Handle, task: F) -> Duration
where
    F: Future<Output = Duration> + Send + 'static,
{
    let (send, receive) = mpsc::channel();
    handle.spawn(async move {
        let _ = send.send(task.await);
    });
    receive.recv().expect("measured tasks do not panic")
}
