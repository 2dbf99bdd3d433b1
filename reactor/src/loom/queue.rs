//! The remote queue against two senders, the last reference to a task, one task that three threads
//! meet in turn, and the end of a blocking job. See `task/JOIN.md`.

#![expect(unsafe_code, reason = "memory that only the protocol orders")]

use std::future::poll_fn;
use std::sync::Arc as StdArc;
use std::sync::atomic::{AtomicUsize as StdAtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};

use loom::sync::Arc;
use loom::thread;

use super::task::{ModelRef, ModelShard, spawn};
use crate::sync::UnsafeCell;
use crate::task::{Mobility, RemoteQueue, Runnable, SpawnSite, State, spawn_send};

/// Pushes two tasks from two threads while `take` empties the queue. Returns the number of tasks
/// that were refused or were found in the queue.
fn two_pushes_against(take: fn(&RemoteQueue<ModelRef>, &mut dyn FnMut(Runnable<ModelRef>))) {
    super::model_bounded(3, move || {
        let shard = ModelShard::new();
        let queue = Arc::new(RemoteQueue::<ModelRef>::new());
        let senders: Vec<_> = (0..2)
            .map(|_| {
                let spawned = spawn_send(async {}, StdArc::clone(&shard), SpawnSite::here());
                let (task, queue) = (spawned.first_run.unwrap(), Arc::clone(&queue));
                thread::spawn(move || usize::from(queue.push(task).is_err()))
            })
            .collect();
        let taker = thread::spawn({
            let queue = Arc::clone(&queue);
            move || {
                let mut taken = 0;
                take(&queue, &mut |_task| taken += 1);
                taken
            }
        });
        let mut seen: usize = senders.into_iter().map(|one| one.join().unwrap()).sum();
        seen += taker.join().unwrap();
        queue.take_all(|_task| seen += 1);
        assert_eq!(seen, 2, "a task was lost in the queue");
        shard.forget_tasks();
    });
}

#[test]
fn take_against_two_pushes() {
    two_pushes_against(|queue, take| queue.take_all(take));
}

#[test]
fn close_against_two_pushes() {
    two_pushes_against(|queue, take| queue.close(take));
}

/// Memory without any ordering of its own.
struct Memory(UnsafeCell<u32>);

// SAFETY: the model has to find an access that the protocol does not order.
unsafe impl Sync for Memory {}
// SAFETY: as above.
unsafe impl Send for Memory {}

/// Two threads use a task's memory and release their references. The one that frees the memory does
/// so after all uses.
#[test]
fn last_reference_against_use() {
    loom::model(|| {
        let task = Arc::new((
            State::new(2, Mobility::Pinned, 0),
            Memory(UnsafeCell::new(0)),
        ));
        let frees = StdArc::new(StdAtomicUsize::new(0));
        let users: Vec<_> = (0..2)
            .map(|_| {
                let (task, frees) = (Arc::clone(&task), StdArc::clone(&frees));
                thread::spawn(move || {
                    let (state, memory) = &*task;
                    memory.0.with(|_| ());
                    if state.release() {
                        memory.0.with_mut(|_| ());
                        frees.fetch_add(1, SeqCst);
                    }
                })
            })
            .collect();
        for user in users {
            user.join().unwrap();
        }
        assert_eq!(frees.load(SeqCst), 1, "the memory is freed once");
    });
}

/// One thread polls a task, another wakes it, and a third polls it again. The second poll sees all
/// that the first one wrote.
#[test]
fn poll_wake_and_poll_on_three_threads() {
    super::model_bounded(3, || {
        let shard = ModelShard::new();
        let slot = StdArc::new(std::sync::Mutex::new(None::<Waker>));
        let theirs = StdArc::clone(&slot);
        let mut polls = 0;
        let join = spawn(
            &shard,
            poll_fn(move |cx: &mut Context<'_>| {
                // It lies in the task's memory, which the model watches.
                polls += 1;
                if polls == 1 {
                    *theirs.lock().unwrap() = Some(cx.waker().clone());
                }
                if polls < 3 {
                    Poll::Pending
                } else {
                    Poll::Ready(())
                }
            }),
        );
        shard.run_queued();
        let waker = slot.lock().unwrap().take().expect("it was polled");
        waker.wake_by_ref();
        let threads = [
            thread::spawn({
                let shard = StdArc::clone(&shard);
                move || shard.run_queued()
            }),
            thread::spawn({
                let waker = waker.clone();
                move || waker.wake()
            }),
            thread::spawn({
                let shard = StdArc::clone(&shard);
                move || shard.run_queued()
            }),
        ];
        for thread in threads {
            thread.join().unwrap();
        }
        waker.wake();
        shard.run_queued();
        shard.run_queued();
        drop(join);
        shard.forget_tasks();
    });
}

/// A blocking job ends while its handle is polled. No list holds a reference to a job, so the
/// announcement of its output alone orders the output before the handle's look.
#[test]
fn join_against_end_of_job() {
    loom::model(|| {
        let shard = ModelShard::without_list();
        let mut join = spawn(&shard, async { 7 });
        let pool = thread::spawn(move || shard.run_queued());
        let joiner = thread::spawn(move || {
            if let Poll::Ready(output) = join.poll(&mut Context::from_waker(Waker::noop())) {
                assert_eq!(output.unwrap(), 7);
            }
        });
        joiner.join().unwrap();
        pool.join().unwrap();
    });
}
