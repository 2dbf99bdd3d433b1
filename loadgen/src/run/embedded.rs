//! The embedded echo server: a child process of this same program, so that its descriptors, CPU
//! time and memory are its own.
//!
//! The child serves on the loopback interface until its standard input closes. This also happens
//! when the parent dies for any reason. The child has its own process group, so Ctrl-C in a
//! terminal reaches only the parent, which still needs the child for the partial report. Tests:
//! `tests/embedded.rs`.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use reactor::Pinning;
use server_demo::IoSurface;

/// The arguments of the hidden server command.
#[derive(Args, Debug, Clone)]
pub struct EmbeddedArgs {
    /// Shards of the server
    #[arg(long)]
    pub shards: usize,

    /// I/O surface of the server
    #[arg(long, value_enum)]
    pub io: IoSurface,
}

/// The hidden subcommand that runs the server.
pub const SUBCOMMAND: &str = "embedded-server";

/// The text that the child prints before its address, as `server-demo` does.
const LISTENING: &str = "listening on ";
/// The longest time for the child to start listening, and to end.
const START_MAX: Duration = Duration::from_secs(20);
const END_MAX: Duration = Duration::from_secs(20);
/// The longest time for open connections to end after standard input has closed.
const DRAIN: Duration = Duration::from_secs(5);

/// Returns the number of shards of an embedded server on this machine: one per CPU, and at least
/// two, so that the server is sharded.
#[must_use]
pub fn shards() -> usize {
    thread::available_parallelism()
        .map_or(1, usize::from)
        .max(2)
}

/// Runs the child: serves until standard input closes.
///
/// # Errors
/// The server could not start.
pub fn serve(args: &EmbeddedArgs) -> io::Result<()> {
    server_demo::limits::raise_nofile()?;
    let server = server_demo::Server::start(server_demo::Config {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        shards: Some(args.shards),
        pinning: Pinning::Auto,
        io: args.io,
        notice: |notice| crate::console::remark(format_args!("loadgen: embedded server: {notice}")),
        ..server_demo::Config::default()
    })?;
    let mut out = io::stdout();
    writeln!(out, "{LISTENING}{}", server.local_addr())?;
    out.flush()?;
    // The thread reads nothing and waits for the end of the stream.
    io::copy(&mut io::stdin().lock(), &mut io::sink())?;
    // The run is over. On a busy machine a thread may end too late, which does not change the
    // results. A server that hung before has already failed the run.
    if let Some(stuck) = server.shutdown(DRAIN).stuck {
        crate::console::remark(format_args!("loadgen: embedded server: {stuck}"));
    }
    Ok(())
}

/// A running child.
#[derive(Debug)]
pub struct Embedded {
    child: Child,
    address: SocketAddr,
}

impl Embedded {
    /// Starts the child and waits until it listens.
    ///
    /// # Errors
    /// The child could not be started, ended, or did not print its address in time. Nothing is left
    /// behind.
    pub fn start(shards: usize, io: IoSurface) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg(SUBCOMMAND)
            .args(["--shards", &shards.to_string()])
            .args(["--io", io.name()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().expect("it was piped");
        match address(stdout) {
            Ok(address) => Ok(Self { child, address }),
            Err(error) => {
                // The child is useless. An error here would only hide the first one.
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// Returns its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns its process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("process ids fit")
    }

    /// Returns the exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Lets the child end, and kills it if it does not.
    ///
    /// # Errors
    /// The child ended with an error, or had to be killed.
    pub fn stop(mut self) -> io::Result<()> {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + END_MAX;
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    return Err(io::Error::other(format!(
                        "the embedded server ended with {status}"
                    )));
                }
                None if Instant::now() < deadline => thread::sleep(Duration::from_millis(2)),
                None => break,
            }
        }
        Err(io::Error::other(
            "the embedded server did not end and was killed",
        ))
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        if self.ended().is_none() {
            // Nothing can be done about a process that cannot be killed.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Reads the child's address. A thread reads it, because a pipe has no timeout.
fn address(stdout: ChildStdout) -> io::Result<SocketAddr> {
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new()
        .name("embedded".to_owned())
        .spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(stdout.take(1_024)).read_line(&mut line);
            let _ = sender.send(read.map(|_| line));
        })?;
    let line = receiver
        .recv_timeout(START_MAX)
        .map_err(|_| io::Error::other("the embedded server does not say where it listens"))??;
    let address = line
        .trim_end()
        .strip_prefix(LISTENING)
        .and_then(|address| address.parse().ok());
    address.ok_or_else(|| io::Error::other("the embedded server did not start"))
}
