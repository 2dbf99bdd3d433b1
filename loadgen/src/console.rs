//! The program's two output streams: the report on standard output, all else on standard error.

use std::fmt;
use std::io::{self, Write};

use crate::report::output::{Files, Kind, Output};

/// Prints on standard output. If the reader closes the pipe early, as in `loadgen | head`, that is
/// no failure.
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

/// Prints a message on standard error. If that fails, the run goes on, because its result is
/// printed elsewhere.
pub(crate) fn remark(what: fmt::Arguments<'_>) {
    // One write, so that the lines of two processes do not mix.
    let _ = io::stderr().write_all(format!("{what}\n").as_bytes());
}

/// Writes the files of a result and prints it. If one of the two fails, the other is still done.
/// Returns the result of each.
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
