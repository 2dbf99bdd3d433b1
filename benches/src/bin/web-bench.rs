//! Compares an axum server on shards with the same server on tokio, over HTTP/1, HTTP/2 and TLS.
//!
//! `scripts/web-bench.sh` builds and runs it. The load comes from h2load. Each round runs every
//! scenario on every runtime once, each in a fresh process, so that disturbances on the machine
//! affect all of them. The figure of a run is the number of requests per CPU second of the server:
//! its threads' CPU time, from the kernel's scheduler, between two runs of h2load. The first one
//! sends one request on each connection, so connects and handshakes are not part of the figure.
//! Ratios and their intervals are those of `loadgen compare`.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use clap::{Parser, ValueEnum};
use loadgen::measure::stats::{Interval, median, paired_ratio};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

/// Compares an axum server on shards with tokio's runtimes.
#[derive(Parser)]
#[command(name = "scripts/web-bench.sh")]
struct Args {
    /// Scenarios to run
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "http1,http2,http1-tls,http2-tls"
    )]
    scenarios: Vec<Scenario>,

    /// Rounds of every scenario
    #[arg(long, value_name = "N", default_value_t = 12)]
    rounds: usize,

    /// Requests of a measured run
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    requests: u64,

    /// Connections
    #[arg(long, value_name = "N", default_value_t = 64)]
    clients: u64,

    /// Requests under way on each HTTP/2 connection
    #[arg(long, value_name = "N", default_value_t = 10)]
    streams: u64,

    /// Threads of the server [default: one for each CPU]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,

    /// CPUs for these threads, as the servers take them: auto, none, or a list such as 0,2
    #[arg(long, value_name = "CPUS", default_value = "auto")]
    pin: String,

    /// CPU for h2load [default: all that this process may use]
    #[arg(long, value_name = "CPU")]
    load_cpu: Option<usize>,

    /// Write the figures as Markdown
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,

    /// Write the figures of every round as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Scenario {
    Http1,
    Http2,
    Http1Tls,
    Http2Tls,
}

impl Scenario {
    fn name(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Http2 => "http2",
            Self::Http1Tls => "http1-tls",
            Self::Http2Tls => "http2-tls",
        }
    }

    fn is_http1(self) -> bool {
        matches!(self, Self::Http1 | Self::Http1Tls)
    }

    fn is_tls(self) -> bool {
        matches!(self, Self::Http1Tls | Self::Http2Tls)
    }
}

const RUNTIMES: [&str; 4] = ["shards", "shards-no-stealing", "tokio-mt", "tokio-ct"];

/// The number of the project's own among [`RUNTIMES`], which come first.
const OWN: usize = 2;

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

/// A server process, which does not outlive this.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start(args: &Args, runtime: &str, tls: bool) -> Fallible<Self> {
        let program = std::env::current_exe()?.with_file_name("web-hello");
        let mut command = Command::new(&program);
        command.args(["--listen", "127.0.0.1:0", "--runtime", runtime]);
        command.args(["--pin", &args.pin, "--threads", &threads(args)?.to_string()]);
        if tls {
            command.arg("--tls");
        }
        let spawned = command.stdout(Stdio::piped()).spawn();
        let mut process =
            spawned.map_err(|error| format!("cannot run {}: {error}", program.display()))?;
        let out = process.stdout.take().expect("it was asked for");
        let mut server = Self {
            process,
            address: String::new(),
        };
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening on ");
        address
            .ok_or_else(|| format!("{runtime} does not listen"))?
            .clone_into(&mut server.address);
        Ok(server)
    }

    /// Returns the CPU time that all threads have used.
    fn cpu(&self) -> Fallible<Duration> {
        let mut sum = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            let text = fs::read_to_string(thread?.path().join("schedstat"))?;
            let on_cpu = text.split_whitespace().next().unwrap_or_default();
            sum += on_cpu.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(sum))
    }

    fn stop(mut self) -> Fallible<()> {
        kill_process(Pid::from_child(&self.process), Signal::TERM)?;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(10) {
            if let Some(status) = self.process.try_wait()? {
                return match status.success() {
                    true => Ok(()),
                    false => Err(format!("a server ended with {status}").into()),
                };
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err("a server goes on after SIGTERM".into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn threads(args: &Args) -> Fallible<usize> {
    match args.threads {
        Some(threads) => Ok(threads),
        None => Ok(thread::available_parallelism()?.get()),
    }
}

/// Runs h2load, and checks that every request was answered well. Returns the seconds it took.
fn load(args: &Args, scenario: Scenario, address: &str, requests: u64) -> Fallible<f64> {
    let scheme = if scenario.is_tls() { "https" } else { "http" };
    let mut command = match args.load_cpu {
        None => Command::new("h2load"),
        Some(cpu) => {
            let mut command = Command::new("taskset");
            command.args(["--cpu-list", &cpu.to_string(), "h2load"]);
            command
        }
    };
    command.args(["--threads=1", &format!("--clients={}", args.clients)]);
    command.arg(format!("--requests={requests}"));
    if scenario.is_http1() {
        command.args(["--h1", "--max-concurrent-streams=1"]);
    } else {
        command.arg(format!("--max-concurrent-streams={}", args.streams));
    }
    let output = command.arg(format!("{scheme}://{address}/")).output();
    let output = output.map_err(|error| format!("h2load (of nghttp2-client): {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || !text.contains(&format!("status codes: {requests} 2xx")) {
        return Err(format!("h2load did not get {requests} answers: {text}").into());
    }
    // "finished in 1.23s, …" or "… in 345.67ms".
    let time = text.split("finished in ").nth(1).unwrap_or_default();
    let time = time.split(',').next().unwrap_or_default();
    let seconds = match (time.strip_suffix("ms"), time.strip_suffix("us")) {
        (Some(ms), _) => ms.parse::<f64>()? / 1e3,
        (_, Some(us)) => us.parse::<f64>()? / 1e6,
        _ => time.trim_end_matches('s').parse()?,
    };
    Ok(seconds)
}

/// One run: requests per CPU second of the server, and requests per second.
#[expect(clippy::cast_precision_loss, reason = "requests are below 2^52")]
fn measure(args: &Args, scenario: Scenario, runtime: &str) -> Fallible<(f64, f64)> {
    let server = Server::start(args, runtime, scenario.is_tls())?;
    // Code and memory are warm after it.
    load(args, scenario, &server.address, args.requests / 10)?;
    let before = server.cpu()?;
    load(args, scenario, &server.address, args.clients)?;
    let connected = server.cpu()?;
    let seconds = load(args, scenario, &server.address, args.requests)?;
    let after = server.cpu()?;
    let connects = connected - before;
    let cpu = (after - connected).saturating_sub(connects).as_secs_f64();
    server.stop()?;
    let requests = (args.requests - args.clients) as f64;
    Ok((requests / cpu, args.requests as f64 / seconds))
}

/// The rounds of a scenario, for each runtime.
#[derive(Default)]
struct Rounds {
    per_cpu_second: [Vec<f64>; RUNTIMES.len()],
    per_second: [Vec<f64>; RUNTIMES.len()],
}

impl Rounds {
    fn medians(&self, scenario: &str, out: &mut String) -> std::fmt::Result {
        for (index, runtime) in RUNTIMES.iter().enumerate() {
            let of = |rounds: &[Vec<f64>]| median(&rounds[index]).unwrap_or(f64::NAN);
            let (per_cpu, per_second) = (of(&self.per_cpu_second), of(&self.per_second));
            writeln!(
                out,
                "| {scenario} | {runtime} | {per_cpu:.0} | {per_second:.0} |"
            )?;
        }
        Ok(())
    }

    /// The ratios of each own runtime to each of tokio's.
    fn ratios(&self, scenario: &str, out: &mut String) -> std::fmt::Result {
        for (own, own_name) in RUNTIMES.iter().enumerate().take(OWN) {
            for (base, base_name) in RUNTIMES.iter().enumerate().skip(OWN) {
                write!(out, "| {scenario} | {own_name} / {base_name} | ")?;
                match paired_ratio(&self.per_cpu_second[base], &self.per_cpu_second[own]) {
                    None => writeln!(out, "| |")?,
                    Some(Interval { ratio, low, high }) => {
                        let verdict = if low >= 1.0 { "yes" } else { "not shown" };
                        writeln!(out, "{ratio:.3} [{low:.3}, {high:.3}] | {verdict} |")?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn run(args: &Args) -> Fallible<()> {
    if args.requests < 10 * args.clients || args.rounds < 2 {
        return Err("at least two rounds, and ten requests for each connection".into());
    }
    let mut rounds: Vec<Rounds> = args.scenarios.iter().map(|_| Rounds::default()).collect();
    for round in 0..args.rounds {
        for (scenario, rounds) in args.scenarios.iter().zip(&mut rounds) {
            // Each round begins with another runtime.
            for turn in 0..RUNTIMES.len() {
                let index = (round + turn) % RUNTIMES.len();
                let (per_cpu_second, per_second) = measure(args, *scenario, RUNTIMES[index])?;
                rounds.per_cpu_second[index].push(per_cpu_second);
                rounds.per_second[index].push(per_second);
            }
        }
        eprintln!("round {} of {}", round + 1, args.rounds);
    }
    let mut table = String::from(
        "| scenario | runtime | requests per CPU second | requests per second |\n|---|---|---|---|\n",
    );
    for (scenario, rounds) in args.scenarios.iter().zip(&rounds) {
        rounds.medians(scenario.name(), &mut table)?;
    }
    table.push_str(
        "\n| scenario | pair | requests per CPU second | at least 1.00 |\n|---|---|---|---|\n",
    );
    for (scenario, rounds) in args.scenarios.iter().zip(&rounds) {
        rounds.ratios(scenario.name(), &mut table)?;
    }
    print!("{table}");
    if let Some(path) = &args.markdown {
        write_file(path, &table)?;
    }
    if let Some(path) = &args.json {
        let all = args
            .scenarios
            .iter()
            .zip(&rounds)
            .map(|(scenario, rounds)| {
                json!({
                    "scenario": scenario.name(),
                    "runtimes": RUNTIMES,
                    "requests_per_cpu_second": rounds.per_cpu_second,
                    "requests_per_second": rounds.per_second,
                })
            });
        write_file(path, &format!("{:#}\n", json!(all.collect::<Vec<_>>())))?;
    }
    Ok(())
}

fn write_file(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
