//! The figures as a table for spreadsheets: a row for the whole run, a row for the raw latencies of
//! an open loop, and a row for each interval.
//!
//! `scope` is `run` or `interval`; `latency` names the latencies of the row: `raw` (from the actual
//! send) or `corrected` (from the intended one). Times are seconds from the beginning of the
//! measured part. Latencies are microseconds. `requests` counts answers as throughput does. A field
//! that does not apply is empty.

use super::data::{Distribution, Report};
use super::metrics::{STATISTICS, errors};
use crate::measure::histogram::Recorder;

/// The columns before the statistics of latency.
const COLUMNS: [&str; 8] = [
    "scope",
    "latency",
    "start_s",
    "length_s",
    "requests",
    "requests_per_s",
    "errors",
    "latency_count",
];

/// Writes the table.
#[must_use]
pub fn render(report: &Report) -> String {
    let headline = if report.latency.corrected.is_some() {
        "corrected"
    } else {
        "raw"
    };
    let whole = |name: &str, latency: &Distribution| {
        let first = [
            "run".to_owned(),
            name.to_owned(),
            "0".to_owned(),
            format!("{:.6}", report.elapsed_s),
            report.requests.completed.to_string(),
            format!("{:.3}", report.throughput.requests_per_s),
            errors(report).to_string(),
        ];
        row(first, latency)
    };
    let mut rows = vec![whole(headline, report.latency.headline())];
    if report.latency.corrected.is_some() {
        rows.push(whole("raw", &report.latency.raw));
    }
    rows.extend(report.series.intervals.iter().map(|interval| {
        let latency = interval.recorder().unwrap_or_else(|_| Recorder::new());
        let first = [
            "interval".to_owned(),
            headline.to_owned(),
            format!("{:.6}", interval.start_s),
            format!("{:.6}", interval.measured_s),
            interval.completed.to_string(),
            optional(interval.requests_per_s, 3),
            interval.errors.to_string(),
        ];
        row(first, &Distribution::from(&latency))
    }));
    let statistics = STATISTICS.map(|(name, _)| format!("{name}_us"));
    let columns = COLUMNS.into_iter().map(str::to_owned).chain(statistics);
    table(columns.collect(), rows)
}

fn row(first: [String; 7], latency: &Distribution) -> Vec<String> {
    let statistics = STATISTICS.map(|(_, statistic)| optional(statistic.us(latency), 3));
    let count = [latency.count.to_string()];
    first.into_iter().chain(count).chain(statistics).collect()
}

/// Writes a figure with this many decimals, or nothing if there is none.
pub(crate) fn optional(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(String::new, |value| format!("{value:.decimals$}"))
}

/// Writes a header, and rows with a field for each column.
pub(crate) fn table(header: Vec<String>, rows: Vec<Vec<String>>) -> String {
    let mut table = csv::Writer::from_writer(Vec::new());
    for row in [header].into_iter().chain(rows) {
        table
            .write_record(row)
            .expect("each row has the header's fields");
    }
    let bytes = table.into_inner().expect("writing to memory does not fail");
    String::from_utf8(bytes).expect("text from text")
}
