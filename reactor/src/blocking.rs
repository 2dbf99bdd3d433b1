//! [`spawn_blocking`]: runs closures that may block, on threads of their own.
//!
//! This module owns a reactor's pool: a queue, and threads. A thread is started if a job finds none
//! idle, and ends after it was idle for a while. A job is a task (`task/`) whose scheduler is the
//! pool: it shares the state word, the join cell and the handling of panics with tasks of shards.
//! The pool is not on any hot path, so one lock guards all of it. No job runs, and no foreign value
//! is dropped or woken, while the lock is held. Tests are in `tests/blocking.rs`.
//!
//! The `blocking` crate 1.7 was tried instead. It has one pool per process, whose limit is an
//! environment variable. It brings fourteen crates where this library has eighteen. Its idle
//! threads never end and wake up twice a second each.

use std::cell::Cell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::ptr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::handle::Handle;
use crate::hooks::{Hooks, TaskPanic, ThreadName};
use crate::metrics::{BlockingMetrics, Counter};
use crate::shard::ShardId;
use crate::shutdown::Lifecycle;
use crate::sys::{CpuMask, Process};
use crate::task::{
    JoinError, JoinHandle, Runnable, Schedule, SpawnSite, TaskId, TaskRef, spawn_job,
};
use crate::time::Inhibitor;

thread_local! {
    static RUNS: Cell<Option<Runs>> = const { Cell::new(None) };
}

/// The job that the calling thread runs. The addresses are for comparison only.
#[derive(Clone, Copy)]
struct Runs {
    scheduler: *const JobScheduler,
    pool: *const BlockingPool,
    job: TaskId,
}

/// Returns the job that the calling thread runs, if any.
pub(crate) fn current_job() -> Option<TaskId> {
    RUNS.get().map(|runs| runs.job)
}

/// The builder's settings of the pool.
#[derive(Debug, Clone)]
pub(crate) struct PoolSettings {
    pub(crate) threads_max: usize,
    pub(crate) keep_alive: Duration,
    pub(crate) thread_name: ThreadName,
    /// The CPU mask of the thread that built the reactor, from before any pinning.
    pub(crate) mask: Option<CpuMask>,
    pub(crate) hooks: Hooks,
    /// In use for each job that is queued or runs.
    pub(crate) inhibitor: Inhibitor,
}

/// A reactor's threads for blocking work.
#[derive(Debug)]
pub(crate) struct BlockingPool {
    state: Mutex<State>,
    /// Signals a new job, or the close of the pool.
    changed: Condvar,
    settings: PoolSettings,
    panics: Counter,
    lifecycle: Arc<Lifecycle>,
    process: Process,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Runnable<JobScheduler>>,
    threads: usize,
    /// The number of threads whose job waits for all others to end. The limit does not count them.
    lent: usize,
    /// The number of threads that wait for a job. A notified thread counts until it has run.
    idle: usize,
    /// The number of jobs that are queued or running.
    live: usize,
    /// The number of jobs accepted so far.
    adopted: u64,
    /// True once the reactor has shut down: no further job begins.
    closed: bool,
}

impl BlockingPool {
    pub(crate) fn new(settings: PoolSettings, lifecycle: Arc<Lifecycle>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            settings,
            panics: Counter::new(),
            lifecycle,
            process: Process::current(),
        })
    }

    pub(crate) fn spawn<F, T>(
        self: &Arc<Self>,
        handle: &Handle,
        f: F,
        at: SpawnSite,
    ) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let job = Job {
            f: Some(f),
            handle: handle.clone(),
        };
        let spawned = spawn_job::<F, _, _>(job, JobScheduler(Arc::clone(self)), at);
        if let Some(job) = spawned.first_run {
            self.settings.inhibitor.begin();
            self.push(job);
        }
        JoinHandle::of_job(spawned.join)
    }

    fn push(self: &Arc<Self>, job: Runnable<JobScheduler>) {
        let mut state = self.state.lock();
        if state.closed {
            drop(state);
            return end_unrun(&job, JoinError::shutdown(job.task().id()));
        }
        state.queue.push_back(job);
        self.serve_queue(state);
    }

    /// Ensures that a thread takes the last job in the queue.
    fn serve_queue(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        // Each idle thread takes one job before it checks again, so a longer queue needs another
        // thread.
        if state.queue.len() <= state.idle {
            drop(state);
            self.changed.notify_one();
        } else if state.threads - state.lent < self.settings.threads_max {
            state.threads += 1;
            drop(state);
            self.start_thread();
        }
    }

    /// Excludes the caller's job from the thread limit. The caller is about to wait until all other
    /// jobs and the reactor end. If it runs a job of this pool, another thread takes its place,
    /// since queued jobs would otherwise wait for it.
    pub(crate) fn lend_place(self: &Arc<Self>) {
        if self.runs_caller() {
            let mut state = self.state.lock();
            state.lent += 1;
            self.serve_queue(state);
        }
    }

    /// Returns true if the calling thread runs a job of this pool.
    fn runs_caller(&self) -> bool {
        RUNS.get().is_some_and(|runs| ptr::eq(runs.pool, self))
    }

    fn start_thread(self: &Arc<Self>) {
        let pool = Arc::clone(self);
        let name = self.settings.thread_name.with("blocking");
        let started = thread::Builder::new().name(name).spawn(move || pool.work());
        let Err(error) = started else { return };
        let mut state = self.state.lock();
        state.threads -= 1;
        // Existing threads reach the queue in time. Without any, no thread would.
        if state.threads > state.lent {
            return;
        }
        let stranded = std::mem::take(&mut state.queue);
        drop(state);
        let error = Arc::new(error);
        for job in stranded {
            end_unrun(
                &job,
                JoinError::no_thread(job.task().id(), Arc::clone(&error)),
            );
        }
    }

    /// Runs a pool thread from start to end.
    fn work(&self) {
        if let Some(mask) = self.settings.mask {
            // The thread inherited the pin of the shard that started it. If the mask is refused,
            // the thread stays there, which is only slower.
            let _ = mask.restore();
        }
        let mut state = self.state.lock();
        loop {
            while let Some(job) = state.queue.pop_front() {
                drop(state);
                run(job);
                self.process.abort_child();
                state = self.state.lock();
            }
            if state.closed {
                break;
            }
            state.idle += 1;
            let nothing_to_do = |state: &mut State| state.queue.is_empty() && !state.closed;
            let patience = self.settings.keep_alive;
            self.changed
                .wait_while_for(&mut state, nothing_to_do, patience);
            state.idle -= 1;
            if state.queue.is_empty() {
                break;
            }
        }
        state.threads -= 1;
    }

    /// Closes the pool at the reactor's end: it refuses new jobs and ends the jobs that have not
    /// begun, on this thread. Running jobs continue.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let unrun = std::mem::take(&mut state.queue);
        drop(state);
        self.changed.notify_all();
        for job in unrun {
            end_unrun(&job, JoinError::shutdown(job.task().id()));
        }
    }

    /// Returns the number of jobs accepted so far if none is left besides the caller's own.
    pub(crate) fn idle_since(&self) -> Option<u64> {
        let asks = self.runs_caller();
        let state = self.state.lock();
        (state.live == usize::from(asks)).then_some(state.adopted)
    }

    pub(crate) fn metrics(&self) -> BlockingMetrics {
        if !self.process.is_current() {
            // In a forked child, a thread that does not exist there may hold the lock.
            return BlockingMetrics::default();
        }
        let state = self.state.lock();
        BlockingMetrics {
            threads: state.threads as u64,
            idle_threads: state.idle as u64,
            queue_depth: state.queue.len() as u64,
            jobs_completed: state.adopted - state.live as u64,
            panics: self.panics.get(),
        }
    }
}

/// Makes the calling thread a job's home while `f` runs.
fn at_home<R>(job: &TaskRef<JobScheduler>, f: impl FnOnce() -> R) -> R {
    // A job may drop the reactor, and so end other jobs that have not begun.
    let scheduler = job.scheduler();
    let outer = RUNS.replace(Some(Runs {
        scheduler,
        pool: Arc::as_ptr(&scheduler.0),
        job: job.id(),
    }));
    let result = f();
    RUNS.set(outer);
    result
}

fn run(job: Runnable<JobScheduler>) {
    let task = TaskRef::clone(job.task());
    let again = at_home(&task, || job.run());
    debug_assert!(again.is_none(), "a job is done after one poll");
    // The task that waits for the handle has been woken before.
    task.scheduler().0.settings.inhibitor.end();
}

/// Drops a job's closure on the calling thread, and passes the error to its handle.
fn end_unrun(job: &Runnable<JobScheduler>, error: JoinError) {
    at_home(job.task(), || job.task().end(error));
    job.task().scheduler().0.settings.inhibitor.end();
}

/// A closure as a future that one poll completes.
struct Job<F> {
    f: Option<F>,
    handle: Handle,
}

impl<F> Unpin for Job<F> {}

impl<F: FnOnce() -> T, T> Future for Job<F> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<T> {
        let f = self.f.take().expect("a job is polled once");
        let _guard = self.handle.enter();
        Poll::Ready(f())
    }
}

/// A job's reference to its pool. Each job has one of its own, whose address identifies it.
#[derive(Debug)]
pub(crate) struct JobScheduler(Arc<BlockingPool>);

#[expect(unsafe_code, reason = "tasks rely on `is_home` to name one thread")]
// SAFETY: there is one task per `JobScheduler`, and it lies in that task's memory. `RUNS` has its
// address only on the one thread that took the task's only runnable out of the queue, while that
// thread runs it or ends it.
unsafe impl Schedule for JobScheduler {
    fn is_home(&self) -> bool {
        RUNS.get().is_some_and(|runs| ptr::eq(runs.scheduler, self))
    }

    fn first_home(&self) -> u16 {
        0
    }

    fn is_ending(&self) -> bool {
        self.0.state.lock().closed
    }

    fn adopt(&self, task: TaskRef<Self>) -> Result<(), TaskRef<Self>> {
        let mut state = self.0.state.lock();
        if state.closed {
            return Err(task);
        }
        state.live += 1;
        state.adopted += 1;
        // No list of jobs is kept: the runnable holds a reference until the job is done.
        Ok(())
    }

    fn schedule(_job: Runnable<Self>) {
        unreachable!("a job is queued from its spawn to its one poll, so that no wake queues it")
    }

    fn completed(&self, _: &TaskRef<Self>) {
        // The job may have forked: see `work`.
        self.0.process.abort_child();
        // A refused job ends on its spawner's thread, and was never adopted.
        if !self.is_home() {
            return;
        }
        let mut state = self.0.state.lock();
        state.live -= 1;
        let left = state.live;
        drop(state);
        // The last one may be the job that waits for the others.
        if left <= 1 {
            self.0.lifecycle.is_idle();
        }
    }

    fn task_panicked(&self, panic: &TaskPanic<'_>) {
        self.0.panics.add_shared(1);
        self.0.settings.hooks.task_panicked(panic);
    }

    fn panic_unhandled(&self, panic: &TaskPanic<'_>) {
        self.0.settings.hooks.panic_unhandled(panic);
    }

    fn waker_panicked(&self) {
        self.0.panics.add_shared(1);
    }

    fn is_forked(&self) -> bool {
        !self.0.process.is_current()
    }

    fn shard(&self, _home: u16) -> Option<ShardId> {
        None
    }

    fn abandoned(&self) -> bool {
        false
    }
}

/// Runs a closure that may block, on a thread where it stops no shard. Use it for files, name
/// resolution, compression and blocking libraries.
///
/// The closure runs on a blocking thread of the [current](Handle::current) reactor, and that
/// reactor is current on it. The thread has the CPU mask of the reactor's builder rather than a
/// shard's pin. Threads are started as jobs arrive, up to
/// [`max_blocking_threads`](crate::Builder::max_blocking_threads). Beyond that, jobs wait in a
/// queue. Same as tokio's.
///
/// Aborting a job that has not begun prevents it from running. A running job continues to its end,
/// and its handle returns its output.
///
/// # Shutdown
///
/// [`Reactor::shutdown`](crate::Reactor::shutdown) waits for jobs as for tasks, until its deadline.
/// Then, and when the reactor is dropped, jobs that have not begun are dropped. Their handles
/// return an error for which [`is_shutdown`](JoinError::is_shutdown) is true. Running jobs are not
/// waited for, unlike in tokio's `Drop`. They continue, and their handles return their output.
///
/// # Panics
///
/// Panics if no reactor is current, and in a forked child. A panic of the closure is returned by
/// the handle as an error.
///
/// # Examples
///
/// ```
/// # let reactor = reactor::Reactor::builder().shards(1).build()?;
/// # reactor.block_on(async {
/// let hosts = reactor::spawn_blocking(|| std::fs::read_to_string("/etc/hosts")).await??;
/// # drop(hosts);
/// # std::io::Result::Ok(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn spawn_blocking<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    Handle::current().spawn_blocking(f)
}
