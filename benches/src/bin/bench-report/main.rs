//! The last step of `scripts/bench.sh`: what all contenders' rounds say, as a table and as JSON.
//!
//! Reads what the load generator wrote for each scenario: in a folder of the scenario's, `NAME.json` with all rounds of a contender
//! in order and, where memory was measured, `NAME.memory.json` with two runs that differ in their number of connections. The ratios
//! and their intervals are those of `loadgen compare`, by the same code. `scenario.rs` and `summary.rs` compute, `text.rs`,
//! `markdown.rs` and `html.rs` render; nothing here measures. Tests: `tests.rs`.
#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

mod html;
mod markdown;
mod scenario;
mod summary;
#[cfg(test)]
mod tests;
mod text;

use scenario::{Run, Scenario};
use summary::Summary;

/// Summarises the rounds that scripts/bench.sh has run.
#[derive(Parser)]
struct Args {
    /// Folder with a folder for each scenario; bench.json and bench.html are written there
    #[arg(long, value_name = "FOLDER")]
    dir: PathBuf,

    /// A scenario and its load in words, in the order they were run
    #[arg(long = "scenario", value_name = "NAME=TITLE", required = true, value_parser = scenario_name)]
    scenarios: Vec<(String, String)>,

    /// Where to write it all as Markdown
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,

    /// Contenders in the order of a round; a scenario may do without some of them
    #[arg(long, value_name = "NAMES", value_delimiter = ',', required = true)]
    contenders: Vec<String>,

    /// The commit that was measured
    #[arg(long)]
    commit: String,

    /// The command that measured it
    #[arg(long)]
    command: String,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn scenario_name(text: &str) -> Result<(String, String), String> {
    let (name, title) = text.split_once('=').ok_or("it takes NAME=TITLE")?;
    Ok((name.to_owned(), title.to_owned()))
}

fn run(args: &Args) -> Result<String, String> {
    let scenarios = args
        .scenarios
        .iter()
        .map(|(name, title)| {
            let dir = args.dir.join(name);
            let there = |contender: &&String| dir.join(format!("{contender}.json")).exists();
            let runs = args
                .contenders
                .iter()
                .filter(there)
                .map(|contender| Run::read(&dir, contender))
                .collect::<Result<_, _>>()?;
            Scenario::new(name, title, runs)
        })
        .collect::<Result<_, String>>()?;
    let summary = Summary::new(&args.commit, &args.command, scenarios)?;
    let json = serde_json::to_string_pretty(&summary).map_err(|error| error.to_string())?;
    write(&args.dir.join("bench.json"), &(json + "\n"))?;
    write(&args.dir.join("bench.html"), &html::render(&summary))?;
    if let Some(file) = &args.markdown {
        write(file, &markdown::render(&summary))?;
    }
    Ok(text::render(&summary))
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
}
