//! Thresholds held against a report.
//!
//! Called when a run or a sum of runs is reported. Tests: `gate/tests.rs`.

use super::data::{Distribution, Report, Status};
use crate::measure::slo::{Metric, Series, Slo, Statistic, Verdict};

/// Holds the report against its thresholds. A run that failed or was interrupted keeps that exit
/// code.
pub(crate) fn gate(slo: &Slo, report: &mut Report) {
    report.slo = judge(slo, report);
    let missed = report.slo.iter().filter(|verdict| !verdict.met);
    let missed: Vec<_> = missed.map(|verdict| format!("--slo: {verdict}")).collect();
    if !missed.is_empty() && report.outcome.status == Status::Ok {
        (report.outcome.status, report.outcome.exit_code) = (Status::Missed, 3);
    }
    report.outcome.messages.extend(missed);
}

/// The verdict on each threshold.
pub(crate) fn judge(slo: &Slo, report: &Report) -> Vec<Verdict> {
    slo.judge(|metric| value(metric, report))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a report shows at most nine digits"
)]
fn value(of: Metric, report: &Report) -> Option<f64> {
    match of {
        Metric::Latency(series, statistic) => {
            let latency = &report.latency;
            let distribution = match series {
                Series::Headline => latency.headline(),
                Series::Raw => &latency.raw,
                Series::Connect => &report.connections.connect_latency,
                Series::Lag => latency.schedule_lag.as_ref()?,
            };
            statistic_of(statistic, distribution)
        }
        Metric::Rate => (report.elapsed_s > 0.0).then_some(report.throughput.requests_per_s),
        Metric::Achieved => {
            let requests = &report.requests;
            let share = requests.completed as f64 / requests.scheduled as f64;
            (requests.scheduled > 0).then_some(100.0 * share)
        }
        Metric::Errors => {
            let all: u64 = report.errors.iter().map(|error| error.count).sum();
            Some(all as f64)
        }
        Metric::ErrorShare => {
            let requests = &report.requests;
            let refused: u64 = report.statuses.values().sum();
            let bad = refused + requests.unanswered + requests.unsent;
            let share = bad as f64 / requests.scheduled as f64;
            (requests.scheduled > 0).then_some(100.0 * share)
        }
        Metric::Unanswered => {
            let requests = &report.requests;
            Some((requests.unanswered + requests.unsent) as f64)
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "latencies far below 2^53 ns")]
fn statistic_of(of: Statistic, distribution: &Distribution) -> Option<f64> {
    if distribution.count == 0 {
        return None;
    }
    match of {
        Statistic::Mean => Some(distribution.mean_ns),
        Statistic::Max => Some(distribution.max_ns as f64),
        Statistic::Quantile(quantile) => {
            let recorder = distribution.recorder().ok()?;
            Some(recorder.quantile(quantile) as f64)
        }
    }
}

#[cfg(test)]
mod tests;
