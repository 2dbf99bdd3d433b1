//! CPU time of the calling thread.

use rustix::time::{ClockId, clock_gettime};

use crate::clock::Nanos;

/// CPU time a thread has used so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ThreadCpu {
    /// Time on a CPU.
    pub(crate) ran: Nanos,
    /// Time in which it was ready to run and had none; zero where the system does not say.
    pub(crate) waited: Nanos,
}

impl ThreadCpu {
    /// The calling thread's.
    pub(crate) fn now() -> Self {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        let part = |value: i64| Nanos::try_from(value).unwrap_or(0);
        Self {
            ran: part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec),
            waited: waited().unwrap_or(0),
        }
    }
}

/// The second field of the thread's scheduler statistics.
fn waited() -> Option<Nanos> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spinning_uses_cpu_time() {
        let before = ThreadCpu::now();
        let began = std::time::Instant::now();
        while ThreadCpu::now().ran < before.ran + 5_000_000 {
            assert!(began.elapsed().as_secs() < 20, "CPU time does not grow");
        }
    }
}
