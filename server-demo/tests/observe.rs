//! The endpoint of a running server, and the view that reads it.

#![cfg(feature = "observe")]

mod common;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;

use common::{DEADLINE, Demo, connect, round_trip};

fn socket(name: &str) -> String {
    let file = format!("server-demo-{name}-{}.sock", std::process::id());
    std::env::temp_dir().join(file).display().to_string()
}

fn get(socket: &str, path: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    answer
}

/// Runs `top --once` and returns its frame.
fn top(socket: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_server-demo"))
        .args(["top", socket, "--once", "--interval", "200ms"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn an_observed_server_shows_its_connections_and_top_draws_them() {
    let socket = socket("shows");
    let flags = [
        "--listen",
        "127.0.0.1:0",
        "--shards",
        "2",
        "--observe",
        &socket,
    ];
    let demo = Demo::start(&flags);
    let addr = demo.addr();
    let mut clients: Vec<_> = (0..3).map(|_| connect(addr)).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        round_trip(client, index, 0, 64);
    }
    let text = get(&socket, "/metrics");
    let open = |line: &&str| line.starts_with("server_connections{");
    let number = |line: &str| line.rsplit(' ').next()?.parse::<u64>().ok();
    assert_eq!(
        text.lines().filter(open).filter_map(number).sum::<u64>(),
        3,
        "{text}"
    );
    let tasks = get(&socket, "/tasks");
    assert_eq!(
        tasks.matches(r#""for":["read"]"#).count(),
        3 + 2,
        "connections, listeners: {tasks}"
    );
    let frame = top(&socket);
    for word in ["shards", "spawned at", "stalls", "p99 wake", "read fd "] {
        assert!(frame.contains(word), "{word} in\n{frame}");
    }
    drop(demo);
}

#[test]
fn top_without_a_server_says_what_it_could_not_reach() {
    let output = Command::new(env!("CARGO_BIN_EXE_server-demo"))
        .args(["top", "./no-such.sock", "--once"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("./no-such.sock"), "{said}");
}
