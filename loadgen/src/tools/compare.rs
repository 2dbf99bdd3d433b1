//! `loadgen compare`: two contenders, many rounds, one ratio per metric with its 95% confidence
//! interval.
//!
//! Each file has all rounds of one contender, as JSON reports one after another or as one array.
//! Round `k` of both files ran next to each other, so rounds are compared in pairs (see
//! [`stats`](crate::measure::stats)). The ratio is B/A. The command line calls [`run`]. Tests:
//! `compare/tests.rs`.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::console;
use crate::exit_error::ExitError;
use crate::measure::stats::{Interval, median, paired_ratio};
pub use crate::report::comparison::Contender;
use crate::report::comparison::{COMPARE_FORMAT, Comparison, Metric, Side, Verdict};
use crate::report::metrics::{self, Better, METRICS};
use crate::report::output::{Files, Format, Kind, Output};
use crate::report::{self, Report, Status, html, json};

/// The arguments of `compare`.
#[derive(Args, Debug, Clone)]
pub struct CompareArgs {
    /// All rounds of the base contender: JSON reports one after another, or one array of them
    #[arg(value_name = "A.json")]
    pub a: PathBuf,

    /// All rounds of the other contender, in the same order: round k of both ran next to each other
    #[arg(value_name = "B.json")]
    pub b: PathBuf,

    /// Format of standard output
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,

    /// Also write the comparison to FILE, in the format of its extension: json, csv or html (a page
    /// with plots); repeatable
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    pub outputs: Vec<PathBuf>,
}

/// Compares two files, prints the comparison and writes the requested files.
///
/// # Errors
/// An output has an extension that is not for comparisons (exit code 2), or cannot be written. A
/// file cannot be read, or has something other than reports. The two files cannot be paired. The
/// text names the file.
pub fn run(args: &CompareArgs) -> Result<(), ExitError> {
    for output in &args.outputs {
        Kind::of(output, Compared::FILES).map_err(ExitError::arguments)?;
    }
    let (a, b) = (
        read(&args.a).map_err(ExitError::run)?,
        read(&args.b).map_err(ExitError::run)?,
    );
    let comparison = compare(&a, &b).map_err(ExitError::run)?;
    let files = Files::create(&args.outputs)?;
    let compared = Compared {
        comparison: &comparison,
        contenders: [&a, &b],
    };
    let [written, printed] = console::deliver(&compared, args.format.into(), files);
    written.and(printed).map_err(ExitError::run)
}

/// A comparison with its reports, for the plots.
struct Compared<'a> {
    comparison: &'a Comparison,
    contenders: [&'a Contender; 2],
}

impl Output for Compared<'_> {
    const FILES: &'static [Kind] = &[Kind::Json, Kind::Csv, Kind::Html];

    fn render(&self, kind: Kind) -> Vec<u8> {
        let [a, b] = self.contenders;
        match kind {
            Kind::Csv => self.comparison.csv().into_bytes(),
            Kind::Html => html::comparison(self.comparison, a, b).into_bytes(),
            Kind::Text => self.comparison.render().into_bytes(),
            _ => json::line(self.comparison),
        }
    }
}

/// Reads all rounds of one contender.
///
/// # Errors
/// The file cannot be read, or has something other than reports. The text names it.
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
            .filter(|metric| metric.compared)
            .filter_map(|metric| compared(metric, a, b))
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
            // A run that missed a threshold still counts.
            !matches!(round.outcome.status, Status::Ok | Status::Missed)
        }),
        rounds_generator_bound: count(|round| round.outcome.generator_was_bottleneck),
    }
}

fn compared(metric: &metrics::Metric, a: &Contender, b: &Contender) -> Option<Metric> {
    let values = |contender: &Contender| {
        contender
            .rounds
            .iter()
            .map(metric.value)
            .collect::<Option<Vec<f64>>>()
    };
    let (a, b) = (values(a)?, values(b)?);
    let interval = paired_ratio(&a, &b);
    let verdict = match interval {
        None => Verdict::NoInterval,
        Some(interval) if interval.contains_one() => Verdict::NoDifferenceShown,
        Some(interval) if (interval.ratio > 1.0) == (metric.better == Better::Higher) => {
            Verdict::BBetter
        }
        Some(_) => Verdict::BWorse,
    };
    let part = |part: fn(Interval) -> f64| interval.map(part);
    Some(Metric {
        name: metric.name,
        unit: metric.unit.symbol(),
        better: metric.better.name(),
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
            settings.stages.clone(),
            settings.think_time_s,
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

#[cfg(test)]
pub(crate) mod tests;
