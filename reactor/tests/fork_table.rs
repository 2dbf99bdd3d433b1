//! `docs/fork.md` says what each function does in a forked child. This test calls every row of its
//! table in a child, while other threads of the parent hold its locks most of the time.
#![expect(unsafe_code, reason = "fork(2)")]
#![cfg(target_os = "linux")]

mod support;
#[path = "fork_table/world.rs"]
mod world;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::pin::{Pin, pin};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use reactor::time::{coarse_now, sleep};
use reactor::{
    Direction, Handle, Placement, Reactor, Ready, Registration, ShardId, consume_budget, spawn,
    spawn_blocking, spawn_local, unpin_current, yield_now,
};
use support::{DEADLINE, total};
use world::{Outcome, READ, WRITE, World, poll};

/// The number of calls of each row, each in a child of its own.
const ROUNDS: usize = 8;

/// Copies a value whose original the parent keeps using.
///
/// # Safety
///
/// 1. It is called in a forked child, which never uses or drops `original` itself.
unsafe fn copy<T>(original: &T) -> T {
    // SAFETY: the child's memory is its own, and (1) leaves one owner in it.
    unsafe { ptr::read(original) }
}

type Row = (&'static str, fn(&World) -> Outcome);

/// Each call of the table, as it runs in the child.
const ROWS: &[Row] = &[
    ("`Reactor::new`", |_| own_reactor(Reactor::new())),
    ("`Builder::build`", |_| {
        own_reactor(Reactor::builder().shards(1).build())
    }),
    ("`Reactor::handle`", |w| {
        Outcome::works(w.reactor.handle().shards().len() == 1)
    }),
    ("`Reactor::enter`", |w| {
        let _entered = w.reactor.enter();
        Outcome::works(Handle::try_current().is_some())
    }),
    ("`Reactor::warnings`", |w| {
        Outcome::works(w.reactor.warnings().is_empty())
    }),
    ("`Reactor::block_on`", |w| {
        panics(|| w.reactor.block_on(async {}))
    }),
    ("`Reactor::shutdown`", |w| {
        // SAFETY: (1) the child ends without using the original.
        let reactor = unsafe { copy(&w.reactor) };
        w.reaching_nobody(|| drop(reactor.shutdown(DEADLINE).unwrap()))
    }),
    ("drop of `Reactor`", |w| {
        // SAFETY: (1) as above.
        let reactor = unsafe { copy(&w.reactor) };
        w.reaching_nobody(|| drop(reactor))
    }),
    ("`Handle::current`", |w| {
        let _entered = w.handle().enter();
        Outcome::works(Handle::current().shards().len() == 1)
    }),
    ("`Handle::try_current`", |_| {
        Outcome::works(Handle::try_current().is_none())
    }),
    ("`Handle::enter`", |w| {
        let _entered = w.handle().enter();
        Outcome::works(Handle::try_current().is_some())
    }),
    ("`Handle::block_on`", |w| {
        panics(|| w.handle().block_on(async {}))
    }),
    ("`Handle::shards`", |w| {
        Outcome::works(w.handle().shards().len() == 1)
    }),
    ("`Handle::shard`", |w| {
        Outcome::works(w.handle().shard(0) == w.shard())
    }),
    ("`Handle::shard_for`", |w| {
        Outcome::works(w.handle().shard_for(3) == w.shard())
    }),
    ("`Handle::placement`", |w| {
        Outcome::works(w.handle().placement() == Placement::Hash)
    }),
    ("`Handle::spawn`", |w| {
        panics(|| drop(w.handle().spawn(async {})))
    }),
    ("`Handle::spawn_on`", |w| {
        panics(|| drop(w.handle().spawn_on(w.shard(), || async {})))
    }),
    ("`Handle::spawn_on_all`", |w| {
        panics(|| drop(w.handle().spawn_on_all(|_| async {})))
    }),
    ("`Handle::spawn_blocking`", |w| {
        panics(|| drop(w.handle().spawn_blocking(|| ())))
    }),
    ("`Handle::metrics`", |w| {
        let metrics = w.handle().metrics();
        let registrations = metrics.total(|shard| shard.registrations);
        let tasks = metrics.total(|shard| shard.tasks);
        Outcome::works((registrations, tasks, metrics.blocking.threads) == (2, 0, 0))
    }),
    ("`Handle::shutdown_requested`", |w| {
        panics(|| {
            let _ = poll(&mut w.handle().shutdown_requested());
        })
    }),
    ("`Handle::is_shutting_down`", |w| {
        Outcome::works(!w.handle().is_shutting_down())
    }),
    ("`spawn`", |w| {
        let _entered = w.handle().enter();
        panics(|| drop(spawn(async {})))
    }),
    ("`spawn_blocking`", |w| {
        let _entered = w.handle().enter();
        panics(|| drop(spawn_blocking(|| ())))
    }),
    ("`spawn_local`", |w| {
        // Only a thread of a shard reaches the check.
        let shard = w.shard();
        assert_eq!(
            ShardId::current(),
            Some(shard),
            "this row is done on a shard"
        );
        panics(|| drop(spawn_local(async {})))
    }),
    ("`yield_now`", |_| {
        let mut yields = pin!(yield_now());
        let first = poll(&mut yields).is_pending();
        Outcome::works(first && poll(&mut yields).is_ready())
    }),
    ("`consume_budget`", |_| {
        Outcome::works(poll(&mut pin!(consume_budget())).is_ready())
    }),
    ("`unpin_current`", |_| {
        Outcome::works(unpin_current().is_ok())
    }),
    ("`ShardId::current`", |_| {
        Outcome::works(ShardId::current().is_none())
    }),
    ("await of `JoinHandle`", |w| {
        // SAFETY: (1) as above.
        let mut finished = unsafe { copy(&w.finished) };
        // SAFETY: (1) as above.
        let mut pending = unsafe { copy(&w.pending) };
        match poll(&mut finished) {
            Poll::Ready(Ok(7)) => panics(|| drop(poll(&mut pending))),
            _ => Outcome::Wrong,
        }
    }),
    ("`JoinHandle::abort`", |w| {
        w.reaching_nobody(|| w.pending.abort())
    }),
    ("`JoinHandle::is_finished`", |w| {
        Outcome::works(w.finished.is_finished() && !w.pending.is_finished())
    }),
    ("drop of `JoinHandle`", |w| {
        // SAFETY: (1) as above.
        let finished = unsafe { copy(&w.finished) };
        // SAFETY: (1) as above.
        let pending = unsafe { copy(&w.pending) };
        w.reaching_nobody(|| drop((finished, pending)))
    }),
    ("`AbortHandle::abort`", |w| {
        w.reaching_nobody(|| w.abort.abort())
    }),
    ("wake of a task's `Waker`", |w| {
        w.reaching_nobody(|| w.waker.wake_by_ref())
    }),
    ("`Registration::new`", |w| {
        let source = &w.unregistered;
        Outcome::of(Registration::new(
            w.handle(),
            Placement::Hash,
            source,
            READ,
            Ready::EMPTY,
        ))
    }),
    ("`Registration::new_current`", |w| {
        let _entered = w.handle().enter();
        Outcome::of(Registration::new_current(
            &w.unregistered,
            READ,
            Ready::EMPTY,
        ))
    }),
    ("`Registration::set_interest`", |w| {
        // SAFETY: (1) as above.
        let mut registration = unsafe { copy(&w.registration) };
        Outcome::of(registration.set_interest(READ))
    }),
    ("`Registration::deregister`", |w| {
        // SAFETY: (1) as above.
        let registration = unsafe { copy(&w.registration) };
        Outcome::of(registration.deregister())
    }),
    ("`Registration::clear_closed`", |w| {
        Outcome::of(w.registration.clear_closed())
    }),
    ("`Registration::closed`", |w| {
        Outcome::of_polled(poll(&mut pin!(w.registration.closed())))
    }),
    ("`Registration::ready`", |w| {
        let ready = |interest| poll(&mut pin!(w.registration.ready(interest)));
        assert!(
            matches!(ready(WRITE), Poll::Ready(Ok(_))),
            "it need not wait"
        );
        Outcome::of_polled(ready(READ))
    }),
    ("`Registration::readable`", |w| {
        Outcome::of_polled(poll(&mut pin!(w.registration.readable())))
    }),
    ("`Registration::writable`", |w| {
        let writable = || poll(&mut pin!(w.registration.writable()));
        let Poll::Ready(Ok(event)) = writable() else {
            return Outcome::Wrong;
        };
        w.registration.clear(event);
        Outcome::of_polled(writable())
    }),
    ("`Registration::poll_ready`", |w| {
        let poll = |direction| {
            let mut cx = Context::from_waker(Waker::noop());
            w.registration.poll_ready(&mut cx, direction)
        };
        assert!(
            matches!(poll(Direction::Write), Poll::Ready(Ok(_))),
            "it need not wait"
        );
        Outcome::of_polled(poll(Direction::Read))
    }),
    ("`Registration::async_io`", |w| {
        Outcome::of_polled(poll(&mut pin!(w.registration.async_io(READ, || Ok(())))))
    }),
    ("`Registration::pause`", |w| {
        let mut pause = pin!(w.registration.pause(DEADLINE));
        let first = poll(&mut pause).is_pending();
        Outcome::works(first && poll(&mut pause).is_ready())
    }),
    ("`Registration::wake_after`", |w| {
        struct Woken(AtomicBool);
        impl std::task::Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let woken = Arc::new(Woken(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&woken));
        let outcome = w.reaching_nobody(|| w.registration.wake_after(DEADLINE, &waker));
        Outcome::works(outcome == Outcome::Nothing && woken.0.load(Ordering::Relaxed))
    }),
    ("`Registration::try_ready`", |w| {
        let ready = |interest| w.registration.try_ready(interest).unwrap().ready();
        Outcome::works(ready(WRITE).is_writable() && ready(READ).is_empty())
    }),
    ("`Registration::try_io`", |w| {
        Outcome::works(w.registration.try_io(WRITE, || Ok(5)).unwrap() == 5)
    }),
    ("drop of a wait", |w| {
        // SAFETY: (1) as above.
        let wait = unsafe { copy(&w.wait) };
        w.reaching_nobody(|| drop(wait))
    }),
    ("drop of `Registration`", |w| {
        // SAFETY: (1) as above.
        let registration = unsafe { copy(&w.registration) };
        w.reaching_nobody(|| drop(registration))
    }),
    ("await of `time::Sleep`", |w| {
        let _entered = w.handle().enter();
        let over = poll(&mut sleep(Duration::ZERO)).is_ready();
        assert!(over, "its deadline has passed");
        panics(|| {
            let _ = poll(&mut sleep(DEADLINE));
        })
    }),
    ("`time::Sleep::reset`", |w| {
        // SAFETY: (1) as above.
        let mut sleeps = unsafe { copy(&w.sleeps) };
        w.reaching_nobody(|| {
            for wait in &mut sleeps {
                Pin::new(wait).reset(Instant::now());
            }
            std::mem::forget(sleeps);
        })
    }),
    ("drop of `time::Sleep`", |w| {
        // SAFETY: (1) as above.
        let sleeps = unsafe { copy(&w.sleeps) };
        w.reaching_nobody(|| drop(sleeps))
    }),
    ("`time::coarse_now`", |_| {
        Outcome::works(coarse_now() <= Instant::now())
    }),
];

/// Builds a reactor in the child and runs a task on it.
fn own_reactor(reactor: io::Result<Reactor>) -> Outcome {
    let reactor = reactor.unwrap();
    Outcome::works(
        reactor
            .block_on(reactor.handle().spawn(async { 1 }))
            .unwrap()
            == 1,
    )
}

/// Checks that a call panics with the message that names the reactor's process.
fn panics(call: impl FnOnce()) -> Outcome {
    let Err(payload) = catch_unwind(AssertUnwindSafe(call)) else {
        return Outcome::Wrong;
    };
    let words = payload.downcast_ref::<&str>();
    let says = words.is_some_and(|words| words.contains("belongs to the parent process"));
    if says {
        Outcome::Panics
    } else {
        Outcome::Wrong
    }
}

/// Runs a row in a child and returns its outcome, or `None` if it hung.
fn in_child(does: impl FnOnce() -> Outcome) -> Option<Outcome> {
    // SAFETY: the child runs the tested code, and leaves with _exit.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        // SAFETY: a call that hangs is ended by this signal.
        unsafe { libc::alarm(10) };
        // The usual hook takes locks that a thread which does not exist in the child may hold.
        set_hook(Box::new(|_| ()));
        let outcome = catch_unwind(AssertUnwindSafe(does)).unwrap_or(Outcome::Wrong);
        let all = Outcome::ALL.iter().position(|other| *other == outcome);
        let code = all
            .and_then(|index| i32::try_from(index).ok())
            .unwrap_or(100);
        // SAFETY: ends the child without running any code of the parent.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: waits for the child made above; `status` is alive for the call.
    let ended = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(ended, child);
    if !libc::WIFEXITED(status) {
        return None;
    }
    let code = usize::try_from(libc::WEXITSTATUS(status)).unwrap();
    Some(Outcome::ALL.get(code).copied().unwrap_or(Outcome::Wrong))
}

/// Holds the locks that a child must not wait for, most of the time, until `stop` is set.
fn hold_locks(world: &World, stop: &AtomicBool) {
    let _entered = world.handle().enter();
    while !stop.load(Ordering::Relaxed) {
        drop(world.handle().spawn(async {}));
        drop(world.handle().spawn_blocking(|| ()));
        for _ in 0..20 {
            let _ = poll(&mut pin!(world.registration.readable()));
            let _ = poll(&mut world.handle().shutdown_requested());
            let mut wait = sleep(DEADLINE);
            let _ = poll(&mut wait);
            Pin::new(&mut wait).reset(Instant::now() + DEADLINE / 2);
            let _ = world.handle().metrics();
        }
    }
}

/// Returns the rows of the table: a call, and the text beside it.
fn table() -> Vec<(String, String)> {
    let cells = |line: &str| {
        let mut cells = line.trim_matches('|').split(" | ").map(str::trim);
        Some((cells.next()?.to_owned(), cells.next()?.to_owned()))
    };
    let rows = include_str!("../src/docs/fork.md").lines();
    let rows = rows.filter(|line| line.starts_with('|')).filter_map(cells);
    // Skips the heading; the line under it has no cells.
    rows.skip(1).collect()
}

#[test]
fn the_table_has_the_rows_that_are_tested_here() {
    let documented: Vec<String> = table().into_iter().map(|(call, _)| call).collect();
    let tested: Vec<&str> = ROWS.iter().map(|(call, _)| *call).collect();
    assert_eq!(documented, tested);
}

#[test]
fn every_call_does_in_a_forked_child_what_the_table_says() {
    // In a static, so that its parts, which last for ever, count as used to the end.
    static WORLD: OnceLock<World> = OnceLock::new();
    let world = WORLD.get_or_init(World::new);
    let stop = AtomicBool::new(false);
    let wrong = thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| hold_locks(world, &stop));
        }
        let mut wrong = Vec::new();
        for (call, text) in table() {
            let &(_, does) = ROWS
                .iter()
                .find(|(tested, _)| *tested == call)
                .expect("it is tested");
            let expected = Outcome::of_text(&text);
            for _ in 0..ROUNDS {
                let outcome = match call.as_str() {
                    "`spawn_local`" => on_shard(world, does),
                    _ => in_child(|| does(world)),
                };
                if outcome != Some(expected) {
                    wrong.push(format!("{call}: {outcome:?}, and not {expected:?}"));
                    break;
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
        wrong
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
    // The children have done no harm.
    assert!(!world.pending.is_finished());
    assert_eq!(total(world.handle(), |shard| shard.registrations), 2);
    let task = world.handle().spawn(async { 1 });
    assert_eq!(world.reactor.block_on(task).unwrap(), 1);
}

/// Runs a row in a child that a task of the shard forks.
fn on_shard(world: &'static World, does: fn(&World) -> Outcome) -> Option<Outcome> {
    let forks = move || async move { in_child(|| does(world)) };
    let task = world.handle().spawn_on(world.shard(), forks);
    world.reactor.block_on(task).unwrap()
}
