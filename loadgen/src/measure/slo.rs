//! `--slo`: what a run must show, and by how much it missed it.
//!
//! A list of thresholds such as `p99.9<5ms,errors=0`, each a metric, an operator and a value:
//!
//! | metric | what is compared | value |
//! |---|---|---|
//! | `p50`, `p99`, `p99.9`, any `pN` up to `p100`; `mean`, `max` | latency, from the intended send in an open loop | a duration |
//! | `raw.`, `connect.` or `lag.` before one of those | latency from the actual send; time to connect; how late the generator sent | a duration |
//! | `rate` | answers per second | a count |
//! | `achieved` (also `kept`) | answers within the measured time, of those that the schedule put into it | percent |
//! | `errors`, `unanswered` | failed connections and refused requests; requests without an answer | a count |
//! | `errors` | requests without a good answer, of all requests of the measured part | percent, with a `%` |
//!
//! `lag.` needs an open loop, and is refused without one. Operators are `<`, `<=`, `>`, `>=` and
//! `=`. What was not measured is missed: a gate never passes for want of data. Pure; `summary.rs`
//! judges with it and the report holds the [`Verdict`]s. Tests: `report/gate/tests.rs`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use server_demo::units::{parse_count, parse_duration};

use crate::measure::clock::nanos;
use crate::measure::units::{count, duration_f64, metric};

/// All thresholds of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Slo {
    thresholds: Vec<Threshold>,
}

#[derive(Debug, Clone, PartialEq)]
struct Threshold {
    metric: Metric,
    operator: Operator,
    /// In the metric's unit.
    limit: f64,
    /// As it was written.
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Metric {
    Latency(Series, Statistic),
    Rate,
    Achieved,
    Errors,
    /// Requests without a good answer, as a share of all.
    ErrorShare,
    Unanswered,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Series {
    Headline,
    Raw,
    Connect,
    Lag,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Statistic {
    /// A share between 0 and 1.
    Quantile(f64),
    Mean,
    Max,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Below,
    AtMost,
    Above,
    AtLeast,
    Equal,
}

/// The unit of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Nanoseconds.
    Ns,
    /// Requests per second.
    PerSecond,
    /// Percent.
    Percent,
    /// Things counted.
    Count,
}

/// What a run showed of one threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The threshold as it was asked for.
    pub threshold: String,
    /// The unit of the next two.
    pub unit: Unit,
    /// What was asked for.
    pub limit: f64,
    /// What was measured; absent where nothing was.
    pub measured: Option<f64>,
    /// Whether it was met.
    pub met: bool,
}

const METRICS: &str = "pN (such as p99.9), mean, max, each alone or after raw. connect. or lag.; rate, achieved, errors, unanswered";

/// Longest first, so that `<=` is not read as `<`.
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
        let metric: Metric = name.parse()?;
        // A percentage of errors is another metric than their number.
        let metric = match metric {
            Metric::Errors if value.ends_with('%') => Metric::ErrorShare,
            metric => metric,
        };
        let limit = metric
            .unit()
            .parse(value)
            .map_err(|problem| format!("`{text}`: {problem}"))?;
        Ok(Self {
            metric,
            operator,
            limit,
            text: text.split_whitespace().collect(),
        })
    }
}

impl FromStr for Metric {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
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
        match (name, statistic) {
            ("rate", _) => Ok(Self::Rate),
            ("achieved" | "kept", _) => Ok(Self::Achieved),
            ("errors", _) => Ok(Self::Errors),
            ("unanswered", _) => Ok(Self::Unanswered),
            (_, Some(statistic)) => Ok(Self::Latency(series, statistic)),
            (_, None) => Err(format!("unknown metric `{name}`; there are {METRICS}")),
        }
    }
}

/// `99.9` as 0.999, without the error of dividing a number that is not exact.
pub(crate) fn quantile(percent: &str) -> Option<f64> {
    const SCALE: f64 = 1e6;
    let plain = percent
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let percent: f64 = percent.parse().ok().filter(|_| plain)?;
    (percent <= 100.0).then(|| (percent * SCALE).round() / (100.0 * SCALE))
}

impl Unit {
    #[expect(clippy::cast_precision_loss, reason = "limits far below 2^53")]
    fn parse(self, value: &str) -> Result<f64, String> {
        match self {
            Self::Ns => parse_duration(value)
                .map(|limit| nanos(limit) as f64)
                .map_err(|error| error.to_string()),
            Self::PerSecond | Self::Count => parse_count(value)
                .map(|limit| limit as f64)
                .map_err(|error| error.to_string()),
            Self::Percent => match value.strip_suffix('%').unwrap_or(value).trim().parse() {
                Ok(limit) if (0.0..=100.0).contains(&limit) => Ok(limit),
                _ => Err(format!(
                    "`{value}` is not a percentage; write for example `99%`"
                )),
            },
        }
    }

    fn show(self, value: f64) -> String {
        match self {
            Self::Ns => duration_f64(value),
            Self::PerSecond => format!("{}/s", metric(value)),
            Self::Percent => format!("{value:.2}%"),
            // A count of things: whole, and never negative.
            Self::Count => count(format!("{value:.0}").parse().unwrap_or(u64::MAX)),
        }
    }
}

impl Metric {
    fn unit(self) -> Unit {
        match self {
            Self::Latency(..) => Unit::Ns,
            Self::Rate => Unit::PerSecond,
            Self::Achieved | Self::ErrorShare => Unit::Percent,
            Self::Errors | Self::Unanswered => Unit::Count,
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
            // Both are whole numbers wherever an equation makes sense.
            Self::Equal => (measured - limit).abs() < 0.5,
        }
    }
}

impl Slo {
    /// Holds each threshold, in order, against the value that `measured` gives for its metric.
    #[must_use]
    pub(crate) fn judge(&self, measured: impl Fn(Metric) -> Option<f64>) -> Vec<Verdict> {
        let judge = |threshold: &Threshold| {
            let measured = measured(threshold.metric);
            Verdict {
                threshold: threshold.text.clone(),
                unit: threshold.metric.unit(),
                limit: threshold.limit,
                measured,
                met: measured
                    .is_some_and(|measured| threshold.operator.holds(measured, threshold.limit)),
            }
        };
        self.thresholds.iter().map(judge).collect()
    }

    /// The first threshold on how late the generator sent, as it was written: a closed loop has no
    /// schedule to be late for.
    #[must_use]
    pub fn needs_schedule(&self) -> Option<&str> {
        let late =
            |threshold: &&Threshold| matches!(threshold.metric, Metric::Latency(Series::Lag, _));
        let found = self.thresholds.iter().find(late)?;
        Some(&found.text)
    }

    /// Whether failed connections are judged by a threshold: then they are no failure of the run by
    /// themselves.
    #[must_use]
    pub fn names_errors(&self) -> bool {
        self.thresholds
            .iter()
            .any(|threshold| matches!(threshold.metric, Metric::Errors | Metric::ErrorShare))
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

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let met = if self.met { "met" } else { "missed" };
        write!(f, "{} {met}: ", self.threshold)?;
        let Some(measured) = self.measured else {
            return f.write_str("nothing was measured");
        };
        f.write_str(&self.unit.show(measured))?;
        if self.met {
            return Ok(());
        }
        let off = measured - self.limit;
        let side = if off < 0.0 { "short" } else { "over" };
        write!(f, ", {} {side}", self.unit.show(off.abs()))?;
        if self.limit > 0.0 {
            write!(f, " ({:.1}%)", off.abs() / self.limit * 100.0)?;
        }
        Ok(())
    }
}
