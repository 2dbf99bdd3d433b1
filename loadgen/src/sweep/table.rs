//! A sweep for people, and as a table for spreadsheets.

use std::fmt::Write as _;

use super::{Step, Sweep};
use crate::report::units::{count, duration, metric};

/// The table and the knee, with a line end after each line.
#[must_use]
pub fn text(sweep: &Sweep) -> String {
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
    writeln!(
        out,
        "  {:>12} {:>12} {:>10} {:>10} {:>10} {:>10} {:>7} {:>9}",
        "rate/s", "answered/s", "p50", "p99", "p99.9", "max", "errors", "CPU/req"
    )?;
    for step in &sweep.steps {
        let (latency, server) = (step.report.latency.headline(), &step.report.server);
        let cpu = server.as_ref().and_then(|server| server.cpu_us_per_request);
        writeln!(
            out,
            "  {:>12} {:>12} {:>10} {:>10} {:>10} {:>10} {:>7} {:>9}  {}",
            count(step.rate),
            metric(step.report.throughput.requests_per_s),
            duration(latency.p50_ns),
            duration(latency.p99_ns),
            duration(latency.p99_9_ns),
            duration(latency.max_ns),
            count(errors(step)),
            cpu.map_or_else(|| "-".to_owned(), |us| format!("{us:.2}us")),
            if step.held { "held" } else { "missed" }
        )?;
    }
    for message in &sweep.messages {
        writeln!(out, "  Ended early: {message}")?;
    }
    knee(sweep, out)
}

fn knee(sweep: &Sweep, out: &mut String) -> std::fmt::Result {
    let broken = sweep.steps.last().filter(|step| !step.held);
    match (sweep.knee, broken) {
        (Some(knee), Some(step)) => writeln!(
            out,
            "Knee: {} requests/s held {}; {}/s did not: {}",
            count(knee),
            sweep.slo,
            count(step.rate),
            step.why()
        )?,
        (Some(knee), None) => writeln!(
            out,
            "Knee: none up to {} requests/s, the last rate run, which held {}",
            count(knee),
            sweep.slo
        )?,
        (None, Some(step)) => writeln!(
            out,
            "Knee: below {} requests/s, the first rate: {}",
            count(step.rate),
            step.why()
        )?,
        (None, None) => writeln!(out, "Knee: unknown, no step was run")?,
    }
    if broken.is_some_and(|step| step.report.outcome.generator_was_bottleneck) {
        writeln!(
            out,
            "  Warning: in the step that broke, the generator may have been the bottleneck: this is then its knee (-t, --pin)"
        )?;
    }
    Ok(())
}

fn errors(step: &Step) -> u64 {
    step.report.errors.iter().map(|error| error.count).sum()
}

/// A row per step; latencies in microseconds.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "latencies far below 2^53 ns")]
pub fn csv(sweep: &Sweep) -> String {
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
