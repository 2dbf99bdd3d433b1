//! The CPU time of the calling thread, from the scheduler's statistics.
//!
//! It does not use the thread's CPU clock. The safe function for that clock searches the vDSO,
//! which valgrind hides, and crashes under valgrind.

use crate::measure::clock::Nanos;

/// The CPU time of a thread so far; zero if the system does not report it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ThreadCpu {
    /// The time on a CPU, up to the last clock tick.
    pub(crate) ran: Nanos,
    /// The time that it was ready to run and waited for a CPU.
    pub(crate) waited: Nanos,
}

impl ThreadCpu {
    /// Reads the CPU time of the calling thread.
    pub(crate) fn now() -> Self {
        std::fs::read_to_string("/proc/thread-self/schedstat")
            .ok()
            .and_then(|text| Self::parse(&text))
            .unwrap_or_default()
    }

    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split_whitespace().map(str::parse);
        Some(Self {
            ran: fields.next()?.ok()?,
            waited: fields.next()?.ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_texts_say_nothing() {
        assert!(ThreadCpu::parse("").is_none());
        assert!(ThreadCpu::parse("1 x 3").is_none());
        let read = ThreadCpu::parse("12 34 5\n").expect("three fields");
        assert_eq!((read.ran, read.waited), (12, 34));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn spinning_uses_cpu_time() {
        let before = ThreadCpu::now();
        let began = std::time::Instant::now();
        while ThreadCpu::now().ran < before.ran + 5_000_000 {
            assert!(began.elapsed().as_secs() < 20, "CPU time does not grow");
        }
    }
}
