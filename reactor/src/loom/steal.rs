//! Work stealing: a theft against every event of the stolen task, a call for help against a sleep,
//! and the poll lock against the quarantine. See `shard/STEALING.md`.

use std::future::{pending, poll_fn};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc as StdArc;
use std::sync::atomic::{AtomicUsize as StdAtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use loom::sync::Arc;
use loom::thread;

use crate::Ready;
use crate::io::ShardIo;
use crate::shard::ShardRef;
use crate::shard::model::Pair;
use crate::sync::{AtomicBool, Ordering};
use crate::task::{RawJoin, TaskRef};

/// Counts without being explored by loom.
#[derive(Clone, Default)]
struct Count(StdArc<StdAtomicUsize>);

impl Count {
    fn add(&self) {
        self.0.fetch_add(1, SeqCst);
    }

    fn get(&self) -> usize {
        self.0.load(SeqCst)
    }
}

/// Counts its drops, to show that a future is dropped once.
struct Counted(Count);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.add();
    }
}

/// A task of shard 0 that ends in the first poll after `ready` is set, and its waker. It has been
/// polled once, and is idle.
struct Waiting {
    ready: Arc<AtomicBool>,
    waker: Waker,
    done: Count,
    join: RawJoin<(), ShardRef>,
}

impl Waiting {
    /// Creates the task and polls it on the shard `on`.
    fn new(pair: &Pair, on: u16) -> Self {
        let ready = Arc::new(AtomicBool::new(false));
        let waker = StdArc::new(std::sync::Mutex::new(None));
        let done = Count::default();
        let join = pair.spawn({
            let (ready, waker) = (Arc::clone(&ready), StdArc::clone(&waker));
            let done = done.clone();
            poll_fn(move |cx: &mut Context<'_>| {
                waker
                    .lock()
                    .unwrap()
                    .get_or_insert_with(|| cx.waker().clone());
                // Relaxed: the wake itself has to order it before the resulting poll.
                if ready.load(Ordering::Relaxed) {
                    done.add();
                    return Poll::Ready(());
                }
                Poll::Pending
            })
        });
        pair.poll_once(on);
        let waker = waker.lock().unwrap().take().expect("it was polled");
        Self {
            ready,
            waker,
            done,
            join,
        }
    }
}

/// The owner pushes and pops while a thief takes: from a queue with a pinned task in front, and to
/// its last task. Each task runs once, and the pinned one on its shard.
#[test]
fn theft_against_push_and_pop() {
    super::model_bounded(2, || {
        let pair = Pair::new();
        let runs = Count::default();
        let pinned_runs = Count::default();
        let owner = pair.play(0, {
            let (runs, pinned_runs) = (runs.clone(), pinned_runs.clone());
            move |shard| {
                shard.push_pinned(async move { pinned_runs.add() });
                for _ in 0..2 {
                    let runs = runs.clone();
                    shard.push_mobile(async move { runs.add() });
                }
                shard.run_tasks();
            }
        });
        let thief = pair.play(1, |shard| {
            shard.steal_from();
            shard.run_tasks();
        });
        owner.join().unwrap();
        thief.join().unwrap();
        assert_eq!(pair.finish(), 0, "both ran all they had");
        assert_eq!((runs.get(), pinned_runs.get()), (2, 1));
        assert_eq!(pair.live(0), 0);
    });
}

/// A task is stolen, run on either shard, and woken, in any order. The wake leads to a poll that
/// sees the waker's writes, and to one entry in one queue.
#[test]
fn theft_against_wake() {
    super::model_bounded(2, || {
        let pair = Pair::new();
        let task = Waiting::new(&pair, 0);
        task.waker.wake_by_ref();
        pair.take_inbox_of_0();
        let owner = pair.play(0, |shard| shard.run_tasks());
        let thief = pair.play(1, |shard| {
            shard.steal_from();
            shard.run_tasks();
        });
        let (ready, waker) = (task.ready, task.waker);
        let waking = thread::spawn(move || {
            ready.store(true, Ordering::Relaxed);
            waker.wake();
        });
        waking.join().unwrap();
        owner.join().unwrap();
        thief.join().unwrap();
        assert!(pair.finish() <= 1, "one entry for one task");
        assert_eq!(task.done.get(), 1, "a wake was lost");
        drop(task.join);
        assert_eq!(pair.live(0), 0);
    });
}

/// A task is aborted while it is stolen and run. Its future is dropped once, on either shard.
#[test]
fn theft_against_abort() {
    super::model_bounded(2, || {
        let pair = Pair::new();
        let drops = Count::default();
        let held = Counted(drops.clone());
        let mut join = pair.spawn(async move {
            let _held = held;
            pending::<()>().await;
        });
        let abort = TaskRef::clone(join.task());
        let owner = pair.play(0, |shard| shard.run_tasks());
        let thief = pair.play(1, |shard| {
            shard.steal_from();
            shard.run_tasks();
        });
        let aborting = thread::spawn(move || abort.cancel());
        aborting.join().unwrap();
        owner.join().unwrap();
        thief.join().unwrap();
        assert!(pair.finish() <= 1, "one entry for one task");
        assert_eq!(drops.get(), 1);
        let ended = join.poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(ended, Poll::Ready(Err(error)) if error.is_cancelled()));
        assert_eq!(pair.live(0), 0);
    });
}

/// A task ends on the thief while its handle waits. The handle gets the output.
#[test]
fn theft_against_join() {
    super::model_bounded(2, || {
        let pair = Pair::new();
        let mut join = pair.spawn(async { 7 });
        let owner = pair.play(0, |shard| shard.run_tasks());
        let thief = pair.play(1, |shard| {
            shard.steal_from();
            shard.run_tasks();
        });
        let joiner = thread::spawn(move || {
            let output = loom::future::block_on(poll_fn(move |cx| join.poll(cx)));
            assert_eq!(output.unwrap(), 7);
        });
        joiner.join().unwrap();
        owner.join().unwrap();
        thief.join().unwrap();
        assert_eq!(pair.finish(), 0);
        assert_eq!(pair.live(0), 0);
    });
}

/// A shard ends while a sibling takes its task, perhaps polls it, and ends too. The future is
/// dropped once, and the first shard's end waits for that.
fn theft_against_shutdown(polls: bool) {
    super::model_bounded(2, move || {
        let pair = Pair::new();
        let drops = Count::default();
        let held = Counted(drops.clone());
        drop(pair.spawn(async move {
            let _held = held;
            pending::<()>().await;
        }));
        let birth = pair.play(0, {
            let pair = pair.clone();
            move |shard| {
                shard.end();
                assert_eq!((pair.live(0), drops.get()), (0, 1), "the end waits");
            }
        });
        let thief = pair.play(1, move |shard| {
            shard.steal_from();
            if polls {
                shard.run_tasks();
            }
            shard.end();
        });
        birth.join().unwrap();
        thief.join().unwrap();
        assert_eq!(pair.finish(), 0);
    });
}

#[test]
fn theft_and_poll_against_shutdown() {
    theft_against_shutdown(true);
}

#[test]
fn theft_and_end_against_shutdown() {
    theft_against_shutdown(false);
}

/// A stolen task is woken while the shard that ran it last ends. The wake takes the task to the
/// shard that spawned it.
#[test]
fn wake_against_end_of_home() {
    super::model_bounded(3, || {
        let pair = Pair::new();
        let task = Waiting::new(&pair, 1);
        let home = pair.play(1, |shard| shard.end());
        let (ready, waker) = (task.ready, task.waker);
        let waking = thread::spawn(move || {
            ready.store(true, Ordering::Relaxed);
            waker.wake();
        });
        waking.join().unwrap();
        home.join().unwrap();
        assert!(pair.finish() <= 1, "one entry for one task");
        assert_eq!(task.done.get(), 1, "a wake went to a shard that has ended");
        drop(task.join);
        assert_eq!(pair.live(0), 0);
    });
}

/// A shard offers its surplus while its sibling falls asleep. The sibling finds the offer, or is
/// woken.
#[test]
fn offer_against_sleep() {
    super::model_bounded(3, || {
        let pair = Pair::new();
        for _ in 0..2 {
            drop(pair.spawn(async {}));
        }
        let owner = pair.play(0, |shard| shard.offer());
        let sibling = pair.play(1, |shard| shard.falls_asleep());
        owner.join().unwrap();
        let sleeps = sibling.join().unwrap();
        assert!(
            !sleeps || pair.is_notified(1),
            "the sibling sleeps beside an offer"
        );
        pair.finish();
        assert_eq!(pair.live(0), 0);
    });
}

/// A shard is found to be stuck while its sibling falls asleep. The sibling stands by, or is woken.
#[test]
fn stuck_against_sleep() {
    super::model_bounded(3, || {
        let pair = Pair::new();
        pair.begin_stuck_poll();
        let patrol = thread::spawn({
            let pair = pair.clone();
            move || pair.patrol()
        });
        let sibling = pair.play(1, |shard| shard.falls_asleep());
        patrol.join().unwrap();
        let sleeps = sibling.join().unwrap();
        assert!(
            !sleeps || pair.is_notified(1),
            "the sibling sleeps beside a stuck shard"
        );
    });
}

/// A poll ends, and its shard falls asleep, while the patrol reports it as stuck. A sleeping shard
/// must not look stuck: its siblings would stand by for nothing.
#[test]
fn stuck_against_end_of_poll() {
    super::model_bounded(3, || {
        let pair = Pair::new();
        pair.begin_stuck_poll();
        let patrol = thread::spawn({
            let pair = pair.clone();
            move || pair.patrol()
        });
        let shard = pair.play(0, |shard| {
            shard.end_stuck_poll();
            shard.falls_asleep()
        });
        patrol.join().unwrap();
        let sleeps = shard.join().unwrap();
        assert!(
            !sleeps || !pair.looks_stuck(0),
            "it sleeps, and looks stuck"
        );
    });
}

/// Registrations are dropped and others take their slots, while the shard and a sibling that serves
/// it dispatch one event each. No event of the former reaches the latter.
#[test]
fn serve_against_quarantine() {
    super::model_bounded(3, || {
        let pair = Pair::new();
        let ready = [(); 2].map(|()| UnixStream::pair().unwrap());
        let silent = [(); 2].map(|()| UnixStream::pair().unwrap());
        let first = [0, 1].map(|index| {
            let (near, far) = &ready[index];
            (&*far).write_all(b"x").unwrap();
            pair.register(near.as_raw_fd())
        });
        let user = thread::spawn({
            let pair = pair.clone();
            move || {
                let epoll = pair.epoll();
                for ((slot, token), (near, _)) in first.iter().zip(&ready) {
                    ShardIo::deregister(slot, near.as_raw_fd(), *token).unwrap();
                }
                drop(epoll);
                let second = [0, 1].map(|index| pair.register(silent[index].0.as_raw_fd()));
                (second, ready, silent)
            }
        });
        let shard = pair.play(0, |shard| shard.dispatch());
        let server = pair.play(1, |shard| shard.serve());
        shard.join().unwrap();
        server.join().unwrap();
        let (second, ..) = user.join().unwrap();
        for (slot, _) in second {
            let seen = slot.slot().readiness().load().ready();
            assert_eq!(seen, Ready::EMPTY, "a stranger's event was published");
        }
    });
}

/// A registration that moved to shard 0 is dropped, and another one takes its slot, while shard 0
/// has an event for it in its batch and a sibling serves it. The slot belongs to the sibling, which
/// passes it on as soon as shard 0 has released it.
#[test]
fn serve_against_quarantine_of_moved() {
    super::model_bounded(3, || {
        let pair = Pair::new();
        let (near, far) = UnixStream::pair().unwrap();
        let silent = UnixStream::pair().unwrap();
        let (slot, token) = pair.register_with(1, near.as_raw_fd());
        pair.relocate(&slot, near.as_raw_fd(), token);
        (&far).write_all(b"x").unwrap();
        let shard = pair.play(0, |shard| shard.dispatch());
        let user = thread::spawn({
            let pair = pair.clone();
            move || {
                let epoll = pair.epoll();
                ShardIo::deregister(&slot, near.as_raw_fd(), token).unwrap();
                drop(epoll);
                // The number stays in use until the end.
                (near, far)
            }
        });
        let server = pair.play(1, {
            let (pair, fd) = (pair.clone(), silent.0.as_raw_fd());
            move |shard| {
                shard.serve();
                shard.release_quarantine();
                pair.register_with(1, fd)
            }
        });
        shard.join().unwrap();
        let (slot, _) = server.join().unwrap();
        user.join().unwrap();
        let seen = slot.slot().readiness().load().ready();
        assert_eq!(seen, Ready::EMPTY, "a stranger's event was published");
    });
}

/// A pinned task is woken while its shard falls asleep and a sibling serves the shard. The sibling
/// may receive the notification, but the shard's wait ends.
#[test]
fn serve_against_notice() {
    super::model_bounded(3, || {
        let pair = Pair::new();
        let shard = pair.play(0, |shard| shard.begins_wait());
        let server = pair.play(1, |shard| shard.serve());
        let sender = thread::spawn({
            let pair = pair.clone();
            move || pair.send_pinned()
        });
        server.join().unwrap();
        sender.join().unwrap();
        let mut sleep = shard.join().unwrap();
        if let Some(driver) = &mut sleep {
            driver.wait(Some(Duration::ZERO)).unwrap();
            let is_over = driver.events().next().is_some();
            assert!(
                is_over || !pair.has_work(),
                "the shard sleeps beside its work"
            );
        }
        let shard = pair.play(0, |shard| {
            shard.ends_wait(sleep);
            shard.take_inbox();
            shard.run_tasks();
        });
        shard.join().unwrap();
        assert_eq!(pair.live(0), 0);
    });
}
