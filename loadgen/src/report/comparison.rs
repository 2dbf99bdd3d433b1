//! The comparison of two contenders as plain data, and as text, CSV and JSON.

use std::fmt::Write as _;

use serde::Serialize;

use super::csv::{optional, table};
use super::data::Report;
use super::width::columns;

/// The value of the `format` field of a comparison.
pub const COMPARE_FORMAT: &str = "loadgen-compare";

/// The width of a row. On a narrower terminal, each metric has a list instead.
const WIDTH: usize = 118;

/// All rounds of one contender.
#[derive(Debug)]
pub struct Contender {
    /// The file that they come from.
    pub file: String,
    /// In order.
    pub rounds: Vec<Report>,
}

/// The result, in the form of the JSON (version 1 of the schema).
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// [`COMPARE_FORMAT`].
    pub format: &'static str,
    /// The version of the schema.
    pub version: u32,
    /// The base of the comparison.
    pub a: Side,
    /// The contender compared with the base.
    pub b: Side,
    /// Pairs of rounds.
    pub rounds: usize,
    /// Warnings about the comparison.
    pub warnings: Vec<String>,
    /// The metrics that both sides have in every round.
    pub metrics: Vec<Metric>,
}

/// One contender in the result.
#[derive(Debug, Serialize)]
pub struct Side {
    /// Its file.
    pub file: String,
    /// The target of its first round.
    pub target: String,
    /// Rounds that ended with errors or by a signal.
    pub rounds_not_ok: usize,
    /// Rounds in which the generator may have been the bottleneck.
    pub rounds_generator_bound: usize,
}

/// One metric of both contenders.
#[derive(Debug, Serialize)]
pub struct Metric {
    /// Name as in the reports.
    pub name: &'static str,
    /// Unit of the medians.
    pub unit: &'static str,
    /// The better direction: `higher` or `lower`.
    pub better: &'static str,
    /// Median of A's rounds.
    pub a_median: f64,
    /// Median of B's rounds.
    pub b_median: f64,
    /// Geometric mean of B/A over the pairs; absent with a single pair.
    pub ratio: Option<f64>,
    /// Lower end of the 95% interval.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// The verdict.
    pub verdict: Verdict,
}

/// The verdict on a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// B is better.
    BBetter,
    /// B is worse.
    BWorse,
    /// The interval contains 1: no difference shown.
    NoDifferenceShown,
    /// The rounds are too few for an interval, or one of them is zero and has no ratio.
    NoInterval,
}

impl Verdict {
    /// Returns the verdict in words.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::BBetter => "B is better",
            Self::BWorse => "B is worse",
            Self::NoDifferenceShown => "no difference shown",
            Self::NoInterval => "too few rounds, or a zero",
        }
    }
}

impl Comparison {
    /// Writes a row for each metric under a header.
    #[must_use]
    pub fn csv(&self) -> String {
        let header = [
            "metric", "unit", "better", "a_median", "b_median", "ratio", "low", "high", "verdict",
        ];
        let row = |metric: &Metric| {
            vec![
                metric.name.to_owned(),
                metric.unit.to_owned(),
                metric.better.to_owned(),
                optional(Some(metric.a_median), 6),
                optional(Some(metric.b_median), 6),
                optional(metric.ratio, 6),
                optional(metric.low, 6),
                optional(metric.high, 6),
                metric.verdict.describe().to_owned(),
            ]
        };
        table(
            header.map(str::to_owned).to_vec(),
            self.metrics.iter().map(row).collect(),
        )
    }

    /// Writes the comparison for people, with a line end after each line.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::new();
        let mut line =
            |text: String| writeln!(out, "{text}").expect("writing to a string does not fail");
        line(format!("A: {} ({})", self.a.file, self.a.target));
        line(format!("B: {} ({})", self.b.file, self.b.target));
        line(format!(
            "{} paired rounds; ratio B/A with its 95% interval",
            self.rounds
        ));
        let is_narrow = columns() < WIDTH;
        if !is_narrow {
            line(format!(
                "  {:<28} {:>14} {:>14} {:>4}  {:>24}  {}",
                "", "A (median)", "B (median)", "", "B/A", "verdict"
            ));
        }
        for metric in &self.metrics {
            let ratio = match (metric.ratio, metric.low, metric.high) {
                (Some(ratio), Some(low), Some(high)) => format!("{ratio:.3} [{low:.3}, {high:.3}]"),
                _ => "-".to_owned(),
            };
            if is_narrow {
                let (unit, verdict) = (metric.unit, metric.verdict.describe());
                line(format!("  {}: {verdict}", metric.name));
                line(format!("    A   {:>14.2} {unit}", metric.a_median));
                line(format!("    B   {:>14.2} {unit}", metric.b_median));
                line(format!("    B/A {ratio:>24}"));
                continue;
            }
            line(format!(
                "  {:<28} {:>14.2} {:>14.2} {:>4}  {ratio:>24}  {}",
                metric.name,
                metric.a_median,
                metric.b_median,
                metric.unit,
                metric.verdict.describe()
            ));
        }
        for warning in &self.warnings {
            line(format!("Warning: {warning}"));
        }
        out
    }
}
