//! Shared by the integration tests: servers in this process and as the real binary, and clients
//! with deadlines.

#![allow(dead_code, reason = "each test program uses its part")]
#![allow(unreachable_pub, reason = "a module of test programs")]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use reactor::Pinning;
use rustix::process::{Pid, Signal, kill_process};
use server_demo::{Config, Server};

/// No test waits longer than this for anything.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Returns a configuration for tests: a free port, two shards, no pinning, so that tests can run
/// side by side.
pub fn config() -> Config {
    Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        shards: Some(2),
        pinning: Pinning::None,
        ..Config::default()
    }
}

pub fn start(config: Config) -> Server {
    Server::start(config).expect("the server starts")
}

/// Returns a connected client whose reads and writes fail at the deadline instead of hanging.
pub fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&addr, DEADLINE).expect("the server accepts");
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Returns bytes that differ between connections and between messages.
pub fn payload(connection: usize, message: usize, len: usize) -> Vec<u8> {
    let mut state = (connection as u64) << 32 | message as u64 | 1;
    (0..len)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        })
        .collect()
}

/// Sends one message and checks that it comes back.
pub fn round_trip(stream: &mut TcpStream, connection: usize, message: usize, len: usize) {
    let sent = payload(connection, message, len);
    stream.write_all(&sent).expect("the server reads");
    let mut came = vec![0; len];
    stream.read_exact(&mut came).expect("the server answers");
    assert!(
        sent == came,
        "connection {connection}, message {message}: another answer than what was sent"
    );
}

/// Waits until the server has closed the connection, in order or by a reset. Returns false at the
/// deadline.
pub fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 64]) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => matches!(
            error.kind(),
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
        ),
    }
}

/// Polls until `holds` returns true. Returns false at the deadline.
pub fn eventually(mut holds: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + DEADLINE;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// The program itself, in its own process; it is killed on drop.
pub struct Demo {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Demo {
    /// Starts `server-demo echo` with these flags.
    pub fn start(flags: &[&str]) -> Self {
        Self::start_service("echo", flags)
    }

    /// Starts another service.
    pub fn start_service(service: &str, flags: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_server-demo"));
        command.arg(service).args(flags);
        Self::run(command)
    }

    /// Starts it with a hard limit on descriptors.
    pub fn start_with_descriptors(limit: u32, flags: &[&str]) -> Self {
        let mut command = Command::new("sh");
        let script = format!("ulimit -n {limit}; exec \"$@\"");
        command
            .args([
                "-c",
                &script,
                "sh",
                env!("CARGO_BIN_EXE_server-demo"),
                "echo",
            ])
            .args(flags);
        Self::run(command)
    }

    fn run(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdout = lines(child.stdout.take().unwrap());
        let stderr = lines(child.stderr.take().unwrap());
        Self {
            child,
            stdout,
            stderr,
        }
    }

    /// Waits for the line with the listening address.
    pub fn addr(&self) -> SocketAddr {
        let line = self
            .stdout
            .recv_timeout(DEADLINE)
            .expect("it says where it listens");
        line.strip_prefix("listening on ")
            .expect("the first line")
            .parse()
            .expect("an address")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Returns true once a stop signal has taken effect.
    pub fn is_stopped(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        stat.rsplit_once(") ").unwrap().1.starts_with('T')
    }

    /// Waits for the process to end.
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        assert!(
            eventually(|| {
                status = self.child.try_wait().unwrap();
                status.is_some()
            }),
            "the program does not end"
        );
        status.unwrap()
    }

    /// Waits for `lines` more lines on standard output.
    pub fn lines_of_stdout(&self, lines: usize) -> Vec<String> {
        let line = |_| self.stdout.recv_timeout(DEADLINE).expect("another line");
        (0..lines).map(line).collect()
    }

    /// Returns the rest of standard output after the process has ended.
    pub fn rest_of_stdout(&self) -> String {
        self.stdout.iter().collect::<Vec<_>>().join("\n")
    }

    /// Returns the rest of standard error after the process has ended.
    pub fn rest_of_stderr(&self) -> String {
        self.stderr.iter().collect::<Vec<_>>().join("\n")
    }

    /// Waits for a line on standard error that contains `text`.
    pub fn says(&self, text: &str) -> bool {
        let end = Instant::now() + DEADLINE;
        while let Ok(line) = self
            .stderr
            .recv_timeout(end.saturating_duration_since(Instant::now()))
        {
            if line.contains(text) {
                return true;
            }
        }
        false
    }

    /// The same on standard output.
    pub fn prints(&self, text: &str) -> bool {
        let end = Instant::now() + DEADLINE;
        while let Ok(line) = self
            .stdout
            .recv_timeout(end.saturating_duration_since(Instant::now()))
        {
            if line.contains(text) {
                return true;
            }
        }
        false
    }

    /// Returns the user and system time so far, in clock ticks of a hundredth of a second.
    pub fn cpu_ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        // The second field is a name in parentheses that may contain anything.
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let fields: Vec<&str> = fields.split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    /// Returns the resident memory that is not shared.
    pub fn resident_bytes(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = line.unwrap().trim().strip_suffix(" kB").unwrap();
        kib.parse::<usize>().unwrap() * 1024
    }

    /// Returns the number of open descriptors.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .unwrap()
            .count()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the sum in a column of the summary. The column is found by its heading, which is
/// right-aligned with its numbers.
pub fn column(summary: &str, heading: &str) -> u64 {
    let mut lines = summary.lines();
    let end = lines.next().unwrap().find(heading).unwrap() + heading.len();
    let sums = lines.next_back().unwrap();
    sums[..end].split(' ').next_back().unwrap().parse().unwrap()
}

/// Reads lines on a thread, so that a test can wait for one with a deadline and the program never
/// blocks on its output.
fn lines(source: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(source).lines() {
            let Ok(line) = line else { break };
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}
