//! The last step of `cargo xtask budgets`: compares the measurements with each budget of the
//! design, and prints met or missed.
//!
//! It reads the output of `cargo xtask instr` and `scripts/bench.sh` and takes the rest as
//! arguments; nothing here measures. A ratio meets its budget only with its whole interval, so an
//! interval that is too wide misses it.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use benches::scenario::Scenario;
use benches::summary::Summary;
use clap::Parser;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Prints the table of budgets; the exit code is 3 if one is missed.
#[derive(Parser)]
struct Args {
    /// Output of `cargo xtask instr`: all contenders, 64 connections
    #[arg(long, value_name = "FILE")]
    instr: PathBuf,

    /// The same for demo-helpers, with additional idle connections
    #[arg(long, value_name = "FILE")]
    instr_idle: PathBuf,

    /// Output of bench.sh; its scenarios 'base' and 'rate-80' are used
    #[arg(long, value_name = "FILE")]
    bench: PathBuf,

    /// Instructions to register and drop an AsyncFd: here, tokio, the bare system calls
    #[arg(long, value_name = "A,B,C", value_delimiter = ',', required = true)]
    register: Vec<f64>,

    /// Resident memory of a server in KiB after one and after two cycles of churn
    #[arg(long, value_name = "A,B", value_delimiter = ',', required = true)]
    churn_kib: Vec<f64>,

    /// Result of the tests that count allocations: true if they passed
    #[arg(long, action = clap::ArgAction::Set)]
    no_allocations: bool,
}

/// One line of the table.
struct Row {
    what: String,
    bare: String,
    tokio: String,
    here: String,
    budget: &'static str,
    met: bool,
}

/// The content of the files.
struct Measured {
    instr: Instr,
    instr_idle: Instr,
    bench: Summary,
}

/// The parts of `instr.json` that the table needs. `cargo xtask instr` writes it.
#[derive(Deserialize)]
struct Instr {
    rows: Vec<Counted>,
}

#[derive(Deserialize)]
struct Counted {
    contender: String,
    instructions_per_echo: Option<f64>,
    syscalls: BTreeMap<String, f64>,
}

impl Instr {
    fn row(&self, contender: &str) -> Result<&Counted, String> {
        let mut rows = self.rows.iter();
        rows.find(|row| row.contender == contender)
            .ok_or_else(|| format!("instr.json has no {contender}"))
    }

    fn instructions(&self, contender: &str) -> Result<f64, String> {
        self.row(contender)?
            .instructions_per_echo
            .ok_or_else(|| format!("instr.json has no instructions_per_echo of {contender}"))
    }

    /// Returns the system calls per echo, without those that wait for events.
    fn calls(&self, contender: &str) -> Result<f64, String> {
        let kinds = self.row(contender)?.syscalls.iter();
        let others = kinds.filter(|(kind, _)| !kind.starts_with("epoll_"));
        Ok(others.map(|(_, calls)| calls).sum())
    }
}

impl Measured {
    fn read(args: &Args) -> Result<Self, String> {
        Ok(Self {
            instr: json(&args.instr)?,
            instr_idle: json(&args.instr_idle)?,
            bench: json(&args.bench)?,
        })
    }

    fn scenario(&self, name: &str) -> Result<&Scenario, String> {
        let mut scenarios = self.bench.scenarios.iter();
        scenarios
            .find(|scenario| scenario.name == name)
            .ok_or_else(|| format!("bench.sh has no scenario '{name}'"))
    }

    fn memory(&self, contender: &str) -> Result<f64, String> {
        let mut contenders = self.scenario("base")?.contenders.iter();
        contenders
            .find(|row| row.name == contender)
            .and_then(|row| row.bytes_per_connection)
            .ok_or_else(|| format!("bench.sh has no memory of {contender}"))
    }

    /// Returns a ratio and its interval, under the load of a scenario.
    fn ratio(
        &self,
        scenario: &str,
        contender: &str,
        base: &str,
        metric: &str,
    ) -> Result<[f64; 3], String> {
        let ratio = self.scenario(scenario)?.ratio(contender, base, metric);
        ratio
            .map(|ratio| [ratio.ratio, ratio.low, ratio.high])
            .ok_or_else(|| {
                format!("bench.sh has no {metric} of {contender} to {base} in '{scenario}'")
            })
    }
}

fn json<T: DeserializeOwned>(file: &Path) -> Result<T, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))
}

/// Returns the ratio of the base to the contender.
fn inverse([ratio, low, high]: [f64; 3]) -> [f64; 3] {
    [1.0 / ratio, 1.0 / high, 1.0 / low]
}

fn rows(args: &Args) -> Result<Vec<Row>, String> {
    let measured = Measured::read(args)?;
    let mut rows = Vec::new();
    let count = |value: f64| format!("{value:.0}");
    let interval = |[ratio, low, high]: [f64; 3]| format!("{ratio:.3} [{low:.3}, {high:.3}]");

    for (what, here, tokio, most, budget) in [
        (
            "instructions per echo, helpers",
            "demo-helpers",
            "tokio-ct",
            420.0,
            "<= 420",
        ),
        (
            "instructions per echo, textbook guard loop",
            "demo-guards",
            "tokio-asyncfd",
            520.0,
            "<= 520",
        ),
    ] {
        let instructions = measured.instr.instructions(here)?;
        rows.push(Row {
            what: what.to_owned(),
            bare: count(measured.instr.instructions("bare-epoll")?),
            tokio: count(measured.instr.instructions(tokio)?),
            here: count(instructions),
            budget,
            met: instructions <= most,
        });
    }

    let cpu = "server_cpu_us_per_request";
    let versus_bare = measured.ratio("base", "demo-helpers", "bare-epoll", cpu)?;
    rows.push(Row {
        what: "CPU time per echo against the bare loop".to_owned(),
        bare: "1".to_owned(),
        tokio: interval(measured.ratio("base", "tokio-ct", "bare-epoll", cpu)?),
        here: interval(versus_bare),
        budget: "interval <= 1.05",
        met: versus_bare[2] <= 1.05,
    });

    // If the generator is the bottleneck, a faster server sleeps more often, and CPU per echo
    // compares batch sizes. At a fixed rate all servers do the same work, so both are shown. Beside
    // each stands the lead of a server that only makes the system calls: no server can be further
    // ahead.
    for (what, here, tokio, least, budget) in [
        (
            "echoes per CPU second against tokio-ct",
            "demo-helpers",
            "tokio-ct",
            1.0,
            "interval > 1.00",
        ),
        (
            "echoes per CPU second against tokio-mt",
            "demo-helpers",
            "tokio-mt",
            1.0,
            "interval > 1.00",
        ),
        (
            "echoes per CPU second, helpers against tokio's AsyncFd",
            "demo-helpers",
            "tokio-asyncfd",
            1.1,
            "interval > 1.10",
        ),
        (
            "echoes per CPU second, guard loops of both AsyncFds",
            "demo-guards",
            "tokio-asyncfd",
            1.1,
            "interval > 1.10",
        ),
    ] {
        for (scenario, what) in [
            ("base", format!("{what}, closed loop")),
            ("rate-80", "... at a fixed rate".to_owned()),
        ] {
            let per_cpu_second = "requests_per_server_cpu_s";
            let ratio = measured.ratio(scenario, here, tokio, per_cpu_second)?;
            let bare = inverse(measured.ratio(scenario, tokio, "bare-epoll", per_cpu_second)?);
            rows.push(Row {
                what,
                bare: interval(bare),
                tokio: "1".to_owned(),
                here: interval(ratio),
                budget,
                met: ratio[1] > least,
            });
        }
    }

    let calls = measured.instr.calls("demo-helpers")?;
    rows.push(Row {
        what: "system calls per echo beside epoll_wait, helpers".to_owned(),
        bare: format!("{:.3}", measured.instr.calls("bare-epoll")?),
        tokio: format!("{:.3}", measured.instr.calls("tokio-ct")?),
        here: format!("{calls:.3}"),
        budget: "2.0",
        met: calls <= 2.005,
    });

    for (what, here, most, budget) in [
        ("bytes per idle connection", "demo-helpers", 400.0, "<= 400"),
        (
            "bytes per idle connection with an idle timeout",
            "demo-idle",
            500.0,
            "<= 500",
        ),
    ] {
        let bytes = measured.memory(here)?;
        rows.push(Row {
            what: what.to_owned(),
            bare: count(measured.memory("bare-epoll")?),
            tokio: count(measured.memory("tokio-ct")?),
            here: count(bytes),
            budget,
            met: bytes <= most,
        });
    }

    let many = measured.instr_idle.instructions("demo-helpers")?
        / measured.instr.instructions("demo-helpers")?;
    rows.push(Row {
        what: "instructions per echo, 64 active of 19,000 to 64 of 64".to_owned(),
        bare: String::new(),
        tokio: String::new(),
        here: format!("{many:.3}"),
        budget: "<= 1.05",
        met: many <= 1.05,
    });

    let [here, tokio, bare] = args.register[..] else {
        return Err("--register takes three counts".to_owned());
    };
    rows.push(Row {
        what: "instructions to register and drop, system calls apart".to_owned(),
        bare: "0".to_owned(),
        tokio: count(tokio - bare),
        here: count(here - bare),
        budget: "<= 1/3 of tokio's",
        met: here - bare <= (tokio - bare) / 3.0,
    });

    let [first, second] = args.churn_kib[..] else {
        return Err("--churn-kib takes two figures".to_owned());
    };
    rows.push(Row {
        what: "memory after a second cycle of churn, KiB more".to_owned(),
        bare: String::new(),
        tokio: String::new(),
        here: count(second - first),
        budget: "<= 1024",
        met: second - first <= 1024.0,
    });

    rows.push(Row {
        what: "allocations per echo, wait, wake, timer re-arm".to_owned(),
        bare: "0".to_owned(),
        tokio: String::new(),
        here: if args.no_allocations { "0" } else { "some" }.to_owned(),
        budget: "0",
        met: args.no_allocations,
    });
    Ok(rows)
}

fn main() -> ExitCode {
    let rows = match rows(&Args::parse()) {
        Ok(rows) => rows,
        Err(problem) => {
            eprintln!("error: {problem}");
            return ExitCode::FAILURE;
        }
    };
    println!(
        "{:<68} {:>22} {:>22} {:>22}  {:<18}",
        "budget", "bare", "tokio", "here", "limit"
    );
    for row in &rows {
        println!(
            "{:<68} {:>22} {:>22} {:>22}  {:<18} {}",
            row.what,
            row.bare,
            row.tokio,
            row.here,
            row.budget,
            if row.met { "met" } else { "MISSED" }
        );
    }
    if rows.iter().all(|row| row.met) {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(3)
    }
}
