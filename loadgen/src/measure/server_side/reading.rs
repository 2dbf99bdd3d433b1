//! The CPU time of a process at one moment, as the platform files read it.

use crate::measure::clock::Nanos;

/// The CPU time that a process had used at the time of the reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuReading {
    /// In user space, with the resolution of the system's clock tick.
    pub(super) user: Nanos,
    /// In the kernel, with the same resolution.
    pub(super) system: Nanos,
    /// The scheduler's times per thread: thread, time on a CPU, time in wait for one.
    pub(super) threads: Vec<ThreadReading>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ThreadReading {
    pub(super) thread: i32,
    pub(super) ran: Nanos,
    pub(super) waited: Nanos,
}
