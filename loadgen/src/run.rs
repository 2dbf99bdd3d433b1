//! A run from its command line to its exit code: the files, the session, what is printed.

use crate::cli::args::{Format, RunArgs};
use crate::report::output::{self, Files, Kind};
use crate::report::{Outcome, html, text};
use crate::run::session::Session;
use crate::tools::sweep::{self, Sweep};

mod backoff;
pub mod bad_client;
mod churn;
pub(crate) mod conclude;
pub(crate) mod conduct;
mod connection;
mod control;
mod dispatch;
pub mod embedded;
pub mod exchange;
pub mod hot;
mod link;
mod news;
pub mod payload;
mod plan;
mod progress;
pub mod protocol;
mod ramp;
pub mod schedule;
mod scratch;
pub(crate) mod session;
mod shard;
mod signals;
pub mod sizes;
pub mod sources;
mod supervise;
mod transport;
mod turns;

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
    // The session takes signals: from here on none of them leaves an unfinished file.
    let mut session = Session::begin(args, command)?;
    let files = Files::create(&args.outputs)?;
    if let Some(steps) = &args.sweep {
        let sweep = sweep::run(args, steps, session)?;
        let render = |kind| match kind {
            Kind::Csv => sweep::csv(&sweep).into_bytes(),
            Kind::Html => html::sweep(&sweep).into_bytes(),
            _ => json(&sweep),
        };
        let text = match args.format {
            Format::Text => sweep::text(&sweep).into_bytes(),
            Format::Json => json(&sweep),
            Format::Csv => render(Kind::Csv),
        };
        return Ok(finish(
            sweep.exit_code,
            &sweep.messages,
            &text,
            files,
            render,
        ));
    }
    let mut report = session.measure(args)?.report;
    if let Some(wrong) = session.end() {
        report.outcome.fail(wrong);
    }
    let text = match args.format {
        Format::Text => text::render(&report).into_bytes(),
        Format::Json => output::render(&report, Kind::Json),
        Format::Csv => output::render(&report, Kind::Csv),
    };
    let Outcome {
        exit_code,
        messages,
        ..
    } = &report.outcome;
    Ok(finish(*exit_code, messages, &text, files, |kind| {
        output::render(&report, kind)
    }))
}

/// Says what went wrong, writes the files and prints. Returns the exit code.
fn finish(
    mut exit_code: u8,
    messages: &[String],
    text: &[u8],
    files: Files,
    render: impl Fn(Kind) -> Vec<u8>,
) -> u8 {
    for message in messages {
        output::remark(format_args!("loadgen: {message}"));
    }
    let written = files.write(render);
    let printed = output::print(text).map_err(|error| format!("standard output: {error}"));
    for message in [written, printed].into_iter().filter_map(Result::err) {
        output::remark(format_args!("loadgen: {message}"));
        exit_code = exit_code.max(1);
    }
    exit_code
}

/// One line, as for a run.
fn json(sweep: &Sweep) -> Vec<u8> {
    let mut line = serde_json::to_vec(sweep).expect("plain data becomes JSON");
    line.push(b'\n');
    line
}
