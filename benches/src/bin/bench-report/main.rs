//! The last step of `scripts/bench.sh`: what all contenders' rounds say, as a table and as JSON.
//!
//! Reads what the load generator wrote, `NAME.json` with all rounds of a contender in order and
//! `NAME.memory.json` with two runs that differ in their number of connections. The ratios and
//! their intervals are those of `loadgen compare`, by the same code. `summary.rs` computes,
//! `text.rs` renders; nothing here measures. Tests: `tests.rs`.
#![forbid(unsafe_code)]

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

mod summary;
#[cfg(test)]
mod tests;
mod text;

use summary::{Run, Summary};

/// Summarises the rounds that scripts/bench.sh has run.
#[derive(Parser)]
struct Args {
    /// Folder with a NAME.json for each contender; bench.json is written there
    #[arg(long, value_name = "FOLDER")]
    dir: PathBuf,

    /// Contenders in the order of a round
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

fn run(args: &Args) -> Result<String, String> {
    let runs = args
        .contenders
        .iter()
        .map(|name| Run::read(&args.dir, name))
        .collect::<Result<Vec<_>, _>>()?;
    let summary = Summary::new(&args.commit, &args.command, runs)?;
    let file = args.dir.join("bench.json");
    let json = serde_json::to_string_pretty(&summary).map_err(|error| error.to_string())?;
    fs::write(&file, json + "\n").map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(text::render(&summary))
}
