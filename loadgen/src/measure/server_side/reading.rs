//! The CPU time of a process at one moment, as a platform reads it.

use crate::measure::clock::Nanos;

/// The CPU time a process had used when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuReading {
    /// In user space, to the grain of the system's clock tick.
    pub(super) user: Nanos,
    /// In the kernel, to the same grain.
    pub(super) system: Nanos,
    /// The scheduler's counts per thread: thread, time on a CPU, time it waited for one.
    pub(super) threads: Vec<ThreadReading>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ThreadReading {
    pub(super) thread: i32,
    pub(super) ran: Nanos,
    pub(super) waited: Nanos,
}
