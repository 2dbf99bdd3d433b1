//! The edges of a turn and of a shard's end: what is woken, counted, offered and refused there.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::{SETTINGS, end, on_a_shard, turn};
use crate::shard::{Shard, ShardRef, current};
use crate::spawn_local;
use crate::sync::{AtomicUsize, Ordering};
use crate::task::{LocalQueue, RemoteQueue, Runnable, SpawnSite, spawn_send};
use crate::time::{coarse_now, sleep_until};

struct OnWake<F>(F);

impl<F: Fn() + Send + Sync + 'static> Wake for OnWake<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

/// Creates a waker that calls `f`.
fn on_wake(f: impl Fn() + Send + Sync + 'static) -> Waker {
    Waker::from(Arc::new(OnWake(f)))
}

/// Creates a waker that counts its wakes.
fn counting() -> (Waker, Arc<AtomicUsize>) {
    let wakes = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&wakes);
    let waker = on_wake(move || {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    (waker, wakes)
}

#[test]
fn a_waker_that_yields_while_yielded_tasks_are_woken_has_its_turn_next() {
    on_a_shard(|shard, epoch| {
        let (waker, wakes) = counting();
        current::defer(&on_wake(move || current::defer(&waker)));
        turn(shard, epoch);
        assert_eq!(wakes.load(Ordering::Relaxed), 0);
        turn(shard, epoch);
        assert_eq!(wakes.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn the_end_wakes_what_has_yielded() {
    on_a_shard(|shard, _| {
        let (waker, wakes) = counting();
        current::defer(&waker);
        end(shard);
        assert_eq!(wakes.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_task_leaves_the_counts_before_its_handle_is_woken() {
    on_a_shard(|shard, epoch| {
        let mut handle = spawn_local(async {});
        let left = Arc::new(AtomicUsize::new(usize::MAX));
        let (seen, shared) = (Arc::clone(&left), ShardRef::clone(shard.shared_ref()));
        let waker = on_wake(move || seen.store(shared.live.len(), Ordering::Relaxed));
        let joined = Pin::new(&mut handle).poll(&mut Context::from_waker(&waker));
        assert!(joined.is_pending());
        turn(shard, epoch);
        assert_eq!(left.load(Ordering::Relaxed), 0);
    });
}

#[test]
fn a_sleep_that_is_first_polled_after_the_end_is_over() {
    on_a_shard(|shard, epoch| {
        end(shard);
        let sleep = sleep_until(epoch + Duration::from_secs(3_600));
        let polled = pin!(sleep).poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_ready(), "no timer would end it");
        assert_eq!(shard.shared.with_timers(|timers| timers.len()), 0);
    });
}

#[test]
fn a_sleep_leaves_the_store_as_it_is_dropped_on_its_shard() {
    on_a_shard(|shard, epoch| {
        let armed = || shard.shared.with_timers(|timers| timers.len());
        let mut sleep = Box::pin(sleep_until(epoch + Duration::from_secs(3_600)));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(sleep.as_mut().poll(&mut cx).is_pending());
        assert_eq!(armed(), 1);
        drop(sleep);
        assert_eq!(armed(), 0);
    });
}

#[test]
fn a_deadline_moved_to_the_past_is_over_at_the_next_poll() {
    on_a_shard(|shard, epoch| {
        let is_over = Rc::new(Cell::new(false));
        let told = Rc::clone(&is_over);
        drop(spawn_local(poll_fn(move |cx| {
            let mut sleep = pin!(sleep_until(epoch + Duration::from_secs(3_600)));
            assert!(sleep.as_mut().poll(cx).is_pending());
            sleep.as_mut().reset(coarse_now());
            told.set(sleep.as_mut().poll(cx).is_ready());
            Poll::Ready(())
        })));
        turn(shard, epoch);
        assert!(is_over.get());
    });
}

/// Makes the shard believe that a poll takes this long.
fn slow_polls(shard: &Shard, poll: Duration) {
    let start = shard.shared.clock.epoch();
    for turn in 1..10 {
        shard.meter.end_stretch(start + poll * turn, turn.into());
    }
}

fn mobile(shard: &Shard) -> Runnable<ShardRef> {
    let spawned = spawn_send(
        async {},
        ShardRef::clone(shard.shared_ref()),
        SpawnSite::here(),
    );
    drop(crate::JoinHandle::<()>::new(spawned.join));
    spawned.first_run.unwrap()
}

fn push_mobile(shard: &Shard) {
    shard.push_local(mobile(shard));
}

#[test]
fn a_task_is_the_same_as_itself_only_and_has_the_home_that_it_was_given() {
    on_a_shard(|shard, _| {
        let [task, other] = [mobile(shard), mobile(shard)];
        assert!(task.task().is_same(task.task()));
        assert!(!task.task().is_same(other.task()));
        task.set_home(7);
        assert_eq!([task.task().home(), other.task().home()], [7, 0]);
        task.set_home(0);
        shard.push_local(task);
        shard.push_local(other);
        while !shard.here().is_idle() {
            shard.here().run_tasks();
        }
    });
}

#[test]
fn a_closed_queue_gives_back_what_it_has_and_stays_closed() {
    on_a_shard(|shard, _| {
        let queue = RemoteQueue::new();
        let mut taken = Vec::new();
        for _ in 0..2 {
            queue.push(mobile(shard)).unwrap();
        }
        queue.take_all(|task| taken.push(task));
        assert_eq!(taken.len(), 2);
        queue.push(taken.pop().unwrap()).unwrap();
        queue.close(|task| taken.push(task));
        assert_eq!(taken.len(), 2);
        for task in taken {
            let refused = queue.push(task).unwrap_err();
            queue.take_all(|_| panic!("it is closed"));
            shard.push_local(queue.push(refused).unwrap_err());
        }
        while !shard.here().is_idle() {
            shard.here().run_tasks();
        }
    });
}

#[test]
fn a_theft_takes_no_more_than_it_may() {
    on_a_shard(|shard, _| {
        (0..5).for_each(|_| push_mobile(shard));
        let queue = &shard.shared.queue;
        let mut taken = Vec::new();
        queue.with(|queue| queue.take_mobile(2, |task| taken.push(task)));
        assert_eq!((taken.len(), queue.with(LocalQueue::len)), (2, 3));
        taken.into_iter().for_each(|task| shard.push_local(task));
        while !shard.here().is_idle() {
            shard.here().run_tasks();
        }
    });
}

#[test]
fn a_task_queued_after_the_theft_of_the_last_one_is_found() {
    on_a_shard(|shard, _| {
        drop(spawn_local(async {}));
        push_mobile(shard);
        let queue = &shard.shared.queue;
        let mut taken = Vec::new();
        queue.with(|queue| queue.take_mobile(1, |task| taken.push(task)));
        push_mobile(shard);
        let pop = || queue.with(LocalQueue::pop);
        let found: Vec<_> = std::iter::from_fn(pop).collect();
        assert_eq!((taken.len(), found.len()), (1, 2));
        taken.extend(found);
        taken.into_iter().for_each(|task| shard.push_local(task));
        while !shard.here().is_idle() {
            shard.here().run_tasks();
        }
    });
}

#[test]
fn a_surplus_is_offered_while_the_last_mobile_task_would_wait_for_long() {
    on_a_shard(|shard, _| {
        let polls = || shard.offer_surplus(SETTINGS.event_interval, 0);
        let is_offering = || shard.shared.beacon.is_offering();
        for _ in 0..3 {
            push_mobile(shard);
        }
        assert_eq!(polls(), SETTINGS.event_interval);
        assert!(!is_offering(), "cheap polls are over before a thief wakes");

        slow_polls(shard, Duration::from_millis(1));
        assert_eq!(polls(), 1, "a turn ends soon although its polls are slow");
        assert!(is_offering());

        while !shard.here().is_idle() {
            shard.here().run_tasks();
        }
        assert_eq!(polls(), 1);
        assert!(!is_offering(), "nothing is left to offer");

        push_mobile(shard);
        polls();
        assert!(!is_offering(), "the only task is the next to run");

        drop(spawn_local(async {}));
        polls();
        assert!(
            is_offering(),
            "the mobile one would wait for the pinned one"
        );

        while !shard.here().is_idle() {
            shard.here().run_tasks();
        }
        for _ in 0..3 {
            drop(spawn_local(async {}));
        }
        polls();
        assert!(!is_offering(), "pinned tasks are for nobody else");
    });
}

#[test]
fn a_task_that_wakes_itself_in_its_poll_is_polled_again() {
    on_a_shard(|shard, epoch| {
        let mut polls = 0;
        drop(spawn_local(poll_fn(move |cx| {
            polls += 1;
            if polls == 3 {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })));
        turn(shard, epoch);
        assert_eq!(shard.shared.live.len(), 0);
    });
}

#[test]
fn short_tasks_are_offered_only_if_they_keep_waiting() {
    on_a_shard(|shard, _| {
        slow_polls(shard, Duration::from_micros(50));
        for _ in 0..8 {
            push_mobile(shard);
        }
        for (waited, is_offered) in [(0, false), (2, false), (3, true), (0, false)] {
            shard.offer_surplus(SETTINGS.event_interval, waited);
            assert_eq!(
                shard.shared.beacon.is_offering(),
                is_offered,
                "{waited} turns"
            );
        }
    });
}
