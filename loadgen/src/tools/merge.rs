//! `loadgen merge`: adds the reports of several processes that loaded one server at the same time.
//!
//! It adds histograms and counts, and aligns the time series by the clock. The measured part lasts
//! from the first beginning to the last end. It refuses runs with different requests or a different
//! pace, because their sum would describe no load. It judges the thresholds again on the sum. The
//! command line calls [`run`]. Tests: `merge/tests.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::str::FromStr as _;

use clap::Args;
use serde_json::Value;

use crate::console;
use crate::exit_error::ExitError;
use crate::measure::units::duration_f64;
use crate::report::clocks::Spread;
use crate::report::output::{Files, Format, Kind, Output};
use crate::report::slo::Slo;
use crate::report::{Outcome, Report, Status, read};
use crate::run::part::Part;

/// The difference of clocks, as a share of the measured time, above which `merge` warns: this part
/// of the time is not common to all parts.
const APART_MAX: f64 = 0.01;
/// The minimum share of the whole that the measured parts must have in common. Below it, the rates
/// are doubtful.
const IN_COMMON: f64 = 0.9;

/// The arguments of `merge`.
#[derive(Args, Debug, Clone)]
pub struct MergeArgs {
    /// JSON reports of runs with the same load, one or several per file, or folders of such files
    #[arg(value_name = "FILE.json|FOLDER", required = true)]
    pub files: Vec<PathBuf>,

    /// Format of standard output
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,

    /// Also write the sum to FILE, in the format of its extension: json, csv, hgrm, hlog or html;
    /// repeatable
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    pub outputs: Vec<PathBuf>,
}

/// Merges the reports of some files, prints the sum and writes the requested files. Returns the
/// exit code of the sum, as for a single run.
///
/// # Errors
/// An output has an unknown extension (exit code 2), or cannot be written. A file cannot be read,
/// or has something other than reports. Two reports cannot be added. The text names the file.
pub fn run(args: &MergeArgs, command: Vec<String>) -> Result<u8, ExitError> {
    for output in &args.outputs {
        Kind::of(output, Report::FILES).map_err(ExitError::arguments)?;
    }
    let mut parts = Vec::new();
    for path in &files_of(&args.files).map_err(ExitError::run)? {
        let reports = read(path).map_err(ExitError::run)?;
        let name = path.display().to_string();
        parts.extend(reports.into_iter().map(|report| (name.clone(), report)));
    }
    let report = merge(&parts, command).map_err(ExitError::run)?;
    let files = Files::create(&args.outputs)?;
    let [written, printed] = console::deliver(&report, args.format.into(), files);
    written.and(printed).map_err(ExitError::run)?;
    Ok(report.outcome.exit_code)
}

/// Replaces each folder by its JSON files, in the order of their names.
fn files_of(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let wrong = |error: std::io::Error| format!("{}: {error}", path.display());
        let mut within = Vec::new();
        for entry in fs::read_dir(path).map_err(wrong)? {
            let file = entry.map_err(wrong)?.path();
            if file
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                within.push(file);
            }
        }
        if within.is_empty() {
            return Err(format!("{}: holds no .json file", path.display()));
        }
        within.sort();
        files.append(&mut within);
    }
    Ok(files)
}

/// Finds the missing parts of a load, by the numbers of `--part`.
///
/// # Errors
/// A part occurs twice, or the parts belong to different loads. The text names the files.
fn missing_parts(parts: &[(String, Report)]) -> Result<Vec<String>, String> {
    let mut found: BTreeMap<Part, &str> = BTreeMap::new();
    for (file, report) in parts {
        let Some(text) = &report.settings.part else {
            continue;
        };
        let part = Part::from_str(text).map_err(|wrong| format!("{file}: {wrong}"))?;
        if let Some(first) = found.insert(part, file) {
            return Err(format!("{file} and {first} are both part {part}"));
        }
    }
    let Some(of) = found.keys().next().map(|part| part.of()) else {
        return Ok(Vec::new());
    };
    if let Some((part, file)) = found.iter().find(|(part, _)| part.of() != of) {
        return Err(format!("{file} is part {part}, and others are of {of}"));
    }
    let present: Vec<_> = found.keys().map(|part| part.index()).collect();
    let missing = (0..of).filter(|index| !present.contains(index));
    Ok(missing.map(|index| format!("{}/{of}", index + 1)).collect())
}

/// Adds reports, each with the name of its file.
///
/// # Errors
/// There is no report, two of them cannot be added, or a histogram cannot be read. The text names
/// the file and the reason.
pub fn merge(parts: &[(String, Report)], command: Vec<String>) -> Result<Report, String> {
    let Some(((first_name, first), others)) = parts.split_first() else {
        return Err("there is nothing to merge".to_owned());
    };
    for (name, other) in others {
        for ((what, ours), (_, theirs)) in load(first).into_iter().zip(load(other)) {
            if ours != theirs {
                return Err(format!(
                    "{name} cannot be added to {first_name}: {what} is {theirs} there and {ours} here"
                ));
            }
        }
    }
    check_names(parts)?;
    let mut sum = first.clone();
    for (name, other) in others {
        let merged = sum.merge(other);
        merged.map_err(|problem| format!("{name}: {problem}"))?;
    }
    let mut thresholds: Vec<&str> = parts
        .iter()
        .flat_map(|(_, report)| &report.slo)
        .map(|verdict| verdict.threshold.as_str())
        .collect();
    thresholds.sort_unstable();
    thresholds.dedup();
    let slo: Option<Slo> = match thresholds.is_empty() {
        true => None,
        false => Some(thresholds.join(",").parse()?),
    };
    sum.command = command;
    sum.outcome = outcome(parts, &sum);
    let missing = missing_parts(parts)?;
    if !missing.is_empty() {
        let message = format!("parts are missing: {}", missing.join(", "));
        sum.outcome.fail(message);
    }
    Ok(sum.finish(slo.as_ref()))
}

/// Checks that no run occurs twice, by its name.
///
/// # Errors
/// A run occurs twice. The text names both files.
fn check_names(parts: &[(String, Report)]) -> Result<(), String> {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for (file, part) in parts {
        let mut names = part.runs.clone();
        if names.is_empty() {
            // An old report, without a name. No other run has exactly these figures.
            names.push(serde_json::to_string(part).expect("plain data becomes JSON"));
        }
        for name in names {
            if let Some(first) = seen.insert(name, file) {
                return Err(format!(
                    "{file} holds a run that is in {first} already, and would count twice: name each run once \
                     (two runs of one load, one after the other, are for `loadgen compare`)"
                ));
            }
        }
    }
    Ok(())
}

/// The settings that have to be the same in all parts: their names in messages, and their keys.
const LOAD: [(&str, &str); 16] = [
    ("the protocol", "protocol"),
    ("--stages", "stages"),
    ("--think-time", "think_time_s"),
    ("TLS", "tls"),
    ("--pipeline", "pipeline"),
    ("--size", "size"),
    ("--size", "size_mix"),
    ("--hot", "hot"),
    ("--hot-shift", "hot_shift_s"),
    ("--work", "work_us"),
    ("--verify", "verify"),
    ("--io", "io"),
    ("--duration", "duration_s"),
    ("--requests-per-conn", "requests_per_conn"),
    ("--lifetime", "lifetime_s"),
    ("--timeout", "timeout_s"),
];

/// Returns what has to be the same in all parts, in words.
fn load(report: &Report) -> Vec<(&'static str, String)> {
    let settings = serde_json::to_value(&report.settings).expect("plain data becomes JSON");
    let words = |key: &str| match &settings[key] {
        Value::Null => "not set".to_owned(),
        Value::String(text) => text.clone(),
        other => other
            .as_f64()
            .map_or_else(|| other.to_string(), |number| number.to_string()),
    };
    let pace = if report.settings.rate.is_some() {
        "open".to_owned()
    } else {
        "closed".to_owned()
    };
    let pace = match &report.settings.arrivals {
        Some(_) => format!("{pace}, {}", words("arrivals")),
        None => pace,
    };
    // Each part has its share of the requests.
    let requests = report.settings.requests.map_or("not set", |_| "set");
    let mut load = vec![
        ("the target", report.target.address.clone()),
        ("the loop", pace),
        ("--requests", requests.to_owned()),
    ];
    load.extend(LOAD.map(|(name, key)| (name, words(key))));
    load
}

/// Returns the outcome of the sum: the worst of its parts. A threshold that only a part missed says
/// nothing about the sum.
fn outcome(parts: &[(String, Report)], sum: &Report) -> Outcome {
    let mut outcome = Outcome {
        notes: vec![format!("{} reports merged", parts.len())],
        ..Outcome::default()
    };
    let mut whole = (0.0_f64, f64::INFINITY);
    for (name, part) in parts {
        let from = part.offset_s(sum.measured_unix_ms);
        whole = (whole.0.max(from), whole.1.min(from + part.elapsed_s));
        let theirs = &part.outcome;
        let worse = match (outcome.status, theirs.status) {
            (_, Status::Interrupted) | (Status::Ok, Status::Failed) => true,
            (_, Status::Ok | Status::Failed | Status::Missed) => false,
        };
        if worse {
            (outcome.status, outcome.exit_code) = (theirs.status, theirs.exit_code);
        }
        let own = theirs
            .messages
            .iter()
            .filter(|message| !message.starts_with("--slo: "));
        outcome
            .messages
            .extend(own.map(|message| format!("{name}: {message}")));
        outcome.warnings.extend(
            theirs
                .warnings
                .iter()
                .map(|warning| format!("{name}: {warning}")),
        );
        outcome
            .notes
            .extend(theirs.notes.iter().map(|note| format!("{name}: {note}")));
        if let Some(why) = &theirs.ended_early {
            outcome.ended_early = Some(format!("{name}: {why}"));
        }
        outcome.generator_was_bottleneck |= theirs.generator_was_bottleneck;
    }
    let common = (whole.1 - whole.0).max(0.0);
    if common < IN_COMMON * sum.elapsed_s {
        outcome.warnings.push(format!(
            "the runs have {common:.2} s of {:.2} s in common: the rates are those of the whole time",
            sum.elapsed_s
        ));
    }
    if let Some(Spread::Apart { least_ms, most_ms }) = Spread::of(&sum.clocks)
        && most_ms > APART_MAX * sum.elapsed_s * 1e3
    {
        outcome.warnings.push(format!(
            "the clocks of the parts are {} to {} apart, and 1% of the measured time is {}: the parts may not \
             have started at one moment",
            duration_f64(least_ms * 1e6),
            duration_f64(most_ms * 1e6),
            duration_f64(APART_MAX * sum.elapsed_s * 1e9)
        ));
    }
    let pids = || {
        parts
            .iter()
            .filter_map(|(_, part)| Some(part.server.as_ref()?.pid))
    };
    if pids().any(|pid| Some(pid) != pids().next()) {
        outcome.warnings.push(
            "the runs observed different processes as the server; the report shows the busiest"
                .to_owned(),
        );
    }
    outcome
}

#[cfg(test)]
mod tests;
