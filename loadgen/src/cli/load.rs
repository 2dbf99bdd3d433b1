//! A run from its flags to its exit code: the files, the session, and the output.

use crate::cli::args::RunArgs;
use crate::console;
use crate::exit_error::ExitError;
use crate::report::output::{Files, Kind, Output};
use crate::run::folder_clock;
use crate::run::session::Session;
use crate::tools::sweep;

/// Runs the load, prints the report and writes the files. Returns the exit code.
///
/// # Errors
/// The run could not begin.
pub(crate) fn run(args: &RunArgs, command: Vec<String>) -> Result<u8, ExitError> {
    let job = args.job().map_err(ExitError::arguments)?;
    // The session handles signals. From here on, no signal leaves an unfinished file behind.
    let mut session = Session::begin(job.setup, command)?;
    let files = Files::create(&args.outputs())?;
    let printed = args.format.into();
    let clock = args
        .part_folder()
        .map(|(part, folder)| folder_clock::compare(folder, part));
    if let Some(steps) = &job.sweep {
        let sweep = sweep::run(&job.load, steps, session)?;
        let how = (sweep.exit_code, &sweep.messages[..]);
        return Ok(finish(how, &sweep, printed, files));
    }
    let mut report = session.measure(&job.load)?.report;
    match clock {
        Some(Ok(clock)) => report.clocks.push(clock),
        Some(Err(error)) => report.outcome.warnings.push(format!(
            "the clock could not be compared with that of the shared folder: {error}"
        )),
        None => {}
    }
    if let Some(wrong) = session.end() {
        report.outcome.fail(wrong);
    }
    let how = (report.outcome.exit_code, &report.outcome.messages[..]);
    Ok(finish(how, &report, printed, files))
}

/// Prints errors, writes the files, and prints the report. Returns the exit code.
fn finish(
    (mut exit_code, messages): (u8, &[String]),
    result: &impl Output,
    printed: Kind,
    files: Files,
) -> u8 {
    for message in messages {
        console::remark(format_args!("loadgen: {message}"));
    }
    let delivered = console::deliver(result, printed, files);
    for message in delivered.into_iter().filter_map(Result::err) {
        console::remark(format_args!("loadgen: {message}"));
        exit_code = exit_code.max(1);
    }
    exit_code
}
