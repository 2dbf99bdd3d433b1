//! The CPUs of a measurement: one for the server, and another for the load generators.

use std::process::Command;

use anyhow::{Context as _, Result};
use clap::Args;
use rustix::thread::{CpuSet, sched_getaffinity};

use crate::programs::process::need;

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct CpuOptions {
    /// CPU of the server [default: the first one this process may use]
    #[arg(long, value_name = "N")]
    server_cpu: Option<u32>,
    /// CPU of the load generators [default: the second]
    #[arg(long, value_name = "N")]
    load_cpu: Option<u32>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Cpus {
    pub(crate) server: u32,
    pub(crate) load: u32,
}

impl CpuOptions {
    /// Returns the CPUs of the command line. Those that are missing come from the CPUs that this
    /// process may use.
    ///
    /// # Errors
    /// taskset, which pins programs to them, is not installed.
    pub(crate) fn pick(self) -> Result<Cpus> {
        need("taskset", "util-linux")?;
        let allowed = sched_getaffinity(None)?;
        let last = u32::try_from(CpuSet::MAX_CPU)?;
        let mut allowed = (0..last).filter(|&cpu| allowed.is_set(cpu as usize));
        let first = allowed.next().context("this process may use no CPU")?;
        let second = allowed.next().unwrap_or(first);
        let cpus = Cpus {
            server: self.server_cpu.unwrap_or(first),
            load: self.load_cpu.unwrap_or(second),
        };
        if cpus.server == cpus.load {
            eprintln!(
                "warning: server and generator share CPU {}: they slow each other down",
                cpus.server
            );
        }
        Ok(cpus)
    }
}

/// Returns the tool that pins a program to a list of CPUs.
pub(crate) fn pinned(cpus: &str) -> [String; 3] {
    ["taskset", "-c", cpus].map(str::to_owned)
}

/// Returns a command that runs `tool`, its options, and then the program. Without a tool the
/// program runs by itself.
pub(crate) fn under(tool: &[String], program: impl AsRef<std::ffi::OsStr>) -> Command {
    match tool {
        [] => Command::new(program),
        [tool, options @ ..] => {
            let mut command = Command::new(tool);
            command.args(options).arg(program);
            command
        }
    }
}
