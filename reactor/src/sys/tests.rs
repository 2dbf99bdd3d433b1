//! Each test runs on a thread of its own, because affinity and its saved mask belong to threads.

use std::io;
use std::thread;

use rustix::thread::sched_getaffinity;

use super::linux::CpuMask;
use super::{allowed_cpus, lift_pin, pin_current, unpin_current};

/// Returns the kernel's own answer for the calling thread.
fn kernel_cpus() -> Vec<usize> {
    let set = sched_getaffinity(None).expect("a thread can read its own mask");
    (0..rustix::thread::CpuSet::MAX_CPU)
        .filter(|&cpu| set.is_set(cpu))
        .collect()
}

fn on_own_thread(test: impl FnOnce() + Send) {
    thread::scope(|scope| scope.spawn(test).join())
        .expect("the test's thread ends without a panic");
}

#[test]
fn allowed_cpus_are_the_mask_of_the_kernel() {
    on_own_thread(|| {
        assert!(!allowed_cpus().is_empty());
        assert_eq!(allowed_cpus(), kernel_cpus());
    });
}

#[test]
fn a_pinned_thread_has_one_cpu_and_remembers_the_rest() {
    on_own_thread(|| {
        let allowed = allowed_cpus();
        for &cpu in &allowed {
            pin_current(cpu).expect("an allowed CPU can be pinned");
            assert_eq!(kernel_cpus(), [cpu]);
            assert_eq!(
                allowed_cpus(),
                allowed,
                "a reactor built on a pinned thread sees all CPUs"
            );
        }
        unpin_current().expect("the old mask is still allowed");
        assert_eq!(kernel_cpus(), allowed);
    });
}

#[test]
fn a_thread_started_by_a_pinned_one_can_be_unpinned() {
    on_own_thread(|| {
        let allowed = allowed_cpus();
        pin_current(allowed[0]).expect("an allowed CPU can be pinned");
        on_own_thread(|| {
            assert_eq!(kernel_cpus(), [allowed[0]], "masks are inherited");
            unpin_current().expect("the old mask is still allowed");
            assert_eq!(kernel_cpus(), allowed);
        });
        assert_eq!(kernel_cpus(), [allowed[0]], "the parent stays pinned");
    });
}

#[test]
fn a_captured_mask_goes_to_another_thread() {
    on_own_thread(|| {
        let mask = CpuMask::capture().expect("a thread can read its own mask");
        let allowed = kernel_cpus();
        pin_current(allowed[0]).expect("an allowed CPU can be pinned");
        on_own_thread(|| {
            mask.restore().expect("the old mask is still allowed");
            assert_eq!(kernel_cpus(), allowed);
        });
    });
}

#[test]
fn a_refused_pin_says_which_cpu_and_why_and_changes_nothing() {
    on_own_thread(|| {
        let before = kernel_cpus();
        let absent = before.last().expect("a thread has a CPU") + 1;
        // First a number within the kernel's set but not in the machine, then one past the set,
        // where `CPU_SET` would panic.
        for (cpu, reason) in [(1023.max(absent), "nvalid argument"), (1 << 20, "end at")] {
            let error = pin_current(cpu).expect_err("there is no such CPU");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            let text = error.to_string();
            assert!(
                text.contains(&cpu.to_string()) && text.contains(reason),
                "{text}"
            );
            assert_eq!(kernel_cpus(), before);
            assert_eq!(allowed_cpus(), before);
        }
    });
}

#[test]
fn a_lifted_pin_comes_back() {
    on_own_thread(|| {
        let allowed = allowed_cpus();
        pin_current(allowed[0]).expect("an allowed CPU can be pinned");
        let guard = lift_pin();
        assert_eq!(kernel_cpus(), allowed);
        let inner = lift_pin();
        drop(inner);
        assert_eq!(
            kernel_cpus(),
            allowed,
            "an inner guard restores what it found"
        );
        drop(guard);
        assert_eq!(kernel_cpus(), [allowed[0]]);
        assert_eq!(allowed_cpus(), allowed, "the thread still knows its mask");
    });
}
