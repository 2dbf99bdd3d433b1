//! `--log`: the histograms of the intervals, written to a file as the run goes on.
//!
//! The file is an `.hlog` like that of `-o`. It is complete after each interval, so a killed
//! process leaves its results so far. An interval is written when all threads have handed it over.
//! Later values, such as late answers, become another line of the same interval, and readers add
//! the lines. The main thread calls it. Tests: `tests/live.rs`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::measure::clock::{Nanos, seconds};
use crate::measure::histogram::Recorder;
use crate::report::hlog;

/// Threads hand an interval over within a few ticks of their supervisors. An interval is written
/// when it is this many intervals behind the newest one.
const BEHIND: u64 = 2;

/// An open log.
#[derive(Debug)]
pub(crate) struct IntervalLog {
    path: PathBuf,
    file: File,
    command: Vec<String>,
    /// Length of an interval.
    interval: Nanos,
    /// Intervals that are not written yet.
    open: BTreeMap<u64, Recorder>,
    /// The first error; nothing is written after it.
    error: Option<String>,
}

impl IntervalLog {
    /// Creates the file.
    ///
    /// # Errors
    /// The file cannot be created. The text names it.
    pub(crate) fn create(path: &Path, interval: Nanos, command: &[String]) -> Result<Self, String> {
        let file =
            File::create(path).map_err(|error| format!("--log {}: {error}", path.display()))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            command: command.to_vec(),
            interval,
            open: BTreeMap::new(),
            error: None,
        })
    }

    /// Writes the head, with the start of the measured part since 1970.
    pub(crate) fn begin(&mut self, from_unix_ms: u64) {
        let head = hlog::head(env!("CARGO_PKG_VERSION"), &self.command, from_unix_ms);
        self.write(&head);
    }

    /// Adds the latencies of a thread in one interval.
    pub(crate) fn add(&mut self, index: u64, latency: &Recorder) {
        if latency.count() > 0 {
            self.open.entry(index).or_default().merge(latency);
        }
        while let Some((&oldest, _)) = self.open.first_key_value()
            && oldest + BEHIND <= index
        {
            self.write_oldest();
        }
    }

    /// Writes the rest. Returns the error that stopped the log.
    pub(crate) fn end(mut self) -> Option<String> {
        while !self.open.is_empty() {
            self.write_oldest();
        }
        self.error
    }

    fn write_oldest(&mut self) {
        if let Some((index, latency)) = self.open.pop_first() {
            let start_s = seconds(self.interval.saturating_mul(index));
            let line = hlog::line(
                start_s,
                seconds(self.interval),
                latency.max(),
                &latency.to_base64(),
            );
            self.write(&line);
        }
    }

    fn write(&mut self, text: &str) {
        if self.error.is_none()
            && let Err(error) = self.write_all(text)
        {
            self.error = Some(format!("--log {}: {error}", self.path.display()));
        }
    }

    fn write_all(&mut self, text: &str) -> io::Result<()> {
        // One write per interval, so that a killed process leaves whole lines.
        self.file.write_all(text.as_bytes())
    }
}
