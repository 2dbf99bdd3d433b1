//! `cargo xtask observe`: the endpoint of `--observe` with real Prometheus. promtool checks the
//! text of /metrics, and a Prometheus server scrapes it and answers queries.
//!
//! With `--picture`, it writes the screen of `server-demo top` that the docs show instead.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde_json::Value;

use crate::Cases;
use crate::checks::trial;
use crate::programs::cleanup::Folder;
use crate::programs::process::{self, Running, target_folder};
use crate::programs::server::{Server, free_address};

/// The longest time for one program.
const LIMIT: Duration = Duration::from_secs(120);

#[derive(Debug, Args)]
pub(crate) struct Observe {
    /// Only write asyncfd/src/docs/top.svg, the screen of `server-demo top` under load
    #[arg(long)]
    picture: bool,
    /// The profile of cargo for the programs
    #[arg(long, value_name = "NAME", default_value = "release")]
    profile: String,
    #[command(flatten)]
    cases: Cases,
}

/// The programs of this project, and a folder for files.
struct Case {
    programs: PathBuf,
    folder: PathBuf,
}

type Body = fn(&Case) -> Result<()>;

/// A server under load, with its endpoint.
struct Observed {
    endpoint: String,
    _server: Server,
    _load: Running,
}

impl Observe {
    /// # Errors
    /// A program is missing, or the build fails.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let mut arguments = self.cases.arguments();
        arguments.test_threads = arguments.test_threads.or(Some(1));
        if !arguments.list && !self.cases.no_build {
            let profile = ["--profile", &self.profile];
            let packages = ["--package", "server-demo", "--package", "loadgen", "--bins"];
            process::build(&[&profile[..], &packages].concat())?;
            if self.picture {
                let example = ["--package", "server-demo", "--example", "screenshot"];
                process::build(&[&profile[..], &example].concat())?;
            }
        }
        let built = if self.profile == "dev" {
            "debug"
        } else {
            &self.profile
        };
        let programs = std::path::absolute(target_folder().join(built))?;
        if self.picture {
            let folder = Folder::new()?;
            let folder = folder.path().to_owned();
            write_picture(&Case { programs, folder })?;
            return Ok(ExitCode::SUCCESS);
        }
        let cases: [(&str, Body); 2] = [
            ("promtool reads the metrics", promtool_reads),
            ("Prometheus scrapes the endpoint", prometheus_scrapes),
        ];
        let trials = cases.into_iter().map(|(name, body)| {
            let programs = programs.clone();
            trial::new(name, move |folder| {
                let folder = folder.to_owned();
                body(&Case { programs, folder })
            })
        });
        Ok(libtest_mimic::run(&arguments, trials.collect()).exit_code())
    }
}

/// Returns the program that this environment variable names, or else the installed one.
fn tool(variable: &str, program: &str) -> Result<String> {
    if let Ok(named) = env::var(variable) {
        return Ok(named);
    }
    process::need(program, "prometheus")?;
    Ok(program.to_owned())
}

impl Case {
    /// Starts a server whose endpoint has this address, and a load of 40 connections.
    fn start(&self, endpoint: &str) -> Result<Observed> {
        let mut command = Command::new(self.programs.join("server-demo"));
        command.args(["work", "--listen", "127.0.0.1:0", "--shards", "2"]);
        command.args(["--pin", "none", "--observe", endpoint]);
        command.current_dir(&self.folder);
        let mut server = Server::start("server", &self.folder, &mut command)?;
        let endpoint = server.program_mut().reports("server-demo: observe on ")?;
        let mut load = Command::new(self.programs.join("loadgen"));
        load.arg(server.address());
        load.args(["--work", "50us", "--connections", "40", "--rate", "4000"]);
        load.args(["--warmup", "0s", "--duration", "60s"]);
        let load = Running::start("load", &self.folder, &mut load)?;
        // Wait until the figures show the load.
        thread::sleep(Duration::from_secs(2));
        Ok(Observed {
            endpoint,
            _server: server,
            _load: load,
        })
    }
}

fn write_picture(case: &Case) -> Result<()> {
    let observed = case.start("./demo.sock")?;
    let mut command = Command::new(case.programs.join("examples/screenshot"));
    command.args(["top.svg", "24", "150", "4"]);
    command.arg(case.programs.join("server-demo"));
    command.args(["top", &observed.endpoint]);
    command.current_dir(&case.folder);
    process::run(&case.folder, LIMIT, &[0], &mut command)?;
    let picture = "asyncfd/src/docs/top.svg";
    fs::copy(case.folder.join("top.svg"), picture)?;
    println!("wrote {picture}");
    Ok(())
}

fn promtool_reads(case: &Case) -> Result<()> {
    let promtool = tool("PROMTOOL", "promtool")?;
    let observed = case.start("127.0.0.1:0")?;
    let metrics = get(
        &case.folder,
        &format!("http://{}/metrics", observed.endpoint),
        &[],
    )?;
    ensure!(
        metrics.contains("reactor_events_total"),
        "the metrics have no events"
    );
    let file = case.folder.join("metrics");
    fs::write(&file, metrics)?;
    let mut command = Command::new(promtool);
    command.args(["check", "metrics"]).stdin(File::open(file)?);
    let output = command.stdout(Stdio::piped()).output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    ensure!(
        output.status.success(),
        "promtool ended with {}: {said}",
        output.status
    );
    Ok(())
}

fn prometheus_scrapes(case: &Case) -> Result<()> {
    let prometheus = tool("PROMETHEUS", "prometheus")?;
    let observed = case.start("127.0.0.1:0")?;
    let (address, file) = (free_address()?, case.folder.join("prometheus.yml"));
    let text = format!(
        "global: {{ scrape_interval: 1s }}
scrape_configs:
  - job_name: demo
    static_configs: [{{ targets: [\"{}\"] }}]
",
        observed.endpoint
    );
    fs::write(&file, text)?;
    let mut command = Command::new(prometheus);
    command.arg(format!("--config.file={}", file.display()));
    command.arg(format!(
        "--storage.tsdb.path={}",
        case.folder.join("data").display()
    ));
    command.arg(format!("--web.listen-address={address}"));
    let _prometheus = Server::start_on(&address, "prometheus", &case.folder, &mut command)?;
    let ask = |query: &str| value(&case.folder, &address, query);
    let mut events = None;
    process::within(Duration::from_secs(30), "Prometheus has events", || {
        events = ask("sum(rate(reactor_events_total[5s])) > 0").ok();
        Ok(events.is_some())
    })?;
    println!(
        "events per second, as Prometheus computes them: {}",
        events.unwrap_or_default()
    );
    let p99 =
        "histogram_quantile(0.99, sum by (le) (rate(reactor_wake_to_poll_seconds_bucket[5s])))";
    let p99 = ask(p99).context("Prometheus has no quantile")?;
    println!("99th percentile from wake to poll, in seconds: {p99}");
    Ok(())
}

/// Returns the body at an address.
fn get(folder: &Path, url: &str, options: &[&str]) -> Result<String> {
    let mut command = Command::new("curl");
    command.args(["--fail", "--silent", "--noproxy", "*", "--max-time", "10"]);
    command.args(options).arg(url);
    Ok(process::run(folder, LIMIT, &[0], &mut command)?.out)
}

/// Returns the value of a query to Prometheus.
fn value(folder: &Path, address: &str, query: &str) -> Result<String> {
    let url = format!("http://{address}/api/v1/query");
    let query = format!("query={query}");
    let answer = get(folder, &url, &["--get", "--data-urlencode", &query])?;
    let answer: Value = serde_json::from_str(&answer)?;
    let value = answer
        .pointer("/data/result/0/value/1")
        .and_then(Value::as_str);
    Ok(value
        .with_context(|| format!("no value: {answer}"))?
        .to_owned())
}
