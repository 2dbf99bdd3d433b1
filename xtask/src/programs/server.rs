//! Servers of any kind: their start, their address and their end.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;

use crate::programs::process::{Ended, PATIENCE, Running};

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    program: Running,
    address: String,
}

impl Server {
    /// Starts a server and waits until it prints `listening on ADDRESS`.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn start(name: &str, folder: &Path, command: &mut Command) -> Result<Self> {
        Self::start_within(PATIENCE, name, folder, command)
    }

    /// The same, for a server that may take this long to start.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub(crate) fn start_within(
        limit: Duration,
        name: &str,
        folder: &Path,
        command: &mut Command,
    ) -> Result<Self> {
        let mut program = Running::start(name, folder, command)?;
        let address = program.says_within("listening on ", limit)?;
        Ok(Self { program, address })
    }

    /// Starts a server that is told its address, and waits until it accepts connections there.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn start_on(
        address: &str,
        name: &str,
        folder: &Path,
        command: &mut Command,
    ) -> Result<Self> {
        let mut program = Running::start(name, folder, command)?;
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            ensure!(
                !program.has_ended()?,
                "{name} did not start: {}",
                program.err()
            );
            ensure!(
                Instant::now() < deadline,
                "{name} does not listen on {address}"
            );
            thread::sleep(Duration::from_millis(10));
        }
        let address = address.to_owned();
        Ok(Self { program, address })
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn port(&self) -> &str {
        self.address.rsplit(':').next().unwrap_or_default()
    }

    pub(crate) fn program(&self) -> &Running {
        &self.program
    }

    pub(crate) fn program_mut(&mut self) -> &mut Running {
        &mut self.program
    }

    /// Ends the server as an operator does, and returns its status and what it printed.
    ///
    /// # Errors
    /// It does not end within `limit`.
    pub(crate) fn end(mut self, limit: Duration) -> Result<(ExitStatus, Ended)> {
        self.program.signal(Signal::TERM)?;
        let status = self.program.wait(limit)?;
        let (out, err) = (self.program.out(), self.program.err());
        Ok((status, Ended { out, err }))
    }

    /// Ends the server by a signal, after which it ends with success and within `limit`.
    ///
    /// # Errors
    /// It fails or does not end in time.
    pub(crate) fn stop(mut self, which: Signal, limit: Duration) -> Result<()> {
        self.program.signal(which)?;
        self.program.succeeds(limit)
    }
}

/// Returns an address of the loopback interface without a listener, below the ports that Linux
/// gives to clients. This process gives each out once.
///
/// # Errors
/// All of them have listeners.
pub(crate) fn free_address() -> Result<String> {
    const FIRST: u16 = 20_000;
    const PORTS: u16 = 10_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    static BEGIN: std::sync::OnceLock<u16> = std::sync::OnceLock::new();
    let begin = *BEGIN.get_or_init(|| fastrand::u16(..PORTS));
    for _ in 0..PORTS {
        let number = NEXT.fetch_add(1, Ordering::Relaxed) % PORTS;
        let address = format!("127.0.0.1:{}", FIRST + (begin + number) % PORTS);
        if TcpListener::bind(&address).is_ok() {
            return Ok(address);
        }
    }
    None.context("no port is free")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::programs::cleanup::Folder;

    #[test]
    fn a_server_that_ends_at_once_is_an_error_with_its_words() {
        let folder = Folder::new().unwrap();
        let address = free_address().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo 'no such file' >&2; exit 1"]);
        let error = Server::start_on(&address, "server", folder.path(), &mut command).unwrap_err();
        assert!(error.to_string().contains("no such file"), "{error}");
        let error = Server::start("server", folder.path(), &mut command).unwrap_err();
        assert!(error.to_string().contains("no such file"), "{error}");
    }

    #[test]
    fn free_addresses_differ() {
        assert_ne!(free_address().unwrap(), free_address().unwrap());
    }
}
