//! `.hlog`: the interval log of HdrHistogram, version 1.3: every interval's latencies, for other
//! tools to merge and plot.
//!
//! Stamps are relative to the beginning of the measured part; the maximum is in milliseconds, the
//! histograms hold nanoseconds. The library has a writer of its own, which has no place for the
//! legend and would encode again what the report holds encoded.

use std::fmt::Write as _;

use super::data::Report;
use crate::measure::histogram::Recorder;

/// The log, with a line end after each line.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut out = String::new();
    let mut line =
        |text: String| writeln!(out, "{text}").expect("writing to a string does not fail");
    let epoch = seconds_of_ms(report.measured_unix_ms);
    line(format!(
        "#[loadgen {}: {}]",
        report.loadgen,
        plain(&report.command)
    ));
    line("#[Histogram log format version 1.3]".to_owned());
    line(format!("#[BaseTime: {epoch} (seconds since epoch)]"));
    line(format!("#[StartTime: {epoch} (seconds since epoch)]"));
    line("#[MaxValueDivisor: 1000000.000]".to_owned());
    line(
        r#""StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram""#
            .to_owned(),
    );
    let nothing = Recorder::new().to_base64();
    let length = report.series.interval_s;
    for interval in &report.series.intervals {
        let histogram = match interval.histogram_base64.as_str() {
            "" => &nothing,
            histogram => histogram,
        };
        line(format!(
            "{:.3},{length:.3},{:.3},{histogram}",
            interval.start_s,
            as_ms(interval.max_ns)
        ));
    }
    out
}

/// The command on one line, whatever is in it.
fn plain(command: &[String]) -> String {
    let words = command.join(" ");
    words.replace(char::is_control, " ")
}

fn seconds_of_ms(ms: u64) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}

#[expect(clippy::cast_precision_loss, reason = "latencies far below 2^53 ns")]
fn as_ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}
