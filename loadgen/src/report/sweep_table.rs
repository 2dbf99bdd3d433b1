//! A sweep for people, and as a table for spreadsheets.

use std::fmt::Write as _;

use super::sweep::{Step, Sweep};
use crate::measure::units::{count, duration, metric};

/// The table and the knee, with a line end after each line.
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
    line(&COLUMNS, out)?;
    writeln!(out)?;
    for step in &sweep.steps {
        line(&cells(step), out)?;
        writeln!(out, "  {}", if step.held { "held" } else { "missed" })?;
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

/// What the columns of a step are called.
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

/// A step's columns.
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
        count(errors(step)),
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

/// Where the knee is, and what broke beyond it.
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

/// What makes the knee doubtful.
pub(crate) fn doubt(sweep: &Sweep) -> Option<String> {
    broken(sweep)?.report.outcome.generator_was_bottleneck.then(|| {
        "in the step that broke, the generator may have been the bottleneck: this is then its knee (-t, --pin)"
            .to_owned()
    })
}

fn broken(sweep: &Sweep) -> Option<&Step> {
    sweep.steps.last().filter(|step| !step.held)
}

fn errors(step: &Step) -> u64 {
    step.report.errors.iter().map(|error| error.count).sum()
}

/// A row per step; latencies in microseconds.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "latencies far below 2^53 ns")]
pub(crate) fn csv(sweep: &Sweep) -> String {
    let mut out =
        "rate_per_s,held,requests_per_s,p50_us,p99_us,p99_9_us,max_us,errors,server_cpu_us_per_request\n"
            .to_owned();
    for step in &sweep.steps {
        let (latency, server) = (step.report.latency.headline(), &step.report.server);
        let cpu = server.as_ref().and_then(|server| server.cpu_us_per_request);
        let us = |ns: u64| ns as f64 / 1e3;
        writeln!(
            out,
            "{},{},{:.3},{:.3},{:.3},{:.3},{:.3},{},{}",
            step.rate,
            step.held,
            step.report.throughput.requests_per_s,
            us(latency.p50_ns),
            us(latency.p99_ns),
            us(latency.p99_9_ns),
            us(latency.max_ns),
            errors(step),
            cpu.map_or_else(String::new, |us| format!("{us:.4}"))
        )
        .expect("writing to a string does not fail");
    }
    out
}
