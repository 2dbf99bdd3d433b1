//! The feature `stall-backtrace`: the report of a stall names the functions that the stuck thread
//! is in, wherever it is interrupted, and the signal does no harm.
#![cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]

mod support;

use std::hint::black_box;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use reactor::{Builder, JoinHandle, Pinning, Reactor, Stall, StallBacktrace};
use support::receive;

const THRESHOLD: Duration = Duration::from_millis(20);

/// The first real-time signals, as the C library counts them.
const OURS: i32 = 40;
const THEIRS: i32 = 41;

fn builder() -> Builder {
    Reactor::builder()
        .shards(1)
        .pinning(Pinning::None)
        .detect_stalls(THRESHOLD)
        .stall_backtraces(true)
}

fn watched() -> (Reactor, Receiver<Stall>) {
    let (sender, stalls) = channel();
    let reactor = builder()
        .on_stall(move |stall| drop(sender.send(stall.clone())))
        .build()
        .unwrap();
    (reactor, stalls)
}

/// Ends the stuck tasks of a test, also if it fails.
struct Ends(Arc<AtomicBool>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Returns the backtrace of this task's stall.
fn reported(stalls: &Receiver<Stall>, task: &JoinHandle<()>) -> StallBacktrace {
    loop {
        let stall = receive(stalls, "a report");
        if stall.task().is_some_and(|stuck| stuck.id() == task.id()) && !stall.is_over() {
            let found = stall.backtrace().expect("the thread runs");
            assert!(found.addresses().len() > 3, "{found}");
            return found.clone();
        }
    }
}

/// Lets a task stay in `stuck` until its stall is reported, and checks the backtrace.
fn check(stuck: fn(&AtomicBool), name: &str) {
    let (reactor, stalls) = watched();
    let ends = Ends(Arc::default());
    let flag = Arc::clone(&ends.0);
    let task = reactor.spawn(async move { calls_what_is_stuck(stuck, &flag) });
    let found = reported(&stalls, &task);
    drop(ends);
    reactor.block_on(task).unwrap();
    let inner = position(&found, stuck as usize);
    let outer = position(&found, calls_what_is_stuck as *const () as usize);
    assert!(inner < outer, "the newest call comes first:\n{found}");
    if has_names() {
        let text = found.to_string();
        let calls = [name, "calls_what_is_stuck"];
        let places = calls.map(|name| text.find(name).unwrap_or_else(|| panic!("{name}: {text}")));
        assert!(places.is_sorted(), "{text}");
        // The calls of the reactor are in the long form alone.
        let long = format!("{found:#}");
        assert!(
            long.starts_with(&text) && long.contains("guarded"),
            "{long}"
        );
        assert!(!text.contains("guarded"), "{text}");
    }
}

/// Returns the position of the call that is in a function with this address.
fn position(found: &StallBacktrace, function: usize) -> usize {
    // The next address after the function's beginning. The functions here are short.
    let distance = |address: u64| address.checked_sub(function as u64);
    let near = found.addresses().enumerate();
    let near = near.filter_map(|(position, address)| Some((distance(address)?, position)));
    let nearest = near.min().filter(|(distance, _)| *distance < 2_000);
    let (_, position) = nearest.unwrap_or_else(|| panic!("{function:#x} in\n{found}"));
    position
}

/// Returns true if this program has names: a build may strip them.
fn has_names() -> bool {
    let mut found = false;
    let function = calls_what_is_stuck as *const () as usize + 1;
    backtrace::resolve(std::ptr::without_provenance_mut(function), |symbol| {
        found |= symbol.name().is_some();
    });
    if !found {
        eprintln!("this program has no symbols: only addresses are checked");
    }
    found
}

#[inline(never)]
fn calls_what_is_stuck(stuck: fn(&AtomicBool), ends: &AtomicBool) {
    stuck(ends);
    black_box(ends);
}

#[inline(never)]
fn spins_on_the_clock(ends: &AtomicBool) {
    // The clock is code of the kernel in this process.
    while !ends.load(Ordering::Relaxed) {
        black_box(Instant::now());
    }
}

#[inline(never)]
fn allocates_all_the_time(ends: &AtomicBool) {
    let mut kept = Vec::new();
    while !ends.load(Ordering::Relaxed) {
        kept.push(vec![0_u8; 1 + kept.len() % 100_000]);
        if kept.len() > 1_000 {
            kept.clear();
        }
    }
}

#[inline(never)]
fn sleeps_in_the_kernel(ends: &AtomicBool) {
    while !ends.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_secs(1) / 4);
    }
}

#[inline(never)]
fn has_a_large_frame(ends: &AtomicBool) {
    // The copy of the stack has room for some of these.
    let mut large = [0_u8; 20_000];
    while !ends.load(Ordering::Relaxed) {
        black_box(&mut large);
    }
}

#[test]
fn a_loop_in_a_named_function_is_found() {
    check(spins_on_the_clock, "spins_on_the_clock");
    check(has_a_large_frame, "has_a_large_frame");
}

#[test]
fn a_thread_inside_the_allocator_is_found() {
    for _ in 0..5 {
        check(allocates_all_the_time, "allocates_all_the_time");
    }
}

#[test]
fn a_thread_inside_a_system_call_is_found() {
    check(sleeps_in_the_kernel, "sleeps_in_the_kernel");
}

#[test]
fn a_system_call_that_can_go_on_does() {
    let (reactor, stalls) = watched();
    let (mut near, mut far) = UnixStream::pair().unwrap();
    let (done, read) = channel();
    let task = reactor.spawn(async move {
        let mut byte = [0];
        // `read` would return the error of an interrupted call.
        done.send(far.read(&mut byte).map_err(|error| error.kind()))
            .unwrap();
    });
    reported(&stalls, &task);
    near.write_all(b"x").unwrap();
    assert_eq!(receive(&read, "the answer"), Ok(1));
    reactor.block_on(task).unwrap();
}

#[test]
fn handlers_of_the_program_stay() {
    let theirs = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(THEIRS, Arc::clone(&theirs)).unwrap();
    let taken = builder().stall_signal(THEIRS).build().unwrap_err();
    assert!(taken.to_string().contains("stall_signal"), "{taken}");
    for wrong in [0, 9, 65] {
        let error = builder().stall_signal(wrong).build().unwrap_err();
        assert!(error.to_string().contains("real-time"), "{error}");
    }

    let reactor = builder().stall_signal(OURS).build().unwrap();
    let again = builder().stall_signal(OURS).build().unwrap();
    drop(again);
    // Nobody waits for a sample: the signal does nothing.
    signal_hook::low_level::raise(OURS).unwrap();
    reactor
        .block_on(reactor.spawn(async {
            signal_hook::low_level::raise(OURS).unwrap();
        }))
        .unwrap();
    signal_hook::low_level::raise(THEIRS).unwrap();
    assert!(theirs.load(Ordering::Relaxed), "their handler is called");
}

#[test]
fn several_reactors_take_turns() {
    let all: Vec<_> = (0..3).map(|_| watched()).collect();
    let ends = Ends(Arc::default());
    let tasks: Vec<_> = all
        .iter()
        .map(|(reactor, _)| {
            let flag = Arc::clone(&ends.0);
            reactor.spawn(async move { sleeps_in_the_kernel(&flag) })
        })
        .collect();
    for ((_, stalls), task) in all.iter().zip(&tasks) {
        position(
            &reported(stalls, task),
            sleeps_in_the_kernel as *const () as usize,
        );
    }
}
