//! Failures while a server starts.

use anyhow::{Context as _, Result, ensure};

use super::Case;
use crate::programs::demo;

const ARGUMENTS: [&str; 5] = ["echo", "--listen", "127.0.0.1:0", "--shards", "2"];

/// The server ends with exit code 1 and one line that contains these words.
pub(super) fn no_start(case: &Case, fault: &str, words: &[&str]) -> Result<()> {
    let faults = case.strace(&[fault]);
    let mut command = faults.command(&case.programs.server);
    let ended = demo::run_load(case.folder(), &[1], command.args(ARGUMENTS))?;
    faults.struck()?;
    expect_words(&ended.err, "server-demo: ", words)
}

/// Checks that a line begins with `name` and has these words, and that none shows a panic.
pub(super) fn expect_words(text: &str, name: &str, words: &[&str]) -> Result<()> {
    let has_all = |line: &str| words.iter().all(|word| line.contains(word));
    let said = text
        .lines()
        .any(|line| line.starts_with(name) && has_all(line));
    ensure!(said, "it did not say {words:?} but: {text}");
    ensure!(!text.contains("panicked"), "it panicked: {text}");
    Ok(())
}

/// There is no stack for the second shard's thread, when the first already runs.
pub(super) fn no_stack(case: &Case) -> Result<()> {
    let harmless = case.strace(&["mmap:error=ENOENT:when=10000"]);
    case.struck_server(&harmless, "--shards 2")?.stop()?;
    // The number of the call for the stack of one of our threads: the main thread's calls are
    // counted first.
    let calls = harmless.calls()?;
    let thread = |call: &str| call.split_whitespace().next().map(str::to_owned);
    let main = calls.first().and_then(|call| thread(call));
    let calls = calls
        .iter()
        .filter(|call| thread(call) == main && call.contains("mmap("));
    let is_stack = |call: &str| call.contains("MAP_STACK") && call.contains("PROT_NONE");
    let number = (1..).zip(calls).filter(|(_, call)| is_stack(call)).last();
    let (number, _) = number.context("no call for a stack")?;
    let fault = format!("mmap:error=ENOMEM:when={number}");
    no_start(case, &fault, &["Resource temporarily unavailable"])
}

/// A refused pin is a warning.
pub(super) fn no_pin(case: &Case) -> Result<()> {
    let faults = case.strace(&["sched_setaffinity:error=EINVAL"]);
    let server = case.struck_server(&faults, "--shards 2")?;
    server.reports("unpinned")?;
    server.reports("warning: ")?;
    case.load(&server, 0, "-c 10 -n 100")?;
    server.stop()?;
    faults.struck()?;
    Ok(())
}
