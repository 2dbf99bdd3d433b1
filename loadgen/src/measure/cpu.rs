//! CPU time of the calling thread, from the scheduler's statistics.
//!
//! The thread's CPU clock is not used: the safe function for it looks for the vDSO, which valgrind
//! hides, and crashes there.

use crate::measure::clock::Nanos;

/// CPU time a thread has used so far; zero where the system does not say.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ThreadCpu {
    /// Time on a CPU, as of the last clock tick.
    pub(crate) ran: Nanos,
    /// Time in which it was ready to run and had none.
    pub(crate) waited: Nanos,
}

impl ThreadCpu {
    /// The calling thread's.
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
