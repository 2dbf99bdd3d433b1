//! Other systems. Their affinity calls differ too much, or are only hints, so nothing is pinned.

use std::io;

use crate::cpus::CpuQuota;

/// Returns an empty list, which means unknown. `Pinning::Auto` then plans no pins and causes no
/// warning.
pub(crate) fn allowed_cpus() -> Vec<usize> {
    Vec::new()
}

pub(crate) fn pin_current(cpu: usize) -> io::Result<()> {
    let reason = format!("cannot pin this thread to CPU {cpu}: not supported on this system");
    Err(io::Error::new(io::ErrorKind::Unsupported, reason))
}

/// A mask that cannot exist, since nothing is ever pinned here.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CpuMask {}

impl CpuMask {
    pub(crate) fn restore(&self) -> io::Result<()> {
        match *self {}
    }
}

pub(crate) fn mask_before_pin() -> Option<CpuMask> {
    None
}

/// Threads are never pinned here, so there is nothing to lift.
pub(crate) fn lift_pin() {}

pub(crate) fn unpin_current() -> io::Result<()> {
    Ok(())
}

/// Only Linux has cgroups.
pub(crate) fn cpu_quota() -> Option<CpuQuota> {
    None
}

pub(crate) fn give_up_timer_slack() {}
