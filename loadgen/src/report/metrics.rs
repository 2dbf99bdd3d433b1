//! The metrics of a run: name, unit, better direction, and the function that reads them from a
//! report.
//!
//! One table serves `compare`, `--slo`, the CSV files and the bench report, so that a metric has
//! one name and one meaning everywhere. Latencies have statistics. [`STATISTICS`] lists those in
//! tables; thresholds may use any percentile. Tests: at the end of this file and `gate/tests.rs`.

use super::data::{Distribution, Report};
use super::threshold::Unit;

/// The direction in which a metric is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
}

impl Better {
    /// Returns its name in a comparison.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Higher => "higher",
            Self::Lower => "lower",
        }
    }
}

/// One metric of a report.
#[derive(Debug)]
pub struct Metric {
    /// The name in comparisons and tables.
    pub name: &'static str,
    /// The unit of its values.
    pub unit: Unit,
    /// The better direction.
    pub better: Better,
    /// Its names in `--slo`; empty if it has none.
    pub threshold: &'static [&'static str],
    /// True if `compare` shows it.
    pub compared: bool,
    /// Reads it from a report; returns `None` if it was not measured.
    pub value: fn(&Report) -> Option<f64>,
}

/// A statistic of a distribution of durations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Statistic {
    /// The smallest duration.
    Min,
    /// The average.
    Mean,
    /// A quantile: the duration that this share, from 0 to 1, does not exceed.
    Quantile(f64),
    /// The largest duration.
    Max,
}

/// The statistics that tables show, by name.
pub const STATISTICS: [(&str, Statistic); 9] = [
    ("min", Statistic::Min),
    ("mean", Statistic::Mean),
    ("p50", Statistic::Quantile(0.5)),
    ("p75", Statistic::Quantile(0.75)),
    ("p90", Statistic::Quantile(0.9)),
    ("p99", Statistic::Quantile(0.99)),
    ("p99_9", Statistic::Quantile(0.999)),
    ("p99_99", Statistic::Quantile(0.9999)),
    ("max", Statistic::Max),
];

impl Statistic {
    /// Returns the statistic in nanoseconds, or `None` if nothing was recorded.
    #[must_use]
    pub fn of(self, distribution: &Distribution) -> Option<f64> {
        if distribution.count == 0 {
            return None;
        }
        Some(match self {
            Self::Min => as_f64(distribution.min_ns),
            Self::Mean => distribution.mean_ns,
            Self::Max => as_f64(distribution.max_ns),
            Self::Quantile(share) => match distribution.named_quantile(share) {
                Some(ns) => as_f64(ns),
                None => as_f64(distribution.recorder().ok()?.quantile(share)),
            },
        })
    }

    /// Returns the statistic in microseconds, the unit of latencies in tables.
    #[must_use]
    pub fn us(self, distribution: &Distribution) -> Option<f64> {
        self.of(distribution).map(|ns| ns / 1e3)
    }
}

/// Defines a metric of the server.
macro_rules! server {
    ($name:literal, $unit:ident, $better:ident, $field:ident) => {
        Metric {
            name: $name,
            unit: Unit::$unit,
            better: Better::$better,
            threshold: &[],
            compared: true,
            value: |report| report.server.as_ref()?.$field,
        }
    };
}

/// Defines a metric of the headline latency.
macro_rules! latency {
    ($name:literal, $share:literal) => {
        Metric {
            name: $name,
            unit: Unit::Us,
            better: Better::Lower,
            threshold: &[],
            compared: true,
            value: |report| Statistic::Quantile($share).us(report.latency.headline()),
        }
    };
}

/// All metrics, in the order in which tables show them.
pub const METRICS: [Metric; 15] = [
    Metric {
        name: "requests_per_s",
        unit: Unit::PerSecond,
        better: Better::Higher,
        threshold: &["rate"],
        compared: true,
        value: |report| (report.elapsed_s > 0.0).then_some(report.throughput.requests_per_s),
    },
    server!("server_cpu_us_per_request", Us, Lower, cpu_us_per_request),
    server!(
        "requests_per_server_cpu_s",
        PerSecond,
        Higher,
        requests_per_cpu_s
    ),
    server!(
        "server_bytes_per_connection",
        Bytes,
        Lower,
        bytes_per_connection
    ),
    latency!("latency_p50", 0.5),
    latency!("latency_p75", 0.75),
    latency!("latency_p90", 0.9),
    latency!("latency_p99", 0.99),
    latency!("latency_p99_9", 0.999),
    latency!("latency_p99_99", 0.9999),
    Metric {
        name: "achieved",
        unit: Unit::Percent,
        better: Better::Higher,
        threshold: &["achieved", "kept"],
        compared: false,
        value: |report| share(report.requests.completed, report.requests.scheduled),
    },
    Metric {
        name: "errors",
        unit: Unit::Count,
        better: Better::Lower,
        threshold: &["errors"],
        compared: false,
        value: |report| Some(as_f64(errors(report))),
    },
    Metric {
        name: "error_share",
        unit: Unit::Percent,
        better: Better::Lower,
        // This name is for a value with a percent sign.
        threshold: &["errors%"],
        compared: false,
        value: |report| {
            let requests = &report.requests;
            let refused: u64 = report.statuses.values().sum();
            share(
                refused + requests.unanswered + requests.unsent,
                requests.scheduled,
            )
        },
    },
    Metric {
        name: "unanswered",
        unit: Unit::Count,
        better: Better::Lower,
        threshold: &["unanswered"],
        compared: false,
        value: |report| Some(as_f64(report.requests.unanswered + report.requests.unsent)),
    },
    Metric {
        name: "generator_cpu_us_per_request",
        unit: Unit::Us,
        better: Better::Lower,
        threshold: &[],
        compared: false,
        value: |report| report.generator.cpu_us_per_request,
    },
];

/// Returns the number of failed connections and refused requests.
#[must_use]
pub fn errors(report: &Report) -> u64 {
    report.errors.iter().map(|error| error.count).sum()
}

/// Returns the metric with this name in `--slo`.
#[must_use]
pub fn by_threshold(name: &str) -> Option<&'static Metric> {
    static TABLE: [Metric; METRICS.len()] = METRICS;
    TABLE.iter().find(|metric| metric.threshold.contains(&name))
}

/// Returns the value of the metric with this name in the table.
///
/// # Panics
/// The table has no such name.
#[must_use]
pub fn value(name: &str, report: &Report) -> Option<f64> {
    let metric = METRICS.into_iter().find(|metric| metric.name == name);
    (metric.expect("a metric of the table").value)(report)
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| 100.0 * as_f64(part) / as_f64(whole))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a report shows at most nine digits"
)]
fn as_f64(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::sample;

    #[test]
    fn every_metric_has_one_name_and_a_value() {
        let report = sample(100.0, 5);
        for (at, metric) in METRICS.iter().enumerate() {
            let same = |other: &&Metric| {
                let shared = other
                    .threshold
                    .iter()
                    .any(|one| metric.threshold.contains(one));
                other.name == metric.name || shared
            };
            assert_eq!(METRICS.iter().filter(same).count(), 1, "{}", metric.name);
            let measured = (metric.value)(&report).is_some();
            let missing = [
                "server_bytes_per_connection",
                "generator_cpu_us_per_request",
            ];
            assert_eq!(
                measured,
                !missing.contains(&metric.name),
                "{at}: {}",
                metric.name
            );
        }
    }

    #[test]
    fn a_statistic_reads_the_figure_or_the_histogram() {
        let report = sample(100.0, 100_000);
        let latency = report.latency.headline();
        for (name, statistic) in STATISTICS {
            let us = statistic.us(latency).expect("measured");
            assert!((900.0..=100_100.0).contains(&us), "{name}: {us}");
        }
        let tenth = Statistic::Quantile(0.1).us(latency).expect("measured");
        assert!((tenth - 10_000.0).abs() < 10.0, "{tenth}");
        assert_eq!(Statistic::Max.of(&Distribution::default()), None);
    }
}
