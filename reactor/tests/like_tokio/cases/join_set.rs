//! `JoinSet`.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Waker};

use super::side::{JoinSet, runtime};
use crate::support::{eventually, receive};

#[test]
fn outputs_come_as_tasks_end() {
    let runtime = runtime();
    runtime.block_on(async {
        let mut set = JoinSet::new();
        assert!(set.is_empty() && set.join_next().await.is_none());
        let (release, gate) = channel();
        set.spawn_blocking(move || {
            gate.recv().unwrap();
            "blocking"
        });
        set.spawn(async { "task" });
        assert_eq!(set.len(), 2);
        assert_eq!(set.join_next().await.unwrap().unwrap(), "task");
        assert_eq!(set.len(), 1);
        assert!(set.try_join_next().is_none());
        release.send(()).unwrap();
        assert_eq!(set.join_next().await.unwrap().unwrap(), "blocking");
        assert!(set.join_next().await.is_none() && set.try_join_next().is_none());
    });
}

#[test]
fn a_task_that_has_ended_is_joined_without_a_wait() {
    let runtime = runtime();
    let mut set = JoinSet::new();
    runtime.block_on(async { set.spawn(async { 5 }) });
    let set = RefCell::new(set);
    let joined = Cell::new(None);
    eventually("the end of the task", || {
        joined.set(set.borrow_mut().try_join_next().map(Result::unwrap));
        joined.get() == Some(5)
    });
    assert!(set.borrow().is_empty());
}

#[test]
fn many_tasks_are_all_joined_once() {
    const TASKS: usize = 2_000;
    let runtime = runtime();
    runtime.block_on(async {
        let mut set: JoinSet<usize> = (0..TASKS / 2).map(|n| async move { n }).collect();
        let mut seen = vec![false; TASKS];
        let mut joined = 0;
        // Half of them come in while others are taken out, so that places are used again.
        for n in TASKS / 2..TASKS {
            set.spawn(async move { n });
            if let Some(output) = set.try_join_next() {
                assert!(!std::mem::replace(&mut seen[output.unwrap()], true));
                joined += 1;
            }
        }
        while let Some(output) = set.join_next().await {
            assert!(!std::mem::replace(&mut seen[output.unwrap()], true));
            joined += 1;
        }
        assert_eq!(joined, TASKS);
    });
}

#[test]
fn a_task_awaits_a_set_of_tasks() {
    const TASKS: usize = 500;
    let runtime = runtime();
    // More than a task's budget: the wait has to yield and go on.
    let sum = runtime.spawn(async {
        let mut set = JoinSet::new();
        for n in 0..TASKS {
            set.spawn(async move { n });
        }
        let mut sum = 0;
        while let Some(n) = set.join_next().await {
            sum += n.unwrap();
        }
        sum
    });
    assert_eq!(runtime.block_on(sum).unwrap(), TASKS * (TASKS - 1) / 2);
}

#[test]
fn the_waker_of_the_last_poll_is_woken() {
    let runtime = runtime();
    runtime.block_on(async {
        let mut set = JoinSet::new();
        let (release, gate) = channel();
        set.spawn_blocking(move || gate.recv().unwrap());
        // A poll that waits, with another waker, and is given up.
        let mut nobody = Context::from_waker(Waker::noop());
        assert!(set.poll_join_next(&mut nobody).is_pending());
        let mut release = Some(release);
        let joined = poll_fn(|cx| {
            let polled = set.poll_join_next(cx);
            if let Some(release) = release.take() {
                assert!(polled.is_pending());
                release.send(7).unwrap();
            }
            polled
        });
        assert_eq!(joined.await.unwrap().unwrap(), 7);
    });
}

#[test]
fn ids_and_errors_name_the_task() {
    let runtime = runtime();
    runtime.block_on(async {
        let mut set = JoinSet::new();
        let id = set.spawn(async { 1 }).id();
        let joined = set.join_next_with_id().await.unwrap().unwrap();
        assert_eq!(joined, (id, 1));
        let abort = set.spawn(pending());
        abort.abort();
        let error = set.join_next_with_id().await.unwrap().unwrap_err();
        assert!(error.is_cancelled() && error.id() == abort.id());
        let id = set.spawn(async { panic!("a member") }).id();
        let error = set.join_next().await.unwrap().unwrap_err();
        assert!(error.is_panic() && error.id() == id);
    });
}

#[test]
fn shutting_down_ends_all_and_detaching_none() {
    let runtime = runtime();
    runtime.block_on(async {
        let mut set = JoinSet::new();
        for _ in 0..10 {
            set.spawn(pending::<()>());
        }
        set.shutdown().await;
        assert!(set.is_empty());

        let (release, gate) = channel();
        let (ends, ended) = channel();
        set.spawn_blocking(move || {
            gate.recv().unwrap();
            ends.send(()).unwrap();
        });
        set.detach_all();
        assert!(set.is_empty() && set.join_next().await.is_none());
        release.send(()).unwrap();
        receive(&ended, "the detached job's end");
    });
}

#[test]
fn dropping_the_set_aborts_its_tasks() {
    let runtime = runtime();
    let abort = runtime.block_on(async {
        let mut set = JoinSet::new();
        let abort = set.spawn(pending::<()>());
        set.abort_all();
        assert!(set.join_next().await.unwrap().unwrap_err().is_cancelled());
        assert!(abort.is_finished());
        set.spawn(pending::<()>())
    });
    eventually("the abort", || abort.is_finished());
}

#[test]
fn join_all_gives_every_output_or_panics() {
    let runtime = runtime();
    let set = |panics: bool| {
        runtime.block_on(async move {
            let mut set = JoinSet::new();
            for n in 0..20 {
                set.spawn(async move {
                    assert!(!(panics && n == 10), "the tenth");
                    n
                });
            }
            set
        })
    };
    let mut outputs = runtime.block_on(set(false).join_all());
    outputs.sort_unstable();
    assert!(outputs.into_iter().eq(0..20));
    let set = set(true);
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        runtime.block_on(set.join_all())
    }));
    assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"the tenth"));
}

#[test]
fn a_set_goes_to_another_thread_with_its_tasks() {
    fn check<T: Send + Sync>(_: &T) {}
    let runtime = runtime();
    let mut set = runtime.block_on(async { JoinSet::from_iter([async { 5 }]) });
    check(&set);
    let handle = runtime.handle();
    std::thread::scope(|scope| {
        let joined = scope.spawn(|| handle.block_on(set.join_next()));
        assert_eq!(joined.join().unwrap().unwrap().unwrap(), 5);
    });
    set.spawn_on(async { 6 }, handle);
    assert_eq!(runtime.block_on(set.join_next()).unwrap().unwrap(), 6);
    assert!(matches!(
        set.poll_join_next(&mut Context::from_waker(Waker::noop())),
        Poll::Ready(None)
    ));
}
