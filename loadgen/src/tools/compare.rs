//! `loadgen compare`: two contenders, many rounds, one ratio per metric with its 95% confidence interval.
//!
//! Each file holds all rounds of one contender, as JSON reports one after another or as one array; round `k` of both files ran
//! side by side, so they are compared in pairs (see [`stats`](crate::measure::stats)). The ratio is B/A. Reads files and renders; the
//! command line calls [`run`]. Tests: `compare/tests.rs`.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use crate::cli::args::{CompareArgs, Format};
use crate::measure::stats::{Interval, median, paired_ratio};
use crate::report::output::{self, Files, Kind};
use crate::report::{self, Report, Status, html};
use crate::run::Refusal;

/// What the `format` field of a comparison says.
pub const COMPARE_FORMAT: &str = "loadgen-compare";

/// All rounds of one contender.
#[derive(Debug)]
pub struct Contender {
    /// Where they were read from.
    pub file: String,
    /// In order.
    pub rounds: Vec<Report>,
}

/// The result: what JSON holds (version 1 of the schema).
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// [`COMPARE_FORMAT`].
    pub format: &'static str,
    /// The version of the schema.
    pub version: u32,
    /// The base.
    pub a: Side,
    /// What is compared with it.
    pub b: Side,
    /// Pairs of rounds.
    pub rounds: usize,
    /// What makes the comparison doubtful.
    pub warnings: Vec<String>,
    /// One entry per metric that both sides have in every round.
    pub metrics: Vec<Metric>,
}

/// One contender in the result.
#[derive(Debug, Serialize)]
pub struct Side {
    /// Its file.
    pub file: String,
    /// What its first round was run against.
    pub target: String,
    /// Rounds that ended with errors or by a signal.
    pub rounds_not_ok: usize,
    /// Rounds in which the generator may have been the bottleneck.
    pub rounds_generator_bound: usize,
}

/// One metric of both.
#[derive(Debug, Serialize)]
pub struct Metric {
    /// Name as in the reports.
    pub name: &'static str,
    /// Unit of the medians.
    pub unit: &'static str,
    /// Which direction is better: `higher` or `lower`.
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
    /// What it says.
    pub verdict: Verdict,
}

/// What a metric's interval says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// B is better.
    BBetter,
    /// B is worse.
    BWorse,
    /// The interval contains 1: no difference shown.
    NoDifferenceShown,
    /// Too few rounds for an interval, or a zero among them, which has no ratio.
    NoInterval,
}

impl Verdict {
    /// In words.
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

struct Definition {
    name: &'static str,
    unit: &'static str,
    higher_is_better: bool,
    value: fn(&Report) -> Option<f64>,
}

#[expect(clippy::cast_precision_loss, reason = "latencies far below 2^53 ns")]
const fn latency(ns: u64) -> Option<f64> {
    Some(ns as f64 / 1e3)
}

const METRICS: [Definition; 10] = [
    Definition {
        name: "requests_per_s",
        unit: "1/s",
        higher_is_better: true,
        value: |report| Some(report.throughput.requests_per_s),
    },
    Definition {
        name: "server_cpu_us_per_request",
        unit: "us",
        higher_is_better: false,
        value: |report| report.server.as_ref()?.cpu_us_per_request,
    },
    Definition {
        name: "requests_per_server_cpu_s",
        unit: "1/s",
        higher_is_better: true,
        value: |report| report.server.as_ref()?.requests_per_cpu_s,
    },
    Definition {
        name: "server_bytes_per_connection",
        unit: "B",
        higher_is_better: false,
        value: |report| report.server.as_ref()?.bytes_per_connection,
    },
    Definition {
        name: "latency_p50",
        unit: "us",
        higher_is_better: false,
        value: |report| latency(report.latency.headline().p50_ns),
    },
    Definition {
        name: "latency_p75",
        unit: "us",
        higher_is_better: false,
        value: |report| latency(report.latency.headline().p75_ns),
    },
    Definition {
        name: "latency_p90",
        unit: "us",
        higher_is_better: false,
        value: |report| latency(report.latency.headline().p90_ns),
    },
    Definition {
        name: "latency_p99",
        unit: "us",
        higher_is_better: false,
        value: |report| latency(report.latency.headline().p99_ns),
    },
    Definition {
        name: "latency_p99_9",
        unit: "us",
        higher_is_better: false,
        value: |report| latency(report.latency.headline().p99_9_ns),
    },
    Definition {
        name: "latency_p99_99",
        unit: "us",
        higher_is_better: false,
        value: |report| latency(report.latency.headline().p99_99_ns),
    },
];

/// Compares two files: prints the comparison and writes the files asked for.
///
/// # Errors
/// An output has an extension that is not for comparisons (exit code 2) or cannot be written, a file cannot be read or holds
/// something else than reports, or the two cannot be paired; the message names the file.
pub fn run(args: &CompareArgs) -> Result<(), Refusal> {
    for output in &args.outputs {
        Kind::of(output, &Kind::OF_COMPARISON).map_err(Refusal::arguments)?;
    }
    let (a, b) = (
        read(&args.a).map_err(Refusal::run)?,
        read(&args.b).map_err(Refusal::run)?,
    );
    let comparison = compare(&a, &b).map_err(Refusal::run)?;
    let files = Files::create(&args.outputs)?;
    let text = match args.format {
        Format::Text => comparison.render(),
        Format::Json => comparison.json(),
        Format::Csv => comparison.csv(),
    };
    files
        .write(|kind| match kind {
            Kind::Html => html::comparison(&comparison, &a, &b).into_bytes(),
            Kind::Csv => comparison.csv().into_bytes(),
            _ => comparison.json().into_bytes(),
        })
        .map_err(Refusal::run)?;
    output::print(text.as_bytes())
        .map_err(|error| Refusal::run(format!("standard output: {error}")))
}

/// Reads all rounds of one contender.
///
/// # Errors
/// The file cannot be read or holds something else than reports; a sentence names it.
pub fn read(path: &Path) -> Result<Contender, String> {
    Ok(Contender {
        file: path.display().to_string(),
        rounds: report::read(path)?,
    })
}

/// Compares two contenders round by round.
///
/// # Errors
/// They have different numbers of rounds.
pub fn compare(a: &Contender, b: &Contender) -> Result<Comparison, String> {
    if a.rounds.len() != b.rounds.len() {
        return Err(format!(
            "{} holds {} rounds and {} holds {}: they cannot be paired",
            a.file,
            a.rounds.len(),
            b.file,
            b.rounds.len()
        ));
    }
    Ok(Comparison {
        format: COMPARE_FORMAT,
        version: 1,
        a: side(a),
        b: side(b),
        rounds: a.rounds.len(),
        warnings: warnings(a, b),
        metrics: METRICS
            .iter()
            .filter_map(|definition| metric(definition, a, b))
            .collect(),
    })
}

fn side(contender: &Contender) -> Side {
    let count =
        |what: fn(&Report) -> bool| contender.rounds.iter().filter(|round| what(round)).count();
    Side {
        file: contender.file.clone(),
        target: contender
            .rounds
            .first()
            .map(|round| round.target.address.clone())
            .unwrap_or_default(),
        rounds_not_ok: count(|round| {
            // A missed threshold is a result like any other.
            !matches!(round.outcome.status, Status::Ok | Status::Missed)
        }),
        rounds_generator_bound: count(|round| round.outcome.generator_was_bottleneck),
    }
}

fn metric(definition: &Definition, a: &Contender, b: &Contender) -> Option<Metric> {
    let values = |contender: &Contender| {
        contender
            .rounds
            .iter()
            .map(definition.value)
            .collect::<Option<Vec<f64>>>()
    };
    let (a, b) = (values(a)?, values(b)?);
    let interval = paired_ratio(&a, &b);
    let verdict = match interval {
        None => Verdict::NoInterval,
        Some(interval) if interval.contains_one() => Verdict::NoDifferenceShown,
        Some(interval) if (interval.ratio > 1.0) == definition.higher_is_better => Verdict::BBetter,
        Some(_) => Verdict::BWorse,
    };
    let part = |part: fn(Interval) -> f64| interval.map(part);
    Some(Metric {
        name: definition.name,
        unit: definition.unit,
        better: if definition.higher_is_better {
            "higher"
        } else {
            "lower"
        },
        a_median: median(&a)?,
        b_median: median(&b)?,
        ratio: part(|interval| interval.ratio),
        low: part(|interval| interval.low),
        high: part(|interval| interval.high),
        verdict,
    })
}

fn warnings(a: &Contender, b: &Contender) -> Vec<String> {
    let mut warnings = Vec::new();
    for contender in [a, b] {
        let side = side(contender);
        if side.rounds_not_ok > 0 {
            warnings.push(format!(
                "{}: {} rounds did not end well",
                side.file, side.rounds_not_ok
            ));
        }
        if side.rounds_generator_bound > 0 {
            warnings.push(format!(
                "{}: in {} rounds the generator may have been the bottleneck",
                side.file, side.rounds_generator_bound
            ));
        }
    }
    let load = |round: &Report| {
        let settings = &round.settings;
        let shape = (
            settings.connections,
            settings.active,
            settings.pipeline,
            settings.size,
            settings.rate,
        );
        let said = (settings.protocol.clone(), settings.size_mix.clone());
        let churn = (settings.requests_per_conn, settings.lifetime_s);
        let bad: Vec<_> = round
            .bad_clients
            .iter()
            .map(|bad| (bad.kind.clone(), bad.clients))
            .collect();
        let skew = (settings.hot.clone(), settings.hot_shift_s, settings.work_us);
        (shape, said, churn, bad, skew, settings.verify, settings.io)
    };
    let mut loads = a.rounds.iter().chain(&b.rounds).map(load);
    if let Some(first) = loads.next()
        && loads.any(|other| other != first)
    {
        warnings.push("the rounds were not all run with the same load".to_owned());
    }
    if a.rounds.len() < 2 {
        warnings.push("one round has no interval; run several in turns".to_owned());
    }
    warnings
}

impl Comparison {
    /// The comparison on one line, with a line end.
    ///
    /// # Panics
    /// Never: it holds nothing that JSON cannot.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("strings, numbers and lists") + "\n"
    }

    /// A row for each metric under a header.
    #[must_use]
    pub fn csv(&self) -> String {
        let mut out = "metric,unit,better,a_median,b_median,ratio,low,high,verdict\n".to_owned();
        let number =
            |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.6}"));
        for metric in &self.metrics {
            writeln!(
                out,
                "{},{},{},{:.6},{:.6},{},{},{},{}",
                metric.name,
                metric.unit,
                metric.better,
                metric.a_median,
                metric.b_median,
                number(metric.ratio),
                number(metric.low),
                number(metric.high),
                metric.verdict.describe()
            )
            .expect("writing to a string does not fail");
        }
        out
    }

    /// The comparison for people, with a line end after each line.
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
        line(format!(
            "  {:<28} {:>14} {:>14} {:>4}  {:>24}  {}",
            "", "A (median)", "B (median)", "", "B/A", "verdict"
        ));
        for metric in &self.metrics {
            let ratio = match (metric.ratio, metric.low, metric.high) {
                (Some(ratio), Some(low), Some(high)) => format!("{ratio:.3} [{low:.3}, {high:.3}]"),
                _ => "-".to_owned(),
            };
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

#[cfg(test)]
pub(crate) mod tests;
