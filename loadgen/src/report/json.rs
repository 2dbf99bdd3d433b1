//! JSON for scripts: one report per line, so that the rounds of a contender can be appended to one file.

use std::io::{self, Write};

use super::Report;

/// Writes the report and a line end.
///
/// # Errors
/// Writing failed.
pub fn write(report: &Report, mut out: impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut out, report)?;
    out.write_all(b"\n")
}
