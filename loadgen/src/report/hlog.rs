//! The format `.hlog`, version 1.3 of HdrHistogram's interval log: the latencies of every interval,
//! for other tools to merge and plot.
//!
//! Stamps are relative to the beginning of the measured part. The maximum is in milliseconds, and
//! the histograms are in nanoseconds. The library's own writer is not used: it cannot write the
//! legend, and it would encode the histograms again, which are already encoded in a report.
//! `run/interval_log.rs` writes the same lines during a run.

use super::data::Report;
use crate::measure::histogram::Recorder;

/// Writes the log, with a line end after each line.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut out = head(&report.loadgen, &report.command, report.measured_unix_ms);
    let nothing = Recorder::new().to_base64();
    for interval in &report.series.intervals {
        let histogram = match interval.histogram_base64.as_str() {
            "" => &nothing,
            histogram => histogram,
        };
        out += &line(
            interval.start_s,
            report.series.interval_s,
            interval.max_ns,
            histogram,
        );
    }
    out
}

/// Returns the lines before the first interval, with the start of the measured part since 1970.
pub(crate) fn head(version: &str, command: &[String], from_unix_ms: u64) -> String {
    let epoch = format!("{}.{:03}", from_unix_ms / 1_000, from_unix_ms % 1_000);
    format!(
        "#[loadgen {version}: {}]\n\
         #[Histogram log format version 1.3]\n\
         #[BaseTime: {epoch} (seconds since epoch)]\n\
         #[StartTime: {epoch} (seconds since epoch)]\n\
         #[MaxValueDivisor: 1000000.000]\n\
         \"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n",
        plain(command)
    )
}

/// Returns the line of an interval.
#[expect(clippy::cast_precision_loss, reason = "latencies far below 2^53 ns")]
pub(crate) fn line(start_s: f64, length_s: f64, max_ns: u64, histogram: &str) -> String {
    let max_ms = max_ns as f64 / 1e6;
    format!("{start_s:.3},{length_s:.3},{max_ms:.3},{histogram}\n")
}

/// Returns the command on one line, even if it contains line ends.
fn plain(command: &[String]) -> String {
    let words = command.join(" ");
    words.replace(char::is_control, " ")
}
