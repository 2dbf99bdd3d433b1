//! The last step of `scripts/bench.sh`: summarises all contenders' rounds as a table and as JSON.
//!
//! It reads the load generator's files for each scenario. In the scenario's folder, `NAME.json` has
//! all rounds of a contender in order and, if memory was measured, `NAME.memory.json` has two runs
//! with different numbers of connections. The ratios and their intervals are computed by the code
//! of `loadgen compare`. `scenario.rs` and `summary.rs` of the library compute; `text.rs`,
//! `markdown.rs` and `html.rs` render; nothing here measures. Tests: `tests.rs`.
#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use benches::scenario::{Run, Scenario};
use benches::summary::Summary;
use clap::Parser;

mod html;
mod markdown;
#[cfg(test)]
mod tests;
mod text;

/// Summarises the rounds that scripts/bench.sh has run.
#[derive(Parser)]
struct Args {
    /// Folder with a folder for each scenario; bench.json and bench.html are written there
    #[arg(long, value_name = "FOLDER")]
    dir: PathBuf,

    /// A scenario and a description of its load, in the order of the run
    #[arg(long = "scenario", value_name = "NAME=TITLE", required = true, value_parser = scenario_name)]
    scenarios: Vec<(String, String)>,

    /// File to write the report to, as Markdown
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,

    /// Contenders in the order of a round; a scenario may lack some of them
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
