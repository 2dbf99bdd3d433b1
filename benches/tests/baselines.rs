//! Every baseline server starts, echoes its input, survives a peer that reads late, and ends
//! cleanly. A baseline that loses bytes or dies under load would make every ratio worthless.
#![forbid(unsafe_code)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

const DEADLINE: Duration = Duration::from_secs(20);

/// The program and flags of each kind of server.
const SERVERS: &[(&str, &[&str])] = &[
    (env!("CARGO_BIN_EXE_baseline-epoll"), &["--trigger", "edge"]),
    (
        env!("CARGO_BIN_EXE_baseline-epoll"),
        &["--trigger", "level"],
    ),
    (
        env!("CARGO_BIN_EXE_baseline-tokio-ct"),
        &["--io", "scratch"],
    ),
    (
        env!("CARGO_BIN_EXE_baseline-tokio-ct"),
        &["--io", "textbook"],
    ),
    (
        env!("CARGO_BIN_EXE_baseline-tokio-mt"),
        &["--io", "scratch"],
    ),
    (
        env!("CARGO_BIN_EXE_baseline-tokio-mt"),
        &["--io", "textbook"],
    ),
    (env!("CARGO_BIN_EXE_baseline-tokio-asyncfd"), &[]),
];

struct Server {
    child: Child,
    addr: SocketAddr,
}

impl Server {
    fn start(program: &str, flags: &[&str]) -> Self {
        let mut child = Command::new(program)
            .args(["--listen", "127.0.0.1:0", "--threads", "2", "--until-eof"])
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let addr = line
            .trim()
            .strip_prefix("listening on ")
            .unwrap_or_else(|| panic!("{line:?}"));
        Self {
            addr: addr.parse().unwrap(),
            child,
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// Waits for the end of the process and returns true if it was a clean one.
    fn ended_cleanly(&mut self) -> bool {
        let deadline = Instant::now() + DEADLINE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            thread::yield_now();
        }
        false
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns bytes that differ by connection and position, so that a swap shows.
fn payload(len: usize, seed: usize) -> Vec<u8> {
    (0..len)
        .map(|i| u8::try_from((i * 31 + i / 251 + seed * 7) % 251).unwrap())
        .collect()
}

fn each_server(check: impl Fn(&mut Server)) {
    for (program, flags) in SERVERS {
        eprintln!("{program} {flags:?}");
        check(&mut Server::start(program, flags));
    }
}

#[test]
fn many_connections_get_their_own_bytes_back() {
    each_server(|server| {
        let mut streams: Vec<_> = (0..50).map(|_| server.connect()).collect();
        for round in 0..3 {
            for (seed, stream) in streams.iter_mut().enumerate() {
                stream.write_all(&payload(64, seed + round)).unwrap();
            }
            for (seed, stream) in streams.iter_mut().enumerate() {
                let mut echo = [0; 64];
                stream.read_exact(&mut echo).unwrap();
                assert_eq!(echo[..], payload(64, seed + round)[..]);
            }
        }
    });
}

/// The message is much longer than the socket buffers and the scratch buffer, so the server's write
/// blocks.
#[test]
fn a_peer_that_reads_late_gets_everything_and_then_the_end() {
    each_server(|server| {
        let data = payload(16 << 20, 1);
        let mut reader = server.connect();
        let mut writer = reader.try_clone().unwrap();
        let sent = data.clone();
        let writing = thread::spawn(move || {
            writer.write_all(&sent).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut echo = Vec::with_capacity(data.len());
        reader.read_to_end(&mut echo).unwrap();
        writing.join().unwrap();
        assert!(
            echo == data,
            "{} bytes came back of {}",
            echo.len(),
            data.len()
        );
    });
}

/// The FIN travels with the data, so there may be one event for both.
#[test]
fn data_and_end_in_one_go_are_both_seen() {
    each_server(|server| {
        for seed in 0..50 {
            let mut stream = server.connect();
            stream.write_all(&payload(64, seed)).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut echo = Vec::new();
            stream.read_to_end(&mut echo).unwrap();
            assert_eq!(echo, payload(64, seed));
        }
    });
}

#[test]
fn the_end_of_standard_input_ends_the_server() {
    each_server(|server| {
        let _open = server.connect();
        drop(server.child.stdin.take());
        assert!(server.ended_cleanly());
    });
}

#[test]
fn sigterm_ends_the_server() {
    each_server(|server| {
        let _open = server.connect();
        kill_process(Pid::from_child(&server.child), Signal::TERM).unwrap();
        assert!(server.ended_cleanly());
    });
}

#[test]
fn a_cpu_that_is_not_there_is_an_error() {
    for (program, _) in SERVERS {
        let output = Command::new(program)
            .args(["--listen", "127.0.0.1:0", "--pin", "60000"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("CPU 60000"));
    }
}

#[test]
fn a_request_comes_back_after_the_time_that_it_asks_for() {
    let time = Duration::from_millis(30);
    let mut server = Server::start(env!("CARGO_BIN_EXE_baseline-tokio-mt"), &["--io", "work"]);
    let mut stream = server.connect();
    let mut request = [7; 64];
    request[..4].copy_from_slice(&u32::try_from(time.as_micros()).unwrap().to_le_bytes());
    let mut answer = [0; 64];
    for _ in 0..2 {
        let start = Instant::now();
        stream.write_all(&request).unwrap();
        stream.read_exact(&mut answer).unwrap();
        assert!(start.elapsed() >= time, "{:?}", start.elapsed());
        assert_eq!(answer, request);
    }
    drop(stream);
    drop(server.child.stdin.take());
    assert!(server.ended_cleanly());
}
