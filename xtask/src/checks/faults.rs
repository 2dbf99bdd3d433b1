//! `cargo xtask faults`: causes one fault at a time in a server-demo and a loadgen under real load.
//! Each case then checks the clients' results, the counters, the descriptors, the exit codes, and
//! that its fault did occur.
//!
//! `cases.rs` has the list.

mod cases;
mod generator;
mod misuse;
mod resources;
mod server;
mod startup;

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Result, ensure};
use libtest_mimic::{Arguments, Completion, Trial};

use crate::checks::trial;
use crate::programs::demo::{self, Programs, Server};
use crate::programs::process::Ended;
use crate::programs::strace::{self, Strace};

/// A running case: the programs under test, and a folder for its files.
#[derive(Debug)]
struct Case {
    programs: Programs,
    folder: PathBuf,
}

/// The way a server accepts connections and does I/O.
#[derive(Debug, Clone, Copy)]
struct Mode {
    accept: &'static str,
    io: &'static str,
}

impl Case {
    fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts a server with arguments in the form of a shell.
    fn server(&self, arguments: &str) -> Result<Server> {
        Server::start(
            self.folder(),
            Command::new(&self.programs.server),
            arguments,
        )
    }

    /// Starts a server under faults.
    fn struck_server(&self, faults: &Strace, arguments: &str) -> Result<Server> {
        Server::start(
            self.folder(),
            faults.command(&self.programs.server),
            arguments,
        )
    }

    fn strace(&self, faults: &[&str]) -> Strace {
        Strace::new(self.folder(), faults)
    }

    /// Runs a load against a server to its end; its exit code is `code`.
    fn load(&self, server: &Server, code: i32, arguments: &str) -> Result<Ended> {
        let mut command = self.programs.load(server.address(), arguments);
        demo::run_load(self.folder(), &[code], command.arg("--quiet"))
    }
}

impl Mode {
    /// Returns the arguments of a server with two shards.
    fn arguments(self) -> String {
        let Self { accept, io } = self;
        format!("--shards 2 --accept {accept} --io {io}")
    }
}

/// Reads exactly this answer.
fn expect_answer(mut client: &TcpStream, expected: &str) -> Result<()> {
    let mut answer = vec![0; expected.len()];
    std::io::Read::read_exact(&mut client, &mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    ensure!(
        answer == expected,
        "the answer was '{answer}' and not '{expected}'"
    );
    Ok(())
}

/// Runs the cases that the arguments of a test program choose.
///
/// # Errors
/// strace is missing, or the build fails.
pub(crate) fn run(build: bool, mut arguments: Arguments) -> Result<ExitCode> {
    // More cases at a time would compete for the CPU, and some cases measure CPU time.
    arguments.test_threads = arguments.test_threads.or(Some(2));
    if arguments.list {
        return Ok(libtest_mimic::run(&arguments, trials(&Programs::get(false)?)).exit_code());
    }
    strace::need()?;
    let programs = Programs::get(build)?;
    Ok(libtest_mimic::run(&arguments, trials(&programs)).exit_code())
}

fn trials(programs: &Programs) -> Vec<Trial> {
    let trials = cases::all().into_iter().map(|(name, body)| {
        let programs = programs.clone();
        trial::if_possible(name, move |folder| {
            let folder = folder.to_owned();
            let impossible = body(&Case { programs, folder })?;
            Ok(impossible.map_or(Completion::Completed, Completion::ignored_with))
        })
    });
    trials.collect()
}
