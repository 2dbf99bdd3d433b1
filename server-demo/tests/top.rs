//! `server-demo top` in a terminal: the test looks at the screen and presses keys.

#![cfg(all(feature = "observe", target_os = "linux"))]

mod common;
#[path = "common/terminal.rs"]
mod terminal;

use std::io::{Read, Write};
use std::net::SocketAddr;

use common::{Demo, connect, round_trip};
use terminal::Terminal;

const PROGRAM: &str = env!("CARGO_BIN_EXE_server-demo");

/// Starts an observed echo server and the view of it.
fn view(name: &str, lines: u16, columns: u16) -> (Demo, SocketAddr, String, Terminal) {
    view_of("echo", name, lines, columns)
}

fn view_of(
    service: &str,
    name: &str,
    lines: u16,
    columns: u16,
) -> (Demo, SocketAddr, String, Terminal) {
    let file = format!("server-demo-top-{name}-{}.sock", std::process::id());
    let socket = std::env::temp_dir().join(file).display().to_string();
    let flags = ["--listen", "127.0.0.1:0", "--shards", "2", "--observe"];
    let demo = Demo::start_service(service, &[&flags[..], &[&socket]].concat());
    // The endpoint listens before the server says that it does.
    let addr = demo.addr();
    let terminal = Terminal::start(
        PROGRAM,
        &["top", &socket, "--interval", "100ms"],
        lines,
        columns,
    );
    terminal.wait_for("heading", |text| text.contains("2 shards"));
    (demo, addr, socket, terminal)
}

fn count_after(text: &str, word: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.contains(word))?;
    line.split(word)
        .next()?
        .split_whitespace()
        .last()?
        .parse()
        .ok()
}

#[test]
fn it_follows_the_server_until_the_user_quits() {
    let (_demo, addr, _socket, mut top) = view("follows", 30, 120);
    let text = top.wait_for("frame", |text| text.contains("spawned at"));
    for word in ["shard", "busy", "conns", "p99 wake", "stalls"] {
        assert!(text.contains(word), "{word} in\n{text}");
    }
    let mut clients: Vec<_> = (0..3).map(|_| connect(addr)).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        round_trip(client, index, 0, 64);
    }
    let text = top.wait_for("new connections", |text| {
        // Those of two listeners and three connections.
        count_after(text, " tasks").is_some_and(|tasks| tasks >= 5)
            && text.matches("read fd").count() >= 5
    });
    drop(clients);
    top.wait_for("their ends", |now| {
        now.matches("read fd").count() < text.matches("read fd").count()
    });
    top.wait_until("bold heading on a screen of its own", |screen| {
        let is_bold = screen.cell(0, 0).is_some_and(vt100::Cell::bold);
        screen.alternate_screen() && screen.hide_cursor() && is_bold
    });
    top.press(b"x");
    top.press(b"q");
    assert!(top.wait().success());
    // The emulator may be behind.
    top.wait_until("screen as it was before", |screen| {
        !screen.alternate_screen() && !screen.hide_cursor()
    });
}

#[test]
fn escape_and_control_c_end_it_as_well() {
    for keys in [&b"\x1b"[..], b"\x03"] {
        let (_demo, _addr, _socket, mut top) = view(&format!("key-{}", keys[0]), 30, 100);
        top.press(keys);
        assert!(top.wait().success(), "{keys:?}");
    }
}

#[test]
fn a_new_size_gets_a_frame_of_that_size() {
    let (_demo, _addr, _socket, mut top) = view("size", 30, 120);
    top.wait_for("last columns", |text| text.contains("p99 wake"));
    top.resize(12, 50);
    let text = top.wait_for("smaller frame", |text| {
        text.contains("2 shards") && !text.contains("p99 wake")
    });
    assert!(text.lines().count() <= 12, "{text}");
    assert!(
        text.lines().all(|line| line.chars().count() <= 50),
        "{text}"
    );
    top.resize(40, 160);
    top.wait_for("larger frame", |text| text.contains("p99 wake"));
    top.press(b"q");
    assert!(top.wait().success());
}

#[test]
fn a_server_that_ends_is_shown_as_such_and_the_view_goes_on() {
    let (demo, _addr, socket, mut top) = view("ends", 30, 120);
    drop(demo);
    let text = top.wait_for("failure", |text| text.contains("no answer"));
    assert!(text.contains(&socket), "{text}");
    top.wait_until("alarm", |screen| {
        let color = screen.cell(0, 0).map(vt100::Cell::fgcolor);
        color == Some(vt100::Color::Idx(9))
    });
    top.press(b"q");
    assert!(top.wait().success());
}

#[test]
fn a_stall_is_shown_while_it_lasts_and_its_backtrace_is_in_the_log() {
    let (demo, addr, _socket, mut top) = view_of("work", "stall", 30, 120);
    // A request for this much CPU time, in microseconds.
    let mut request = [0; 64];
    request[..4].copy_from_slice(&800_000_u32.to_le_bytes());
    let mut client = connect(addr);
    client.write_all(&request).unwrap();
    let text = top.wait_for("stall", |text| text.contains(": in one poll for "));
    assert!(text.contains("running"), "{text}");
    assert!(demo.says("has been in one poll for"));
    assert!(demo.says("0: "), "the newest call");
    client.read_exact(&mut request).unwrap();
    top.wait_for("end", |text| !text.contains(": in one poll for "));
    top.press(b"q");
    assert!(top.wait().success());
}
