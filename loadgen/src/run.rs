//! A run from its command line to its exit code: the files, the session, what is printed.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

use crate::args::{Format, RunArgs};
use crate::report::{Report, json, text};
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
    let mut files = open_outputs(args)?;
    let mut session = Session::begin(args, command)?;
    let mut report = session.measure(args)?;
    if let Some(wrong) = session.end() {
        report.outcome.fail(wrong);
    }
    let mut exit_code = report.outcome.exit_code;
    for message in &report.outcome.messages {
        eprintln!("loadgen: {message}");
    }
    if let Err(error) = print(&report, args.format) {
        // A reader that has seen enough, as in `loadgen | head`, is no failure.
        if error.kind() != io::ErrorKind::BrokenPipe {
            eprintln!("loadgen: standard output: {error}");
            exit_code = exit_code.max(1);
        }
    }
    for (path, file) in &mut files {
        if let Err(error) = file.set_len(0).and_then(|()| json::write(&report, &*file)) {
            eprintln!("loadgen: {}: {error}", path.display());
            exit_code = exit_code.max(1);
        }
    }
    Ok(exit_code)
}

/// Opens the files of the report before the run, so that a run is not lost to a mistyped path. What is in them stays until
/// there is a report.
fn open_outputs(args: &RunArgs) -> Result<Vec<(PathBuf, File)>, Refusal> {
    let open = |path: &PathBuf| {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path);
        file.map(|file| (path.clone(), file))
            .map_err(|error| Refusal::run(format!("{}: {error}", path.display())))
    };
    args.outputs.iter().map(open).collect()
}

fn print(report: &Report, format: Format) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match format {
        Format::Text => out.write_all(text::render(report).as_bytes())?,
        Format::Json => json::write(report, &mut out)?,
    }
    out.flush()
}
