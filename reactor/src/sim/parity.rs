//! Intervals and sleeps compared with tokio's. One script runs on a shard, on a thread that is no
//! shard, and on tokio's paused clock, and has to show the same results.
//!
//! Times are whole milliseconds from the start. With fractions, this library differs from tokio in
//! one case: a deadline that passed before the first poll ends the wait at once, while tokio rounds
//! it up too.

use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;

use proptest::prelude::*;

use crate::sim::{clock, reactor};
use crate::yield_now;

/// One step of a script, on its interval or its sleep.
#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Tick,
    Reset,
    ResetImmediately,
    ResetAfter(u64),
    ResetAt(u64),
    /// Sets Burst, Delay or Skip.
    Behave(u8),
    Sleep,
    SleepResetAt(u64),
}

/// The result of a step, in milliseconds from the start.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Tick(Option<u128>),
    Sleep {
        ended: bool,
        is_elapsed: bool,
        deadline: u128,
    },
}

#[derive(Clone, Debug)]
struct Script {
    start: u64,
    period: u64,
    steps: Vec<Step>,
}

fn step() -> impl Strategy<Value = Step> {
    let ms = || prop_oneof![0..8_u64, 0..300_u64, 0..100_000_u64];
    prop_oneof![
        6 => ms().prop_map(Step::Pass),
        6 => Just(Step::Tick),
        1 => Just(Step::Reset),
        1 => Just(Step::ResetImmediately),
        1 => ms().prop_map(Step::ResetAfter),
        1 => ms().prop_map(Step::ResetAt),
        2 => (0..3_u8).prop_map(Step::Behave),
        4 => Just(Step::Sleep),
        2 => ms().prop_map(Step::SleepResetAt),
    ]
}

fn script() -> impl Strategy<Value = Script> {
    let steps = prop::collection::vec(step(), 1..60);
    (0..50_u64, 1..120_u64, steps).prop_map(|(start, period, steps)| Script {
        start,
        period,
        steps,
    })
}

/// Polls once, for the task that runs the script.
async fn once<T>(mut poll: impl FnMut(&mut std::task::Context<'_>) -> Poll<T>) -> Option<T> {
    poll_fn(|cx| {
        Poll::Ready(match poll(cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Runs a script with the timers of `$time`. Its clock is at `$start` and `$pass` moves it.
macro_rules! play {
    ($($time:ident)::+, $script:expr, $start:expr, $pass:expr) => {{
        use $($time)::+::{self as time, MissedTickBehavior};

        let (script, start, mut seen) = ($script, $start, Vec::new());
        let mut interval = time::interval_at(start + ms(script.start), ms(script.period));
        let mut sleep = Box::pin(time::sleep_until(start + ms(script.start)));
        for step in script.steps {
            match step {
                Step::Pass(by) => $pass(ms(by)).await,
                Step::Tick => {
                    let tick = once(|cx| interval.poll_tick(cx)).await;
                    seen.push(Seen::Tick(tick.map(|due| (due - start).as_millis())));
                }
                Step::Reset => interval.reset(),
                Step::ResetImmediately => interval.reset_immediately(),
                Step::ResetAfter(by) => interval.reset_after(ms(by)),
                Step::ResetAt(at) => interval.reset_at(start + ms(at)),
                Step::Behave(which) => {
                    let which = [
                        MissedTickBehavior::Burst,
                        MissedTickBehavior::Delay,
                        MissedTickBehavior::Skip,
                    ][usize::from(which)];
                    interval.set_missed_tick_behavior(which);
                    assert_eq!(interval.missed_tick_behavior(), which);
                }
                Step::Sleep => {
                    let ended = once(|cx| sleep.as_mut().poll(cx)).await.is_some();
                    seen.push(Seen::Sleep {
                        ended,
                        is_elapsed: sleep.is_elapsed(),
                        deadline: (sleep.deadline() - start).as_millis(),
                    });
                }
                Step::SleepResetAt(at) => sleep.as_mut().reset(start + ms(at)),
            }
        }
        assert_eq!(interval.period(), ms(script.period));
        seen
    }};
}

fn on_tokio(script: Script) -> Vec<Seen> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let (start, pass) = (tokio::time::Instant::now(), tokio::time::advance);
        play!(tokio::time, script, start, pass)
    })
}

fn on_a_shard(script: Script) -> Vec<Seen> {
    let reactor = reactor(1);
    let clock = clock(&reactor);
    let played = reactor.handle().spawn(async move {
        let pass = async |by| {
            clock.pass(by);
            // The next poll is in a turn that has read the new time.
            yield_now().await;
        };
        play!(crate::time, script, clock.epoch(), pass)
    });
    reactor.block_on(played).unwrap()
}

fn off_every_shard(script: Script) -> Vec<Seen> {
    let reactor = reactor(1);
    let clock = clock(&reactor);
    clock.rest();
    let pass = async |by| clock.advance(by);
    reactor.block_on(async { play!(crate::time, script, clock.epoch(), pass) })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_script_shows_the_same_as_on_tokio(script in script()) {
        let expected = on_tokio(script.clone());
        prop_assert_eq!(&on_a_shard(script.clone()), &expected, "on a shard");
        prop_assert_eq!(&off_every_shard(script), &expected, "off every shard");
    }
}

#[test]
fn a_period_of_zero_panics_on_both() {
    let ours = reactor(1);
    let _current = ours.enter();
    let zero = std::panic::catch_unwind(|| crate::time::interval(Duration::ZERO).period());
    assert!(zero.is_err());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _current = runtime.enter();
    let zero = std::panic::catch_unwind(|| tokio::time::interval(Duration::ZERO).period());
    assert!(zero.is_err());
}
