//! `cargo xtask instr`: instructions and system calls per echo, for server-demo's three I/O
//! surfaces and the baselines.
//!
//! Each server runs twice under a tool, with two numbers of requests over the same number of
//! connections. The difference between the two counts, divided by the difference in requests, is
//! the cost of one echo: start-up, accepting and shutdown cancel out. callgrind counts user-space
//! instructions, which repeat to a few parts in ten thousand. strace counts system calls. Both
//! tools slow down the server, so all connections are ready at each epoll_wait: its share is the
//! smallest possible, and the same for every contender.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::measure::callgrind;
use crate::measure::contenders::{self, BASE, Bench};
use crate::programs::process::{need, target_folder};

/// Server and client share this CPU, and the server runs only when the client has nothing to do. So
/// each epoll_wait finds a message on every connection, and the counts repeat.
const CPU: u32 = 0;

#[derive(Debug, Clone, Args)]
pub(crate) struct Instr {
    /// Contenders
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = BASE, value_parser = contenders::known)]
    pub(crate) only: Vec<String>,
    /// The counted events
    #[arg(long, value_delimiter = ',', default_value = "instructions,syscalls")]
    pub(crate) count: Vec<Count>,
    /// Active connections
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) connections: u32,
    /// Additional connections that were served once and send nothing more
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) idle: u32,
    /// Message size
    #[arg(long, value_name = "BYTES", default_value_t = 64)]
    pub(crate) size: u32,
    /// The two numbers of requests for callgrind
    #[arg(
        long,
        value_name = "A,B",
        value_delimiter = ',',
        num_args = 2,
        default_value = "20000,60000"
    )]
    pub(crate) requests: Vec<u32>,
    /// The two numbers of requests for strace
    #[arg(
        long,
        value_name = "A,B",
        value_delimiter = ',',
        num_args = 2,
        default_value = "5000,25000"
    )]
    pub(crate) strace_requests: Vec<u32>,
    /// Use the existing build
    #[arg(long)]
    pub(crate) no_build: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Count {
    /// User-space instructions, by callgrind
    Instructions,
    /// System calls, by strace
    Syscalls,
}

/// The costs of one echo.
#[derive(Debug, Default)]
struct Row {
    instructions: Option<f64>,
    /// By system call; those below 0.001 are left out.
    syscalls: Option<BTreeMap<String, f64>>,
}

impl Instr {
    /// Measures, prints the table and writes target/instr/instr.json.
    ///
    /// # Errors
    /// A tool is missing, or a program failed.
    pub(crate) fn run(self) -> Result<()> {
        let bench = Bench::new(!self.no_build)?;
        let out = target_folder().join("instr");
        fs::create_dir_all(&out)?;
        let mut rows = Vec::new();
        for name in &self.only {
            eprintln!("counting {name}");
            rows.push((name, self.measure(&bench, name, &out)?));
        }
        println!(
            "\nPer echo: user-space instructions and system calls, {} connections ({} more are \
             idle), {} bytes",
            self.connections, self.idle, self.size
        );
        println!(
            "{:<15} {:>14} {:>12}   which",
            "contender", "instructions", "system calls"
        );
        let number = |value: Option<f64>, digits: usize| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
        };
        for (name, row) in &rows {
            let calls = row.syscalls.iter().flatten();
            let which: Vec<_> = calls
                .map(|(call, count)| format!("{call} {count:.3}"))
                .collect();
            let instructions = number(row.instructions, 1);
            let calls = number(row.calls(), 3);
            println!(
                "{name:<15} {instructions:>14} {calls:>12}   {}",
                which.join(", ")
            );
        }
        let rows: Vec<Value> = rows.iter().map(|(name, row)| row.json(name)).collect();
        let report = json!({
            "machine": contenders::machine(),
            "connections": self.connections,
            "idle": self.idle,
            "size": self.size,
            "requests": self.requests,
            "strace_requests": self.strace_requests,
            "rows": rows,
        });
        let file = out.join("instr.json");
        fs::write(&file, format!("{report}\n"))?;
        println!(
            "JSON: {}; profiles: {}/*.callgrind",
            file.display(),
            out.display()
        );
        Ok(())
    }

    fn measure(&self, bench: &Bench, name: &str, out: &Path) -> Result<Row> {
        let mut row = Row::default();
        if self.count.contains(&Count::Instructions) {
            need("valgrind", "valgrind")?;
            let profile = out.join(format!("{name}.callgrind"));
            let count = |requests: u32| -> Result<u64> {
                self.drive(bench, name, requests, &callgrind::options(&profile))?;
                callgrind::instructions(&profile)
            };
            let [few, many] = two(&self.requests)?;
            row.instructions = Some(slope(count(few)?, count(many)?, many - few));
        }
        if self.count.contains(&Count::Syscalls) {
            need("strace", "strace")?;
            let table = bench.scratch().join("strace");
            let tool = format!("strace --quiet=all -f -c -o {}", table.display());
            let tool: Vec<_> = tool.split(' ').map(str::to_owned).collect();
            let count = |requests: u32| -> Result<BTreeMap<String, u64>> {
                self.drive(bench, name, requests, &tool)?;
                calls_of(&fs::read_to_string(&table)?)
            };
            let [few, many] = two(&self.strace_requests)?;
            let (first, second) = (count(few)?, count(many)?);
            let per_echo = second.into_iter().map(|(call, count)| {
                let before = first.get(&call).copied().unwrap_or_default();
                let cost = slope(before, count, many - few);
                (call, cost)
            });
            row.syscalls = Some(per_echo.filter(|(_, cost)| *cost >= 0.001).collect());
        }
        Ok(row)
    }

    /// Runs a contender under a tool while a client exchanges exactly this number of echoes.
    fn drive(&self, bench: &Bench, name: &str, requests: u32, tool: &[String]) -> Result<()> {
        let server = bench.start(name, CPU, &[&behind()[..], tool].concat())?;
        lockstep(
            bench,
            server.address(),
            self.connections,
            requests,
            |client| {
                client.args([
                    "--idle",
                    &self.idle.to_string(),
                    "--size",
                    &self.size.to_string(),
                ]);
            },
        )?;
        server.await_quiet()?;
        server.stop()?;
        Ok(())
    }
}

impl Row {
    fn calls(&self) -> Option<f64> {
        self.syscalls.as_ref().map(|calls| calls.values().sum())
    }

    fn json(&self, name: &str) -> Value {
        json!({
            "contender": name,
            "instructions_per_echo": self.instructions,
            "syscalls_per_echo": self.calls(),
            "syscalls": self.syscalls.clone().unwrap_or_default(),
        })
    }
}

/// Returns the tool that runs a server on the shared CPU, behind its client.
pub(crate) fn behind() -> Vec<String> {
    let tool = format!("chrt --idle 0 taskset -c {CPU}");
    tool.split(' ').map(str::to_owned).collect()
}

/// Exchanges exactly this number of echoes with a server, in lock step, on the shared CPU.
///
/// # Errors
/// The client fails.
pub(crate) fn lockstep(
    bench: &Bench,
    address: &str,
    connections: u32,
    requests: u32,
    more: impl FnOnce(&mut Command),
) -> Result<()> {
    let mut client = Command::new("taskset");
    client
        .args(["-c", &CPU.to_string()])
        .arg(bench.program("lockstep"))
        .arg(address);
    client.args(["--connections", &connections.to_string()]);
    client.args(["--requests", &requests.to_string()]);
    more(&mut client);
    ensure!(client.status()?.success(), "the client failed: {client:?}");
    Ok(())
}

/// Returns the cost of one more, from the counts of a short and of a long run.
pub(crate) fn slope(few: u64, many: u64, difference: u32) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    let more = many as f64 - few as f64;
    more / f64::from(difference)
}

/// Takes the two numbers of a flag, the smaller one first.
pub(crate) fn two(numbers: &[u32]) -> Result<[u32; 2]> {
    match *numbers {
        [few, many] if few < many => Ok([few, many]),
        _ => anyhow::bail!("{numbers:?} are not two rising numbers"),
    }
}

/// Reads strace's table. Columns: % time, seconds, usecs/call, calls, errors (may be empty),
/// syscall.
fn calls_of(table: &str) -> Result<BTreeMap<String, u64>> {
    let mut calls = BTreeMap::new();
    for line in table.lines() {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [share, _, _, count, .., name] = fields[..] else {
            continue;
        };
        if share.parse::<f64>().is_ok() && name != "total" {
            calls.insert(name.to_owned(), count.parse()?);
        }
    }
    Ok(calls)
}
