//! The project's own commands, as `cargo xtask COMMAND`: tests of whole programs under faults,
//! with independent peers, and over a long time.
//!
//! Commands that run cases take the arguments of a test program after `--`.

#![forbid(unsafe_code)]

mod checks;
mod measure;
mod programs;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use libtest_mimic::Arguments;

use crate::checks::{
    cluster, examples, faults, interop, network, observe, page, protocols, readers, repeat, smoke,
    soak,
};
use crate::measure::{
    bench, budgets, fairness, imbalance, instr, instr_gate, peers, timers, wakes,
};
use crate::programs::process;

/// Commands of this project
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Runs server-demo and loadgen under failing system calls, without descriptors or memory,
    /// stopped, and misused (needs strace)
    Faults(Cases),
    /// Runs the examples with nc, curl and a web server of Python
    Examples(Cases),
    /// Runs loadgen against independent servers: nginx, Python's http.server and websockets, and
    /// redis-server
    Protocols(protocols::Protocols),
    /// Tests other libraries on this project's streams, and serves curl, h2load and others with
    /// hyper, axum and rustls on the reactor (needs redis-server and postgresql too)
    Interop(Cases),
    /// Has loadgen's files read by programs of others, and compares (needs java and python3)
    Readers(readers::Readers),
    /// Opens loadgen's pages in a browser (needs chromium)
    Pages(page::Pages),
    /// Divides one load by Slurm and GNU parallel (needs root, slurm-wlm and parallel)
    Cluster(Cases),
    /// Has the endpoint of --observe read by Prometheus (needs prometheus, which PROMETHEUS and
    /// PROMTOOL may name, and curl)
    Observe(observe::Observe),
    /// Runs a short verified load against a separate server-demo, on every I/O surface under every
    /// accept policy
    Smoke(smoke::Smoke),
    /// Runs minutes of churn and bad clients, after which the server is in its earlier state
    Soak(soak::Soak),
    /// Runs loads over a network that loses packets, is slow, breaks, and resets half of the
    /// connections (needs root, ip, tc and iptables-legacy)
    Network(network::Network),
    /// Runs every test program of a package many times in a row
    Repeat(repeat::Repeat),
    /// Measures the bytes of an armed timer, and the instructions that a million of them add to a
    /// turn (needs valgrind)
    Timers(timers::Timers),
    /// Measures how evenly each accept policy spreads connections over shards
    Imbalance(imbalance::Imbalance),
    /// Counts instructions and system calls per echo (needs valgrind and strace)
    Instr(instr::Instr),
    /// Compares the instructions of the hot paths with their baselines (needs valgrind)
    InstrGate(instr_gate::InstrGate),
    /// Compares server-demo with a bare epoll loop and three tokio servers
    #[command(after_help = bench::scenarios::help())]
    Bench(bench::Options),
    /// Compares loadgen with wrk, oha and h2load on one nginx
    Peers(peers::Peers),
    /// Measures every budget of the design (needs valgrind and strace)
    Budgets(budgets::Budgets),
    /// Measures the effect of one flooding connection on many quiet ones
    Fairness(fairness::Fairness),
    /// Measures the cost of waking a task from another thread (needs strace)
    Wakes(wakes::Wakes),
}

#[derive(Debug, Args)]
struct Cases {
    /// Use the existing build
    #[arg(long)]
    no_build: bool,
    /// Print the names and run nothing
    #[arg(long)]
    list: bool,
    /// Run the cases whose names contain this
    filter: Option<String>,
    /// Arguments of a test program, such as --exact or --test-threads 1
    #[arg(last = true)]
    rest: Vec<String>,
}

impl Cases {
    fn arguments(&self) -> Arguments {
        let mut arguments = Arguments::from_iter(
            ["xtask"]
                .into_iter()
                .chain(self.rest.iter().map(String::as_str)),
        );
        arguments.list |= self.list;
        arguments.filter = arguments.filter.take().or_else(|| self.filter.clone());
        arguments
    }
}

fn main() -> ExitCode {
    let done = Cli::parse().command.run();
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

impl Task {
    fn run(self) -> Result<ExitCode> {
        process::end_all_at_signals()?;
        match self {
            Self::Faults(cases) => return faults::run(!cases.no_build, cases.arguments()),
            Self::Examples(cases) => return examples::run(!cases.no_build, &cases.arguments()),
            Self::Bench(bench) => bench.run(&std::env::args().skip(2).collect::<Vec<_>>())?,
            Self::Peers(peers) => peers.run()?,
            Self::Protocols(protocols) => return protocols.run(),
            Self::Interop(cases) => return interop::run(!cases.no_build, &cases.arguments()),
            Self::Readers(readers) => return readers.run(),
            Self::Pages(pages) => return pages.run(),
            Self::Cluster(cases) => return cluster::run(!cases.no_build, cases.arguments()),
            Self::Observe(observe) => return observe.run(),
            Self::Budgets(budgets) => return budgets.run(),
            Self::Instr(instr) => instr.run()?,
            Self::InstrGate(gate) => gate.run()?,
            Self::Fairness(fairness) => fairness.run()?,
            Self::Smoke(smoke) => smoke.run()?,
            Self::Soak(soak) => soak.run()?,
            Self::Network(network) => network.run()?,
            Self::Repeat(repeat) => repeat.run()?,
            Self::Timers(timers) => timers.run()?,
            Self::Imbalance(imbalance) => imbalance.run()?,
            Self::Wakes(wakes) => wakes.run()?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
