//! `cargo xtask protocols`: loadgen against independent servers, in closed and in open loops: nginx
//! over HTTP/1.1 and HTTP/2, in the clear and with TLS; Python's http.server and websockets; and
//! redis-server with a fixed exchange.
//!
//! Each case has a server of its own. It checks loadgen's exit code, the counts of the report, and
//! the server's own record where it has one.

mod nginx;
mod python;
mod redis;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use clap::Args;
use libtest_mimic::{Completion, Trial};

use crate::Cases;
use crate::checks::report::{Count, Report};
use crate::checks::trial;
use crate::programs::demo;
use crate::programs::process::{self, target_folder};
use crate::programs::server::Server;

#[derive(Debug, Args)]
pub(crate) struct Protocols {
    /// Fail if a server is not installed; otherwise skip its cases
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    cases: Cases,
}

/// A kind of server, and the loads that it gets.
struct Kind {
    name: &'static str,
    /// The programs that it needs, with Debian's packages.
    needs: &'static [(&'static str, &'static str)],
    start: fn(&Path) -> Result<Site>,
    loads: Vec<Load>,
}

/// A server that runs for one load.
struct Site {
    server: Server,
    /// Words in braces that a command line may have, and the text that replaces them.
    words: Vec<(&'static str, String)>,
    /// The file in which the server records each request as a line.
    record: Option<PathBuf>,
    /// An event at the server in the middle of the load.
    event: Option<fn(&Path) -> Result<()>>,
}

/// A load, and the results that it must have.
struct Load {
    name: String,
    /// The command line after `loadgen`.
    line: String,
    code: i32,
    checks: Vec<Check>,
    /// The number of attempts. The case passes if one of them does.
    attempts: u32,
}

#[derive(Debug, Clone, Copy)]
enum Check {
    /// A count of the report has this value.
    Is(Count, u64),
    /// A count of the report has this value at least.
    AtLeast(Count, u64),
    /// The report has errors of this kind.
    HasError(&'static str),
    /// loadgen's message has these words.
    Says(&'static str),
    /// The server recorded this number of lines with these words.
    Recorded(&'static str, usize),
}

impl Load {
    fn new(name: impl Into<String>, line: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            line: line.into(),
            code: 0,
            checks: Vec::new(),
            attempts: 1,
        }
    }

    /// Makes this exit code the expected one.
    fn code(mut self, code: i32) -> Self {
        self.code = code;
        self
    }

    fn check(mut self, check: Check) -> Self {
        self.checks.push(check);
        self
    }

    fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    fn answered(self, requests: u64) -> Self {
        self.check(Check::Is(Count::Answered, requests))
    }
}

impl Site {
    fn new(server: Server) -> Self {
        let words = vec![("{address}", server.address().to_owned())];
        Self {
            server,
            words,
            record: None,
            event: None,
        }
    }
}

impl Protocols {
    /// # Errors
    /// The build fails.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let arguments = self.cases.arguments();
        if !arguments.list && !self.cases.no_build {
            let features = "tls,http2,websocket";
            process::build(&["--release", "--package", "loadgen", "--features", features])?;
        }
        let loadgen = std::path::absolute(target_folder().join("release/loadgen"))?;
        let kinds = nginx::kinds()
            .into_iter()
            .chain(python::kinds())
            .chain([redis::kind()]);
        let trials = kinds.flat_map(|kind| trials(kind, self.all, &loadgen));
        Ok(libtest_mimic::run(&arguments, trials.collect()).exit_code())
    }
}

fn trials(kind: Kind, all: bool, loadgen: &Path) -> Vec<Trial> {
    let Kind {
        name,
        needs,
        start,
        loads,
    } = kind;
    let trial = |load: Load| {
        let loadgen = loadgen.to_owned();
        trial::if_possible(format!("{name}: {}", load.name), move |folder| {
            let needed = needs
                .iter()
                .try_for_each(|(program, package)| process::need(program, package));
            match needed {
                Err(missing) if !all => Ok(Completion::ignored_with(missing)),
                Err(missing) => Err(missing),
                Ok(()) => {
                    attempt(&loadgen, folder, start, &load)?;
                    Ok(Completion::Completed)
                }
            }
        })
    };
    loads.into_iter().map(trial).collect()
}

/// Starts the server and runs the load, again if that failed and the load has attempts left.
fn attempt(
    loadgen: &Path,
    folder: &Path,
    start: fn(&Path) -> Result<Site>,
    load: &Load,
) -> Result<()> {
    for number in 1..load.attempts {
        let folder = folder.join(format!("attempt-{number}"));
        fs::create_dir(&folder)?;
        let Err(error) = start(&folder).and_then(|mut site| run(loadgen, &folder, &mut site, load))
        else {
            return Ok(());
        };
        eprintln!("attempt {number} failed: {error:#}");
    }
    run(loadgen, folder, &mut start(folder)?, load)
}

/// Runs a load and checks its results.
fn run(loadgen: &Path, folder: &Path, site: &mut Site, load: &Load) -> Result<()> {
    let mut line = load.line.clone();
    for (word, text) in &site.words {
        line = line.replace(word, text);
    }
    let mut command = Command::new(loadgen);
    command.args(line.split_whitespace());
    command.args(["--quiet", "--format", "json"]);
    let ended = match site.event {
        None => demo::run_load(folder, &[load.code], &mut command)?,
        Some(event) => thread::scope(|scope| {
            let happens = scope.spawn(|| {
                thread::sleep(Duration::from_secs(1));
                event(folder)
            });
            let ended = demo::run_load(folder, &[load.code], &mut command);
            match happens.join() {
                Ok(happened) => happened.and(ended),
                Err(_) => bail!("the event panicked"),
            }
        })?,
    };
    for &check in &load.checks {
        match check {
            Check::Says(words) => {
                ensure!(ended.err.contains(words), "it does not say '{words}'");
            }
            Check::Recorded(words, lines) => {
                let record = site.record.as_deref().unwrap_or_else(|| Path::new(""));
                expect_recorded(record, words, lines)?;
            }
            Check::Is(count, value) => Report::parse(&ended.out)?.is(count, value)?,
            Check::AtLeast(count, value) => Report::parse(&ended.out)?.at_least(count, value)?,
            Check::HasError(kind) => {
                let report = Report::parse(&ended.out)?;
                let kinds = report.errors()?;
                ensure!(kinds.contains(&kind), "no {kind} in {kinds:?}");
            }
        }
    }
    ensure!(
        !site.server.program_mut().has_ended()?,
        "the server has ended"
    );
    Ok(())
}

/// Waits until the record has this number of lines with these words, and no more.
fn expect_recorded(record: &Path, words: &str, expected: usize) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let text = fs::read_to_string(record)?;
        let found = text.lines().filter(|line| line.contains(words)).count();
        if found == expected {
            return Ok(());
        }
        ensure!(
            found < expected && Instant::now() < deadline,
            "the server recorded {found} of '{words}' instead of {expected}"
        );
        thread::sleep(Duration::from_millis(20));
    }
}

/// Starts a server with this command, which gets its address as an argument.
fn start(name: &str, folder: &Path, address: &str, command: &mut Command) -> Result<Site> {
    Ok(Site::new(Server::start_on(address, name, folder, command)?))
}
