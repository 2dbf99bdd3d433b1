//! The resource usage of a process: CPU time and memory, which the system reports while it runs.
//!
//! It serves the server (embedded, or `--server-pid`) and the generator itself. It only reads, so
//! it does not disturb the process. The process may end at any time; readings then return an error.
//! Tests: `server_side/tests.rs`.

use std::io;

use crate::measure::clock::Nanos;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;
mod reading;

#[cfg(target_os = "linux")]
use linux as sys;
#[cfg(not(target_os = "linux"))]
use other as sys;
pub use reading::CpuReading;
use reading::ThreadReading;

/// An observed process.
#[derive(Debug)]
pub struct Probe {
    pid: i32,
    process: sys::Process,
}

/// The CPU time between two readings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuUsed {
    /// In user space.
    pub user: Nanos,
    /// In the kernel.
    pub system: Nanos,
    /// The time that its threads were ready to run and waited for a CPU; zero if the system does
    /// not report it.
    pub waited: Nanos,
}

impl Probe {
    /// Observes process `pid`.
    ///
    /// # Errors
    /// There is no such process, or it may not be inspected.
    pub fn new(pid: i32) -> io::Result<Self> {
        Ok(Self {
            pid,
            process: sys::Process::open(pid)?,
        })
    }

    /// Observes this process.
    ///
    /// # Errors
    /// The system does not report it.
    pub fn this_process() -> io::Result<Self> {
        Self::new(i32::try_from(std::process::id()).map_err(io::Error::other)?)
    }

    /// Returns the process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Returns the CPU time used so far.
    ///
    /// # Errors
    /// The process is gone.
    pub fn cpu(&self) -> io::Result<CpuReading> {
        self.process.cpu()
    }

    /// Returns the bytes of memory that are resident now, exactly if the system supports that.
    ///
    /// # Errors
    /// The process is gone.
    pub fn resident(&self) -> io::Result<u64> {
        self.process.resident()
    }
}

impl CpuReading {
    /// Returns the CPU time since an earlier reading. If the threads stayed the same, the total is
    /// the scheduler's, in nanoseconds, and the clock ticks only determine its parts.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> CpuUsed {
        let user = self.user.saturating_sub(earlier.user);
        let system = self.system.saturating_sub(earlier.system);
        let same = self.threads.len() == earlier.threads.len()
            && self
                .threads
                .iter()
                .zip(&earlier.threads)
                .all(|(now, then)| now.thread == then.thread);
        let sum = |field: fn(&ThreadReading) -> Nanos| -> Nanos {
            let total = |threads: &[ThreadReading]| threads.iter().map(field).sum::<Nanos>();
            total(&self.threads).saturating_sub(total(&earlier.threads))
        };
        if !same || self.threads.is_empty() {
            return CpuUsed {
                user,
                system,
                waited: 0,
            };
        }
        let ran = sum(|thread| thread.ran);
        let user = match user + system {
            0 => ran,
            ticks => share(ran, user, ticks),
        };
        CpuUsed {
            user,
            system: ran.saturating_sub(user),
            waited: sum(|thread| thread.waited),
        }
    }
}

/// Returns `total * part / whole` without overflow.
fn share(total: Nanos, part: Nanos, whole: Nanos) -> Nanos {
    let share = u128::from(total) * u128::from(part) / u128::from(whole);
    Nanos::try_from(share).expect("a part is not larger than its whole")
}

impl CpuUsed {
    /// Returns the sum of user and kernel time.
    #[must_use]
    pub fn total(&self) -> Nanos {
        self.user + self.system
    }
}

#[cfg(test)]
mod tests;
