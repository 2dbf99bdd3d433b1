//! A server-demo process and its counters, and runs of loadgen against it.

use std::cell::Cell;
use std::collections::HashMap;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;

use crate::programs::process::{self, Ended, PATIENCE, eventually};
use crate::programs::server;

/// The longest time for one load.
const LOAD_LIMIT: Duration = Duration::from_secs(60);

/// The headings of the server's table, in order.
const HEADINGS: [&str; 16] = [
    "accepted",
    "closed",
    "live",
    "bytes",
    "over limit",
    "idle",
    "unread",
    "failed",
    "cut off",
    "handed on",
    "polls",
    "turns waited",
    "remote wakes",
    "tasks",
    "registered",
    "timers",
];

/// The two programs.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    pub(crate) server: PathBuf,
    pub(crate) loadgen: PathBuf,
}

impl Programs {
    /// Builds both for release, or takes the existing build.
    ///
    /// # Errors
    /// The build fails.
    pub(crate) fn get(build: bool) -> Result<Self> {
        if build {
            process::build(&[
                "--release",
                "--package",
                "server-demo",
                "--package",
                "loadgen",
            ])?;
        }
        let folder = std::path::absolute(process::target_folder().join("release"))?;
        Ok(Self {
            server: folder.join("server-demo"),
            loadgen: folder.join("loadgen"),
        })
    }

    /// Returns a command that loads the server at `target`, with arguments in the form of a shell.
    pub(crate) fn load(&self, target: &str, arguments: &str) -> Command {
        let mut command = Command::new(&self.loadgen);
        command.arg(target).args(arguments.split_whitespace());
        command
    }
}

/// Runs a load to its end; its exit code must be one of `codes`.
///
/// # Errors
/// It ends with another code, or not within a minute.
pub(crate) fn run_load(folder: &Path, codes: &[i32], command: &mut Command) -> Result<Ended> {
    process::run(folder, LOAD_LIMIT, codes, command)
}

/// A server's counters, summed over the shards, by heading.
#[derive(Debug, Clone)]
pub(crate) struct Counts(HashMap<&'static str, u64>);

impl Counts {
    /// Reads the last table that a server printed.
    ///
    /// # Errors
    /// There is none, or it has other headings.
    pub(crate) fn read(table: &str) -> Result<Self> {
        let line = |start: &str| {
            let mut lines = table.lines().rev();
            lines.find(|line| line.trim_start().starts_with(start))
        };
        let headings = line("shard  cpu").context("the server printed no table")?;
        let headings: Vec<_> = headings.split_whitespace().skip(2).collect();
        ensure!(
            headings.join(" ") == HEADINGS.join(" "),
            "the headings are {headings:?}"
        );
        let sums = line("all ").context("the server's table has no sums")?;
        let sums = sums.split_whitespace().skip(2).map(str::parse);
        let sums: Vec<u64> = sums.collect::<Result<_, _>>()?;
        ensure!(sums.len() == HEADINGS.len(), "the sums are {sums:?}");
        Ok(Self(HEADINGS.into_iter().zip(sums).collect()))
    }

    /// Returns the sum below a heading.
    pub(crate) fn get(&self, heading: &str) -> u64 {
        self.0[heading]
    }

    fn are(&self, expected: &[(&str, u64)]) -> bool {
        expected
            .iter()
            .all(|&(heading, value)| self.get(heading) == value)
    }
}

/// A running server-demo.
#[derive(Debug)]
pub(crate) struct Server {
    server: server::Server,
    /// The number of requested tables.
    tables: Cell<usize>,
}

impl Server {
    /// Starts the server by this command, to which the arguments of `server-demo echo` are added,
    /// and waits until it listens.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn start(folder: &Path, mut command: Command, arguments: &str) -> Result<Self> {
        command.args(["echo", "--listen", "127.0.0.1:0"]);
        command.args(arguments.split_whitespace());
        Ok(Self {
            server: server::Server::start("server", folder, &mut command)?,
            tables: Cell::new(0),
        })
    }

    pub(crate) fn address(&self) -> &str {
        self.server.address()
    }

    /// Connects a client whose reads take ten seconds at most.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect(self.address())?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(stream)
    }

    pub(crate) fn id(&self) -> u32 {
        self.server.program().id()
    }

    pub(crate) fn signal(&self, which: Signal) -> Result<()> {
        self.server.program().signal(which)
    }

    /// Waits until the server's messages contain `text`.
    ///
    /// # Errors
    /// The messages do not contain it in time.
    pub(crate) fn reports(&self, text: &str) -> Result<()> {
        eventually(&format!("the server reports '{text}'"), || {
            Ok(self.server.program().err().contains(text))
        })
    }

    /// Requests the counters and returns them.
    ///
    /// # Errors
    /// The server does not answer.
    pub(crate) fn counts(&self) -> Result<Counts> {
        let tables = self.tables.get() + 1;
        self.tables.set(tables);
        self.signal(Signal::USR1)?;
        eventually("the server answers to SIGUSR1", || {
            let out = self.server.program().out();
            let sums = out.lines().filter(|line| line.starts_with("  all"));
            Ok(sums.count() >= tables && out.ends_with('\n'))
        })?;
        Counts::read(&self.server.program().out())
    }

    /// Waits until the counters have these values, and returns them.
    ///
    /// # Errors
    /// The counters do not get these values in time.
    pub(crate) fn expect_counts(&self, expected: &[(&str, u64)]) -> Result<Counts> {
        let mut last = None;
        eventually(&format!("the counters are {expected:?}"), || {
            Ok(last.insert(self.counts()?).are(expected))
        })
        .with_context(|| format!("they are {last:?}"))?;
        self.counts()
    }

    /// Waits until no connection is left, and checks that each accepted one was closed.
    ///
    /// # Errors
    /// One is left, or was not counted as closed.
    pub(crate) fn expect_all_closed(&self) -> Result<Counts> {
        let counts = self.expect_counts(&[("live", 0)])?;
        let (accepted, closed) = (counts.get("accepted"), counts.get("closed"));
        ensure!(accepted == closed, "{accepted} accepted, {closed} closed");
        Ok(counts)
    }

    /// Returns the number of open descriptors.
    ///
    /// # Errors
    /// The server has ended.
    pub(crate) fn descriptors(&self) -> Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.id()))?.count())
    }

    /// Waits until this many descriptors are open.
    ///
    /// # Errors
    /// They are not in time.
    pub(crate) fn expect_descriptors(&self, number: usize) -> Result<()> {
        eventually(&format!("{number} descriptors are open, as before"), || {
            Ok(self.descriptors()? == number)
        })
    }

    /// Returns the CPU time so far, in hundredths of a second.
    ///
    /// # Errors
    /// The server has ended.
    pub(crate) fn cpu_ticks(&self) -> Result<u64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id()))?;
        // The second field is a name in parentheses that may contain anything.
        let (_, fields) = stat.rsplit_once(')').context("a line of /proc/PID/stat")?;
        let mut fields = fields.split_whitespace().skip(11);
        let mut next = || -> Result<u64> { Ok(fields.next().context("a CPU time")?.parse()?) };
        Ok(next()? + next()?)
    }

    /// Ends the server as an operator does, and returns its status and what it printed.
    ///
    /// # Errors
    /// It does not end in time.
    pub(crate) fn end(self) -> Result<(ExitStatus, Ended)> {
        self.server.end(PATIENCE)
    }

    /// Ends the server, which drains with success and without a panic, and returns its last
    /// counters.
    ///
    /// # Errors
    /// It fails, panicked, or does not end in time.
    pub(crate) fn stop(self) -> Result<Counts> {
        let (status, Ended { out, err }) = self.end()?;
        ensure!(status.success(), "the server ended with {status}");
        ensure!(!err.contains("panicked"), "the server panicked");
        Counts::read(&out)
    }

    /// Stops the server, whose last counters have these values.
    ///
    /// # Errors
    /// As [`stop`](Self::stop), or the counters have other values.
    pub(crate) fn stop_with(self, expected: &[(&str, u64)]) -> Result<()> {
        let counts = self.stop()?;
        ensure!(
            counts.are(expected),
            "the last counters are not {expected:?} but {counts:?}"
        );
        Ok(())
    }
}
