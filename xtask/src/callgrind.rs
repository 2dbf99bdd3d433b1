//! Counts of user-space instructions by valgrind's callgrind.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::process;

/// A run under callgrind.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) instructions: u64,
    /// The program's standard output.
    pub(crate) out: String,
}

/// Runs a program under callgrind, which writes its profile to `folder`.
///
/// # Errors
/// valgrind is missing, or the program fails.
pub(crate) fn count(folder: &Path, program: &Path, arguments: &[&str]) -> Result<Counted> {
    process::need("valgrind", "valgrind")?;
    let profile = folder.join("profile.callgrind");
    let mut command = Command::new("valgrind");
    command.args(["--quiet", "--tool=callgrind"]);
    command.arg(format!("--callgrind-out-file={}", profile.display()));
    let output = command.arg(program).args(arguments).output()?;
    let err = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{command:?} ended with {}: {err}",
        output.status
    );
    let profile = fs::read_to_string(profile)?;
    let mut totals = profile.lines().filter_map(|line| {
        line.strip_prefix("summary: ")
            .or_else(|| line.strip_prefix("totals: "))
    });
    let instructions = totals
        .next()
        .context("a profile with its sum")?
        .trim()
        .parse()?;
    let out = String::from_utf8(output.stdout)?;
    Ok(Counted { instructions, out })
}

/// Returns the number on the output line `NAME VALUE`.
///
/// # Errors
/// There is no such line.
pub(crate) fn number(out: &str, name: &str) -> Result<f64> {
    let mut lines = out.lines().filter_map(|line| line.split_once(' '));
    let value = lines.find_map(|(found, value)| (found == name).then_some(value));
    let value = value.with_context(|| format!("the program does not print '{name}'"))?;
    Ok(value.trim().parse()?)
}
