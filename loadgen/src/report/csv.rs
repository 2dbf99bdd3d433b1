//! The figures as a table for spreadsheets: a row for the whole run, one for its raw latencies
//! where they are another matter, and one for each interval.
//!
//! [`HEADER`] is the first line. `scope` is `run` or `interval`; `latency` says which latencies the
//! row shows, `raw` (from the actual send) or `corrected` (from the intended one). Times are
//! seconds from the beginning of the measured part, latencies microseconds. `requests` counts
//! answers as throughput does; a field that does not apply is empty.

use std::fmt::Write as _;

use super::data::{Distribution, Report};
use crate::measure::histogram::Recorder;

/// The columns.
pub const HEADER: &str = "scope,latency,start_s,length_s,requests,requests_per_s,errors,latency_count,min_us,mean_us,p50_us,p75_us,p90_us,p99_us,p99_9_us,p99_99_us,max_us";

/// The table, with a line end after each line.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut out = format!("{HEADER}\n");
    let headline = if report.latency.corrected.is_some() {
        "corrected"
    } else {
        "raw"
    };
    let errors: u64 = report.errors.iter().map(|error| error.count).sum();
    let mut whole = |name: &str, distribution: &Distribution| {
        let (elapsed, requests) = (report.elapsed_s, report.requests.completed);
        let rate = report.throughput.requests_per_s;
        row(
            &mut out,
            &format!("run,{name},0,{elapsed:.6},{requests},{rate:.3},{errors}"),
            distribution,
        );
    };
    whole(headline, report.latency.headline());
    if report.latency.corrected.is_some() {
        whole("raw", &report.latency.raw);
    }
    for interval in &report.series.intervals {
        let latencies = interval.recorder().unwrap_or_else(|_| Recorder::new());
        let rate = interval.requests_per_s.map(|rate| format!("{rate:.3}"));
        let first = format!(
            "interval,{headline},{:.6},{:.6},{},{},{}",
            interval.start_s,
            interval.measured_s,
            interval.completed,
            rate.unwrap_or_default(),
            interval.errors
        );
        row(&mut out, &first, &Distribution::from(&latencies));
    }
    out
}

fn row(out: &mut String, first: &str, latencies: &Distribution) {
    out.push_str(first);
    write!(out, ",{}", latencies.count).expect("writing to a string does not fail");
    let figures = [latencies.min_ns]
        .into_iter()
        .map(as_us)
        .chain([latencies.mean_ns / 1e3])
        .chain(latencies.quantiles().into_iter().map(|(_, ns)| as_us(ns)));
    for us in figures {
        if latencies.count == 0 {
            out.push(',');
        } else {
            write!(out, ",{us:.3}").expect("writing to a string does not fail");
        }
    }
    out.push('\n');
}

#[expect(clippy::cast_precision_loss, reason = "latencies far below 2^53 ns")]
fn as_us(ns: u64) -> f64 {
    ns as f64 / 1e3
}
