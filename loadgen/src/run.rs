//! A run from its command line to its exit code: the files, the session, what is printed.

use crate::args::{Format, RunArgs};
use crate::output::{self, Files, Kind};
use crate::report::text;
use crate::session::Session;

/// Why no run took place: what to say, and the exit code.
#[derive(Debug)]
pub struct Refusal {
    /// A sentence.
    pub message: String,
    /// 1 for the machine or the target, 2 for the arguments.
    pub exit_code: u8,
}

impl Refusal {
    pub(crate) fn arguments(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            exit_code: 2,
        }
    }

    pub(crate) fn run(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            exit_code: 1,
        }
    }
}

/// Runs the load, prints the report and writes the files. Returns the exit code.
///
/// # Errors
/// The run could not begin.
pub fn run(args: &RunArgs, command: Vec<String>) -> Result<u8, Refusal> {
    args.check().map_err(Refusal::arguments)?;
    let files = Files::create(&args.outputs).map_err(Refusal::run)?;
    let mut session = Session::begin(args, command)?;
    let mut report = session.measure(args)?.report;
    if let Some(wrong) = session.end() {
        report.outcome.fail(wrong);
    }
    let mut exit_code = report.outcome.exit_code;
    for message in &report.outcome.messages {
        eprintln!("loadgen: {message}");
    }
    let text = match args.format {
        Format::Text => text::render(&report).into_bytes(),
        Format::Json => output::render(&report, Kind::Json),
        Format::Csv => output::render(&report, Kind::Csv),
    };
    let mut failed = files.write(|kind| output::render(&report, kind));
    if let Err(error) = output::print(&text) {
        failed.push(format!("standard output: {error}"));
    }
    for message in &failed {
        eprintln!("loadgen: {message}");
        exit_code = exit_code.max(1);
    }
    Ok(exit_code)
}
