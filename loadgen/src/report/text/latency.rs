//! The latencies of the text report: averages, percentiles, and bars.
//!
//! Tests: `report/tests.rs`.

use std::fmt::Write as _;

use super::line::{as_f64, line, percent};
use crate::measure::histogram::Recorder;
use crate::measure::units::{duration, duration_f64, metric, short_duration};
use crate::report::data::{Distribution, Report};
use crate::report::width::columns;

/// The width of the rows of averages.
const STATS_WIDTH: usize = 56;
/// The width of the widest bar, and of the other columns of its row.
const BAR_WIDTH: usize = 40;
const BESIDE_BAR: usize = 30;
/// The bounds of the bars' bins in nanoseconds: 1, 2 and 5 in every decade.
const STEPS: [u64; 3] = [1, 2, 5];

/// The rows of averages.
pub(super) fn rows(report: &Report, out: &mut String) {
    let latency = report.latency.headline();
    let near = latency.recorder().map_or(0, |recorder| {
        let (low, high) = (
            latency.mean_ns - latency.stdev_ns,
            latency.mean_ns + latency.stdev_ns,
        );
        recorder
            .iter()
            .filter(|&(value, _)| (low..=high).contains(&as_f64(value)))
            .map(|(_, count)| count)
            .sum()
    });
    let latency = [
        duration_f64(latency.mean_ns),
        duration_f64(latency.stdev_ns),
        duration(latency.max_ns),
        format!("{:.2}%", percent(near, latency.count)),
    ];
    let rate = &report.throughput;
    let rate = match (
        rate.interval_mean_per_s,
        rate.interval_stdev_per_s,
        rate.interval_max_per_s,
    ) {
        (Some(mean), Some(stdev), Some(max)) => Some([mean, stdev, max].map(metric)),
        _ => None,
    };
    if columns() < STATS_WIDTH {
        return narrow_rows(&latency, rate.as_ref(), out);
    }
    line!(
        out,
        "  Stats          Avg       Stdev         Max   +/- Stdev"
    );
    let [mean, stdev, max, near] = &latency;
    line!(
        out,
        "    Latency {mean:>9} {stdev:>11} {max:>11} {near:>11}"
    );
    if let Some([mean, stdev, max]) = &rate {
        line!(out, "    Req/Sec {mean:>9} {stdev:>11} {max:>11}");
    }
}

/// Writes the averages for a narrow terminal: a row for each figure.
fn narrow_rows(latency: &[String; 4], rate: Option<&[String; 3]>, out: &mut String) {
    let title = if rate.is_some() { "Req/Sec" } else { "" };
    line!(out, "  {:<10} {:>11} {title:>11}", "Stats", "Latency");
    for (at, name) in ["Avg", "Stdev", "Max", "+/- Stdev"].into_iter().enumerate() {
        let rate = rate
            .and_then(|rate| rate.get(at))
            .map_or("", String::as_str);
        line!(out, "    {name:<9} {:>10} {rate:>11}", latency[at]);
    }
}

/// Writes the table of percentiles.
pub(super) fn percentiles(report: &Report, out: &mut String) {
    let latency = &report.latency;
    match &latency.corrected {
        None => {
            line!(
                out,
                "  Latency Distribution (closed loop: a stall flatters the tail; -R measures from the intended time)"
            );
            for (name, ns) in latency.raw.quantiles() {
                line!(out, "    {name:>7} {:>11}", duration(ns));
            }
        }
        Some(corrected) => {
            line!(
                out,
                "  Latency Distribution (from the intended and from the actual send)"
            );
            line!(out, "    {:>7} {:>11} {:>11}", "", "corrected", "raw");
            for ((name, from_intended), (_, from_sent)) in corrected
                .quantiles()
                .into_iter()
                .zip(latency.raw.quantiles())
            {
                line!(
                    out,
                    "    {name:>7} {:>11} {:>11}",
                    duration(from_intended),
                    duration(from_sent)
                );
            }
        }
    }
}

/// Writes the other latencies: first bytes and failures.
pub(super) fn others(report: &Report, out: &mut String) {
    let latency = &report.latency;
    let failures = (latency.failures.count > 0).then_some(&latency.failures);
    for (name, distribution) in [
        ("First byte", latency.first_byte.as_ref()),
        ("Failed", failures),
    ] {
        if let Some(distribution) = distribution {
            line!(out, "  {name}: {}", summary(distribution));
        }
    }
}

/// Draws a histogram as bars, with bins that grow as 1, 2, 5.
pub(super) fn bars(recorder: &Recorder, out: &mut String) {
    let bins = bins(recorder);
    let Some(most) = bins.iter().map(|bin| bin.2).max() else {
        return;
    };
    line!(out, "  Latency Histogram");
    let bar_width = BAR_WIDTH.min(columns() - BESIDE_BAR);
    for (from, to, entries) in bins {
        let filled = usize::try_from(u128::from(entries) * bar_width as u128 / u128::from(most))
            .unwrap_or(bar_width);
        let bar = "#".repeat(filled.max(usize::from(entries > 0)));
        let range = format!(
            "{} - {}",
            short_duration(as_f64(from)),
            short_duration(as_f64(to))
        );
        line!(
            out,
            "    {range:>15} |{bar:<bar_width$}| {:>6.2}%",
            percent(entries, recorder.count())
        );
    }
}

/// Returns `(from, to, entries)` of each bin, from the first to the last that is not empty.
fn bins(recorder: &Recorder) -> Vec<(u64, u64, u64)> {
    let mut bounds = (0..14).flat_map(|decade| STEPS.map(|step| step * 10_u64.pow(decade)));
    let mut from = 0;
    let mut to = bounds.next().expect("a first bound");
    let mut bins: Vec<(u64, u64, u64)> = Vec::new();
    for (value, entries) in recorder.iter() {
        while value >= to {
            from = to;
            let Some(next) = bounds.next() else { break };
            to = next;
            if !bins.is_empty() {
                bins.push((from, to, 0));
            }
        }
        match bins.last_mut() {
            Some(bin) => bin.2 += entries,
            None => bins.push((from, to, entries)),
        }
    }
    bins
}

/// Writes a distribution on one line, for progress and tests.
#[must_use]
pub fn summary(distribution: &Distribution) -> String {
    format!(
        "p50 {}, p99 {}, max {}",
        duration(distribution.p50_ns),
        duration(distribution.p99_ns),
        duration(distribution.max_ns)
    )
}
