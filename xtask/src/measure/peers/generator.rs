//! The load generators: the command of each, and the reading of its report.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use nix::sys::resource::{UsageWho, getrusage};
use serde::Serialize;
use serde_json::Value;

use crate::measure::cpus::{pinned, under};
use crate::programs::process::{Running, target_folder};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Client {
    #[value(skip)]
    Loadgen,
    Wrk,
    /// From crates.io (cargo install oha); the variable OHA may have its path
    Oha,
    /// From nghttp2 (nghttp2-client)
    H2load,
}

impl fmt::Display for Client {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Loadgen => "loadgen",
            Self::Wrk => "wrk",
            Self::Oha => "oha",
            Self::H2load => "h2load",
        })
    }
}

impl Client {
    /// Returns its program, which a variable may name.
    pub(crate) fn program(self) -> PathBuf {
        let named = |variable: &str| std::env::var_os(variable).map(PathBuf::from);
        match self {
            Self::Loadgen => {
                named("LOADGEN").unwrap_or_else(|| target_folder().join("release/loadgen"))
            }
            Self::Oha => named("OHA").unwrap_or_else(|| "oha".into()),
            Self::Wrk | Self::H2load => self.to_string().into(),
        }
    }

    pub(crate) fn is_installed(self) -> bool {
        let program = self.program();
        let path = std::env::var_os("PATH").unwrap_or_default();
        // A path with folders in it stands for itself.
        program.is_file() && program.components().count() > 1
            || std::env::split_paths(&path).any(|folder| folder.join(&program).is_file())
    }
}

/// One run of a generator.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) requests_per_s: f64,
    pub(crate) cpu_us_per_request: f64,
}

/// The answers that a generator reports.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Answers {
    pub(crate) count: f64,
    pub(crate) per_s: f64,
}

/// The load that all generators make.
#[derive(Debug)]
pub(crate) struct Generators {
    pub(crate) url: String,
    pub(crate) connections: u32,
    pub(crate) http2: bool,
    /// The CPU of the generator.
    pub(crate) cpu: u32,
    pub(crate) folder: PathBuf,
}

impl Generators {
    /// Runs a generator for some seconds. A run in which nothing was answered is repeated, and
    /// named.
    ///
    /// # Errors
    /// It fails, or has no answers three times.
    pub(crate) fn measure(&self, client: Client, seconds: u32) -> Result<Run> {
        let mut tries = 0;
        loop {
            tries += 1;
            let before = children_cpu()?;
            let out = self.run(client, &[], &self.options(client, seconds))?;
            let cpu = children_cpu()? - before;
            let answers = answers(client, &out)?;
            if answers.count > 0.0 {
                return Ok(Run {
                    requests_per_s: answers.per_s,
                    cpu_us_per_request: cpu.as_secs_f64() * 1e6 / answers.count,
                });
            }
            let shown: String = out.chars().take(500).collect();
            ensure!(tries < 3, "{client} has no answers: {shown}");
            eprintln!("{client} had no answers, and runs again");
        }
    }

    /// Runs a generator with these options on its CPU, under a tool if there is one, and returns
    /// its report.
    ///
    /// # Errors
    /// It fails.
    pub(crate) fn run(&self, client: Client, tool: &[String], options: &str) -> Result<String> {
        let tool = [&pinned(&self.cpu.to_string())[..], tool].concat();
        let mut command = under(&tool, client.program());
        command.args(options.split_whitespace());
        let name = client.to_string();
        let mut running = Running::start(&name, &self.folder, &mut command)?;
        let status = running.join()?;
        let (out, err) = (running.out(), running.err());
        ensure!(status.success(), "{client} ended with {status}: {out}{err}");
        let error = ["Socket errors", "Non-2xx"]
            .iter()
            .any(|text| out.contains(text));
        ensure!(!(client == Client::Wrk && error), "wrk saw errors: {out}");
        Ok(out)
    }

    fn options(&self, client: Client, seconds: u32) -> String {
        let Self {
            url, connections, ..
        } = self;
        let more = match (client, self.http2) {
            (Client::Loadgen, true) => "--http2 -P 10",
            (Client::Oha, true) => "--http2 -p 10",
            (Client::H2load, true) => "-m 10",
            (Client::H2load, false) => "--h1",
            _ => "",
        };
        match client {
            Client::Loadgen => format!(
                "{url} -c {connections} -d {seconds}s --warmup 0 --quiet --format json {more}"
            ),
            Client::Wrk => format!("-t1 -c{connections} -d{seconds}s {url}"),
            Client::Oha => format!(
                "--worker-threads 1 --no-tui --output-format json -c {connections} -z {seconds}s {url} {more}"
            ),
            Client::H2load => format!("-t1 -c{connections} -D {seconds} {url} {more}"),
        }
    }
}

/// Returns the CPU time of all programs that this process has waited for.
fn children_cpu() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = [usage.user_time(), usage.system_time()]
        .map(|time| time.tv_sec() * 1_000_000 + time.tv_usec());
    Ok(Duration::from_micros(u64::try_from(
        micros.iter().sum::<i64>(),
    )?))
}

/// Reads the answered requests from a generator's report, and the rate that it reports. wrk runs
/// for a tenth of a second longer than it is told, so the told time is not taken.
///
/// # Errors
/// The report has another form.
pub(crate) fn answers(client: Client, report: &str) -> Result<Answers> {
    let read = || match client {
        Client::Loadgen => {
            let report: Value = serde_json::from_str(report).ok()?;
            Some(Answers {
                count: report["requests"]["answered"].as_f64()?,
                per_s: report["throughput"]["requests_per_s"].as_f64()?,
            })
        }
        Client::Oha => {
            let report: Value = serde_json::from_str(report).ok()?;
            Some(Answers {
                count: report["statusCodeDistribution"]["200"]
                    .as_f64()
                    .unwrap_or(0.0),
                per_s: report["summary"]["requestsPerSec"].as_f64()?,
            })
        }
        Client::Wrk => Some(Answers {
            count: word(report, |line| line.contains(" requests in "), 0)?,
            per_s: word(report, |line| line.starts_with("Requests/sec:"), 1)?,
        }),
        Client::H2load => Some(Answers {
            count: word(report, |line| line.starts_with("requests:"), 7)?,
            per_s: word(report, |line| line.starts_with("finished in"), 3)?,
        }),
    };
    read().with_context(|| format!("the report of {client} has no answers: {report}"))
}

/// Returns a word of the first such line, as a number.
fn word(report: &str, is_it: impl Fn(&str) -> bool, index: usize) -> Option<f64> {
    let line = report.lines().find(|line| is_it(line))?;
    line.split_whitespace().nth(index)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_report_is_read() {
        let loadgen = r#"{"requests":{"answered":7},"throughput":{"requests_per_s":3.5}}"#;
        let oha =
            r#"{"summary":{"requestsPerSec":3.5},"statusCodeDistribution":{"200":7,"500":1}}"#;
        let wrk = "  1 threads and 64 connections\n  7 requests in 2.00s, 1MB read\nRequests/sec:      3.5\n";
        let h2load = "finished in 2.00s, 3.5 req/s, 6.93MB/s\n\
             requests: 9 total, 8 started, 9 done, 7 succeeded, 2 failed, 0 errored, 0 timeout\n";
        let expected = Answers {
            count: 7.0,
            per_s: 3.5,
        };
        for (client, report) in [
            (Client::Loadgen, loadgen),
            (Client::Oha, oha),
            (Client::Wrk, wrk),
            (Client::H2load, h2load),
        ] {
            assert_eq!(answers(client, report).unwrap(), expected, "{client}");
            assert!(answers(client, "").is_err());
        }
        let none = r#"{"summary":{"requestsPerSec":0.0},"statusCodeDistribution":{}}"#;
        assert_eq!(answers(Client::Oha, none).unwrap().count, 0.0);
    }
}
