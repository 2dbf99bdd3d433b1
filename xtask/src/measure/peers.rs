//! `cargo xtask peers`: loadgen compared with wrk, oha and h2load on one HTTP server, in requests
//! per second, CPU time of the generator per request and, if asked, instructions per request.
//!
//! All run in turns, in an order that rotates, and each round gives a ratio to loadgen for each
//! peer. Held constant: one nginx (one process, one CPU, a file of 1 KiB that it opens for each
//! request, so that the server limits all of them; unlimited keep-alive), one generator thread on
//! another CPU, the same connections, a closed loop. The server limits the rate of a generator that
//! costs less than it; CPU time per request tells those apart.
//!
//! loadgen checks the status and length of every answer; wrk counts statuses. Noise: other work on
//! the machine widens the intervals. Instructions are stable on a busy machine too. They are the
//! slope between two runs under callgrind, so that the start of a generator cancels out.
//!
//! This process sleeps while a generator runs.

mod generator;
mod instructions;
mod nginx;
mod ratio;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;
use serde_json::Value;

use crate::measure::contenders;
use crate::measure::cpus::CpuOptions;
use crate::programs::cleanup::Folder;
use crate::programs::process::{build, need, target_folder};
use generator::{Client, Generators};
use ratio::{Ratio, median};

#[derive(Debug, Args)]
pub(crate) struct Peers {
    /// Peers, comma separated; one that is not installed is left out, and named
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "wrk,oha,h2load"
    )]
    peer: Vec<Client>,
    /// Rounds, five at least
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(5..))]
    rounds: u32,
    /// Seconds of a run
    #[arg(long, value_name = "S", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    duration: u32,
    /// Connections
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// Use HTTP/2 in the clear, 10 streams per connection, without wrk
    #[arg(long)]
    http2: bool,
    /// Count instructions per request of loadgen and wrk too (needs valgrind); A and B are the
    /// seconds of wrk's two runs, 3,9 if they are left out
    #[arg(long, value_name = "A,B", num_args = 0..=1, require_equals = true, default_missing_value = "3,9", value_parser = rising)]
    callgrind: Option<[u32; 2]>,
    /// Requests of loadgen's two runs under callgrind
    #[arg(long, value_name = "A,B", default_value = "5000,25000", value_parser = rising)]
    requests: [u32; 2],
    #[command(flatten)]
    cpus: CpuOptions,
    /// Use the existing build
    #[arg(long)]
    no_build: bool,
}

fn rising(text: &str) -> Result<[u32; 2], String> {
    let numbers = text.split_once(',');
    let numbers = numbers.and_then(|(few, many)| Some([few.parse().ok()?, many.parse().ok()?]));
    numbers
        .filter(|[few, many]| few < many)
        .ok_or_else(|| "it takes two rising numbers".to_owned())
}

/// The content of target/peers/peers.json.
#[derive(Debug, Serialize)]
struct Report {
    machine: Value,
    connections: u32,
    duration_s: u32,
    http2: bool,
    generators: Vec<Figures>,
}

/// The measurements of one generator, round by round.
#[derive(Debug, Serialize)]
struct Figures {
    name: Client,
    requests_per_s: Vec<f64>,
    cpu_us_per_request: Vec<f64>,
    instructions_per_request: Option<f64>,
    /// Ratios of loadgen to this generator; loadgen itself has none.
    rate_ratio: Option<Ratio>,
    cpu_ratio: Option<Ratio>,
}

impl Peers {
    /// Measures, prints a table in Markdown and writes target/peers/peers.json.
    ///
    /// # Errors
    /// A tool is missing, or a program failed.
    pub(crate) fn run(self) -> Result<()> {
        need("nginx", "nginx-light")?;
        if self.callgrind.is_some() {
            need("valgrind", "valgrind")?;
        }
        let cpus = self.cpus.pick()?;
        if !self.no_build {
            let features = ["--features", "http2"];
            build(&[&["--release", "--package", "loadgen"][..], &features].concat())?;
        }
        let scratch = Folder::new()?;
        let server = nginx::start(scratch.path(), cpus.server, self.http2)?;
        let generators = Generators {
            url: format!("http://{}/", server.address),
            connections: self.connections,
            http2: self.http2,
            cpu: cpus.load,
            folder: scratch.path().to_owned(),
        };
        let Self {
            rounds,
            duration,
            connections,
            ..
        } = self;
        eprintln!(
            "nginx on CPU {}, generators on CPU {}, {connections} connections, {rounds} rounds of {duration}s",
            cpus.server, cpus.load
        );
        let clients = self.clients();
        // The first runs warm up the server and do not count.
        for &client in &clients {
            generators.measure(client, 1)?;
        }
        let mut all: Vec<_> = clients.iter().map(|&name| Figures::of(name)).collect();
        for round in 0..rounds as usize {
            for at in 0..clients.len() {
                let figures = &mut all[(at + round) % clients.len()];
                let client = figures.name;
                let run = generators.measure(client, duration)?;
                let (rate, cpu) = (run.requests_per_s, run.cpu_us_per_request);
                eprintln!("round {}: {client} {rate:.0} {cpu:.4}", round + 1);
                figures.requests_per_s.push(rate);
                figures.cpu_us_per_request.push(cpu);
            }
        }
        let out = target_folder().join("peers");
        fs::create_dir_all(&out)?;
        if let Some(seconds) = self.callgrind {
            eprintln!("counting instructions");
            let counts = instructions::Runs {
                seconds,
                requests: self.requests,
                out: out.clone(),
            };
            for figures in &mut all {
                figures.instructions_per_request = counts.count(&generators, figures.name)?;
            }
        }
        server.stop()?;
        compare(&mut all)?;
        let report = Report {
            machine: contenders::machine(),
            connections,
            duration_s: duration,
            http2: self.http2,
            generators: all,
        };
        let file = write(&out, &report)?;
        print!("{}", markdown(&report));
        eprintln!("JSON: {}", file.display());
        Ok(())
    }

    /// Returns loadgen and the peers that are installed.
    fn clients(&self) -> Vec<Client> {
        let mut clients = vec![Client::Loadgen];
        for &peer in &self.peer {
            if clients.contains(&peer) || (peer == Client::Wrk && self.http2) {
                continue;
            }
            if peer.is_installed() {
                clients.push(peer);
            } else {
                eprintln!("not compared, because it is not installed: {peer}");
            }
        }
        clients
    }
}

impl Figures {
    fn of(name: Client) -> Self {
        Self {
            name,
            requests_per_s: Vec::new(),
            cpu_us_per_request: Vec::new(),
            instructions_per_request: None,
            rate_ratio: None,
            cpu_ratio: None,
        }
    }
}

/// Adds the ratios of loadgen, which is the first, to each of the others.
fn compare(all: &mut [Figures]) -> Result<()> {
    let [loadgen, peers @ ..] = all else {
        anyhow::bail!("there is no generator");
    };
    for peer in peers {
        let ratio = |peer: &[f64], loadgen: &[f64]| Ratio::of(peer, loadgen).context("no round");
        peer.rate_ratio = Some(ratio(&peer.requests_per_s, &loadgen.requests_per_s)?);
        let cpu = ratio(&peer.cpu_us_per_request, &loadgen.cpu_us_per_request)?;
        peer.cpu_ratio = Some(cpu);
    }
    Ok(())
}

fn write(out: &std::path::Path, report: &Report) -> Result<PathBuf> {
    let file = out.join("peers.json");
    fs::write(&file, serde_json::to_string_pretty(report)? + "\n")?;
    Ok(file)
}

/// Renders the table, with the instructions if they were counted.
fn markdown(report: &Report) -> String {
    let text = |name: &str| report.machine[name].as_str().unwrap_or_default();
    let (command, kernel) = (text("command"), text("kernel"));
    let (cpus, commit) = (&report.machine["cores"], text("commit"));
    let counted = report
        .generators
        .iter()
        .any(|one| one.instructions_per_request.is_some());
    let mut lines = vec![
        format!("Command: `{command}`. {kernel}, {cpus} CPUs, commit {commit}.\n"),
        "| generator | requests per second | loadgen to it | CPU us per request | loadgen to it |"
            .to_owned(),
        "|---|---|---|---|---|".to_owned(),
    ];
    if counted {
        lines[1].push_str(" instructions per request |");
        lines[2].push_str("---|");
    }
    for one in &report.generators {
        let shown =
            |ratio: &Option<Ratio>| ratio.map_or_else(String::new, |ratio| format!("{ratio} "));
        let mut line = format!(
            "| {} | {:.0} | {}| {:.2} | {}|",
            one.name,
            median(&one.requests_per_s),
            shown(&one.rate_ratio),
            median(&one.cpu_us_per_request),
            shown(&one.cpu_ratio),
        );
        if counted {
            let count = one.instructions_per_request;
            let count = count.map_or_else(|| "-".to_owned(), |count| format!("{count:.0}"));
            line.push_str(&format!(" {count} |"));
        }
        lines.push(line);
    }
    let peers = report.generators.iter();
    for (peer, rate) in peers.filter_map(|one| Some((one.name, one.rate_ratio?))) {
        let within = if rate.is_within(0.9, 1.1) {
            "within"
        } else {
            "not within"
        };
        lines.push(format!(
            "\nThe rate of loadgen to {peer} is {within} 0.90 to 1.10."
        ));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_the_ratio_of_loadgen_to_each_peer() {
        let figures = |name, rate: f64, cpu: f64| Figures {
            requests_per_s: vec![rate, rate * 1.02, rate * 0.98],
            cpu_us_per_request: vec![cpu; 3],
            ..Figures::of(name)
        };
        let mut all = vec![
            figures(Client::Loadgen, 1000.0, 10.0),
            figures(Client::Wrk, 2000.0, 5.0),
        ];
        compare(&mut all).unwrap();
        all[1].instructions_per_request = Some(6107.2);
        let report = Report {
            machine: serde_json::json!({"command": "C", "kernel": "K", "cores": 2, "commit": "abc"}),
            connections: 64,
            duration_s: 3,
            http2: false,
            generators: all,
        };
        assert_eq!(
            markdown(&report),
            "Command: `C`. K, 2 CPUs, commit abc.\n\n\
             | generator | requests per second | loadgen to it | CPU us per request | loadgen to it \
             | instructions per request |\n\
             |---|---|---|---|---|---|\n\
             | loadgen | 1000 | | 10.00 | | - |\n\
             | wrk | 2000 | 0.500 [0.500, 0.500], less | 5.00 | 2.000 [2.000, 2.000], more | 6107 |\n\n\
             The rate of loadgen to wrk is not within 0.90 to 1.10.\n"
        );
    }
}
