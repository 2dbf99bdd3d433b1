//! `cargo xtask bench`, which scripts/bench.sh calls: server-demo's three I/O surfaces compared
//! with a bare epoll loop and three tokio servers.
//!
//! Measured: echoes per second, latency, the server's CPU time per echo (user, system) and its
//! memory per connection. loadgen measures them and verifies every byte. Held constant: one server
//! thread on one CPU, one generator thread on another. Every round runs every contender once, each
//! in a fresh process, so that disturbances on the machine affect all of them (A B C … A B C …).
//! Ratios are those of `loadgen compare`: pseudomedians over the paired rounds, with a 95% interval
//! of signed ranks. The scenario `base` has all contenders. The others vary one factor of it and
//! have fewer contenders, except `rate-80`.
//!
//! Noise: other work on the machine, most of all on the two CPUs. It widens the intervals, and an
//! interval wider than ±5% is called inconclusive: run more rounds on a quieter machine. CPU per
//! echo is valid even if the generator was the bottleneck; echoes per second are not.

mod report;
pub(crate) mod scenarios;
mod turns;

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Args;
use clap::builder::RangedI64ValueParser;

use crate::measure::contenders::{self, BASE, Bench};
use crate::measure::cpus::CpuOptions;
use crate::programs::process::target_folder;
use report::Report;
use scenarios::{Contenders, List, Load};
use turns::Turns;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Run the scenario 'base' alone, in few short rounds: it ends within two minutes after the
    /// build
    #[arg(long)]
    quick: bool,
    /// Scenarios, comma separated; 'base' comes before 'rate-…' [default: all of them, under 60
    /// minutes]
    #[arg(long, value_name = "LIST", value_parser = List::parse)]
    scenarios: Option<List>,
    /// Contenders of 'base' and 'rate-80', comma separated [default: all with one thread]
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = BASE, hide_default_value = true, value_parser = contenders::known)]
    only: Vec<String>,
    /// Contenders of the other scenarios; 'bulk' and those of the service 'work' have their own
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "bare-epoll,tokio-mt,tokio-ct,demo-helpers", value_parser = contenders::known)]
    others: Vec<String>,
    /// Rounds of each contender in 'base' and 'rate-80', which xtask budgets uses [default: 20, or
    /// 12 with --quick]
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    rounds: Option<u32>,
    /// The same in the other scenarios
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = at_least_one())]
    other_rounds: u32,
    /// Measured time of a round [default: 2s, or 700ms with --quick]
    #[arg(long, value_name = "D")]
    duration: Option<String>,
    /// Discarded start of a round [default: 500ms, or 200ms with --quick]
    #[arg(long, value_name = "D")]
    warmup: Option<String>,
    /// Connections of 'base', all active
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = at_least_one())]
    connections: u32,
    /// Connections of the two memory runs, or 'none' for no such runs [default: 1000,19000, or
    /// 1000,6000 with --quick]
    #[arg(long, value_name = "A,B", value_parser = memory)]
    memory: Option<Memory>,
    /// Write the page that BENCHMARKS.md is
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    #[command(flatten)]
    cpus: CpuOptions,
    /// Use the existing build
    #[arg(long)]
    no_build: bool,
    /// Options of every loadgen run
    #[arg(last = true, value_name = "LOADGEN OPTIONS")]
    load: Vec<String>,
}

fn at_least_one() -> RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..)
}

/// The connections of the two memory runs, if there are any.
#[derive(Debug, Clone, Copy)]
struct Memory(Option<[u32; 2]>);

fn memory(text: &str) -> Result<Memory, String> {
    if text == "none" {
        return Ok(Memory(None));
    }
    let numbers = text.split_once(',');
    let numbers = numbers.and_then(|(few, many)| Some([few.parse().ok()?, many.parse().ok()?]));
    let numbers = numbers.ok_or("it takes two numbers, or 'none'")?;
    Ok(Memory(Some(numbers)))
}

impl Options {
    /// Measures, prints the tables and writes target/bench/. `arguments` are those of
    /// scripts/bench.sh, for the report.
    ///
    /// # Errors
    /// A tool is missing, or a program failed.
    pub(crate) fn run(self, arguments: &[String]) -> Result<()> {
        let cpus = self.cpus.pick()?;
        let bench = Bench::new(!self.no_build)?;
        let mut report = Report {
            folder: target_folder().join("bench"),
            command: [&["scripts/bench.sh".to_owned()], arguments]
                .concat()
                .join(" "),
            markdown: self.markdown.clone(),
            scenarios: Vec::new(),
        };
        let out = report.folder.display().to_string();
        let removed = fs::remove_dir_all(&report.folder);
        let gone = |error: &std::io::Error| error.kind() == ErrorKind::NotFound;
        ensure!(
            removed.as_ref().err().is_none_or(gone),
            "cannot empty {out}: {removed:?}"
        );
        let begun = Instant::now();
        let standard = |quick: &'static str, normal: &'static str| {
            if self.quick { quick } else { normal }.to_owned()
        };
        let duration = self.duration.clone();
        let duration = duration.unwrap_or_else(|| standard("700ms", "2s"));
        let warmup = self.warmup.clone();
        let warmup = warmup.unwrap_or_else(|| standard("200ms", "500ms"));
        for scenario in self.chosen().0 {
            let (count, names) = match scenario.contenders {
                Contenders::Base => (self.base_rounds(), strs(&self.only)),
                Contenders::Others => (self.other_rounds, strs(&self.others)),
                Contenders::Only(names) => (self.other_rounds, names.to_vec()),
            };
            let turns = Turns {
                bench: &bench,
                contenders: names,
                scenario,
                cpus,
                folder: report.folder.join(scenario.name),
                more: &self.load,
            };
            fs::create_dir_all(&turns.folder)?;
            let rate = match scenario.load {
                Load::Percent(percent) => Some(report.saturation(&bench, percent)?),
                _ => None,
            };
            if let ("base", Some(connections)) = (scenario.name, self.memory()) {
                turns.memory(connections)?;
            }
            let title = scenario.title(self.connections, rate);
            report.scenarios.push(format!("{}={title}", scenario.name));
            let mut options = ["-d", &duration, "--warmup", &warmup]
                .map(str::to_owned)
                .to_vec();
            options.extend(scenario.options(self.connections, rate));
            turns.rounds(count, &options, self.quick.then_some(begun))?;
        }
        print!("{}", report.write(&bench)?);
        println!(
            "page: {out}/bench.html; JSON: {out}/bench.json; rounds: {out}/*/*.json; {} s",
            begun.elapsed().as_secs()
        );
        Ok(())
    }

    fn chosen(&self) -> List {
        let standard = if self.quick { List::base } else { List::all };
        self.scenarios.clone().unwrap_or_else(standard)
    }

    fn base_rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 12 } else { 20 })
    }

    fn memory(&self) -> Option<[u32; 2]> {
        let many = if self.quick { 6_000 } else { 19_000 };
        self.memory.map_or(Some([1_000, many]), |memory| memory.0)
    }
}

fn strs(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}
