//! strace, which makes system calls of a program fail, come late or return wrong results.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// Faults to inject, and the log of the calls that they struck.
///
/// Each thread counts its own calls. The main thread of a server makes a few of its own: it learns
/// of signals through a socket pair, which its handlers write to, and registers three descriptors.
/// Faults that are not meant for those calls begin later.
#[derive(Debug)]
pub(crate) struct Strace {
    log: PathBuf,
    options: Vec<String>,
}

impl Strace {
    /// Prepares faults in strace's notation, for instance `recvfrom:error=EINTR:when=1+3`.
    pub(crate) fn new(folder: &Path, faults: &[&str]) -> Self {
        let calls: Vec<_> = faults
            .iter()
            .filter_map(|fault| fault.split(':').next())
            .collect();
        let mut options = vec!["-e".to_owned(), format!("trace={}", calls.join(","))];
        for fault in faults {
            options.extend(["-e".to_owned(), format!("inject={fault}")]);
        }
        Self {
            log: folder.join("calls"),
            options,
        }
    }

    /// Strikes only calls on descriptors of this path.
    pub(crate) fn on_path(mut self, path: &str) -> Self {
        self.options.extend(["-P".to_owned(), path.to_owned()]);
        self
    }

    /// Returns a command that runs a program with the faults.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("strace");
        // The filter stops the program only at these calls, so that the others are as fast as ever.
        command.args(["--follow-forks", "--seccomp-bpf", "--quiet=all", "-o"]);
        command.arg(&self.log).args(&self.options).arg(program);
        command
    }

    /// Returns the lines of the log so far, one per call.
    pub(crate) fn calls(&self) -> Result<Vec<String>> {
        let log = fs::read(&self.log).context("the log of strace")?;
        let mut begun = HashMap::new();
        let mut calls = Vec::new();
        for line in String::from_utf8_lossy(&log).lines() {
            let thread = line
                .split_whitespace()
                .next()
                .unwrap_or_default()
                .to_owned();
            // A call that others interrupted in the log is on two lines.
            if line.contains("<unfinished ...>") {
                begun.insert(thread, line.to_owned());
            } else if line.contains(" resumed>") {
                calls.push(begun.remove(&thread).unwrap_or_default() + line);
            } else {
                calls.push(line.to_owned());
            }
        }
        Ok(calls)
    }

    /// Returns the number of struck calls whose line contains `text`.
    pub(crate) fn struck_with(&self, text: &str) -> Result<usize> {
        let struck = |call: &&String| call.contains("(INJECTED)") || call.contains("(DELAYED)");
        let calls = self.calls()?;
        Ok(calls
            .iter()
            .filter(struck)
            .filter(|call| call.contains(text))
            .count())
    }

    /// Returns the number of struck calls, which is never zero: the case would prove nothing.
    pub(crate) fn struck(&self) -> Result<usize> {
        let struck = self.struck_with("")?;
        ensure!(struck > 0, "no call was struck");
        Ok(struck)
    }
}

/// Checks that strace is installed and may trace here.
///
/// # Errors
/// It is not, or may not; the text says what to do.
pub(crate) fn need() -> Result<()> {
    crate::programs::process::need("strace", "strace")?;
    let mut tried = Command::new("strace");
    tried
        .args(["--output=/dev/null", "true"])
        .stderr(Stdio::null());
    ensure!(
        tried.status()?.success(),
        "strace may not trace here (in a container, give it the capability SYS_PTRACE)"
    );
    Ok(())
}
