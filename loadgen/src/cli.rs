//! The program: reads the command line, runs the command, and returns the exit code.

use std::process::ExitCode;

use crate::console;
use crate::exit_error::ExitError;
use crate::run::embedded;
use crate::tools::{calibrate, compare, merge};
use args::Command;

pub mod args;
pub mod completions;
pub(crate) mod config;
mod http_request;
mod job;
mod load;
pub mod request_values;
pub(crate) mod target;

/// Runs the program. clap ends the process after `--help`, and with code 2 if it cannot read the
/// arguments.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match config::parse() {
        Ok(cli) => cli,
        Err(error) => return ended(Err(error)),
    };
    let command = std::env::args().collect();
    match cli.command {
        Some(Command::Calibrate(args)) => ended(calibrate::run(&args, command)),
        Some(Command::Compare(args)) => ended(compare::run(&args).map(|()| 0)),
        Some(Command::Completions { what }) => match console::print(&completions::render(what)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&format!("standard output: {error}"), 1),
        },
        Some(Command::Merge(args)) => ended(merge::run(&args, command)),
        Some(Command::EmbeddedServer(args)) => match embedded::serve(&args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&format!("embedded server: {error}"), 1),
        },
        None => ended(load::run(&cli.run, command)),
    }
}

fn ended(how: Result<u8, ExitError>) -> ExitCode {
    match how {
        Ok(code) => ExitCode::from(code),
        Err(error) => fail(&error.message, error.exit_code),
    }
}

fn fail(message: &str, code: u8) -> ExitCode {
    console::remark(format_args!("loadgen: {message}"));
    ExitCode::from(code)
}
