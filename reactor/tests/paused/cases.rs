//! The clock's behaviour, on either side.

use std::future::pending;
use std::panic::catch_unwind;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::side::{
    advance, interval, now, pause, resume, run, runtime, sleep, sleep_until, spawn, spawn_blocking,
    timeout, with_two_threads, yield_now,
};

const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);
/// Enough real time for a clock that must stand still to move.
const REAL: Duration = Duration::from_millis(30);

#[test]
fn a_sleep_advances_the_clock_to_its_deadline() {
    run(true, async || {
        let start = now();
        sleep(HOUR).await;
        assert_eq!(now() - start, HOUR);
        sleep_until(start + 2 * HOUR).await;
        assert_eq!(now() - start, 2 * HOUR);
    });
}

#[test]
fn timers_fire_in_the_order_of_their_deadlines() {
    run(true, async || {
        let start = now();
        let fired = Arc::new(Mutex::new(Vec::new()));
        let tasks = [3, 1, 2].map(|n| {
            let fired = Arc::clone(&fired);
            spawn(async move {
                sleep(n * SECOND).await;
                fired.lock().unwrap().push((n, now() - start));
            })
        });
        for task in tasks {
            task.await.unwrap();
        }
        let expected: Vec<_> = (1..=3).map(|n| (n, n * SECOND)).collect();
        assert_eq!(*fired.lock().unwrap(), expected);
    });
}

#[test]
fn intervals_and_timeouts_use_the_clock() {
    run(true, async || {
        let start = now();
        let mut ticks = interval(SECOND);
        for _ in 0..4 {
            ticks.tick().await;
        }
        assert_eq!(now() - start, 3 * SECOND);
        assert!(timeout(HOUR, pending::<()>()).await.is_err());
        assert_eq!(now() - start, 3 * SECOND + HOUR);
        assert_eq!(timeout(HOUR, sleep(SECOND)).await, Ok(()));
        assert_eq!(now() - start, 4 * SECOND + HOUR);
    });
}

#[test]
fn advancing_fires_the_timers_that_it_passes() {
    run(true, async || {
        let start = now();
        let task = spawn(async {
            sleep(SECOND).await;
            now()
        });
        // The task arms its timer.
        yield_now().await;
        advance(SECOND / 2).await;
        assert!(!task.is_finished());
        assert_eq!(now() - start, SECOND / 2);
        advance(HOUR).await;
        assert_eq!(task.await.unwrap() - start, HOUR + SECOND / 2);
        assert_eq!(now() - start, HOUR + SECOND / 2);
    });
}

#[test]
fn a_moved_deadline_is_the_one_that_counts() {
    run(true, async || {
        let start = now();
        let mut moved = pin!(sleep(HOUR));
        assert!(timeout(SECOND, moved.as_mut()).await.is_err());
        moved.as_mut().reset(start + 2 * SECOND);
        moved.as_mut().await;
        assert_eq!(now() - start, 2 * SECOND);
        moved.as_mut().reset(start + 2 * HOUR);
        assert!(!moved.is_elapsed());
        moved.as_mut().await;
        assert_eq!(now() - start, 2 * HOUR);
    });
}

#[test]
fn a_resumed_clock_runs_from_where_it_stands() {
    run(false, async || {
        let start = now();
        pause();
        let paused = now();
        thread::sleep(REAL);
        assert_eq!(now(), paused);
        sleep(HOUR).await;
        resume();
        let real = std::time::Instant::now();
        sleep(REAL).await;
        assert!(real.elapsed() >= REAL);
        assert!(now() - start >= HOUR + REAL);
        pause();
        let paused = now();
        assert!(paused - start < 2 * HOUR);
        sleep(HOUR).await;
        // Timers are rounded up to the next millisecond.
        let slept = now() - paused;
        assert!(slept >= HOUR && slept < HOUR + Duration::from_millis(2));
    });
}

#[test]
fn a_blocking_job_keeps_the_clock_still() {
    run(true, async || {
        let start = now();
        let sleeper = spawn(sleep(HOUR));
        let first = spawn_blocking(|| thread::sleep(REAL));
        let second = spawn_blocking(|| thread::sleep(2 * REAL));
        first.await.unwrap();
        second.await.unwrap();
        assert_eq!(now(), start);
        // The clock goes on after the last job.
        sleeper.await.unwrap();
        assert_eq!(now() - start, HOUR);
    });
}

#[test]
fn an_aborted_job_does_not_keep_the_clock_still() {
    run(true, async || {
        spawn_blocking(|| ()).abort();
        let panics = spawn_blocking(|| panic!("in the job"));
        assert!(panics.await.unwrap_err().is_panic());
        sleep(HOUR).await;
    });
}

#[test]
fn a_future_of_block_on_keeps_the_clock_still_while_it_is_polled() {
    let runtime = runtime(true);
    runtime.block_on(async {
        let start = now();
        spawn(async {
            let mut ticks = interval(60 * SECOND);
            loop {
                ticks.tick().await;
            }
        });
        thread::sleep(REAL);
        assert_eq!(now(), start);
        for n in 1..=10 {
            sleep(HOUR).await;
            assert_eq!(now() - start, n * HOUR);
            thread::sleep(REAL / 10);
            assert_eq!(now() - start, n * HOUR);
        }
    });
    // The next future finds the clock where it stands.
    let start = runtime.block_on(async { now() });
    runtime.block_on(async { sleep_until(start + HOUR).await });
}

#[test]
fn a_panic_in_block_on_does_not_keep_the_clock_still() {
    let runtime = runtime(true);
    let panics = || runtime.block_on(async { panic!("in the future") });
    assert!(catch_unwind(std::panic::AssertUnwindSafe(panics)).is_err());
    runtime.block_on(async { sleep(HOUR).await });
}

#[test]
fn misuse_panics() {
    run(true, async || {
        assert!(catch_unwind(pause).is_err(), "it is paused already");
        resume();
        assert!(catch_unwind(resume).is_err(), "it runs");
        let advanced = spawn(advance(HOUR)).await;
        assert!(advanced.unwrap_err().is_panic(), "it runs");
        pause();
        let overflow = spawn(advance(Duration::MAX)).await;
        assert!(overflow.unwrap_err().is_panic());
        sleep(HOUR).await;
    });
    let runtime = with_two_threads();
    let paused = runtime.spawn(async { pause() });
    assert!(runtime.block_on(paused).unwrap_err().is_panic());
}
