//! The program's two streams: the report on standard output, everything else on standard error.

use std::fmt;
use std::io::{self, Write};

use crate::report::output::{Files, Kind, Output};

/// Prints on standard output. A reader that has seen enough, as in `loadgen | head`, is no failure.
///
/// # Errors
/// Writing failed.
pub(crate) fn print(text: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// Says something on standard error. Where nobody hears it the run goes on: its result is not
/// there.
pub(crate) fn remark(what: fmt::Arguments<'_>) {
    // One write, so that lines of two processes do not mix.
    let _ = io::stderr().write_all(format!("{what}\n").as_bytes());
}

/// Writes the files of a result and prints it, each also where the other fails. Returns how the
/// files and how the print went.
pub(crate) fn deliver(
    result: &impl Output,
    printed: Kind,
    files: Files,
) -> [Result<(), String>; 2] {
    let written = files.write(|kind| result.render(kind));
    let printed = print(&result.render(printed));
    [
        written,
        printed.map_err(|error| format!("standard output: {error}")),
    ]
}
