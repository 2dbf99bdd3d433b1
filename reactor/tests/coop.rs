//! `coop`: a loop over a future that is always ready lets others run, and only what made progress
//! is charged.

use std::future::{pending, poll_fn, ready};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use reactor::coop::{cooperative, has_budget_remaining, poll_proceed};
use reactor::{Reactor, spawn_local, time};

const BUDGET: u32 = 16;

fn on_a_shard<F: Future<Output = ()> + 'static>(make: impl FnOnce() -> F + Send + 'static) {
    let reactor = Reactor::builder()
        .shards(1)
        .task_budget(BUDGET)
        .build()
        .unwrap();
    let shard = reactor.handle().shards().next().unwrap();
    reactor
        .block_on(reactor.handle().spawn_on(shard, make))
        .unwrap();
}

#[test]
fn a_loop_over_a_ready_future_lets_a_ticker_tick() {
    on_a_shard(|| async {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let ticker = spawn_local(async move {
            for _ in 0..10 {
                time::sleep(Duration::from_millis(2)).await;
            }
            stopped.store(true, Ordering::Relaxed);
        });
        // Without the wrapper this loop never ends.
        while !stop.load(Ordering::Relaxed) {
            cooperative(ready(())).await;
        }
        ticker.await.unwrap();
    });
}

#[test]
fn a_timeout_ends_a_loop_that_is_always_ready() {
    on_a_shard(|| async {
        let busy = async {
            loop {
                cooperative(ready(())).await;
            }
        };
        let ended: Result<(), _> = time::timeout(Duration::from_millis(20), busy).await;
        assert!(ended.is_err());
    });
}

#[test]
fn a_timeout_whose_future_uses_up_the_budget_has_its_whole_time() {
    on_a_shard(|| async {
        let mut polls = 0;
        let busy = poll_fn(|cx| {
            while let Poll::Ready(coop) = poll_proceed(cx) {
                coop.made_progress();
            }
            polls += 1;
            if polls == 3 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        let ended = time::timeout(Duration::from_secs(3_600), busy).await;
        assert!(ended.is_ok());
    });
}

#[test]
fn a_loop_over_timeouts_that_are_over_lets_others_run() {
    on_a_shard(|| async {
        let other = spawn_local(async {});
        // Without a charge for each timeout, this loop never ends.
        while !other.is_finished() {
            assert!(
                time::timeout(Duration::ZERO, pending::<()>())
                    .await
                    .is_err()
            );
        }
    });
}

#[test]
fn a_poll_gets_its_budget_and_no_more() {
    on_a_shard(|| async {
        let mut left = Vec::new();
        poll_fn(|cx| {
            let mut done = 0;
            while let Poll::Ready(coop) = poll_proceed(cx) {
                coop.made_progress();
                done += 1;
            }
            left.push((done, has_budget_remaining()));
            if left.len() == 3 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        // The first poll is the task's, in which it has done nothing else.
        assert_eq!(left, [(BUDGET, false); 3]);
    });
}

#[test]
fn what_is_pending_is_not_charged() {
    on_a_shard(|| async {
        poll_fn(|cx| {
            for _ in 0..10 * BUDGET {
                assert!(pin!(cooperative(pending::<()>())).poll(cx).is_pending());
            }
            assert!(has_budget_remaining());
            Poll::Ready(())
        })
        .await;
    });
}

#[test]
fn off_a_shard_nothing_is_counted() {
    let polls = AtomicU32::new(0);
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..10 * BUDGET {
        assert!(pin!(cooperative(ready(()))).poll(&mut cx).is_ready());
        polls.fetch_add(1, Ordering::Relaxed);
    }
    assert!(has_budget_remaining());
}

#[test]
fn each_task_of_a_turn_has_a_budget_of_its_own() {
    on_a_shard(|| async {
        let tasks: Vec<_> = (0..5)
            .map(|_| {
                spawn_local(async {
                    let mut charged = 0;
                    while has_budget_remaining() {
                        reactor::consume_budget().await;
                        charged += 1;
                    }
                    charged
                })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.unwrap(), BUDGET);
        }
    });
}

#[test]
fn a_loop_over_tasks_that_have_ended_is_charged() {
    on_a_shard(|| async {
        let mut tasks: Vec<_> = (0..3 * BUDGET).map(|_| spawn_local(async {})).collect();
        while !tasks.iter().all(reactor::JoinHandle::is_finished) {
            time::sleep(Duration::from_millis(1)).await;
        }
        reactor::yield_now().await;
        let mut joined = 0;
        poll_fn(|cx| {
            while let Some(task) = tasks.last_mut() {
                if std::pin::Pin::new(task).poll(cx).is_pending() {
                    break;
                }
                tasks.pop();
                joined += 1;
            }
            Poll::Ready(())
        })
        .await;
        assert_eq!(joined, BUDGET, "of one poll");
    });
}
