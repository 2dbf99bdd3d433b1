//! Faults in the load generator.

use anyhow::Result;

use super::Case;
use super::startup::expect_words;
use crate::programs::demo::{self, Server};
use crate::programs::process::Ended;

/// Checks that a run under a fault succeeds as usual.
pub(super) fn load_survives(case: &Case, fault: &str, io: &str) -> Result<()> {
    let arguments = format!("--io {io} --slo unanswered=0,errors=0");
    let (server, _) = struck_load(case, fault, 0, &arguments)?;
    server.stop_with(&[("accepted", 10), ("closed", 10), ("live", 0), ("failed", 0)])
}

/// Checks that a generator with `--fail-fast` ends with exit code 1 and a message with these words.
pub(super) fn load_fails(case: &Case, fault: &str, words: &str) -> Result<()> {
    let (server, load) = struck_load(case, fault, 1, "--timeout 2s --fail-fast")?;
    expect_words(&load.err, "loadgen: ", &[words])?;
    server.stop_with(&[("live", 0)])
}

/// Runs a load under a fault; its exit code is `code`. Then all its connections have ended.
fn struck_load(case: &Case, fault: &str, code: i32, arguments: &str) -> Result<(Server, Ended)> {
    let server = case.server("--shards 1")?;
    let faults = case.strace(&[fault]);
    let mut command = faults.command(&case.programs.loadgen);
    command
        .arg(server.address())
        .args(["-c", "10", "-n", "500", "--quiet"]);
    command.args(arguments.split_whitespace());
    let load = demo::run_load(case.folder(), &[code], &mut command)?;
    faults.struck()?;
    server.expect_counts(&[("live", 0)])?;
    Ok((server, load))
}
