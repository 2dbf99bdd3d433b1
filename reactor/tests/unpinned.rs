//! Threads and processes that a task starts inherit the pin of its shard, except inside `unpinned`.
#![cfg(target_os = "linux")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::thread;

use reactor::{Pinning, Reactor, unpinned};
use rustix::thread::{CpuSet, sched_getaffinity};

fn mask() -> Vec<usize> {
    let set = sched_getaffinity(None).unwrap();
    (0..CpuSet::MAX_CPU)
        .filter(|&cpu| set.is_set(cpu))
        .collect()
}

/// Runs a closure on a shard that is pinned to the first allowed CPU, and returns its result.
fn on_pinned_shard<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    let first = mask()[0];
    let reactor = Reactor::builder()
        .shards(1)
        .pinning(Pinning::Cpus(vec![first]))
        .build()
        .unwrap();
    let task = reactor.spawn(async move {
        assert_eq!(mask(), [first], "the shard is pinned");
        let result = run();
        assert_eq!(mask(), [first], "the shard is pinned again");
        result
    });
    reactor.block_on(task).unwrap()
}

/// The mask of a child process, as the kernel writes it: `0-1`, or `0,2`.
fn mask_of_child() -> String {
    let output = Command::new("grep")
        .args(["Cpus_allowed_list:", "/proc/self/status"])
        .output()
        .unwrap();
    let line = String::from_utf8(output.stdout).unwrap();
    line.split_whitespace().last().unwrap().to_owned()
}

#[test]
fn the_closure_has_the_mask_from_before_the_pin() {
    let allowed = mask();
    assert_eq!(on_pinned_shard(|| unpinned(mask)), allowed);
}

#[test]
fn a_thread_inherits_the_pin_except_inside() {
    let allowed = mask();
    let (outside, inside) = on_pinned_shard(|| {
        let start = || thread::spawn(mask);
        (start().join().unwrap(), unpinned(start).join().unwrap())
    });
    assert_eq!(outside, [allowed[0]]);
    assert_eq!(inside, allowed);
}

#[test]
fn a_child_process_inherits_the_pin_except_inside() {
    let (own, first) = (mask_of_child(), mask()[0].to_string());
    let (outside, inside) = on_pinned_shard(|| (mask_of_child(), unpinned(mask_of_child)));
    assert_eq!(outside, first);
    assert_eq!(inside, own);
}

#[test]
fn another_runtime_inherits_the_pin_except_inside() {
    let allowed = mask();
    let start = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap()
    };
    let ask = |runtime: tokio::runtime::Runtime| {
        let (answer, answers) = std::sync::mpsc::channel();
        runtime.spawn(async move { answer.send(mask()) });
        answers.recv().unwrap()
    };
    let (outside, inside) = on_pinned_shard(move || (ask(start()), ask(unpinned(start))));
    assert_eq!(outside, [allowed[0]]);
    assert_eq!(inside, allowed);
}

#[test]
fn a_panic_inside_leaves_the_shard_pinned() {
    let payload = on_pinned_shard(|| {
        let panic = catch_unwind(AssertUnwindSafe(|| unpinned(|| panic!("inside"))));
        panic.unwrap_err().downcast_ref::<&str>().copied()
    });
    assert_eq!(payload, Some("inside"));
}

#[test]
fn calls_nest() {
    let allowed = mask();
    let (inner, after) = on_pinned_shard(|| unpinned(|| (unpinned(mask), mask())));
    assert_eq!(inner, allowed);
    assert_eq!(after, allowed, "the inner call does not pin");
}

#[test]
fn a_thread_that_inherited_the_pin_can_lift_it() {
    let allowed = mask();
    let (inside, after) =
        on_pinned_shard(|| thread::spawn(|| (unpinned(mask), mask())).join().unwrap());
    assert_eq!(inside, allowed);
    assert_eq!(after, [allowed[0]]);
}

#[test]
fn a_thread_without_a_pin_keeps_its_mask() {
    let allowed = mask();
    assert_eq!(unpinned(mask), allowed);
    assert_eq!(mask(), allowed);
    assert_eq!(unpinned(|| 7), 7);
}
