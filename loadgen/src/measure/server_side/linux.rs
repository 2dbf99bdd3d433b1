//! Linux: reads `/proc/PID/stat`, `/proc/PID/task/*/schedstat` and `/proc/PID/smaps_rollup`.

use std::io;

use procfs::ProcError;

use super::reading::{CpuReading, ThreadReading};
use crate::measure::clock::Nanos;

#[derive(Debug)]
pub(super) struct Process {
    process: procfs::process::Process,
}

impl Process {
    pub(super) fn open(pid: i32) -> io::Result<Self> {
        let process = procfs::process::Process::new(pid).map_err(into_io)?;
        Ok(Self { process })
    }

    pub(super) fn cpu(&self) -> io::Result<CpuReading> {
        let stat = self.process.stat().map_err(into_io)?;
        let tick = 1_000_000_000 / procfs::ticks_per_second();
        let mut threads = Vec::new();
        // The kernel has no scheduler statistics, or a thread has ended meanwhile. The clock ticks
        // remain.
        for task in self.process.tasks().map_err(into_io)?.flatten() {
            if let Ok(sched) = task.schedstat() {
                let (ran, waited): (Nanos, Nanos) = (sched.sum_exec_runtime, sched.run_delay);
                threads.push(ThreadReading {
                    thread: task.tid,
                    ran,
                    waited,
                });
            }
        }
        threads.sort_unstable_by_key(|thread| thread.thread);
        Ok(CpuReading {
            user: stat.utime * tick,
            system: stat.stime * tick,
            threads,
        })
    }

    pub(super) fn resident(&self) -> io::Result<u64> {
        // The counters in `status` lag by up to 64 pages per thread. The roll-up is exact, because
        // it walks the page tables.
        if let Ok(rollup) = self.process.smaps_rollup() {
            let bytes = rollup
                .memory_map_rollup
                .0
                .first()
                .and_then(|map| map.extension.map.get("Rss").copied());
            if let Some(bytes) = bytes {
                return Ok(bytes);
            }
        }
        let status = self.process.status().map_err(into_io)?;
        Ok(status.vmrss.unwrap_or(0) * 1024)
    }
}

fn into_io(error: ProcError) -> io::Error {
    match error {
        ProcError::NotFound(_) => io::Error::new(io::ErrorKind::NotFound, "no such process"),
        ProcError::PermissionDenied(_) => io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the system does not allow to look at it",
        ),
        ProcError::Io(error, _) => error,
        other => io::Error::other(other.to_string()),
    }
}
