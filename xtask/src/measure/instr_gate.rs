//! `cargo xtask instr-gate`: fails if a hot path costs more instructions than
//! scripts/instr-baselines.txt says, and names the functions that grew.
//!
//! Each path runs twice under callgrind, for two numbers of rounds; the difference is the cost of
//! the additional rounds. The echoes are server-demo's on each I/O surface, driven as by `instr`.
//! The other paths are those of benches/src/bin/hot-paths.rs. The program instr-gate of benches/
//! compares the instructions of the programs' own code.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};
use clap::Args;

use crate::measure::callgrind;
use crate::measure::contenders::Bench;
use crate::measure::instr::{behind, lockstep};
use crate::programs::process::{self, need, target_folder};

const ECHOES: [u32; 2] = [6_400, 19_200];
const ROUNDS: [u32; 2] = [2_000, 8_000];

#[derive(Debug, Args)]
pub(crate) struct InstrGate {
    /// Write the counts to scripts/instr-baselines.txt instead of comparing: commit it with the
    /// change that is worth them
    #[arg(long)]
    update: bool,
    /// Use the existing build
    #[arg(long)]
    no_build: bool,
}

impl InstrGate {
    /// # Errors
    /// A path costs over 2% more than its baseline (10% with another compiler than the baseline's).
    pub(crate) fn run(self) -> Result<()> {
        need("valgrind", "valgrind")?;
        if !self.no_build {
            process::build(&[
                "--release",
                "--package",
                "benches",
                "--package",
                "server-demo",
                "--bin",
                "server-demo",
                "--bin",
                "lockstep",
                "--bin",
                "hot-paths",
                "--bin",
                "instr-gate",
            ])?;
        }
        let bench = Bench::new(false)?;
        let out = target_folder().join("instr-gate");
        fs::create_dir_all(&out)?;
        let mut paths = Vec::new();
        // The comparison needs the two profiles and the number of additional rounds.
        let mut gate = |name: &str, [few, many]: [u32; 2]| {
            let file = |rounds: u32| out.join(format!("{name}.{rounds}")).display().to_string();
            paths.push(format!(
                "{name}:{}:{}:{}",
                file(few),
                file(many),
                many - few
            ));
        };
        // With one connection an echo is a whole turn of the shard, and its wait.
        for (path, server, connections) in [
            ("demo-helpers", "demo-helpers", 64),
            ("demo-poll", "demo-poll", 64),
            ("demo-guards", "demo-guards", 64),
            ("turn", "demo-helpers", 1),
        ] {
            eprintln!("counting {path}");
            for echoes in ECHOES {
                let profile = callgrind::options(&out.join(format!("{path}.{echoes}")));
                let server = bench.start(server, 0, &[behind(), profile].concat())?;
                lockstep(&bench, server.address(), connections, echoes, |_| {})?;
                server.await_quiet()?;
                server.stop()?;
            }
            gate(path, ECHOES);
        }
        for path in ["register", "spawn", "wake", "timer"] {
            eprintln!("counting {path}");
            for rounds in ROUNDS {
                let profile = out.join(format!("{path}.{rounds}"));
                let rounds = rounds.to_string();
                callgrind::run(&profile, &bench.program("hot-paths"), &[path, &rounds])?;
            }
            gate(path, ROUNDS);
        }
        let compiler = Command::new("rustc").arg("--version").output()?;
        let mut compare = Command::new(bench.program("instr-gate"));
        compare.arg("scripts/instr-baselines.txt");
        compare
            .arg("--compiler")
            .arg(String::from_utf8(compiler.stdout)?.trim());
        if self.update {
            compare.arg("--update");
        }
        ensure!(
            compare.args(paths).status()?.success(),
            "a path costs more than its baseline"
        );
        Ok(())
    }
}
