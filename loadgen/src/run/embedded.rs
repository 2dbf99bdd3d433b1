//! The embedded echo server: a child process of this same program, so that its descriptors, CPU
//! time and memory are its own.
//!
//! The child serves on the loopback interface until its standard input closes, which also happens
//! when the parent dies, in whatever way. It is in a process group of its own: Ctrl-C in a terminal
//! reaches the parent, which still needs it for the partial report. Tests: `tests/embedded.rs`.

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

    /// Surface the server is written with
    #[arg(long, value_enum)]
    pub io: IoSurface,
}

/// The hidden subcommand that is the server.
pub const SUBCOMMAND: &str = "embedded-server";

/// The text that the child prints before its address, as `server-demo` does.
const LISTENING: &str = "listening on ";
/// The longest time until it listens, and until it ends.
const START_MAX: Duration = Duration::from_secs(20);
const END_MAX: Duration = Duration::from_secs(20);
/// The longest time for open connections to end when standard input has closed.
const DRAIN: Duration = Duration::from_secs(5);

/// Shards of an embedded server on this machine: one per CPU, and two at the least, so that it is a
/// sharded server.
#[must_use]
pub fn shards() -> usize {
    thread::available_parallelism()
        .map_or(1, usize::from)
        .max(2)
}

/// The body of the child: serves until standard input closes.
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
    // The run is over. A thread that a busy machine keeps from ending in time takes nothing from
    // what was measured, and a server that hung before its end has failed the run already.
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
    /// It could not be started, ended, or did not say in time where it listens. Nothing is left
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
                // It is of no use; an error here would only hide the first one.
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("process ids fit")
    }

    /// Returns the exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Lets it end, and makes it end if it does not.
    ///
    /// # Errors
    /// It ended with an error, or had to be killed.
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

/// Reads where the child listens; a thread reads, because a pipe has no time-out.
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
