//! Tasks: wake against run, join and detach against completion, and abort against run. See
//! `task/JOIN.md`.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc as StdArc;
use std::sync::atomic::{AtomicUsize as StdAtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};

use loom::sync::{Arc, Notify};
use loom::thread;

use crate::hooks::TaskPanic;
use crate::shard::ShardId;
use crate::sync::{AtomicBool, Mutex, Ordering};
use crate::task::{RawJoin, RemoteQueue, Runnable, Schedule, SpawnSite, TaskRef, spawn_send};

/// A small shard: one queue for all wakes, and one thread that runs its tasks.
pub(super) struct ModelShard {
    queue: RemoteQueue<ModelRef>,
    pushed: Notify,
    /// False if it keeps no list of its tasks, as the pool of blocking jobs.
    keeps_list: bool,
    live: Mutex<Vec<TaskRef<ModelRef>>>,
}

pub(super) type ModelRef = StdArc<ModelShard>;

#[expect(unsafe_code, reason = "tasks rely on `is_home` to name one thread")]
// SAFETY: the models call `run_to_the_end` from one thread.
unsafe impl Schedule for ModelRef {
    fn is_home(&self) -> bool {
        true
    }

    fn first_home(&self) -> u16 {
        0
    }

    fn is_ending(&self) -> bool {
        false
    }

    fn adopt(&self, task: TaskRef<Self>) -> Result<(), TaskRef<Self>> {
        if self.keeps_list {
            self.live.lock().push(task);
        }
        Ok(())
    }

    fn schedule(task: Runnable<Self>) {
        let shard = Self::clone(task.task().scheduler());
        let pushed = shard.queue.push(task);
        assert!(pushed.is_ok(), "the model's queue stays open");
        shard.pushed.notify();
    }

    fn completed(&self, task: &TaskRef<Self>) {
        if !self.keeps_list {
            return;
        }
        let mut live = self.live.lock();
        let place = live.iter().position(|other| other.is_same(task));
        let reference = place.map(|place| live.swap_remove(place));
        drop(live);
        drop(reference);
    }

    fn task_panicked(&self, _: &TaskPanic<'_>) {
        unreachable!("no model panics");
    }

    fn panic_unhandled(&self, _: &TaskPanic<'_>) {}

    fn waker_panicked(&self) {
        unreachable!("no model panics");
    }

    fn is_forked(&self) -> bool {
        false
    }

    fn shard(&self, _home: u16) -> Option<ShardId> {
        None
    }

    fn abandoned(&self) -> bool {
        false
    }
}

impl ModelShard {
    pub(super) fn new() -> ModelRef {
        Self::with(true)
    }

    pub(super) fn without_list() -> ModelRef {
        Self::with(false)
    }

    fn with(keeps_list: bool) -> ModelRef {
        StdArc::new(Self {
            queue: RemoteQueue::new(),
            pushed: Notify::new(),
            keeps_list,
            live: Mutex::new(Vec::new()),
        })
    }

    /// Runs the tasks that are in the queue now.
    pub(super) fn run_queued(&self) {
        self.queue.take_all(|task| {
            if let Some(again) = task.run() {
                self.queue.push(again);
            }
        });
    }

    /// Gives up the references to tasks that the model does not run to their end.
    pub(super) fn forget_tasks(&self) {
        let live = std::mem::take(&mut *self.live.lock());
        drop(live);
    }

    /// Runs all tasks until they have ended.
    fn run_to_the_end(&self) {
        loop {
            self.run_queued();
            if self.live.lock().is_empty() {
                break;
            }
            if self.queue.is_empty() {
                self.pushed.wait();
            }
        }
        self.queue.close(drop);
    }
}

/// Spawns a task, queues its first run, and returns its join half.
pub(super) fn spawn<F>(shard: &ModelRef, future: F) -> RawJoin<F::Output, ModelRef>
where
    F: Future<Output: Send> + Send + 'static,
{
    let spawned = spawn_send(future, StdArc::clone(shard), SpawnSite::here());
    shard
        .queue
        .push(spawned.first_run.expect("the model's shard takes it"));
    RawJoin::new(spawned.join)
}

/// A wake at any moment of a run is not lost. Otherwise the shard waits without end.
#[test]
fn wake_against_run() {
    super::model_bounded(3, || {
        let shard = ModelShard::new();
        let ready = Arc::new(AtomicBool::new(false));
        let waker = Arc::new(Mutex::new(None::<Waker>));
        let future = {
            let (ready, waker) = (Arc::clone(&ready), Arc::clone(&waker));
            poll_fn(move |cx: &mut Context<'_>| {
                let own = cx.waker().clone();
                let old = waker.lock().replace(own);
                drop(old);
                if ready.load(Ordering::Relaxed) {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })
        };
        let join = spawn(&shard, future);
        let runner = thread::spawn(move || shard.run_to_the_end());
        let wakers = thread::spawn(move || {
            // Relaxed: the wake itself has to order it before the resulting poll.
            ready.store(true, Ordering::Relaxed);
            let woken = waker.lock().take();
            if let Some(woken) = woken {
                woken.wake();
            }
        });
        wakers.join().unwrap();
        runner.join().unwrap();
        drop(join);
    });
}

/// Two threads wake one task at once: it is queued once, and polled after both.
#[test]
fn two_wakes_against_run() {
    super::model_bounded(2, || {
        let shard = ModelShard::new();
        let count = Arc::new(crate::sync::AtomicUsize::new(0));
        let theirs = Arc::clone(&count);
        let own_waker = StdArc::new(std::sync::Mutex::new(None::<Waker>));
        let slot = StdArc::clone(&own_waker);
        let join = spawn(
            &shard,
            poll_fn(move |cx| {
                *slot.lock().unwrap() = Some(cx.waker().clone());
                if theirs.load(Ordering::Relaxed) == 2 {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            }),
        );
        // One run before the threads start, so that both have a waker.
        shard.queue.take_all(|task| assert!(task.run().is_none()));
        let waker = own_waker.lock().unwrap().take().expect("it was polled");
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (count, waker) = (Arc::clone(&count), waker.clone());
                thread::spawn(move || {
                    count.fetch_add(1, Ordering::Relaxed);
                    waker.wake();
                })
            })
            .collect();
        drop(waker);
        let runner = thread::spawn(move || shard.run_to_the_end());
        for thread in threads {
            thread.join().unwrap();
        }
        runner.join().unwrap();
        drop(join);
    });
}

/// The handle gets the output for every interleaving of its check and the task's end.
#[test]
fn join_against_complete() {
    loom::model(|| {
        let shard = ModelShard::new();
        let mut join = spawn(&shard, async { 7 });
        let runner = thread::spawn(move || shard.run_to_the_end());
        let joiner = thread::spawn(move || {
            let output = loom::future::block_on(poll_fn(move |cx| join.poll(cx)));
            assert_eq!(output.unwrap(), 7);
        });
        joiner.join().unwrap();
        runner.join().unwrap();
    });
}

/// Counts its drops, to show that an output is dropped once.
struct Counted(StdArc<StdAtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn detach_against_complete() {
    loom::model(|| {
        let drops = StdArc::new(StdAtomicUsize::new(0));
        let output = Counted(StdArc::clone(&drops));
        let shard = ModelShard::new();
        let join = spawn(&shard, async move { output });
        // Keeps the memory alive. Freeing it would drop a forgotten output.
        let kept = TaskRef::clone(join.task());
        let runner = thread::spawn(move || shard.run_to_the_end());
        let dropper = thread::spawn(move || drop(join));
        dropper.join().unwrap();
        runner.join().unwrap();
        assert_eq!(
            drops.load(SeqCst),
            1,
            "an output is dropped once, by the handle or by the shard"
        );
        drop(kept);
    });
}

/// An abort before, during or after the run ends the task, and its future is dropped once.
#[test]
fn abort_against_run() {
    super::model_bounded(3, || {
        let drops = StdArc::new(StdAtomicUsize::new(0));
        let held = Counted(StdArc::clone(&drops));
        let shard = ModelShard::new();
        let mut join = spawn(&shard, async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        let abort = TaskRef::clone(join.task());
        let runner = thread::spawn(move || shard.run_to_the_end());
        let aborter = thread::spawn(move || abort.cancel());
        aborter.join().unwrap();
        runner.join().unwrap();
        assert_eq!(drops.load(SeqCst), 1);
        let ended = Pin::new(&mut join)
            .get_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(ended, Poll::Ready(Err(error)) if error.is_cancelled()));
    });
}
