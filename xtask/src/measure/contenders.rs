//! The echo servers that measurements compare: server-demo in several forms, and the baselines of
//! benches/. All of them listen on a free port of the loopback interface, with the same scratch
//! buffer, backlog and TCP_NODELAY (benches/src/lib.rs).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};

use crate::measure::cpus::under;
use crate::programs::cleanup::Folder;
use crate::programs::process::{self, Ended};
use crate::programs::server::Server;

/// The longest time for a start, which is slow under valgrind.
const PATIENCE: Duration = Duration::from_secs(120);

/// Every contender, in the order of a round: each kind of tokio server stands beside the server
/// that it is compared with.
pub(crate) const ALL: [&str; 13] = [
    "bare-epoll",
    "tokio-mt",
    "tokio-ct",
    "demo-helpers",
    "demo-observed",
    "demo-helpers-no-stealing",
    "demo-idle",
    "demo-poll",
    "tokio-asyncfd",
    "demo-guards",
    "tokio-mt-work",
    "demo-work",
    "demo-work-no-stealing",
];

/// The contenders that echo with one thread.
pub(crate) const BASE: &str =
    "bare-epoll,tokio-mt,tokio-ct,demo-helpers,demo-idle,demo-poll,tokio-asyncfd,demo-guards";

/// Reads the name of a contender, for command lines.
pub(crate) fn known(name: &str) -> Result<String, String> {
    if ALL.contains(&name) {
        Ok(name.to_owned())
    } else {
        Err(format!("there are: {}", ALL.join(", ")))
    }
}

/// The programs of a measurement, and a folder for its files.
#[derive(Debug)]
pub(crate) struct Bench {
    programs: PathBuf,
    scratch: Folder,
}

impl Bench {
    /// Builds all programs for release, or takes the existing build.
    ///
    /// # Errors
    /// The build fails.
    pub(crate) fn new(build: bool) -> Result<Self> {
        if build {
            let packages = ["benches", "server-demo", "loadgen"];
            let packages = packages.iter().flat_map(|name| ["--package", name]);
            process::build(
                &["--release", "--bins"]
                    .into_iter()
                    .chain(packages)
                    .collect::<Vec<_>>(),
            )?;
        }
        Ok(Self {
            programs: std::path::absolute(process::target_folder().join("release"))?,
            scratch: Folder::new()?,
        })
    }

    pub(crate) fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// Returns the path of a program of benches/, or of loadgen.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// Returns the path of loadgen, or of the one that the variable LOADGEN names.
    pub(crate) fn loadgen(&self) -> PathBuf {
        std::env::var_os("LOADGEN").map_or_else(|| self.program("loadgen"), PathBuf::from)
    }

    /// Starts a contender with one thread on this CPU, under a tool if `wrapper` is not empty, and
    /// waits until it listens.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn start(&self, name: &str, cpu: u32, wrapper: &[String]) -> Result<Contender> {
        self.start_on(name, 1, &cpu.to_string(), wrapper)
    }

    /// Starts a contender with several threads, which are pinned to a list of CPUs.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn start_on(
        &self,
        name: &str,
        threads: u32,
        cpus: &str,
        wrapper: &[String],
    ) -> Result<Contender> {
        let (program, arguments) = program_of(name, threads)?;
        let mut command = under(wrapper, self.program(program));
        command.args(arguments.split(' '));
        if name == "demo-observed" {
            // This contender measures all data of an endpoint: histograms, times of tasks, stalls.
            command
                .arg("--observe")
                .arg(self.scratch().join("observe.sock"));
        }
        command.args(["--listen", "127.0.0.1:0", "--pin", cpus]);
        Ok(Contender {
            name: name.to_owned(),
            server: Server::start_within(PATIENCE, "server", self.scratch(), &mut command)?,
        })
    }
}

/// Returns the program of a contender and its arguments.
fn program_of(name: &str, threads: u32) -> Result<(&'static str, String)> {
    let echo = |options: &str| {
        let arguments = format!("echo --shards {threads} --io {options}");
        ("server-demo", arguments)
    };
    // Round robin gives every second connection to the first shard; loadgen's --hot relies on it.
    let work = format!("work --shards {threads} --accept round-robin");
    let baseline = format!("--threads {threads}");
    Ok(match name {
        "demo-helpers" | "demo-observed" => echo("helpers --accept reuseport"),
        "demo-poll" => echo("poll --accept reuseport"),
        "demo-guards" => echo("guards --accept reuseport"),
        // The helpers again, with a timer on every connection that each request moves.
        "demo-idle" => echo("helpers --idle-timeout 60s --accept reuseport"),
        "demo-helpers-no-stealing" => echo("helpers --accept reuseport --stealing off"),
        "demo-work" => ("server-demo", work),
        "demo-work-no-stealing" => ("server-demo", work + " --stealing off"),
        "tokio-mt-work" => ("baseline-tokio-mt", baseline + " --io work"),
        "bare-epoll" => ("baseline-epoll", baseline),
        "tokio-mt" => ("baseline-tokio-mt", baseline),
        "tokio-ct" => ("baseline-tokio-ct", baseline),
        "tokio-asyncfd" => ("baseline-tokio-asyncfd", baseline),
        _ => bail!("there is no contender '{name}'"),
    })
}

/// A running contender.
#[derive(Debug)]
pub(crate) struct Contender {
    pub(crate) name: String,
    server: Server,
}

impl Contender {
    /// Returns the id of its process.
    pub(crate) fn id(&self) -> u32 {
        self.server.program().id()
    }

    pub(crate) fn address(&self) -> &str {
        self.server.address()
    }

    /// Returns its standard error so far.
    pub(crate) fn err(&self) -> String {
        self.server.program().err()
    }

    /// Waits until the server has noticed the end of every connection and has closed it.
    ///
    /// # Errors
    /// It still holds some after two minutes.
    pub(crate) fn await_quiet(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let connections = self.connections()?;
            if connections == 0 {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "the server still holds {connections} connections"
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Returns the number of the server's sockets in the states ESTABLISHED and CLOSE_WAIT.
    fn connections(&self) -> Result<usize> {
        let port = format!(":{:04X}", self.server.port().parse::<u16>()?);
        let sockets = fs::read_to_string("/proc/net/tcp")?;
        let open = sockets.lines().filter(|line| {
            let fields: Vec<_> = line.split_whitespace().take(4).collect();
            matches!(fields[..], [_, local, _, "01" | "08"] if local.ends_with(&port))
        });
        Ok(open.count())
    }

    /// Ends the server as an operator does, and returns its output. Anything but a clean exit makes
    /// the measurement worthless.
    ///
    /// # Errors
    /// It fails or does not end.
    pub(crate) fn stop(self) -> Result<Ended> {
        let (status, ended) = self.server.end(PATIENCE)?;
        ensure!(
            status.success(),
            "{} ended with {status}: {}",
            self.name,
            ended.err
        );
        Ok(ended)
    }
}

/// Returns what a program prints, or a placeholder if it cannot be run.
fn printed(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    let output = command.args(arguments).stderr(Stdio::null()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.ok()
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| "unknown".to_owned())
}

/// Returns the measured commit, with a mark if the working tree differs from it.
pub(crate) fn commit() -> String {
    let options = [
        "describe",
        "--always",
        "--dirty",
        "--abbrev=12",
        "--exclude=*",
    ];
    printed("git", &options)
}

/// Returns the command line of this process, as a user types it.
fn command() -> String {
    let words = ["cargo", "xtask"].map(str::to_owned).into_iter();
    let arguments = std::env::args().skip(1);
    words.chain(arguments).collect::<Vec<_>>().join(" ")
}

/// Returns the machine and the software of a measurement, for its JSON.
pub(crate) fn machine() -> Value {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    json!({
        "commit": commit(),
        "cpu": model.map_or("unknown", |(_, model)| model),
        "cores": thread::available_parallelism().map_or(1, usize::from),
        "kernel": printed("uname", &["-srm"]),
        "rustc": printed("rustc", &["--version"]),
        "date": printed("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]),
        "command": command(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_contender_has_a_program() {
        for name in ALL {
            assert!(program_of(name, 1).is_ok(), "{name}");
        }
        assert!(program_of("demo-nothing", 1).is_err());
        assert!(BASE.split(',').all(|name| known(name).is_ok()));
    }
}
