//! `cargo xtask smoke`: a short verified load against a separate server-demo on every I/O surface
//! under every accept policy, then the failures that a user meets first.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::programs::cleanup::Folder;
use crate::programs::demo::{self, Programs, Server};

pub(crate) const POLICIES: [&str; 6] = [
    "reuseport",
    "hash",
    "round-robin",
    "least-loaded",
    "hybrid",
    "exclusive",
];
pub(crate) const SURFACES: [&str; 3] = ["helpers", "guards", "poll"];

#[derive(Debug, Args)]
pub(crate) struct Smoke {
    /// Connections of a run
    #[arg(long, value_name = "N", default_value_t = 400)]
    connections: u32,
    /// Length of a run
    #[arg(long, value_name = "D", default_value = "1s")]
    duration: String,
    /// Use the existing build
    #[arg(long)]
    no_build: bool,
    /// Options of loadgen, for instance --size 4k
    #[arg(last = true)]
    load: Vec<String>,
}

impl Smoke {
    /// # Errors
    /// A run failed, or a program ended with another code than it should.
    pub(crate) fn run(self) -> Result<()> {
        let programs = Programs::get(!self.no_build)?;
        let folder = Folder::new()?;
        let folder = folder.path();
        let start =
            |arguments: &str| Server::start(folder, Command::new(&programs.server), arguments);
        for accept in POLICIES {
            for io in SURFACES {
                let server = start(&format!("--shards 2 --accept {accept} --io {io}"))?;
                let Self {
                    connections,
                    duration,
                    ..
                } = &self;
                let load = format!("-c {connections} -d {duration} --warmup 200ms --io {io}");
                let mut load = programs.load(server.address(), &load);
                let report = demo::run_load(folder, &[0], load.args(&self.load))?.out;
                let rate = report
                    .lines()
                    .find(|line| line.trim().starts_with("Requests/sec"));
                println!("{accept:<12} {io:<8} {}", rate.unwrap_or_default().trim());
                server.stop()?;
            }
        }
        let ends = |code: i32, command: &mut Command| demo::run_load(folder, &[code], command);
        let server = start("--shards 1")?;
        let address = server.address().to_owned();
        server.stop()?;
        // The port is free again and has no listener: an error that says so, not a hang.
        ends(1, &mut programs.load(&address, "-c 1 -d 1s"))?;
        ends(2, Command::new(&programs.loadgen).arg("--no-such-flag"))?;
        let server = start("--shards 1")?;
        for wrong in [
            &["--listen", server.address()][..],
            &["--listen", "127.0.0.1:0", "--shards", "0"],
            &["--listen", "127.0.0.1:0", "--pin", "99"],
        ] {
            let mut command = Command::new(&programs.server);
            demo::run_load(folder, &[1, 2], command.arg("echo").args(wrong))?;
        }
        server.stop()?;
        println!("all runs were verified, and all exit codes are as they should be");
        Ok(())
    }
}
