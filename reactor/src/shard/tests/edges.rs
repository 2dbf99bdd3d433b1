//! The edges of a turn and of a shard's end: what is woken, counted, offered and refused there.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::{SETTINGS, end, on_a_shard, turn};
use crate::shard::{Shard, ShardRef, current};
use crate::spawn_local;
use crate::sync::{AtomicUsize, Ordering};
use crate::task::{LocalQueue, SpawnSite, spawn_send};
use crate::time::sleep_until;

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

/// Makes the shard believe that a poll takes this long.
fn slow_polls(shard: &Shard, poll: Duration) {
    let start = shard.shared.clock.epoch();
    for turn in 1..10 {
        shard.meter.end_stretch(start + poll * turn, turn.into());
    }
}

fn push_mobile(shard: &Shard) {
    let spawned = spawn_send(
        async {},
        ShardRef::clone(shard.shared_ref()),
        SpawnSite::here(),
    );
    drop(crate::JoinHandle::<()>::new(spawned.join));
    shard.push_local(spawned.first_run.unwrap());
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
        drop(spawn_local(std::future::poll_fn(move |cx| {
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
        for (waited, is_offered) in [(0, false), (1, true), (0, false)] {
            shard.offer_surplus(SETTINGS.event_interval, waited);
            assert_eq!(
                shard.shared.beacon.is_offering(),
                is_offered,
                "{waited} turns"
            );
        }
    });
}
