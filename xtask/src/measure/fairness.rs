//! `cargo xtask fairness`: the effect of one connection that never stops on 9,000 quiet ones, on
//! server-demo and on two tokio servers, in turns.
//!
//! Held constant: one server thread on one CPU, both generators on another, where the quiet one has
//! priority. Latency counts from the actual send, since a generator's wait for its CPU says nothing
//! about a server. 'alone' is the same without the flood. 'turns' is the most turns of its loop
//! that a ready connection waited on server-demo. With all 9,001 ready at once it can be 148 (61
//! are polled in a turn, and two tasks serve no connection); more is an error.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use rustix::process::Signal;
use serde_json::Value;

use crate::measure::contenders::{self, Bench};
use crate::measure::cpus::{CpuOptions, Cpus, pinned, under};
use crate::programs::demo::Counts;
use crate::programs::process::{self, Running};

#[derive(Debug, Args)]
pub(crate) struct Fairness {
    /// Contenders
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "demo-helpers,tokio-ct,tokio-mt", value_parser = contenders::known)]
    only: Vec<String>,
    /// Rounds of each
    #[arg(long, value_name = "N", default_value_t = 2)]
    rounds: u32,
    /// Quiet connections
    #[arg(long, value_name = "N", default_value_t = 9_000)]
    connections: u64,
    /// Their requests per second in total, open loop
    #[arg(long, value_name = "N", default_value_t = 3_000)]
    rate: u32,
    /// Measured time of a run
    #[arg(long, value_name = "D", default_value = "4s")]
    duration: String,
    #[command(flatten)]
    cpus: CpuOptions,
    /// Use the existing build
    #[arg(long)]
    no_build: bool,
}

impl Fairness {
    /// # Errors
    /// A program failed, or a connection of server-demo waited too many turns.
    pub(crate) fn run(self) -> Result<()> {
        let cpus = self.cpus.pick()?;
        let bench = Bench::new(!self.no_build)?;
        let Self {
            connections, rate, ..
        } = self;
        println!(
            "{connections} quiet connections, {rate} requests/s; microseconds from the send on"
        );
        println!(
            "{:<14} {:<6} {:>10} {:>10} {:>10} {:>12} {:>8}",
            "contender", "beside", "p50", "p99", "p99.9", "flood MB/s", "turns"
        );
        for _ in 0..self.rounds {
            for name in &self.only {
                self.measure(&bench, cpus, name, false)?;
                self.measure(&bench, cpus, name, true)?;
            }
        }
        Ok(())
    }

    fn load(bench: &Bench, cpu: u32, address: &str, arguments: &str) -> Command {
        let mut command = under(&pinned(&cpu.to_string()), bench.loadgen());
        command.arg(address).args(arguments.split_whitespace());
        command.args(["--format", "json"]);
        command
    }

    /// Does one run and prints its line of the table.
    fn measure(&self, bench: &Bench, cpus: Cpus, name: &str, flooded: bool) -> Result<()> {
        let server = bench.start(name, cpus.server, &[])?;
        let folder = bench.scratch();
        let flood = flooded.then(|| {
            // It runs until it is stopped, which is always after the quiet connections end.
            let flood = "-c 1 -P 64 --size 16k -d 120s --warmup 100ms";
            let flood = Self::load(bench, cpus.load, server.address(), flood);
            let mut nice = Command::new("nice");
            nice.args(["-n", "10"])
                .arg(flood.get_program())
                .args(flood.get_args());
            Running::start("flood", folder, &mut nice)
        });
        let flood = flood.transpose()?;
        let Self {
            connections,
            rate,
            duration,
            ..
        } = self;
        let quiet = format!("-c {connections} -R {rate} -d {duration} --arrivals poisson");
        let mut quiet = Self::load(bench, cpus.load, server.address(), &quiet);
        let quiet = process::run(folder, Duration::from_secs(100), &[0], &mut quiet)?;
        let mut flood_rate = "-".to_owned();
        if let Some(mut flood) = flood {
            flood
                .signal(Signal::TERM)
                .context("the flood ended by itself")?;
            flood.wait(Duration::from_secs(20))?;
            let flood: Value = serde_json::from_str(&flood.out())?;
            let bytes = find(&flood, "bytes_read_per_s").context("the flood's rate")?;
            flood_rate = format!("{:.0}", bytes / 1e6);
        }
        let mut turns = "-".to_owned();
        let ended = server.stop()?;
        if name.starts_with("demo-") {
            let waited = Counts::read(&ended.out)?.get("turns waited");
            let most = (self.connections + 3).div_ceil(61);
            ensure!(
                waited <= most,
                "a ready connection waited {waited} turns, more than {most}"
            );
            turns = waited.to_string();
        }
        let quiet: Value = serde_json::from_str(&quiet.out)?;
        let us = |name: &str| {
            let ns = quiet["latency"]["raw"][name].as_f64().unwrap_or(f64::NAN);
            format!("{:.0}", ns / 1e3)
        };
        let beside = if flooded { "flood" } else { "alone" };
        let (p50, p99, p99_9) = (us("p50_ns"), us("p99_ns"), us("p99_9_ns"));
        println!(
            "{name:<14} {beside:<6} {p50:>10} {p99:>10} {p99_9:>10} {flood_rate:>12} {turns:>8}"
        );
        Ok(())
    }
}

/// Returns the first number of this name in a report.
fn find(value: &Value, name: &str) -> Option<f64> {
    match value {
        Value::Object(fields) => fields
            .get(name)
            .and_then(Value::as_f64)
            .or_else(|| fields.values().find_map(|field| find(field, name))),
        _ => None,
    }
}
