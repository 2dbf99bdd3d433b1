//! `--slo`: thresholds for a run, and the verdicts on them.
//!
//! The flag takes a list such as `p99.9<5ms,errors=0`. Each threshold is a metric, an operator and
//! a value:
//!
//! | metric | compared figure | value |
//! |---|---|---|
//! | `p50`, `p99`, `p99.9`, any `pN` up to `p100`; `mean`, `max` | latency, from the intended send in an open loop | a duration |
//! | one of those with the prefix `raw.`, `connect.` or `lag.` | latency from the actual send; time to connect; lag of the generator behind its schedule | a duration |
//! | `rate` | answers per second | a count |
//! | `achieved` (also `kept`) | answers within the measured time, as a share of the requests that the schedule put into it | percent |
//! | `errors`, `unanswered` | failed connections and refused requests; requests without an answer | a count |
//! | `errors` | requests without a good answer, as a share of all requests of the measured part | percent, with a `%` |
//!
//! `lag.` needs an open loop, and is refused without one. Operators are `<`, `<=`, `>`, `>=` and
//! `=`. A metric without data misses its threshold, so a gate never passes without data. Pure.
//! `gate.rs` judges with it, and the report has the [`Verdict`]s. Tests: `report/gate/tests.rs`.

use std::fmt;
use std::str::FromStr;

use server_demo::units::{parse_count, parse_duration};

use super::metrics::{Metric, Statistic, by_threshold};
use super::threshold::{Unit, Verdict};
use crate::measure::clock::nanos;

/// All thresholds of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Slo {
    thresholds: Vec<Threshold>,
}

#[derive(Debug, Clone, PartialEq)]
struct Threshold {
    limited: Limited,
    operator: Operator,
    /// The limit, in the metric's unit.
    limit: f64,
    /// The text that the user typed.
    text: String,
}

/// The figure that a threshold limits.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Limited {
    Latency(Series, Statistic),
    Metric(&'static Metric),
}

/// Metrics are entries of one table, so their names are enough.
impl PartialEq for Limited {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Latency(series, statistic), Self::Latency(other, theirs)) => {
                series == other && statistic == theirs
            }
            (Self::Metric(one), Self::Metric(other)) => one.name == other.name,
            _ => false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Series {
    Headline,
    Raw,
    Connect,
    Lag,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Below,
    AtMost,
    Above,
    AtLeast,
    Equal,
}

const METRICS: &str = "pN (such as p99.9), mean, max, each alone or after raw. connect. or lag.; rate, achieved, errors, unanswered";

/// The longest operator comes first, so that `<=` is not read as `<`.
const OPERATORS: [(&str, Operator); 5] = [
    ("<=", Operator::AtMost),
    (">=", Operator::AtLeast),
    ("<", Operator::Below),
    (">", Operator::Above),
    ("=", Operator::Equal),
];

impl FromStr for Slo {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let thresholds = text.split(',').map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self { thresholds })
    }
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let found = text.find(['<', '>', '=']).and_then(|at| {
            let (name, rest) = text.split_at(at);
            let (sign, operator) = OPERATORS
                .into_iter()
                .find(|(sign, _)| rest.starts_with(sign))?;
            Some((name.trim(), operator, rest[sign.len()..].trim()))
        });
        let Some((name, operator, value)) = found else {
            return Err(format!(
                "`{text}` has no operator; write for example `p99<5ms` (operators: < <= > >= =)"
            ));
        };
        // The share of errors and their number are two metrics.
        let named = match name {
            "errors" if value.ends_with('%') => "errors%",
            name => name,
        };
        let limited: Limited = named.parse()?;
        let limit =
            parse(limited.unit(), value).map_err(|problem| format!("`{text}`: {problem}"))?;
        Ok(Self {
            limited,
            operator,
            limit,
            text: text.split_whitespace().collect(),
        })
    }
}

impl FromStr for Limited {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        if let Some(metric) = by_threshold(name) {
            return Ok(Self::Metric(metric));
        }
        let (series, statistic) = match name.split_once('.') {
            Some(("raw", rest)) => (Series::Raw, rest),
            Some(("connect", rest)) => (Series::Connect, rest),
            Some(("lag", rest)) => (Series::Lag, rest),
            _ => (Series::Headline, name),
        };
        let statistic = match statistic {
            "mean" => Some(Statistic::Mean),
            "max" => Some(Statistic::Max),
            other => other
                .strip_prefix('p')
                .and_then(quantile)
                .map(Statistic::Quantile),
        };
        match statistic {
            Some(statistic) => Ok(Self::Latency(series, statistic)),
            None => Err(format!("unknown metric `{name}`; there are {METRICS}")),
        }
    }
}

/// Reads `99.9` as 0.999, without the rounding error of a division.
pub(crate) fn quantile(percent: &str) -> Option<f64> {
    const SCALE: f64 = 1e6;
    let plain = percent
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let percent: f64 = percent.parse().ok().filter(|_| plain)?;
    (percent <= 100.0).then(|| (percent * SCALE).round() / (100.0 * SCALE))
}

/// Reads a limit in this unit.
#[expect(clippy::cast_precision_loss, reason = "limits far below 2^53")]
fn parse(unit: Unit, value: &str) -> Result<f64, String> {
    match unit {
        Unit::Ns | Unit::Us => parse_duration(value)
            .map(|limit| nanos(limit) as f64)
            .map_err(|error| error.to_string()),
        Unit::PerSecond | Unit::Count | Unit::Bytes => parse_count(value)
            .map(|limit| limit as f64)
            .map_err(|error| error.to_string()),
        Unit::Percent => match value.strip_suffix('%').unwrap_or(value).trim().parse() {
            Ok(limit) if (0.0..=100.0).contains(&limit) => Ok(limit),
            _ => Err(format!(
                "`{value}` is not a percentage; write for example `99%`"
            )),
        },
    }
}

impl Limited {
    fn unit(self) -> Unit {
        match self {
            Self::Latency(..) => Unit::Ns,
            Self::Metric(metric) => metric.unit,
        }
    }
}

impl Operator {
    fn holds(self, measured: f64, limit: f64) -> bool {
        match self {
            Self::Below => measured < limit,
            Self::AtMost => measured <= limit,
            Self::Above => measured > limit,
            Self::AtLeast => measured >= limit,
            // Both are whole numbers if an equation makes sense.
            Self::Equal => (measured - limit).abs() < 0.5,
        }
    }
}

impl Slo {
    /// Judges each threshold, in order, by the value that `measured` returns for its metric.
    #[must_use]
    pub(crate) fn judge(&self, measured: impl Fn(Limited) -> Option<f64>) -> Vec<Verdict> {
        let judge = |threshold: &Threshold| {
            let measured = measured(threshold.limited);
            Verdict {
                threshold: threshold.text.clone(),
                unit: threshold.limited.unit(),
                limit: threshold.limit,
                measured,
                met: measured
                    .is_some_and(|measured| threshold.operator.holds(measured, threshold.limit)),
            }
        };
        self.thresholds.iter().map(judge).collect()
    }

    /// Returns the text of the first threshold on the generator's lag. A closed loop has no
    /// schedule, and so no lag.
    #[must_use]
    pub fn needs_schedule(&self) -> Option<&str> {
        let late =
            |threshold: &&Threshold| matches!(threshold.limited, Limited::Latency(Series::Lag, _));
        let found = self.thresholds.iter().find(late)?;
        Some(&found.text)
    }

    /// Returns true if a threshold judges failed connections. Then they alone do not fail the run.
    #[must_use]
    pub fn names_errors(&self) -> bool {
        let names = |threshold: &Threshold| match threshold.limited {
            Limited::Metric(metric) => matches!(metric.name, "errors" | "error_share"),
            Limited::Latency(..) => false,
        };
        self.thresholds.iter().any(names)
    }
}

impl fmt::Display for Slo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<_> = self
            .thresholds
            .iter()
            .map(|one| one.text.as_str())
            .collect();
        f.write_str(&texts.join(","))
    }
}
