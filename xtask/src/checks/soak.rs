//! `cargo xtask soak`: minutes of connections that open and close, misbehave and fall silent, on
//! one server-demo after the other, each with another accept policy and I/O surface.
//!
//! After every cycle the server must be in its earlier state: no connection, and as many
//! descriptors, tasks, registrations, timers and as much memory as after its first cycles.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;

use crate::checks::smoke::{POLICIES, SURFACES};
use crate::programs::cleanup::Folder;
use crate::programs::demo::{self, Programs, Server};
use crate::programs::process::{Running, eventually};

/// The growth that a server may have since its first cycles, in KiB: the allocator keeps a little
/// of the freed memory.
const GROWTH_MAX: u64 = 1024;
/// The number of first cycles in which a server allocates memory that it keeps: pages of its
/// tables, and the threads' arenas.
const CYCLES_WARM: u32 = 2;
const SILENT: u64 = 20;
/// The pause between two cycles on a busy machine.
const PAUSE: Duration = Duration::from_secs(3);

#[derive(Debug, Args)]
pub(crate) struct Soak {
    /// Total time, such as 90s, 10m or 1h; about a minute at least
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_time)]
    duration: Duration,
    /// For a machine that does other work: pause between the cycles, and accept failed requests
    #[arg(long)]
    busy: bool,
    /// Use the existing build
    #[arg(long)]
    no_build: bool,
    /// Options of every loadgen, for instance --size 4k
    #[arg(last = true)]
    load: Vec<String>,
}

/// Reads a time such as 90s, 10m or 1h.
fn parse_time(text: &str) -> Result<Duration> {
    let parts = text.split_at_checked(text.len().saturating_sub(1));
    let (number, unit) = parts.context("not a time")?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => bail!("a time ends with s, m or h"),
    };
    let seconds = number.parse::<u32>()?.checked_mul(unit);
    Ok(Duration::from_secs(seconds.context("too long")?.into()))
}

impl Soak {
    /// # Errors
    /// A count did not return to its start, or a program failed.
    pub(crate) fn run(self) -> Result<()> {
        let programs = Programs::get(!self.no_build)?;
        let begun = Instant::now();
        let share = self.duration / 6;
        let (mut cycles, mut connections) = (0, 0);
        for (turn, policy) in (0..).zip(POLICIES) {
            let surface = SURFACES[turn as usize % SURFACES.len()];
            let folder = Folder::new()?;
            let arguments = format!(
                "--shards 2 --accept {policy} --io {surface} --idle-timeout 1s --write-timeout 300ms"
            );
            let command = Command::new(&programs.server);
            let server = Server::start(folder.path(), command, &arguments)?;
            let soaked = self.soak(
                &programs,
                folder.path(),
                &server,
                begun + share * (turn + 1),
            )?;
            println!("{policy:<12} {surface:<8} {soaked}");
            cycles += soaked.cycles;
            connections += soaked.connections;
            // The server is stopped while clients are busy: they lose their connections, and it
            // exits cleanly.
            let mut load = programs.load(server.address(), "-c 100 -d 20s --warmup 0 --quiet");
            let mut last = Running::start("last", folder.path(), &mut load)?;
            eventually("clients connect", || Ok(server.counts()?.get("live") >= 50))?;
            server.stop()?;
            let status = last.wait(Duration::from_secs(60))?;
            ensure!(
                !status.success(),
                "a loadgen did not notice that its server ended"
            );
        }
        println!(
            "{cycles} cycles, {connections} connections, everything came back; {:.0?}",
            begun.elapsed()
        );
        Ok(())
    }

    fn soak(
        &self,
        programs: &Programs,
        folder: &Path,
        server: &Server,
        until: Instant,
    ) -> Result<Soaked> {
        let open = server.descriptors()?;
        let start = server.counts()?;
        let kept = ["tasks", "registered", "timers"].map(|heading| (heading, start.get(heading)));
        let mut soaked = Soaked::default();
        while soaked.cycles <= CYCLES_WARM || Instant::now() < until {
            if self.busy {
                thread::sleep(PAUSE);
            }
            self.cycle(programs, folder, server)?;
            server.expect_counts(&kept)?;
            soaked.connections = server.expect_all_closed()?.get("accepted");
            server.expect_descriptors(open)?;
            soaked.cycles += 1;
            soaked.memory = private_kib(server)?;
            if soaked.cycles <= CYCLES_WARM {
                soaked.memory_warm = soaked.memory_warm.max(soaked.memory);
            } else {
                soaked.memory_most = soaked.memory_most.max(soaked.memory);
            }
            let most = soaked.memory_warm + GROWTH_MAX;
            ensure!(
                soaked.memory_most <= most,
                "the server's memory grew: {soaked}"
            );
        }
        Ok(soaked)
    }

    /// One load with misbehaving clients, and clients that connect and send nothing until the idle
    /// timeout ends them.
    fn cycle(&self, programs: &Programs, folder: &Path, server: &Server) -> Result<()> {
        let idle_before = server.counts()?.get("idle");
        let silent: Vec<_> = (0..SILENT)
            .map(|_| server.connect())
            .collect::<Result<_>>()?;
        let load = "-c 200 -d 1500ms --warmup 0 --requests-per-conn 50 --slo unanswered=0,errors=0 \
                    --quiet --bad-clients slow-read:4%,slow-write:4%,never-read:4%,half-close:4%,reset:4%";
        let mut load = programs.load(server.address(), load);
        // 3: a threshold was missed.
        let codes: &[i32] = if self.busy { &[0, 3] } else { &[0] };
        demo::run_load(folder, codes, load.args(&self.load))?;
        eventually("the idle timeout ends silent clients", || {
            Ok(server.counts()?.get("idle") >= idle_before + SILENT)
        })?;
        drop(silent);
        Ok(())
    }
}

/// The course of one server's cycles; memory is in KiB.
#[derive(Debug, Default)]
struct Soaked {
    cycles: u32,
    connections: u64,
    memory_warm: u64,
    memory_most: u64,
    memory: u64,
}

impl std::fmt::Display for Soaked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            cycles,
            connections,
            memory_warm,
            memory_most,
            memory,
        } = self;
        write!(
            f,
            "{cycles:3} cycles, {connections:7} connections, {memory_warm} KiB at first, \
             {memory_most} KiB at most, then {memory}"
        )
    }
}

/// Returns the server's private memory in KiB.
fn private_kib(server: &Server) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id()))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib.context("no RssAnon")?.parse()?)
}
