//! A calibration for people: the server's record, the generator's measurement, and the number of
//! rounds in which they agreed.

use std::fmt::Write as _;

use super::data::{Calibration, Case, OFF_MAX, Pair, Quantile, SHARE_MAX};
use crate::measure::units::{duration, duration_f64};

/// The width of the whole table.
const TABLE_WIDTH: usize = 66;

/// Writes the table for lines of this width, with a line end after each line.
pub(super) fn render(calibration: &Calibration, columns: usize) -> String {
    let mut out = String::new();
    write(calibration, columns, &mut out).expect("writing to a string does not fail");
    out
}

fn write(calibration: &Calibration, columns: usize, out: &mut String) -> std::fmt::Result {
    let Calibration {
        machine,
        rounds,
        rounds_needed,
        ..
    } = calibration;
    writeln!(
        out,
        "Calibration: the generator's latencies beside the record of a server with known delays"
    )?;
    writeln!(
        out,
        "  {} connections, {rounds} rounds of {:.1}s per case; {}, {} CPUs",
        calibration.connections, calibration.round_s, machine.kernel, machine.cpus
    )?;
    writeln!(
        out,
        "  p50 to p99 agree within {:.0}% or {}, in {rounds_needed} of {rounds} rounds; figures are those of the middle round",
        SHARE_MAX * 100.0,
        duration(OFF_MAX).replace(".00", "")
    )?;
    for case in &calibration.cases {
        rows(case, *rounds, columns < TABLE_WIDTH, out)?;
    }
    stalls(calibration, out)?;
    let verdict = if calibration.passed {
        "passed"
    } else {
        "FAILED"
    };
    writeln!(out, "Calibration {verdict}")
}

fn rows(case: &Case, rounds: usize, narrow: bool, out: &mut String) -> std::fmt::Result {
    let verdict = if case.passed { "" } else { "  FAILED" };
    writeln!(
        out,
        "{} ({} requests): {} of {rounds} rounds agree{verdict}",
        case.name, case.requests, case.rounds_within
    )?;
    for series in &case.series {
        // A narrow terminal shows the difference instead of the generator's value.
        if narrow {
            writeln!(
                out,
                "  {:<9} {:>10} {:>8} {:>8}",
                series.name, "server", "differs", "agree"
            )?;
        } else {
            writeln!(
                out,
                "  {:<10} {:>11} {:>11} {:>19} {:>8}",
                series.name, "server", "measured", "difference", "agree"
            )?;
        }
        for quantile in &series.quantiles {
            let Some(middle) = middle(&quantile.rounds) else {
                continue;
            };
            let agree = if quantile.gated {
                let agree = quantile.rounds.iter().filter(|pair| pair.agrees()).count();
                format!("{agree} of {rounds}")
            } else {
                "-".to_owned()
            };
            if narrow {
                writeln!(
                    out,
                    "  {:<9} {:>10} {:>7.2}% {agree:>8}",
                    quantile.name,
                    duration(middle.server_ns),
                    middle.difference() * 100.0,
                )?;
                continue;
            }
            writeln!(
                out,
                "  {:<10} {:>11} {:>11} {:>11} {:>6.2}% {agree:>8}",
                quantile.name,
                duration(middle.server_ns),
                duration(middle.measured_ns),
                signed(middle.difference_ns()),
                middle.difference() * 100.0,
            )?;
        }
    }
    Ok(())
}

/// Returns the round with the median difference.
fn middle(rounds: &[Pair]) -> Option<Pair> {
    let mut sorted = rounds.to_vec();
    sorted.sort_by(|a, b| a.difference().total_cmp(&b.difference()));
    sorted.get(sorted.len() / 2).copied()
}

fn signed(ns: f64) -> String {
    let sign = if ns < 0.0 { '-' } else { '+' };
    format!("{sign}{}", duration_f64(ns.abs()))
}

/// Compares the same stall in the two loops.
fn stalls(calibration: &Calibration, out: &mut String) -> std::fmt::Result {
    let p90 = |open: bool, series: &str| -> Option<Pair> {
        let stalls = |case: &&Case| case.open == open && case.name.contains("stall");
        let case = calibration.cases.iter().find(stalls)?;
        let series = case.series.iter().find(|one| one.name == series)?;
        let of = |quantile: &&Quantile| quantile.name == "p90";
        middle(&series.quantiles.iter().find(of)?.rounds)
    };
    let (Some(closed), Some(open)) = (p90(false, "raw"), p90(true, "corrected")) else {
        return Ok(());
    };
    writeln!(
        out,
        "The stall is the same in both loops. p90 shows it as {} in the open one and as {} in the closed one, which sends\n\
         nothing while it waits and so asks too few requests how the stall was for them.",
        duration(open.measured_ns),
        duration(closed.measured_ns)
    )
}
