//! Runs the real program against test servers, always with a deadline.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use loadgen::report::Report;

/// The time after which a run counts as hung.
const DEADLINE: Duration = Duration::from_secs(120);

/// The output and exit code of a run.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Run {
    /// The report of a run with `--format json`.
    pub fn report(&self) -> Report {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{self:#?}"))
    }

    /// Asserts the exit code, and shows all output if it is another one.
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// Asserts that standard error contains this text.
    pub fn expect_message(self, words: &str) -> Self {
        assert!(
            self.stderr.contains(words),
            "{words:?} is not in\n{}",
            self.stderr
        );
        self
    }
}

/// A running program.
pub struct Running {
    child: Child,
    stdout: JoinHandle<String>,
    stderr: JoinHandle<String>,
    began: Instant,
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end. After the deadline, it is killed and the test fails.
    pub fn finish(mut self) -> Run {
        let (status, hung) = loop {
            if let Some(status) = self.child.try_wait().expect("our child") {
                break (status, false);
            }
            if self.began.elapsed() > DEADLINE {
                self.child.kill().expect("our child");
                break (self.child.wait().expect("our child"), true);
            }
            thread::sleep(Duration::from_millis(5));
        };
        let took = self.began.elapsed();
        let read = |stream: JoinHandle<String>| stream.join().expect("the reader");
        let (stdout, stderr) = (read(self.stdout), read(self.stderr));
        let run = Run {
            code: status.code(),
            stdout,
            stderr,
            took,
        };
        assert!(!hung, "the program hangs\n{run:#?}");
        run
    }
}

/// Starts a command whose output is collected.
pub fn start_command(mut command: Command) -> Running {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let stdout = collect(child.stdout.take().expect("piped"));
    let stderr = collect(child.stderr.take().expect("piped"));
    Running {
        child,
        stdout,
        stderr,
        began: Instant::now(),
    }
}

fn collect(mut stream: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        stream
            .read_to_string(&mut text)
            .expect("the program writes text");
        text
    })
}

/// Returns the command of the program with these arguments.
pub fn command(args: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.args(args.split_whitespace());
    command
}

/// Starts the program with these arguments.
pub fn start(args: &str) -> Running {
    start_command(command(args))
}

/// Runs the program with these arguments to its end.
pub fn run(args: &str) -> Run {
    start(args).finish()
}

/// Starts a server on the loopback interface that runs a function for each connection, on its own
/// thread. It lives as long as the test's process.
pub fn serve(
    treat: impl Fn(usize, TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let treat = Arc::new(treat);
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let (treat, stream) = (Arc::clone(&treat), stream.expect("descriptors suffice"));
            stream.set_nodelay(true).expect("a socket");
            // The peer may go at any time, so the server ignores errors of a connection.
            thread::spawn(move || treat(number, stream));
        }
    });
    address
}

/// Starts an HTTP server that answers each request with this status and no body.
pub fn serve_http(status: &'static str) -> SocketAddr {
    serve(move |_, mut stream| {
        let mut buffer = [0; 4_096];
        while stream.read(&mut buffer)? > 0 {
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok")?;
        }
        Ok(())
    })
}

/// Echoes the next `bytes` bytes as they arrive, and reads no more.
pub fn echo(stream: &mut TcpStream, mut bytes: usize) -> std::io::Result<()> {
    let mut buffer = vec![0; 65_536];
    while bytes > 0 {
        let room = bytes.min(buffer.len());
        let read = stream.read(&mut buffer[..room])?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        stream.write_all(&buffer[..read])?;
        bytes -= read;
    }
    Ok(())
}

/// Echoes until the peer ends.
pub fn echo_all(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut buffer = vec![0; 65_536];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            bytes => stream.write_all(&buffer[..bytes])?,
        }
    }
}

/// Waits until `done`, a condition that depends on another process.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < DEADLINE, "{what} does not come about");
        thread::sleep(Duration::from_millis(5));
    }
}
