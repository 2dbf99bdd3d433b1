//! Timers under a clock that only the test moves: the timers that fire, their exact times, and the
//! number of polls they cost.

use std::future::poll_fn;
use std::os::fd::AsRawFd;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use crate::driver::report;
use crate::sim::{Simulated, clock, reactor, register};
use crate::time::{
    Clock, MissedTickBehavior, coarse_now, interval, interval_at, sleep, sleep_until, timeout,
};
use crate::{Interest, Reactor, Ready, yield_now};

const MS: Duration = Duration::from_millis(1);
const NS: Duration = Duration::from_nanos(1);

/// The observed events, in order.
type Log<T> = Arc<Mutex<Vec<T>>>;

fn taken<T>(log: &Log<T>) -> Vec<T> {
    std::mem::take(&mut *log.lock().unwrap())
}

/// A waker that counts. Its readers have since taken the simulation's lock, which orders the
/// counts.
#[derive(Default)]
struct Counting(AtomicUsize);

impl Counting {
    fn wakes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Counting {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn advance_to(clock: &Clock, when: Instant) {
    clock.advance(when - clock.now());
}

/// Offsets below a millisecond round up; whole milliseconds do not.
const ROUNDING: [(u64, u64); 9] = [
    (0, 0),
    (1, 1),
    (999_999, 1),
    (1_000_000, 1),
    (1_000_001, 2),
    (1_999_999, 2),
    (64_000_000, 64),
    (64_000_001, 65),
    (86_400_000_500_000, 86_400_001),
];

#[test]
fn a_sleep_ends_at_the_first_whole_millisecond_from_its_deadline_on() {
    for (nanos, fires_ms) in ROUNDING {
        let reactor = reactor(1);
        let clock = clock(&reactor);
        let start = clock.epoch();
        let ended = Log::default();
        let log = Arc::clone(&ended);
        drop(reactor.handle().spawn(async move {
            sleep_until(start + Duration::from_nanos(nanos)).await;
            log.lock().unwrap().push(coarse_now() - start);
        }));
        clock.rest();
        let fires = Duration::from_millis(fires_ms);
        if nanos > 0 {
            advance_to(&clock, start + fires - NS);
            assert!(taken(&ended).is_empty(), "{nanos} ns: early");
            clock.advance(NS);
        }
        assert_eq!(taken(&ended), [fires], "{nanos} ns");
    }
}

#[test]
fn a_wait_off_every_shard_is_rounded_alike() {
    for (nanos, fires_ms) in ROUNDING.into_iter().skip(1) {
        let reactor = reactor(1);
        let clock = clock(&reactor);
        let start = clock.epoch();
        let waker = Arc::new(Counting::default());
        let task = Waker::from(Arc::clone(&waker));
        let mut cx = Context::from_waker(&task);
        let _current = reactor.enter();
        let mut wait = pin!(sleep_until(start + Duration::from_nanos(nanos)));
        assert!(wait.as_mut().poll(&mut cx).is_pending());
        let fires = Duration::from_millis(fires_ms);
        clock.rest();
        advance_to(&clock, start + fires - NS);
        assert_eq!(waker.wakes(), 0, "{nanos} ns: early");
        clock.advance(NS);
        assert_eq!(waker.wakes(), 1, "{nanos} ns");
        assert!(wait.as_mut().poll(&mut cx).is_ready());
    }
}

/// An idle timeout as in a server: every event of the descriptor moves it.
fn with_idle_timeout(
    reactor: &Reactor,
    fd: &Simulated,
    limit: Duration,
) -> (Log<Instant>, Arc<AtomicUsize>) {
    let registration = register(reactor, fd);
    let (closed, polls) = (Log::default(), Arc::new(AtomicUsize::new(0)));
    let (log, count) = (Arc::clone(&closed), Arc::clone(&polls));
    drop(reactor.handle().spawn(async move {
        let mut idle = sleep(limit);
        loop {
            let mut event = pin!(registration.ready(Interest::READABLE));
            let event = poll_fn(|cx| {
                count.fetch_add(1, Ordering::Relaxed);
                match event.as_mut().poll(cx) {
                    Poll::Ready(event) => Poll::Ready(Some(event.unwrap())),
                    Poll::Pending => Pin::new(&mut idle).poll(cx).map(|()| None),
                }
            });
            let Some(event) = event.await else {
                break;
            };
            registration.clear(event);
            Pin::new(&mut idle).reset(coarse_now() + limit);
        }
        log.lock().unwrap().push(coarse_now());
    }));
    (closed, polls)
}

#[test]
fn an_idle_timeout_moved_with_every_event_costs_no_poll_of_its_own_but_one_for_each_length_of_it() {
    const EVENTS: u32 = 1_000;
    let reactor = reactor(1);
    let clock = clock(&reactor);
    let start = clock.now();
    let fd = Simulated(3_000);
    let limit = 100 * MS;
    let (closed, polls) = with_idle_timeout(&reactor, &fd, limit);
    for _ in 0..EVENTS {
        clock.advance(MS);
        assert_eq!(report(fd.as_raw_fd(), Ready::READABLE), 1);
        clock.rest();
    }
    // Two polls for each event (one when it arrives, one for the new wait), and one for each time
    // that the timer found its deadline moved.
    let expected = 1 + 2 * EVENTS as usize + EVENTS as usize / 100;
    assert!(
        polls.load(Ordering::Relaxed) <= expected,
        "{polls:?} polls, {expected} expected"
    );
    advance_to(&clock, start + EVENTS * MS + limit - NS);
    assert!(taken(&closed).is_empty(), "closed early");
    clock.advance(NS);
    assert_eq!(taken(&closed), [start + EVENTS * MS + limit]);
}

#[test]
fn a_deadline_that_was_moved_holds_without_another_poll_when_earlier_and_with_one_when_later() {
    let reactor = reactor(2);
    let clock = clock(&reactor);
    let start = clock.now();
    let handle = reactor.handle();
    // On each shard, and on this thread, which is no shard.
    let shards: Vec<_> = handle.shards().map(Some).chain([None]).collect();
    for shard in shards {
        let waker = Arc::new(Counting::default());
        let task = Waker::from(Arc::clone(&waker));
        let arm = async move {
            let mut wait = sleep(10 * MS);
            assert!(
                Pin::new(&mut wait)
                    .poll(&mut Context::from_waker(&task))
                    .is_pending()
            );
            (wait, task)
        };
        let (mut wait, task) = match shard {
            Some(shard) => handle
                .block_on(handle.spawn_on(shard, move || arm))
                .unwrap(),
            None => handle.block_on(arm),
        };
        let begun = clock.now();
        clock.rest();
        Pin::new(&mut wait).reset(begun + 40 * MS);
        Pin::new(&mut wait).reset(begun + 5 * MS);
        clock.rest();
        clock.advance(5 * MS - NS);
        assert_eq!(waker.wakes(), 0, "{shard:?}: early");
        clock.advance(NS);
        assert_eq!(waker.wakes(), 1, "{shard:?}: the earlier deadline");
        assert!(wait.is_elapsed());
        // It has fired. After the deadline moves, it waits again.
        Pin::new(&mut wait).reset(begun + 20 * MS);
        let mut cx = Context::from_waker(&task);
        let _current = reactor.enter();
        assert!(Pin::new(&mut wait).poll(&mut cx).is_pending());
        clock.rest();
        Pin::new(&mut wait).reset(begun + 30 * MS);
        advance_to(&clock, begun + 20 * MS);
        assert_eq!(
            waker.wakes(),
            2,
            "{shard:?}: a wake at the earlier time, to be armed again"
        );
        assert!(Pin::new(&mut wait).poll(&mut cx).is_pending());
        clock.rest();
        advance_to(&clock, begun + 30 * MS - NS);
        assert_eq!(waker.wakes(), 2, "{shard:?}");
        clock.advance(NS);
        assert_eq!(waker.wakes(), 3, "{shard:?}");
        assert!(Pin::new(&mut wait).poll(&mut cx).is_ready());
        assert!(clock.now() > start);
    }
    clock.rest();
    assert_eq!(handle.metrics().total(|shard| shard.timers), 0);
}

#[test]
fn deadlines_in_the_past_and_beyond_all_time() {
    let reactor = reactor(1);
    let clock = clock(&reactor);
    let begun = clock.now();
    let ended = Log::default();
    let log = Arc::clone(&ended);
    let never = reactor.handle().spawn(async move {
        sleep_until(begun - Duration::from_secs(1)).await;
        sleep(Duration::ZERO).await;
        log.lock().unwrap().push(coarse_now());
        sleep(Duration::MAX).await;
        log.lock().unwrap().push(coarse_now());
    });
    clock.rest();
    assert_eq!(taken(&ended), [begun]);
    // Beyond the wheel's reach, several times.
    let year = Duration::from_secs(365 * 86_400);
    for _ in 0..25 {
        clock.advance(year);
        assert!(taken(&ended).is_empty());
    }
    assert_eq!(reactor.handle().metrics().total(|shard| shard.timers), 1);
    clock.advance(10 * year);
    assert_eq!(
        taken(&ended).len(),
        1,
        "what counts as never is thirty years"
    );
    reactor.block_on(never).unwrap();
}

#[test]
fn thousands_of_waits_for_one_millisecond_end_together_and_in_the_order_of_their_deadlines() {
    let reactor = reactor(1);
    let clock = clock(&reactor);
    let start = clock.now();
    let ended = Log::default();
    for n in 0..6_000_u32 {
        let log = Arc::clone(&ended);
        drop(reactor.handle().spawn(async move {
            sleep_until(start + (n % 3) * 1_000 * MS).await;
            log.lock().unwrap().push(n % 3);
        }));
    }
    clock.rest();
    assert_eq!(taken(&ended), [0; 2_000]);
    clock.advance(1_000 * MS - NS);
    assert!(taken(&ended).is_empty());
    clock.advance(NS);
    assert_eq!(taken(&ended), [1; 2_000]);
    clock.advance(1_000 * MS);
    assert_eq!(taken(&ended), [2; 2_000]);
    assert_eq!(reactor.handle().metrics().total(|shard| shard.timers), 0);
}

#[test]
fn a_turn_has_one_time() {
    let reactor = reactor(1);
    let clock = clock(&reactor);
    let begun = clock.now();
    let on_shard = clock.clone();
    let task = reactor.handle().spawn(async move {
        let first = coarse_now();
        on_shard.pass(5 * MS);
        assert_eq!(coarse_now(), first, "time stands still in a turn");
        assert!(
            sleep_until(begun + 5 * MS).is_elapsed(),
            "but the clock goes on"
        );
        yield_now().await;
        assert_eq!(coarse_now(), first + 5 * MS, "a new turn looks at it");
        // With a timer armed, the turn reads the clock before its first task does.
        let mut armed = sleep(1_000 * MS);
        assert!(timeout(MS, &mut armed).await.is_err());
        on_shard.pass(MS);
        yield_now().await;
        let before = coarse_now();
        on_shard.pass(MS);
        assert_eq!(coarse_now(), before);
        first
    });
    clock.rest();
    clock.advance(MS);
    assert_eq!(reactor.block_on(task).unwrap(), begun);
}

#[test]
fn an_interval_ticks_on_its_schedule_whatever_its_task_does() {
    let reactor = reactor(1);
    let clock = clock(&reactor);
    let start = clock.now();
    let ticks = Log::default();
    let log = Arc::clone(&ticks);
    let at = start + 7 * MS;
    drop(reactor.handle().spawn(async move {
        let mut interval = interval_at(at, 10 * MS);
        interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            let due = interval.tick().await;
            log.lock()
                .unwrap()
                .push((due - start, coarse_now() - start));
        }
    }));
    clock.rest();
    for ms in 1..=50 {
        clock.advance(MS);
        assert_eq!(taken(&ticks).len(), usize::from(ms % 10 == 7), "{ms} ms");
    }
    // A task that is not run for 34 ms, during which three ticks were due.
    clock.advance(34 * MS);
    assert_eq!(taken(&ticks), [(57 * MS, 84 * MS)]);
    clock.advance(3 * MS);
    assert_eq!(taken(&ticks), [(87 * MS, 87 * MS)]);
}

#[test]
fn an_interval_keeps_whole_nanoseconds_though_its_timer_rounds() {
    let reactor = reactor(1);
    let clock = clock(&reactor);
    let start = clock.now();
    let period = Duration::from_nanos(3_333_333);
    let ticks = Log::default();
    let log = Arc::clone(&ticks);
    drop(reactor.handle().spawn(async move {
        let mut interval = interval(period);
        for n in 0..300_u32 {
            assert_eq!(interval.tick().await, start + n * period);
            log.lock().unwrap().push(coarse_now() - start);
        }
    }));
    clock.rest();
    for _ in 0..=1_000 {
        clock.advance(MS);
    }
    let ticks = taken(&ticks);
    assert_eq!(ticks.len(), 300);
    for (n, tick) in (0..).zip(ticks) {
        let late = tick - n * period;
        assert!(late < MS, "tick {n} came {late:?} late");
    }
}

#[test]
fn a_timeout_ends_on_time_and_not_before() {
    let reactor = reactor(1);
    let clock = clock(&reactor);
    let begun = clock.now();
    let ended = Log::default();
    let log = Arc::clone(&ended);
    drop(reactor.handle().spawn(async move {
        let late = timeout(20 * MS, sleep(30 * MS)).await.is_err();
        let in_time = timeout(20 * MS, sleep(20 * MS)).await.is_ok();
        log.lock().unwrap().push((late, in_time, coarse_now()));
    }));
    clock.rest();
    clock.advance(20 * MS);
    clock.advance(20 * MS);
    assert_eq!(taken(&ended), [(true, true, begun + 40 * MS)]);
}
