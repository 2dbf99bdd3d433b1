//! Access to the private readers of outside input, for the fuzz targets in `fuzz/`. Compiled
//! only with `--cfg fuzzing`.

use clap::{ArgMatches, Command, Parser};

use crate::cli::args::Cli;
use crate::cli::{config, target};
use crate::report::output::{Kind, Output};
use crate::report::{self, Report, html, json};
use crate::tools::compare::{self, Contender};
use crate::tools::merge;

/// Reads this text as a `--config` file, with an empty command line, and checks the resulting
/// flags.
pub fn config(text: &str) {
    thread_local! {
        static COMMAND: (Command, ArgMatches) = {
            let command = config::definition();
            let matches = command.clone().get_matches_from(["loadgen"]);
            (command, matches)
        };
    }
    let flags = COMMAND.with(|(command, typed)| config::flags(command, typed, text));
    let Ok(flags) = flags else { return };
    let program = "loadgen".to_owned();
    if let Ok(cli) = Cli::try_parse_from([program].into_iter().chain(flags)) {
        let _ = cli.run.job();
    }
}

/// Reads a target of the command line.
pub fn target(text: &str) {
    let _ = target::read(text);
}

/// Reads reports of other processes, renders, compares and merges them, and checks that their sum
/// can be read like them.
pub fn reports(text: &str) {
    let Ok(rounds) = report::read::parse(text) else {
        return;
    };
    render(&rounds[0]);
    let contender = |file: &str, rounds: &[Report]| Contender {
        file: file.to_owned(),
        rounds: rounds.to_vec(),
    };
    let (a, b) = rounds.split_at(rounds.len() / 2);
    let (a, b) = (contender("a", a), contender("b", b));
    if let Ok(comparison) = compare::compare(&a, &b) {
        drop((
            comparison.render(),
            comparison.csv(),
            json::line(&comparison),
        ));
        drop(html::comparison(&comparison, &a, &b));
    }
    let named = |one: &Report| ("it".to_owned(), one.clone());
    let parts: Vec<_> = rounds.iter().map(named).collect();
    if let Ok(sum) = merge::merge(&parts, Vec::new()) {
        render(&sum);
        // The sum of very large figures may be too large for a report.
        match report::read::parse(&String::from_utf8_lossy(&json::line(&sum))) {
            Ok(_) => {}
            Err(problem) => assert!(problem.contains("is no figure"), "{problem}: {sum:?}"),
        }
    }
}

fn render(report: &Report) {
    drop(report.render(Kind::Text));
    for kind in Report::FILES {
        drop(report.render(*kind));
    }
}
