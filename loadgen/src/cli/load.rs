//! A run from its flags to its exit code: the files, the session, and the output.

use crate::cli::args::RunArgs;
use crate::console;
use crate::exit_error::ExitError;
use crate::report::output::{self, Files, Format, Kind};
use crate::report::sweep::Sweep;
use crate::report::{Outcome, html, sweep_table, text};
use crate::run::session::Session;
use crate::tools::sweep;

/// Runs the load, prints the report and writes the files. Returns the exit code.
///
/// # Errors
/// The run could not begin.
pub(crate) fn run(args: &RunArgs, command: Vec<String>) -> Result<u8, ExitError> {
    let job = args.job().map_err(ExitError::arguments)?;
    // The session takes signals: from here on none of them leaves an unfinished file.
    let mut session = Session::begin(job.setup, command)?;
    let files = Files::create(&args.outputs)?;
    if let Some(steps) = &job.sweep {
        let sweep = sweep::run(&job.load, steps, session)?;
        let render = |kind| match kind {
            Kind::Csv => sweep_table::csv(&sweep).into_bytes(),
            Kind::Html => html::sweep(&sweep).into_bytes(),
            _ => json(&sweep),
        };
        let text = match args.format {
            Format::Text => sweep_table::text(&sweep).into_bytes(),
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
    let mut report = session.measure(&job.load)?.report;
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
        console::remark(format_args!("loadgen: {message}"));
    }
    let written = files.write(render);
    let printed = console::print(text).map_err(|error| format!("standard output: {error}"));
    for message in [written, printed].into_iter().filter_map(Result::err) {
        console::remark(format_args!("loadgen: {message}"));
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
