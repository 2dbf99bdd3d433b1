//! Judges a report by its thresholds.
//!
//! The report of a run or of a sum of runs calls it. Tests: `gate/tests.rs`.

use super::data::{Report, Status};
use super::slo::{Limited, Series, Slo};
use super::threshold::Verdict;

/// Judges the report by its thresholds. A run that failed or was interrupted keeps its exit code.
pub(crate) fn gate(slo: &Slo, report: &mut Report) {
    report.slo = judge(slo, report);
    let missed = report.slo.iter().filter(|verdict| !verdict.met);
    let missed: Vec<_> = missed.map(|verdict| format!("--slo: {verdict}")).collect();
    if !missed.is_empty() && report.outcome.status == Status::Ok {
        (report.outcome.status, report.outcome.exit_code) = (Status::Missed, 3);
    }
    report.outcome.messages.extend(missed);
}

/// Returns the verdict on each threshold.
pub(crate) fn judge(slo: &Slo, report: &Report) -> Vec<Verdict> {
    slo.judge(|limited| value(limited, report))
}

fn value(of: Limited, report: &Report) -> Option<f64> {
    let (series, statistic) = match of {
        Limited::Metric(metric) => return (metric.value)(report),
        Limited::Latency(series, statistic) => (series, statistic),
    };
    let latency = &report.latency;
    statistic.of(match series {
        Series::Headline => latency.headline(),
        Series::Raw => &latency.raw,
        Series::Connect => &report.connections.connect_latency,
        Series::Lag => latency.schedule_lag.as_ref()?,
    })
}

#[cfg(test)]
mod tests;
