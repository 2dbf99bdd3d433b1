//! Programs that a command starts. Their time is bounded, their output is in files, and none
//! outlives the command.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::programs::cleanup;

/// The longest time for a program to start, to answer or to end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The running programs.
static RUNNING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

fn running(change: impl FnOnce(&mut Vec<u32>)) {
    change(&mut RUNNING.lock().unwrap_or_else(PoisonError::into_inner));
}

/// Ends the programs that were started, cleans up, and ends this process, at SIGINT and SIGTERM.
///
/// # Errors
/// The signals cannot be caught.
pub(crate) fn end_all_at_signals() -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            running(|all| {
                for &id in all.iter() {
                    kill_group(id);
                }
            });
            cleanup::run_all();
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}

/// Kills a program and its children: killing only strace would detach the traced one.
fn kill_group(id: u32) {
    if let Ok(group) = pid(id) {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// Returns the first child of a process, or the process itself if it has none. strace runs the
/// traced program as its child.
fn traced(id: u32) -> u32 {
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
    let child = children.ok().and_then(|all| {
        let first = all.split_whitespace().next()?;
        first.parse().ok()
    });
    child.unwrap_or(id)
}

/// Sends a signal.
///
/// # Errors
/// The process has ended.
pub(crate) fn signal(id: u32, signal: Signal) -> Result<()> {
    kill_process(pid(id)?, signal).with_context(|| format!("process {id}"))
}

fn pid(id: u32) -> Result<Pid> {
    let pid = i32::try_from(id).ok().and_then(Pid::from_raw);
    pid.context("no process id")
}

/// A program that runs in the background. Dropping it kills the program.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    name: String,
    out: PathBuf,
    err: PathBuf,
}

impl Running {
    /// Starts a program whose output goes to `NAME.out` and `NAME.err` in `folder`.
    ///
    /// # Errors
    /// The program cannot be started.
    pub(crate) fn start(name: &str, folder: &Path, command: &mut Command) -> Result<Self> {
        Self::spawn(name, folder, command.stdin(Stdio::null()))
    }

    /// Starts a program like [`start`](Self::start), with a pipe to its standard input.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub(crate) fn start_with_input(
        name: &str,
        folder: &Path,
        command: &mut Command,
    ) -> Result<(Self, ChildStdin)> {
        let mut running = Self::spawn(name, folder, command.stdin(Stdio::piped()))?;
        let input = running.child.stdin.take().context("a pipe")?;
        Ok((running, input))
    }

    fn spawn(name: &str, folder: &Path, command: &mut Command) -> Result<Self> {
        let (out, err) = (
            folder.join(format!("{name}.out")),
            folder.join(format!("{name}.err")),
        );
        command.stdout(File::create(&out)?);
        command.stderr(File::create(&err)?);
        // A group of its own, so that its children can be ended with it.
        let child = command
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name}: {command:?}"))?;
        running(|all| all.push(child.id()));
        Ok(Self {
            child,
            name: name.to_owned(),
            out,
            err,
        })
    }

    /// Returns the id of the program, which strace may run.
    pub(crate) fn id(&self) -> u32 {
        traced(self.child.id())
    }

    /// Returns its standard output so far.
    pub(crate) fn out(&self) -> String {
        text_of(&self.out)
    }

    /// Returns its standard error so far.
    pub(crate) fn err(&self) -> String {
        text_of(&self.err)
    }

    /// Returns true once the program has ended.
    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Waits for the first line of output that begins with `start`, and returns the rest of it.
    ///
    /// # Errors
    /// The program ended first, or does not print the line in time.
    pub(crate) fn says(&mut self, start: &str) -> Result<String> {
        self.says_within(start, PATIENCE)
    }

    /// The same, for at most `limit`.
    ///
    /// # Errors
    /// As [`says`](Self::says).
    pub(crate) fn says_within(&mut self, start: &str, limit: Duration) -> Result<String> {
        self.says_in(Self::out, start, limit)
    }

    /// Waits for such a line on standard error.
    ///
    /// # Errors
    /// As [`says`](Self::says).
    pub(crate) fn reports(&mut self, start: &str) -> Result<String> {
        self.says_in(Self::err, start, PATIENCE)
    }

    fn says_in(
        &mut self,
        output: fn(&Self) -> String,
        start: &str,
        limit: Duration,
    ) -> Result<String> {
        let deadline = Instant::now() + limit;
        loop {
            // A line without its end may be a part of one.
            let out = output(self);
            let mut whole = out
                .split_inclusive('\n')
                .filter_map(|line| line.strip_suffix('\n'));
            if let Some(rest) = whole.find_map(|line| line.strip_prefix(start)) {
                return Ok(rest.to_owned());
            }
            ensure!(
                !self.has_ended()?,
                "{} did not start: {}",
                self.name,
                self.err()
            );
            ensure!(
                Instant::now() < deadline,
                "{} does not say '{start}'",
                self.name
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asks the program itself to end, and not the one that it runs.
    ///
    /// # Errors
    /// It has ended.
    pub(crate) fn terminate(&self) -> Result<()> {
        signal(self.child.id(), Signal::TERM)
    }

    /// Sends a signal to the program.
    ///
    /// # Errors
    /// It has ended.
    pub(crate) fn signal(&self, which: Signal) -> Result<()> {
        signal(self.id(), which)
    }

    /// Waits until the program ends, for at most `limit`.
    ///
    /// # Errors
    /// It does not end in time.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            ensure!(
                Instant::now() < deadline,
                "{} did not end within {limit:?}",
                self.name
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sleeps until the program ends. Measurements use it, since it takes no CPU time from them.
    ///
    /// # Errors
    /// The program cannot be waited for.
    pub(crate) fn join(&mut self) -> Result<ExitStatus> {
        Ok(self.child.wait()?)
    }

    /// Waits until the program ends with success.
    ///
    /// # Errors
    /// It does not end in time, or it fails.
    pub(crate) fn succeeds(&mut self, limit: Duration) -> Result<()> {
        let status = self.wait(limit)?;
        ensure!(
            status.success(),
            "{} ended with {status}: {}{}",
            self.name,
            self.out(),
            self.err()
        );
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let id = self.child.id();
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            kill_group(id);
            let _ = self.child.wait();
        }
        running(|all| all.retain(|&other| other != id));
    }
}

fn text_of(file: &Path) -> String {
    String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned()
}

/// The end of a program that was run to its end.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs a program for at most `limit`; its exit code must be one of `codes`.
///
/// # Errors
/// It cannot be started, does not end in time, or ends with another code.
pub(crate) fn run(
    folder: &Path,
    limit: Duration,
    codes: &[i32],
    command: &mut Command,
) -> Result<Ended> {
    let name = Path::new(command.get_program());
    let name = name
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let mut running = Running::start(&name, folder, command)?;
    let status = running.wait(limit)?;
    let (out, err) = (running.out(), running.err());
    if !status.code().is_some_and(|code| codes.contains(&code)) {
        let shown: String = out.chars().take(500).collect();
        bail!("{command:?} ended with {status} and not with {codes:?}: {shown}{err}");
    }
    Ok(Ended { out, err })
}

/// Repeats a check until it is true, for twenty seconds at most.
///
/// # Errors
/// It does not become true, or it fails.
pub(crate) fn eventually(hope: &str, check: impl FnMut() -> Result<bool>) -> Result<()> {
    within(Duration::from_secs(20), hope, check)
}

/// The same, for at most `limit`.
///
/// # Errors
/// As [`eventually`].
pub(crate) fn within(
    limit: Duration,
    hope: &str,
    mut check: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let deadline = Instant::now() + limit;
    while !check()? {
        ensure!(Instant::now() < deadline, "waited in vain: {hope}");
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Builds packages with cargo, as `cargo build --locked` and these arguments do.
///
/// # Errors
/// The build fails.
pub(crate) fn build(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("cargo");
    command.args(["build", "--locked"]).args(arguments);
    eprintln!("+ cargo build --locked {}", arguments.join(" "));
    ensure!(command.status()?.success(), "the build failed");
    Ok(())
}

/// Runs cargo with these arguments, and returns the programs that it built.
///
/// # Errors
/// The build fails.
pub(crate) fn executables(arguments: &[&str]) -> Result<Vec<PathBuf>> {
    eprintln!("+ cargo {}", arguments.join(" "));
    let mut command = Command::new("cargo");
    command
        .args(arguments)
        .args(["--quiet", "--locked", "--message-format=json"]);
    let output = command.stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "the build failed");
    let mut programs = Vec::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        let message: serde_json::Value = serde_json::from_str(line)?;
        programs.extend(message["executable"].as_str().map(PathBuf::from));
    }
    programs.sort();
    programs.dedup();
    Ok(programs)
}

/// Returns the folder that cargo builds into.
pub(crate) fn target_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from)
}

/// Checks that a program is installed.
///
/// # Errors
/// It is not; the text names Debian's package.
pub(crate) fn need(program: &str, package: &str) -> Result<()> {
    ensure!(
        is_installed(program),
        "{program} is needed: install the package '{package}'"
    );
    Ok(())
}

/// Returns true if the PATH has this program.
pub(crate) fn is_installed(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    })
}

/// Returns the path of a file in the sources of this package.
pub(crate) fn source(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file)
}
