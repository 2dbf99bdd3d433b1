//! Compares the instructions of the hot paths with the committed baselines; `cargo xtask
//! instr-gate` calls it.
//!
//! A path fails if it costs 2% more than its baseline, and the functions that grew are named. Only
//! the program's own code counts, so the counts are the same on every machine with the same
//! compiler. Another compiler generates other code, so there the limit is 10%, and the output says
//! so.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::{fs, io};

use benches::callgrind::{Cost, Costs, slope};
use clap::Parser;

/// Compares instruction counts with their baselines.
#[derive(Parser)]
struct Args {
    /// The file of baselines
    baseline: PathBuf,

    /// The output of `rustc --version`
    #[arg(long)]
    compiler: String,

    /// Write new baselines
    #[arg(long)]
    update: bool,

    /// NAME:FIRST:SECOND:ROUNDS, the two profiles of a path and the number of rounds that the
    /// second has more
    #[arg(required = true)]
    paths: Vec<String>,
}

/// The increase that a path may have.
const TOLERANCE: f64 = 0.02;
const TOLERANCE_OF_ANOTHER_COMPILER: f64 = 0.10;

/// Crates whose functions are named first.
const OURS: [&str; 4] = ["reactor::", "asyncfd::", "server_demo::", "hot_paths::"];

fn main() -> io::Result<ExitCode> {
    let args = Args::parse();
    let mut measured = BTreeMap::new();
    for path in &args.paths {
        let (name, costs) = measure(path)?;
        measured.insert(name, costs);
    }
    if args.update {
        fs::write(&args.baseline, write(&args.compiler, &measured))?;
        println!("{} has the new counts", args.baseline.display());
        return Ok(ExitCode::SUCCESS);
    }
    let (compiler, baselines) = read(&fs::read_to_string(&args.baseline)?)?;
    let mut tolerance = TOLERANCE;
    if compiler != args.compiler {
        tolerance = TOLERANCE_OF_ANOTHER_COMPILER;
        println!(
            "The baselines are of {compiler}, and this is {}: only more than {:.0}% fails.",
            args.compiler,
            100.0 * tolerance
        );
    }
    let (report, failed) = judge(&measured, &baselines, tolerance);
    print!("{report}");
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn measure(path: &str) -> io::Result<(String, Costs)> {
    let parts: Vec<_> = path.split(':').collect();
    let [name, first, second, rounds] = parts[..] else {
        return Err(io::Error::other(format!(
            "not NAME:FIRST:SECOND:ROUNDS: {path}"
        )));
    };
    let rounds: f64 = rounds.parse().map_err(io::Error::other)?;
    let costs = slope(
        &fs::read_to_string(first)?,
        &fs::read_to_string(second)?,
        rounds,
    );
    if costs.is_empty() {
        return Err(io::Error::other(format!(
            "{name}: the profiles have no functions"
        )));
    }
    Ok((name.to_owned(), costs))
}

fn total(costs: &Costs) -> f64 {
    costs.values().map(|cost| cost.own).sum()
}

/// Returns the table, and true if any path failed.
fn judge(
    measured: &BTreeMap<String, Costs>,
    baselines: &BTreeMap<String, Costs>,
    tolerance: f64,
) -> (String, bool) {
    let mut report = format!(
        "{:<16}{:>10}{:>10}{:>9}\n",
        "path", "baseline", "now", "change"
    );
    let mut failed = false;
    for (name, costs) in measured {
        let Some(baseline) = baselines.get(name) else {
            failed = true;
            let _ = writeln!(report, "{name:<16} has no baseline: add it with --update");
            continue;
        };
        let (before, now) = (total(baseline), total(costs));
        let change = now / before - 1.0;
        let verdict = if change > tolerance {
            "  FAILED"
        } else if change < -tolerance {
            "  better: --update keeps it so"
        } else {
            ""
        };
        let _ = writeln!(
            report,
            "{name:<16}{before:>10.1}{now:>10.1}{:>8.1}%{verdict}",
            100.0 * change
        );
        if change > tolerance {
            failed = true;
            for (function, before, now) in grown(costs, baseline) {
                let _ = writeln!(
                    report,
                    "    {:>+8.1}  {before:.1} -> {now:.1}  {function}",
                    now - before
                );
            }
        }
    }
    (report, failed)
}

/// Returns the functions that cost more than before, the worst first. Functions of other crates are
/// listed only if none of ours grew.
fn grown<'a>(costs: &'a Costs, baseline: &Costs) -> Vec<(&'a str, f64, f64)> {
    let mut grown: Vec<_> = costs
        .iter()
        .map(|(function, cost)| {
            let before = baseline.get(function).map_or(0.0, |cost| cost.own);
            (function.as_str(), before, cost.own)
        })
        .filter(|(_, before, now)| now - before >= 0.5)
        .collect();
    if grown.iter().any(|(function, ..)| is_ours(function)) {
        grown.retain(|(function, ..)| is_ours(function));
    }
    grown.sort_by(|a, b| (b.2 - b.1).total_cmp(&(a.2 - a.1)));
    grown.truncate(8);
    grown
}

fn is_ours(function: &str) -> bool {
    OURS.iter().any(|name| function.contains(name))
}

fn write(compiler: &str, measured: &BTreeMap<String, Costs>) -> String {
    let mut text = format!(
        "# Instructions of the hot paths, of one round each, by function: its own, and with what it calls.\n\
         # Written by cargo xtask instr-gate --update.\n\
         compiler {compiler}\n"
    );
    for (name, costs) in measured {
        let _ = writeln!(text, "\npath {name} {:.1}", total(costs));
        let mut functions: Vec<_> = costs.iter().collect();
        functions.sort_by(|a, b| b.1.own.total_cmp(&a.1.own));
        for (function, cost) in functions {
            let _ = writeln!(
                text,
                "{:>8.1} {:>8.1}  {function}",
                cost.own, cost.inclusive
            );
        }
    }
    text
}

fn read(text: &str) -> io::Result<(String, BTreeMap<String, Costs>)> {
    let wrong = |line: &str| io::Error::other(format!("not a line of baselines: {line}"));
    let (mut compiler, mut baselines) = (String::new(), BTreeMap::<String, Costs>::new());
    let mut path = String::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(version) = line.strip_prefix("compiler ") {
            version.clone_into(&mut compiler);
        } else if let Some(name) = line.strip_prefix("path ") {
            let (name, _total) = name.split_once(' ').ok_or_else(|| wrong(line))?;
            name.clone_into(&mut path);
            baselines.entry(path.clone()).or_default();
        } else {
            let mut fields = line.splitn(2, ' ');
            let own = fields.next().and_then(|own| own.parse().ok());
            let rest = fields.next().unwrap_or_default().trim_start();
            let (inclusive, function) = rest.split_once("  ").ok_or_else(|| wrong(line))?;
            let (Some(own), Ok(inclusive)) = (own, inclusive.parse()) else {
                return Err(wrong(line));
            };
            let costs = baselines.get_mut(&path).ok_or_else(|| wrong(line))?;
            costs.insert(function.to_owned(), Cost { own, inclusive });
        }
    }
    Ok((compiler, baselines))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn costs(functions: &[(&str, f64)]) -> BTreeMap<String, Costs> {
        let costs = functions.iter().map(|&(name, own)| {
            let inclusive = own;
            (name.to_owned(), Cost { own, inclusive })
        });
        BTreeMap::from([("echo".to_owned(), costs.collect())])
    }

    #[test]
    fn more_than_two_percent_fails_and_names_the_function() {
        let before = costs(&[("reactor::turn", 90.0), ("mio::poll", 10.0)]);
        let same = costs(&[("reactor::turn", 91.9), ("mio::poll", 10.0)]);
        let more = costs(&[("reactor::turn", 91.6), ("mio::poll", 12.0)]);
        let other = costs(&[("reactor::turn", 90.0), ("mio::poll", 13.0)]);
        assert!(!judge(&same, &before, TOLERANCE).1);
        let (report, failed) = judge(&more, &before, TOLERANCE);
        assert!(
            failed && report.contains("reactor::turn") && !report.contains("mio::poll"),
            "{report}"
        );
        let (report, failed) = judge(&other, &before, TOLERANCE);
        assert!(failed && report.contains("mio::poll"), "{report}");
        assert!(
            judge(&before, &BTreeMap::new(), TOLERANCE).1,
            "a path without a baseline"
        );
    }

    #[test]
    fn what_is_written_is_read() {
        let before = costs(&[("<a::B as c::D>::e", 90.5), ("f", 10.0)]);
        let (compiler, after) = read(&write("rustc 1.2.3 (abc)", &before)).unwrap();
        assert_eq!((compiler.as_str(), after), ("rustc 1.2.3 (abc)", before));
    }
}
