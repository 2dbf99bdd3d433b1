//! CPU affinity and timer slack on Linux.
//!
//! A new thread inherits the mask of the thread that starts it. Without a correction, every thread
//! started from a pinned shard would run on that shard's CPU. So two masks are kept. Each pinned
//! thread keeps its own mask from before the pin. The process keeps the mask of the first thread
//! that was ever pinned, for threads which the user starts from a shard.

use std::cell::Cell;
use std::io;
use std::num::NonZeroU64;
use std::sync::OnceLock;

use core_affinity::CoreId;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The mask of the first pinned thread, from before its pin.
static BEFORE_ANY_PIN: OnceLock<CpuMask> = OnceLock::new();

thread_local! {
    /// This thread's mask from before its first pin, while it is pinned.
    static BEFORE_PIN: Cell<Option<CpuMask>> = const { Cell::new(None) };
}

/// An affinity mask, captured from one thread, to be restored on it or on another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CpuMask(CpuSet);

impl CpuMask {
    /// Captures the calling thread's mask.
    pub(super) fn capture() -> io::Result<Self> {
        Ok(Self(sched_getaffinity(None)?))
    }

    /// Sets the calling thread's mask to this one. The kernel leaves out CPUs that are no longer
    /// available.
    pub(crate) fn restore(&self) -> io::Result<()> {
        sched_setaffinity(None, &self.0)?;
        BEFORE_PIN.set(None);
        Ok(())
    }

    /// Returns the CPUs in the mask, ascending.
    fn cpus(&self) -> impl Iterator<Item = usize> {
        let set = self.0;
        (0..CpuSet::MAX_CPU).filter(move |&cpu| set.is_set(cpu))
    }
}

pub(crate) fn allowed_cpus() -> Vec<usize> {
    if let Some(before) = BEFORE_PIN.get() {
        return before.cpus().collect();
    }
    // Despite its name, this returns the calling thread's mask, not the machine's list of cores,
    // and the numbers may have gaps. It is `None` if the kernel's mask is wider than 1024 CPUs.
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    cores.into_iter().map(|core| core.id).collect()
}

pub(crate) fn pin_current(cpu: usize) -> io::Result<()> {
    if cpu >= CpuSet::MAX_CPU {
        // A number past the end of the kernel's set makes both crates panic.
        let limit = CpuSet::MAX_CPU;
        return Err(refused(
            cpu,
            &format!("CPU numbers end at {}", limit - 1),
            io::ErrorKind::InvalidInput,
        ));
    }
    let before = CpuMask::capture()?;
    let mut only = CpuSet::new();
    only.set(cpu);
    if !core_affinity::set_for_current(CoreId { id: cpu }) {
        // The crate drops the errno. Trying again returns it, or succeeds after all.
        sched_setaffinity(None, &only)
            .map_err(io::Error::from)
            .map_err(|error| refused(cpu, &error.to_string(), error.kind()))?;
    }
    let now = CpuMask::capture()?;
    if now.0 != only {
        before.restore()?;
        let found: Vec<usize> = now.cpus().collect();
        let reason = format!("the kernel answered with the mask {found:?}");
        return Err(refused(cpu, &reason, io::ErrorKind::Other));
    }
    let original = BEFORE_PIN.get().unwrap_or(before);
    BEFORE_PIN.set(Some(original));
    BEFORE_ANY_PIN.get_or_init(|| original);
    Ok(())
}

pub(crate) fn mask_before_pin() -> Option<CpuMask> {
    BEFORE_PIN.get().or_else(|| CpuMask::capture().ok())
}

/// Pins the thread again when it is dropped.
#[derive(Debug)]
pub(crate) struct PinAgain(CpuMask);

impl Drop for PinAgain {
    fn drop(&mut self) {
        // The pin was allowed before. If its CPU has gone since, the thread stays unpinned.
        let _ = sched_setaffinity(None, &self.0.0);
    }
}

pub(crate) fn lift_pin() -> Option<PinAgain> {
    let before = BEFORE_PIN.get().or_else(|| BEFORE_ANY_PIN.get().copied())?;
    let pinned = CpuMask::capture().ok()?;
    sched_setaffinity(None, &before.0).ok()?;
    Some(PinAgain(pinned))
}

pub(crate) fn unpin_current() -> io::Result<()> {
    match BEFORE_PIN.get().as_ref().or_else(|| BEFORE_ANY_PIN.get()) {
        Some(mask) => mask.restore(),
        None => Ok(()),
    }
}

/// By default the kernel ends a wait up to 50 us late, to wake the CPU less often.
pub(crate) fn give_up_timer_slack() {
    // Zero means the default. A refusal leaves waits as they are.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
}

#[cold]
fn refused(cpu: usize, reason: &str, kind: io::ErrorKind) -> io::Error {
    io::Error::new(
        kind,
        format!("cannot pin this thread to CPU {cpu}: {reason}"),
    )
}
