//! The program: reads the command line, does what it says, and says how it went by its exit code.

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command, CompareArgs, Format};
use crate::run::Refusal;
use crate::{calibrate, compare, embedded, output, run};

/// Runs the program. clap ends the process on arguments it cannot read, with code 2, and after `--help`.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let command = std::env::args().collect();
    match cli.command {
        Some(Command::Calibrate(args)) => ended(calibrate::run(&args, command)),
        Some(Command::Compare(args)) => compare_files(&args),
        Some(Command::EmbeddedServer(args)) => match embedded::serve(&args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&format!("embedded server: {error}"), 1),
        },
        None => ended(run::run(&cli.run, command)),
    }
}

fn ended(how: Result<u8, Refusal>) -> ExitCode {
    match how {
        Ok(code) => ExitCode::from(code),
        Err(refusal) => fail(&refusal.message, refusal.exit_code),
    }
}

fn compare_files(args: &CompareArgs) -> ExitCode {
    let comparison = match compare::run(&args.a, &args.b) {
        Ok(comparison) => comparison,
        Err(message) => return fail(&message, 1),
    };
    let text = match args.format {
        Format::Text => comparison.render(),
        Format::Json => comparison.json(),
        Format::Csv => comparison.csv(),
    };
    match output::print(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("standard output: {error}"), 1),
    }
}

fn fail(message: &str, code: u8) -> ExitCode {
    eprintln!("loadgen: {message}");
    ExitCode::from(code)
}
