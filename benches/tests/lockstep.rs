//! The client of `cargo xtask instr` exchanges exactly the requested number of echoes, by which its
//! figures are divided. It detects an answer that is not an echo.
#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output};
use std::thread;

/// Echoes to `connections` clients, through `change`, and returns the total number of bytes
/// received.
fn serve(listener: TcpListener, connections: usize, change: fn(&mut [u8])) -> usize {
    let accept = |_| {
        let (mut stream, _peer) = listener.accept().unwrap();
        thread::spawn(move || {
            let (mut bytes, mut buffer) = (0, [0; 4096]);
            while let Ok(n @ 1..) = stream.read(&mut buffer) {
                bytes += n;
                change(&mut buffer[..n]);
                if stream.write_all(&buffer[..n]).is_err() {
                    break;
                }
            }
            bytes
        })
    };
    let clients: Vec<_> = (0..connections).map(accept).collect();
    clients
        .into_iter()
        .map(|client| client.join().unwrap())
        .sum()
}

fn lockstep(addr: SocketAddr, idle: usize) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lockstep"))
        .arg(addr.to_string())
        .args([
            "--connections",
            "3",
            "--idle",
            &idle.to_string(),
            "--requests",
            "1000",
            "--size",
            "50",
            "--timeout",
            "20",
        ])
        .output()
        .unwrap()
}

fn run(idle: usize, change: fn(&mut [u8])) -> (usize, Output) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let server = thread::spawn(move || serve(listener, 3 + idle, change));
    let output = lockstep(addr, idle);
    (server.join().unwrap(), output)
}

#[test]
fn it_sends_exactly_what_it_was_asked_for() {
    let (bytes, output) = run(2, |_| {});
    assert!(output.status.success(), "{output:?}");
    assert_eq!(bytes, (1000 + 2) * 50, "idle connections are served once");
}

#[test]
fn an_answer_that_differs_is_an_error() {
    let (_, output) = run(0, |bytes| bytes[0] ^= 1);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("echo 0 differs"),
        "{output:?}"
    );
}
