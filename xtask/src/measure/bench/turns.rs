//! The rounds of a scenario: each contender once per round, each in a fresh process.
//!
//! While a load runs, this process sleeps in wait(2).

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;

use super::scenarios::Scenario;
use crate::measure::contenders::{Bench, Contender};
use crate::measure::cpus::{Cpus, pinned, under};
use crate::programs::process::Running;

/// The end of the last round with --quick.
const QUICK: Duration = Duration::from_secs(110);

/// The contenders of a scenario, and the place of their processes.
#[derive(Debug)]
pub(crate) struct Turns<'a> {
    pub(crate) bench: &'a Bench,
    pub(crate) contenders: Vec<&'a str>,
    pub(crate) scenario: &'a Scenario,
    pub(crate) cpus: Cpus,
    /// The folder of the scenario's reports.
    pub(crate) folder: PathBuf,
    /// Options of every load, after all others.
    pub(crate) more: &'a [String],
}

impl Turns<'_> {
    /// Runs each contender once per round, with these options of loadgen.
    ///
    /// `quick_since` is the start of a run with --quick: a slow machine gets fewer rounds, each
    /// complete, not more than two minutes.
    ///
    /// # Errors
    /// A program failed.
    pub(crate) fn rounds(
        &self,
        count: u32,
        options: &[String],
        quick_since: Option<Instant>,
    ) -> Result<()> {
        let mut slowest = Duration::ZERO;
        for round in 1..=count {
            let begun = Instant::now();
            if round > 2 && quick_since.is_some_and(|start| start.elapsed() + slowest > QUICK) {
                eprintln!("two minutes are nearly over: {} rounds it is", round - 1);
                break;
            }
            eprintln!("{}: round {round} of {count}", self.scenario.name);
            for name in &self.contenders {
                let server = self.start(name)?;
                let beside = self.scenario.beside;
                let beside = beside.map(|load| self.start_beside(&server, load));
                let beside = beside.transpose()?;
                self.load(&server, &format!("{name}.json"), options)?;
                beside.map_or(Ok(()), stop_beside)?;
                server.stop()?;
            }
            slowest = slowest.max(begun.elapsed());
        }
        Ok(())
    }

    /// Runs two fresh servers of each contender with two numbers of connections, each served once.
    ///
    /// # Errors
    /// A program failed.
    pub(crate) fn memory(&self, [few, many]: [u32; 2]) -> Result<()> {
        eprintln!("memory per connection: {few} and {many} connections");
        for name in &self.contenders {
            for count in [few, many] {
                let server = self.start(name)?;
                let options = format!("-c {count} --active 1 -n 1 --warmup 0 --timeout 30");
                let options: Vec<_> = options.split(' ').map(str::to_owned).collect();
                self.load(&server, &format!("{name}.memory.json"), &options)?;
                server.await_quiet()?;
                server.stop()?;
            }
        }
        Ok(())
    }

    fn start(&self, name: &str) -> Result<Contender> {
        let Cpus { server, load } = self.cpus;
        let cpus = match self.scenario.threads {
            1 => server.to_string(),
            _ => format!("{server},{load}"),
        };
        let threads = self.scenario.threads;
        self.bench.start_on(name, threads, &cpus, &pinned(&cpus))
    }

    /// Loads a server, and appends the report to a file.
    fn load(&self, server: &Contender, file: &str, options: &[String]) -> Result<()> {
        let pinned = pinned(&self.cpus.load.to_string());
        let tool = match self.scenario.threads {
            1 => &pinned[..],
            _ => &[],
        };
        let mut command = under(tool, self.bench.loadgen());
        command.arg(server.address());
        command.args(["--server-pid", &server.id().to_string(), "--quiet"]);
        command.args(["--format", "json"]);
        command.args(options).args(self.more);
        let mut load = Running::start("load", self.bench.scratch(), &mut command)?;
        let status = load.join()?;
        eprint!("{}", load.err());
        ensure!(
            status.success(),
            "loadgen failed against {}: {command:?}\n{}",
            server.name,
            server.err()
        );
        let file = self.folder.join(file);
        let file = OpenOptions::new().append(true).create(true).open(&file);
        file?.write_all(load.out().as_bytes())?;
        Ok(())
    }

    /// Starts a second load, for longer than the measured one takes.
    fn start_beside(&self, server: &Contender, load: &str) -> Result<Running> {
        let mut command = Command::new(self.bench.loadgen());
        command.arg(server.address());
        command.args("--duration 60s --quiet --format json".split(' '));
        command.args(load.split(' '));
        let running = Running::start("beside", self.bench.scratch(), &mut command)?;
        thread::sleep(Duration::from_millis(300));
        Ok(running)
    }
}

/// Ends the second load. It made no difference unless it was answered until the end.
fn stop_beside(mut load: Running) -> Result<()> {
    let ended = load.has_ended()?;
    ensure!(!ended, "the load beside ended early: {}", load.err());
    load.signal(Signal::INT)?;
    load.wait(Duration::from_secs(20))?;
    let report: Value =
        serde_json::from_str(&load.out()).context("the report of the load beside")?;
    ensure!(
        report["requests"]["completed"].as_u64() > Some(0),
        "the load beside had no answer"
    );
    Ok(())
}
