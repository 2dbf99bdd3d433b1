//! Counts of user-space instructions by valgrind's callgrind.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::programs::process;

/// A run under callgrind.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) instructions: u64,
    /// The program's standard output.
    pub(crate) out: String,
}

/// Returns valgrind with the options that write a profile to this file.
pub(crate) fn options(profile: &Path) -> Vec<String> {
    let file = format!("--callgrind-out-file={}", profile.display());
    ["valgrind", "--quiet", "--tool=callgrind", &file]
        .map(str::to_owned)
        .to_vec()
}

/// Returns the instructions of a profile.
///
/// # Errors
/// It cannot be read, or has no sum.
pub(crate) fn instructions(profile: &Path) -> Result<u64> {
    let profile = fs::read_to_string(profile)?;
    let sum = profile.lines().find_map(|line| {
        line.strip_prefix("summary: ")
            .or_else(|| line.strip_prefix("totals: "))
    });
    Ok(sum.context("the profile has no sum")?.trim().parse()?)
}

/// Runs a program under callgrind, which writes a profile, and returns its standard output.
///
/// # Errors
/// valgrind is missing, or the program fails.
pub(crate) fn run(profile: &Path, program: &Path, arguments: &[&str]) -> Result<String> {
    process::need("valgrind", "valgrind")?;
    let valgrind = options(profile);
    let mut command = Command::new(&valgrind[0]);
    command.args(&valgrind[1..]).arg(program).args(arguments);
    let output = command.output()?;
    let err = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{command:?} ended with {}: {err}",
        output.status
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// Runs a program under callgrind, with the profile in `folder`.
///
/// # Errors
/// As [`run`].
pub(crate) fn count(folder: &Path, program: &Path, arguments: &[&str]) -> Result<Counted> {
    let profile = folder.join("profile.callgrind");
    let out = run(&profile, program, arguments)?;
    let instructions = instructions(&profile)?;
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
