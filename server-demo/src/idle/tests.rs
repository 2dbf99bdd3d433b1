//! The idle timeout, with bytes at every moment of its life.

use std::future::poll_fn;

use reactor::Reactor;

use super::*;
use crate::Config;

/// Runs `test` on a shard with an idle timeout of 30 ms, and checks that the timeout fires that
/// long after the last byte.
fn idle_after(test: impl AsyncFnOnce(&mut Idle, Duration) + Send + 'static) {
    let limit = Duration::from_millis(30);
    let config = Config {
        idle_timeout: Some(limit),
        ..Config::default()
    };
    let reactor = Reactor::builder().shards(1).build().unwrap();
    let shard = reactor.handle().shards().next().unwrap();
    let task = reactor.handle().spawn_on(shard, move || async move {
        let shared = Shared::new(&config, 1);
        let mut idle = Idle::new(&shared);
        test(&mut idle, limit).await;
        let touched = idle.0.as_ref().unwrap().sleep.deadline() - limit;
        let passes = poll_fn(|cx| idle.poll(cx));
        // This catches a timer that is not armed.
        let passed = time::timeout(Duration::from_secs(5), passes).await;
        passed.expect("the timeout of 30 ms is over");
        touched.elapsed()
    });
    let waited = reactor.block_on(task).unwrap();
    assert!(waited >= limit, "closed {waited:?} after the last byte");
    assert!(waited < Duration::from_secs(5), "the timer was not armed");
}

/// Polls the idle timeout once, as a connection does before it waits.
async fn look(idle: &mut Idle) {
    let looked = poll_fn(|cx| Poll::Ready(idle.poll(cx))).await;
    assert!(looked.is_pending());
}

#[test]
fn without_a_byte_the_idle_timeout_passes() {
    idle_after(async |_, _| {});
}

#[test]
fn a_byte_before_the_first_wait_puts_the_idle_timeout_off() {
    idle_after(async |idle, limit| {
        time::sleep(limit / 2).await;
        idle.touch();
    });
}

#[test]
fn bytes_put_the_idle_timeout_off_again_and_again() {
    idle_after(async |idle, limit| {
        for _ in 0..9 {
            look(idle).await;
            time::sleep(limit / 3).await;
            idle.touch();
        }
    });
}

#[test]
fn a_byte_that_comes_when_the_timer_has_just_fired_puts_the_idle_timeout_off() {
    idle_after(async |idle, limit| {
        look(idle).await;
        // The timer fires meanwhile, and its wake is used up before the connection polls it.
        time::sleep(2 * limit).await;
        idle.touch();
    });
}
