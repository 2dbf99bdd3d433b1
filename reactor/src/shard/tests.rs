//! One shard without its loop: the tests pass in events and the time of each turn.

mod edges;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use crate::blocking::{BlockingPool, PoolSettings};
use crate::driver::{Driver, OsEvent};
use crate::handle::Handle;
use crate::hooks::{Hooks, ThreadName};
use crate::io::ShardIo;
use crate::placement::Placement;
use crate::shard::inbox::Command;
use crate::shard::parker::{Parker, Unpark};
use crate::shard::steal::StealGroup;
use crate::shard::{Parts, Settings, Shard, ShardId, ShardRef, ShardShared, current};
use crate::shutdown::Lifecycle;
use crate::task::{Runnable, SpawnSite, spawn_here};
use crate::time::resolution::Resolution;
use crate::time::{Clock, sleep_until};
use crate::token::{SlotId, Token};
use crate::{Ready, budget, spawn_local, yield_now};

const SETTINGS: Settings = Settings {
    events_per_poll: 16,
    event_interval: 4,
    task_budget: 3,
    busy_poll: Duration::ZERO,
    histograms: false,
    task_tracking: false,
};

/// Makes the calling thread a shard without a driver while `test` runs.
fn on_a_shard(test: impl FnOnce(&Shard, Instant) + Send + 'static) {
    on_a_shard_with(SETTINGS, test);
}

fn on_a_shard_with(settings: Settings, test: impl FnOnce(&Shard, Instant) + Send + 'static) {
    let body = move || {
        let clock = Clock::start();
        let epoch = clock.epoch();
        let (driver, registry, notifier) = Driver::new(settings.events_per_poll, &clock).unwrap();
        let parker = Arc::new(Parker::new(notifier));
        let io = ShardIo::new(0, registry, Arc::clone(&parker));
        let lifecycle = Arc::new(Lifecycle::new());
        let shared = ShardShared::new(Parts {
            id: ShardId::from_index(0),
            io,
            parker,
            driver,
            clock,
            lifecycle: Arc::clone(&lifecycle),
            hooks: Hooks::default(),
            group: Arc::new(StealGroup::new(1, true)),
            resolution: Resolution::MILLISECOND,
            settings,
        });
        let pool = PoolSettings {
            threads_max: 1,
            keep_alive: Duration::ZERO,
            thread_name: ThreadName::from("test"),
            mask: None,
            hooks: Hooks::default(),
            inhibitor: shared.clock.inhibitor(),
        };
        let handle = Handle::new(
            Box::new([ShardRef::clone(&shared)]),
            Placement::Hash,
            Arc::clone(&lifecycle),
            BlockingPool::new(pool, lifecycle),
        );
        let shard = Rc::new(Shard::new(shared, handle, settings));
        current::set(Rc::clone(&shard));
        test(&shard, epoch);
        // Tasks that never complete end here. Otherwise they and the shard would keep each other
        // alive.
        end(&shard);
    };
    thread::spawn(body).join().unwrap();
}

/// A turn without events.
fn turn(shard: &Shard, now: Instant) {
    turn_with(shard, std::iter::empty(), || now);
}

fn turn_with(shard: &Shard, events: impl Iterator<Item = OsEvent>, now: impl FnOnce() -> Instant) {
    let shared = shard.shared();
    let dispatch = shared.dispatch.lock();
    let here = shard.here();
    here.begin_turn();
    here.dispatch_for(shared, events, &dispatch.commands, now);
    drop(dispatch);
    here.run_tasks();
}

fn prepare_wait(shard: &Shard, now: impl Fn() -> Instant) -> Option<Duration> {
    let here = shard.here();
    here.prepare_wait(&shard.shared.dispatch.lock().commands, now)
}

fn end(shard: &Shard) {
    shard.end(&mut shard.shared.dispatch.lock().commands);
}

fn polls(shard: &Shard) -> u64 {
    shard.shared.counters.polls.get()
}

#[test]
fn tasks_run_in_the_order_of_their_wakes() {
    on_a_shard(|shard, epoch| {
        let ran = Rc::new(RefCell::new(Vec::new()));
        // The queue is filled again after it was empty, and tasks are appended while others are in
        // it.
        for round in 0..2 {
            for task in 0..3 {
                let ran = Rc::clone(&ran);
                drop(spawn_local(async move {
                    for step in 0..=task {
                        ran.borrow_mut().push((task, step));
                        yield_now().await;
                    }
                }));
            }
            while !shard.here().is_idle() {
                turn(shard, epoch);
            }
            let expected = [(0, 0), (1, 0), (2, 0), (1, 1), (2, 1), (2, 2)];
            assert_eq!(ran.take(), expected, "round {round}");
        }
        assert_eq!(shard.shared.live.len(), 0);
    });
}

#[test]
fn a_turn_polls_no_more_than_the_event_interval() {
    on_a_shard(|shard, epoch| {
        for _ in 0..10 {
            drop(spawn_local(async {}));
        }
        for expected in [4, 8, 10, 10] {
            turn(shard, epoch);
            assert_eq!(polls(shard), expected);
        }
    });
}

#[test]
fn batches_without_an_event_and_full_ones_are_counted() {
    on_a_shard(|shard, epoch| {
        let stale = Token::new(SlotId::new(0, 0), 7);
        let event = |token| OsEvent {
            token,
            ready: Ready::READABLE,
        };
        let batches = || {
            let counters = &shard.shared.counters;
            (counters.empty_batches.get(), counters.full_batches.get())
        };
        // Every event takes a place in the batch, including the notifier's.
        let notice_among = |stales| {
            let stales = std::iter::repeat_n(event(stale), stales);
            stales.chain([event(Token::NOTIFIER)])
        };
        for (stales, expected) in [(0, (0, 0)), (14, (0, 0)), (15, (0, 1))] {
            turn_with(shard, notice_among(stales), || epoch);
            assert_eq!(batches(), expected, "{stales} events beside the notice");
        }
        turn(shard, epoch);
        assert_eq!(batches(), (1, 1));
    });
}

#[test]
fn a_task_that_is_always_ready_holds_others_up_by_its_place_in_the_queue_alone() {
    fn wait_of(quiet: u32, greedy: u32) -> u64 {
        let (tell, told) = std::sync::mpsc::channel();
        on_a_shard(move |shard, epoch| {
            for _ in 0..greedy {
                drop(spawn_local(async {
                    loop {
                        yield_now().await;
                    }
                }));
            }
            turn(shard, epoch);
            // All are woken in one turn, behind the greedy tasks.
            drop(spawn_local(async move {
                for _ in 0..quiet {
                    drop(spawn_local(async {}));
                }
            }));
            for _ in 0..100 {
                turn(shard, epoch);
            }
            let left = shard.shared.live.len();
            assert_eq!(left, greedy as usize, "the quiet ones were polled");
            tell.send(shard.shared.counters.queued_turns_max.get())
                .unwrap();
            end(shard);
        });
        told.recv().unwrap()
    }
    // Each turn makes four polls. The turn that queues the quiet tasks also polls their spawner and
    // the greedy tasks. After that the greedy tasks are woken and queued behind all quiet tasks.
    assert_eq!(wait_of(2, 1), 0);
    assert_eq!(wait_of(10, 1), 2);
    assert_eq!(wait_of(41, 1), 10);
    assert_eq!(wait_of(41, 2), 10);
}

#[test]
fn a_wait_does_not_block_while_something_is_left_to_run() {
    on_a_shard(|shard, epoch| {
        assert_eq!(prepare_wait(shard, Instant::now), None);
        for _ in 0..5 {
            drop(spawn_local(async {}));
        }
        assert_eq!(prepare_wait(shard, Instant::now), Some(Duration::ZERO));
        turn(shard, epoch);
        assert_eq!(
            prepare_wait(shard, Instant::now),
            Some(Duration::ZERO),
            "the interval is 4, so one is left"
        );
        turn(shard, epoch);
        assert_eq!(prepare_wait(shard, Instant::now), None);
        shard.shared.stop();
        assert_eq!(
            prepare_wait(shard, Instant::now),
            Some(Duration::ZERO),
            "a stop is not slept over"
        );
    });
}

#[test]
fn a_shard_that_spins_sleeps_after_so_much_time_without_work_and_until_then_costs_nobody_an_eventfd()
 {
    const BUDGET: Duration = Duration::from_micros(50);
    let settings = Settings {
        busy_poll: BUDGET,
        ..SETTINGS
    };
    on_a_shard_with(settings, |shard, epoch| {
        let parker = shard.shared.inbox.parker();
        let counted = || {
            let counters = &shard.shared.counters;
            (counters.spins.get(), counters.waits.get())
        };
        let mut start = epoch;
        for round in 0..3 {
            // Work, after which the idle time starts again.
            drop(spawn_local(async {}));
            turn(shard, start);
            let (spins, waits) = counted();
            for part in 0..4 {
                let now = start + BUDGET / 4 * part;
                assert_eq!(prepare_wait(shard, || now), Some(Duration::ZERO));
                assert_eq!(parker.unpark(), Unpark::Coalesced);
                parker.awake();
                turn(shard, now);
            }
            assert_eq!(counted(), (spins + 4, waits), "round {round}");
            assert_eq!(prepare_wait(shard, || start + BUDGET), None);
            assert_eq!(parker.unpark(), Unpark::Notified);
            parker.awake();
            turn(shard, start + BUDGET);
            // No work was done since: the shard sleeps at once.
            assert_eq!(prepare_wait(shard, || start + BUDGET), None);
            parker.awake();
            assert_eq!(counted(), (spins + 4, waits + 2), "round {round}");
            start += 2 * BUDGET;
        }
        shard.shared.stop();
        turn(shard, start);
        assert_eq!(
            prepare_wait(shard, || start),
            Some(Duration::ZERO),
            "stopped"
        );
    });
}

#[test]
fn timers_follow_the_time_that_a_turn_is_given() {
    on_a_shard(|shard, epoch| {
        let fired = Rc::new(Cell::new(0));
        // Far enough ahead that the machine's clock does not reach it by itself.
        let hour = Duration::from_secs(3_600);
        for minutes in [0, 1, 1, 30] {
            let fired = Rc::clone(&fired);
            let at = epoch + hour + Duration::from_secs(60 * minutes);
            drop(spawn_local(async move {
                let mut sleep = Box::pin(sleep_until(at));
                // The deadline has not passed by the machine's clock, so only the firing shows.
                std::future::poll_fn(|cx| {
                    assert!(sleep.as_mut().poll(cx).is_pending());
                    Poll::Ready(())
                })
                .await;
                let mut first = true;
                std::future::poll_fn(move |_| {
                    let _armed = &sleep;
                    if std::mem::take(&mut first) {
                        Poll::Pending
                    } else {
                        Poll::Ready(())
                    }
                })
                .await;
                fired.set(fired.get() + 1);
            }));
        }
        turn(shard, epoch);
        assert_eq!(shard.shared.with_timers(|timers| timers.len()), 4);
        let wait = prepare_wait(shard, || epoch).unwrap();
        assert!(wait <= hour && wait > Duration::from_secs(1), "{wait:?}");
        // The shard does not sleep past a timer that expired while tasks ran.
        let late = epoch + 2 * hour;
        assert_eq!(prepare_wait(shard, || late), Some(Duration::ZERO));
        turn(shard, epoch + hour - Duration::from_millis(1));
        assert_eq!(fired.get(), 0);
        turn(shard, epoch + hour);
        assert_eq!(fired.get(), 1);
        turn(shard, epoch + hour + Duration::from_secs(90));
        assert_eq!(fired.get(), 3);
        turn(shard, epoch + 2 * hour);
        assert_eq!(
            (fired.get(), shard.shared.with_timers(|timers| timers.len())),
            (4, 0)
        );
    });
}

#[test]
fn a_turn_without_timers_does_not_ask_for_the_time() {
    on_a_shard(|shard, _| {
        drop(spawn_local(async {}));
        turn_with(shard, std::iter::empty(), || panic!("the clock was read"));
        assert_eq!(polls(shard), 1);
    });
}

#[test]
fn a_task_that_yields_runs_behind_what_the_next_look_at_the_os_finds() {
    on_a_shard(|shard, epoch| {
        let ran = Rc::new(RefCell::new(Vec::new()));
        let task = |name: &'static str, yields: fn() -> Yields| {
            let ran = Rc::clone(&ran);
            spawn_local(async move {
                yields().await;
                ran.borrow_mut().push(name);
            })
        };
        type Yields = std::pin::Pin<Box<dyn Future<Output = ()>>>;
        // This task uses up its own budget.
        let spend: fn() -> Yields = || {
            Box::pin(async {
                for _ in 0..=SETTINGS.task_budget {
                    crate::consume_budget().await;
                }
            })
        };
        drop(task("yielded", || Box::pin(yield_now())));
        drop(task("spent its budget", spend));
        // Woken by another thread. A turn checks for such wakes when it polls the OS.
        let waker = Arc::new(std::sync::Mutex::new(None::<Waker>));
        let theirs = Arc::clone(&waker);
        let again = Rc::clone(&ran);
        drop(spawn_local(std::future::poll_fn(move |cx| {
            let first = theirs.lock().unwrap().replace(cx.waker().clone()).is_none();
            if first {
                return Poll::Pending;
            }
            again.borrow_mut().push("woken");
            Poll::Ready(())
        })));
        turn(shard, epoch);
        assert_eq!(*ran.borrow(), [""; 0]);
        assert_eq!(polls(shard), 3, "none of them is polled twice in a turn");
        assert_eq!(prepare_wait(shard, Instant::now), Some(Duration::ZERO));
        let woken = waker.lock().unwrap().clone().expect("it was polled");
        thread::spawn(move || woken.wake()).join().unwrap();
        turn(shard, epoch);
        assert_eq!(*ran.borrow(), ["woken", "yielded", "spent its budget"]);
        assert!(shard.here().is_idle());
    });
}

#[test]
fn an_unconstrained_future_spends_nothing_of_the_tasks_budget() {
    on_a_shard(|shard, epoch| {
        let steps = Rc::new(Cell::new(0));
        let count = Rc::clone(&steps);
        drop(spawn_local(async move {
            crate::consume_budget().await;
            crate::unconstrained(async {
                for _ in 0..10 * SETTINGS.task_budget {
                    crate::consume_budget().await;
                }
            })
            .await;
            let panics = crate::unconstrained(std::future::poll_fn(|_| -> Poll<()> {
                panic!("and the budget is there again")
            }));
            let mut panics = std::pin::pin!(panics);
            std::future::poll_fn(|cx| {
                let polled = std::panic::AssertUnwindSafe(|| panics.as_mut().poll(cx));
                assert!(std::panic::catch_unwind(polled).is_err());
                Poll::Ready(())
            })
            .await;
            loop {
                crate::consume_budget().await;
                count.set(count.get() + 1);
            }
        }));
        turn(shard, epoch);
        assert_eq!(steps.get(), SETTINGS.task_budget - 1);
        turn(shard, epoch);
        assert_eq!(steps.get(), 2 * SETTINGS.task_budget - 1);
    });
}

#[test]
fn the_budget_is_what_the_settings_say_and_ends_with_the_poll() {
    on_a_shard(|shard, epoch| {
        let charged = Rc::new(Cell::new(0));
        let counter = Rc::clone(&charged);
        drop(spawn_local(async move {
            loop {
                crate::consume_budget().await;
                counter.set(counter.get() + 1);
            }
        }));
        turn(shard, epoch);
        assert_eq!(charged.get(), SETTINGS.task_budget);
        // Nothing is counted outside of a poll.
        for _ in 0..10 {
            budget::charge();
        }
        turn(shard, epoch);
        assert_eq!(charged.get(), 2 * SETTINGS.task_budget);
        end(shard);
    });
}

#[test]
fn the_end_drops_tasks_that_spawn_and_wake_as_they_go() {
    struct Respawns;
    impl Drop for Respawns {
        fn drop(&mut self) {
            drop(spawn_local(std::future::pending::<()>()));
        }
    }
    on_a_shard(|shard, epoch| {
        for _ in 0..3 {
            let held = Respawns;
            drop(spawn_local(async move {
                let _held = held;
                std::future::pending::<()>().await;
            }));
        }
        turn(shard, epoch);
        end(shard);
        assert_eq!(shard.shared.live.len(), 0);
        assert!(shard.here().is_idle());
    });
}

/// A shard ends while another thread, which has set SCHEDULED, has not pushed the task yet. `push`
/// does so after the end.
fn a_late_push_leaves_nothing_behind(
    push: impl FnOnce(&Shard, Runnable<ShardRef>) + Send + 'static,
) {
    on_a_shard(|shard, _| {
        let held = Arc::new(());
        let theirs = Arc::clone(&held);
        let future = async move {
            let _theirs = theirs;
            std::future::pending::<()>().await;
        };
        let spawned = spawn_here(
            future,
            ShardRef::clone(shard.shared_ref()),
            SpawnSite::here(),
        );
        let in_flight = spawned.first_run.unwrap();
        drop(crate::JoinHandle::<()>::new(spawned.join));
        end(shard);
        assert_eq!(Arc::strong_count(&held), 1, "the future is dropped");
        let before = Arc::strong_count(shard.shared_ref());
        push(shard, in_flight);
        assert_eq!(
            Arc::strong_count(shard.shared_ref()),
            before - 1,
            "the task's memory went with its last reference"
        );
    });
}

#[test]
fn a_wake_that_arrives_after_the_end_leaves_nothing_behind() {
    a_late_push_leaves_nothing_behind(|shard, task| {
        assert!(shard.shared.inbox.wake(task).is_err());
    });
}

#[test]
fn a_spawn_that_arrives_after_the_end_leaves_nothing_behind() {
    a_late_push_leaves_nothing_behind(|shard, task| {
        shard.shared.inbox.send(Command::Run(task));
    });
}
