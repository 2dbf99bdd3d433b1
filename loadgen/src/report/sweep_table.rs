//! A sweep for people, and as a table for spreadsheets.

use std::fmt::Write as _;

use super::csv::{optional, table};
use super::metrics::{self, errors};
use super::sweep::{Step, Sweep};
use super::width::columns;
use crate::measure::units::{count, duration, metric};

/// Writes the table and the knee, with a line end after each line.
#[must_use]
pub(crate) fn text(sweep: &Sweep) -> String {
    let mut out = String::new();
    write(sweep, &mut out).expect("writing to a string does not fail");
    out
}

fn write(sweep: &Sweep, out: &mut String) -> std::fmt::Result {
    writeln!(
        out,
        "Sweep @ {} until {} is missed twice",
        sweep.target.address, sweep.slo
    )?;
    let is_narrow = columns() < WIDTH;
    if !is_narrow {
        line(&COLUMNS, out)?;
        writeln!(out)?;
    }
    for step in &sweep.steps {
        let held = if step.held { "held" } else { "missed" };
        if is_narrow {
            writeln!(out, "  {}/s {held}", count(step.rate))?;
            for (title, cell) in COLUMNS.iter().zip(cells(step)).skip(1) {
                writeln!(out, "    {title:<10} {cell:>12}")?;
            }
        } else {
            line(&cells(step), out)?;
            writeln!(out, "  {held}")?;
        }
    }
    for message in &sweep.messages {
        writeln!(out, "  Ended early: {message}")?;
    }
    writeln!(out, "Knee: {}", knee(sweep))?;
    if let Some(doubt) = doubt(sweep) {
        writeln!(out, "  Warning: {doubt}")?;
    }
    Ok(())
}

/// The width of a row. On a narrower terminal, each step has a list instead.
const WIDTH: usize = 98;

/// The titles of the columns.
pub(crate) const COLUMNS: [&str; 8] = [
    "rate/s",
    "answered/s",
    "p50",
    "p99",
    "p99.9",
    "max",
    "errors",
    "CPU/req",
];

/// Returns the columns of a step.
pub(crate) fn cells(step: &Step) -> [String; 8] {
    let (latency, server) = (step.report.latency.headline(), &step.report.server);
    let cpu = server.as_ref().and_then(|server| server.cpu_us_per_request);
    [
        count(step.rate),
        metric(step.report.throughput.requests_per_s),
        duration(latency.p50_ns),
        duration(latency.p99_ns),
        duration(latency.p99_9_ns),
        duration(latency.max_ns),
        count(errors(&step.report)),
        cpu.map_or_else(|| "-".to_owned(), |us| format!("{us:.2}us")),
    ]
}

fn line(cells: &[impl AsRef<str>; 8], out: &mut String) -> std::fmt::Result {
    const WIDTHS: [usize; 8] = [12, 12, 10, 10, 10, 10, 7, 9];
    out.push(' ');
    for (cell, width) in cells.iter().zip(WIDTHS) {
        write!(out, " {:>width$}", cell.as_ref())?;
    }
    Ok(())
}

/// Writes the knee, and the threshold that the next rate missed.
pub(crate) fn knee(sweep: &Sweep) -> String {
    match (sweep.knee, broken(sweep)) {
        (Some(knee), Some(step)) => format!(
            "{} requests/s held {}; {}/s did not: {}",
            count(knee),
            sweep.slo,
            count(step.rate),
            step.why()
        ),
        (Some(knee), None) => format!(
            "none up to {} requests/s, the last rate run, which held {}",
            count(knee),
            sweep.slo
        ),
        (None, Some(step)) => format!(
            "below {} requests/s, the first rate: {}",
            count(step.rate),
            step.why()
        ),
        (None, None) => "unknown, no step was run".to_owned(),
    }
}

/// Returns a reason to doubt the knee.
pub(crate) fn doubt(sweep: &Sweep) -> Option<String> {
    broken(sweep)?.report.outcome.generator_was_bottleneck.then(|| {
        "in the step that broke, the generator may have been the bottleneck: this is then its knee (-t, --pin)"
            .to_owned()
    })
}

fn broken(sweep: &Sweep) -> Option<&Step> {
    sweep.steps.last().filter(|step| !step.held)
}

/// The latency statistics in a row of the table.
const STATISTICS: [&str; 4] = ["p50", "p99", "p99_9", "max"];

/// Writes a row per step; latencies in microseconds.
#[must_use]
pub(crate) fn csv(sweep: &Sweep) -> String {
    let shown = || {
        let all = metrics::STATISTICS.into_iter();
        all.filter(|(name, _)| STATISTICS.contains(name))
    };
    let named = |name: &str| name.to_owned();
    let mut header = ["rate_per_s", "held", "requests_per_s"].map(named).to_vec();
    header.extend(shown().map(|(name, _)| format!("{name}_us")));
    header.extend(["errors", "server_cpu_us_per_request"].map(named));
    let row = |step: &Step| {
        let report = &step.report;
        let value = |name: &str| metrics::value(name, report);
        let mut row = vec![
            step.rate.to_string(),
            step.held.to_string(),
            optional(value("requests_per_s"), 3),
        ];
        let latency = report.latency.headline();
        row.extend(shown().map(|(_, statistic)| optional(statistic.us(latency), 3)));
        row.push(errors(report).to_string());
        row.push(optional(value("server_cpu_us_per_request"), 4));
        row
    };
    table(header, sweep.steps.iter().map(row).collect())
}
