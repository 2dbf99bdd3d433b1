//! `cargo xtask budgets`: measures every budget of the design on this machine, and prints one
//! table: met or missed.
//!
//! Each figure comes from the command for it (`instr`, `bench`, tests that count
//! allocations), together with the figures of the bare loop and of tokio. The ratios need a quiet
//! machine; the counts do not.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Parser};

use crate::measure::bench;
use crate::measure::callgrind;
use crate::measure::contenders::Bench;
use crate::measure::instr::{Instr, slope};
use crate::programs::process::target_folder;

#[derive(Debug, Args)]
pub(crate) struct Budgets {
    /// Rounds of bench.sh; 20 take about fifteen minutes
    #[arg(long, value_name = "N", default_value_t = 20)]
    rounds: u32,
    /// Take ratios and memory from the bench.json of an earlier run of bench.sh
    #[arg(long, value_name = "FILE", conflicts_with = "rounds")]
    bench: Option<PathBuf>,
    /// Use the existing build
    #[arg(long)]
    no_build: bool,
}

/// The arguments of a measurement of instructions.
#[derive(Debug, Parser)]
struct InstrArguments {
    #[command(flatten)]
    instr: Instr,
}

/// The arguments of the comparison with tokio.
#[derive(Debug, Parser)]
struct BenchArguments {
    #[command(flatten)]
    options: bench::Options,
}

impl Budgets {
    /// Returns exit code 3 if a budget is missed.
    ///
    /// # Errors
    /// A measurement failed.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let bench = Bench::new(!self.no_build)?;
        let out = target_folder().join("budgets");
        fs::create_dir_all(&out)?;
        let instr = |arguments: &str, file: &str| -> Result<PathBuf> {
            let words = format!("instr --no-build {arguments}");
            InstrArguments::try_parse_from(words.split_whitespace())?
                .instr
                .run()?;
            let file = out.join(file);
            fs::copy(target_folder().join("instr/instr.json"), &file)?;
            Ok(file)
        };
        let all = instr("", "instr.json")?;
        let idle = "--only demo-helpers --count instructions --idle 18936";
        let idle = instr(idle, "instr-idle.json")?;

        let hot_path = |name: &str| -> Result<String> {
            let count = |rounds: &str| {
                let program = bench.program("hot-paths");
                callgrind::count(bench.scratch(), &program, &[name, rounds])
            };
            let (few, many) = (count("2000")?, count("8000")?);
            Ok(format!(
                "{:.1}",
                slope(few.instructions, many.instructions, 6_000)
            ))
        };
        let register = ["register", "register-tokio", "register-bare"].map(hot_path);
        let register: Vec<_> = register.into_iter().collect::<Result<_>>()?;

        // Two cycles of connections that open, are served once, and close.
        let server = bench.start("demo-helpers", 0, &[])?;
        let mut churn = Vec::new();
        for _ in 0..2 {
            let mut load = Command::new(bench.program("loadgen"));
            load.arg(server.address())
                .args(["-c", "200", "--requests-per-conn", "1"]);
            load.args(["-n", "20000", "--warmup", "0", "--quiet"]);
            ensure!(load.output()?.status.success(), "the churn failed");
            server.await_quiet()?;
            let status = fs::read_to_string(format!("/proc/{}/status", server.id()))?;
            let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let kib = resident.and_then(|line| line.split_whitespace().next());
            churn.push(kib.context("no VmRSS")?.to_owned());
        }
        server.stop()?;

        let mut allocations = Command::new("cargo");
        allocations.args(["test", "--quiet", "--package", "shard-reactor"]);
        allocations.args(["--package", "server-demo", "--test", "allocations"]);
        let no_allocations = allocations.status()?.success();

        let bench_json = match self.bench {
            Some(file) => file,
            None => {
                let rounds = self.rounds.to_string();
                let words = ["bench", "--no-build", "--scenarios", "base,rate-80"];
                let words = [&words[..], &["--rounds", &rounds]].concat();
                let words: Vec<_> = words.into_iter().map(str::to_owned).collect();
                BenchArguments::try_parse_from(&words)?
                    .options
                    .run(&words[1..])?;
                target_folder().join("bench/bench.json")
            }
        };
        let mut table = Command::new(bench.program("budgets"));
        table.arg("--instr").arg(all).arg("--instr-idle").arg(idle);
        table.arg("--bench").arg(bench_json);
        table.args([
            "--register",
            &register.join(","),
            "--churn-kib",
            &churn.join(","),
        ]);
        table.args(["--no-allocations", &no_allocations.to_string()]);
        let code = table
            .status()?
            .code()
            .context("the table was ended by a signal")?;
        Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from))
    }
}
