//! `cargo xtask wakes`: the cost of waking a task from another thread, compared with tokio, in time
//! and in system calls.
//!
//! The program `wakes` of benches/ measures the nanoseconds per wake, with every side in every
//! round. Then strace counts the calls of write(2) per wake, as the difference between two runs
//! with different numbers of wakes. Waking a sleeping thread has to write to its eventfd; waking a
//! running one does not. A thread that is woken from sleep waits for the kernel and for other work
//! on its CPU, so times differ by half from one minute to the next. The counts are stable.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use crate::programs::cleanup::Folder;
use crate::programs::process;

const FEW: u32 = 1_000;
const MANY: u32 = 6_000;

#[derive(Debug, Args)]
pub(crate) struct Wakes {
    /// Rounds of each side and scenario
    #[arg(long, value_name = "N", default_value_t = 20)]
    rounds: u32,
    /// Wakes of a round
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    wakes: u32,
    /// Use the existing build
    #[arg(long)]
    no_build: bool,
}

impl Wakes {
    /// # Errors
    /// A tool is missing, or a run failed.
    pub(crate) fn run(self) -> Result<()> {
        process::need("strace", "strace")?;
        if !self.no_build {
            process::build(&["--release", "--package", "benches", "--bin", "wakes"])?;
        }
        let program = process::target_folder().join("release/wakes");
        let Self { rounds, wakes, .. } = self;
        println!("time a wake, {rounds} rounds of {wakes} wakes");
        let mut timed = Command::new(&program);
        timed.args([
            "--rounds",
            &rounds.to_string(),
            "--wakes",
            &wakes.to_string(),
        ]);
        ensure!(timed.status()?.success(), "the measurement failed");
        println!("calls of write(2) a wake");
        for scenario in ["ping-pong", "foreign", "busy"] {
            for side in ["here", "tokio-ct", "tokio-mt"] {
                let calls = writes(&program, side, scenario, MANY)?
                    - writes(&program, side, scenario, FEW)?;
                let calls = calls / f64::from(MANY - FEW);
                println!("{scenario:<10} {side:<9} {calls:8.3}");
            }
        }
        Ok(())
    }
}

/// Returns the number of calls of write(2).
fn writes(program: &Path, side: &str, scenario: &str, wakes: u32) -> Result<f64> {
    let folder = Folder::new()?;
    let table = folder.path().join("strace");
    let mut command = Command::new("strace");
    command
        .args(["--quiet=all", "-f", "-c", "-e", "trace=write", "-o"])
        .arg(&table)
        .arg(program);
    command.args(["--side", side, "--scenario", scenario, "--rounds", "1"]);
    command.args(["--wakes", &wakes.to_string()]);
    ensure!(command.output()?.status.success(), "{command:?} failed");
    let table = std::fs::read_to_string(table)?;
    // Columns: % time, seconds, usecs/call, calls, errors (may be empty), syscall.
    let line = table.lines().find(|line| line.ends_with(" write"));
    let calls = line.and_then(|line| line.split_whitespace().nth(3));
    Ok(calls.context("no call of write(2)")?.parse()?)
}
