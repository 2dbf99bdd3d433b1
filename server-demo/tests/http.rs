//! The `http` service: its pages over HTTP/1, sizes, the JSON echo, errors, timeouts, and a drain
//! that answers the request under way. `cargo xtask interop` has independent clients, HTTP/2 and
//! TLS.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use common::{Demo, connect};
use rustix::process::Signal;

fn start(flags: &[&str]) -> Demo {
    let base = ["--listen", "127.0.0.1:0", "--shards", "2", "--pin", "none"];
    Demo::start_service("http", &[&base[..], flags].concat())
}

/// Reads one answer. Returns its status and its body.
fn read_answer(stream: &mut BufReader<TcpStream>) -> (u16, String) {
    let (mut head, mut len) = (String::new(), 0);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        if line == "\r\n" {
            break;
        }
        let line = line.to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length: ") {
            len = value.trim().parse().unwrap();
        }
        head.push_str(&line);
    }
    let mut body = vec![0; len];
    stream.read_exact(&mut body).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, String::from_utf8(body).unwrap())
}

fn exchange(stream: &mut BufReader<TcpStream>, first: &str, body: &str) -> (u16, String) {
    let len = body.len();
    let request = format!("{first} HTTP/1.1\r\nhost: x\r\ncontent-length: {len}\r\n\r\n{body}");
    stream.get_mut().write_all(request.as_bytes()).unwrap();
    read_answer(stream)
}

#[test]
fn the_pages_are_served_over_one_connection() {
    for flags in [&[][..], &["--local"]] {
        let mut demo = start(flags);
        let mut stream = BufReader::new(connect(demo.addr()));
        let mut ask = |first: &str, body: &str| exchange(&mut stream, first, body);
        assert_eq!(ask("GET /", ""), (200, String::from("hello, world\n")));
        for size in [0, 1, 1 << 20, (1 << 20) + 1] {
            let first = format!("GET /size/{size}");
            assert_eq!(ask(&first, ""), (200, "x".repeat(size)));
        }
        let document = r#"{"list":[1,2.5,"three",null,{"é":true}]}"#;
        let spaced = document.replace(',', " ,\n ");
        assert_eq!(ask("POST /json", &spaced), (200, document.to_owned()));
        let (status, said) = ask("POST /json", "{\"a\":");
        assert_eq!(status, 400);
        assert!(said.contains("EOF"), "{said}");
        assert_eq!(ask("GET /size/many", "").0, 400);
        assert_eq!(ask("GET /size/999999999999", "").0, 400);
        assert_eq!(ask("GET /nothing", "").0, 404);
        assert_eq!(ask("PUT /", "").0, 405);
        drop(stream);
        demo.signal(Signal::TERM);
        assert_eq!(demo.wait().code(), Some(0));
        let summary = demo.rest_of_stdout();
        assert!(
            summary.contains("1 accepted, 0 live, 0 failed"),
            "{summary}"
        );
    }
}

#[test]
fn the_fixed_answer_has_the_size_of_the_flag() {
    let demo = start(&["--size", "2k"]);
    let mut stream = BufReader::new(connect(demo.addr()));
    let (status, body) = exchange(&mut stream, "GET /", "");
    assert_eq!((status, body.len()), (200, 2048));
}

#[test]
fn sigterm_lets_a_request_finish_and_ends_idle_connections() {
    let mut demo = start(&["--drain", "20s"]);
    let addr = demo.addr();
    let mut idle = BufReader::new(connect(addr));
    assert_eq!(exchange(&mut idle, "GET /", "").0, 200);
    let mut busy = BufReader::new(connect(addr));
    let head = b"POST /json HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\n[";
    assert_eq!(exchange(&mut busy, "GET /", "").0, 200);
    busy.get_mut().write_all(head).unwrap();
    // SIGUSR1 is answered after the request is under way.
    demo.signal(Signal::USR1);
    assert!(demo.prints("2 accepted, 2 live"));
    demo.signal(Signal::TERM);
    assert!(demo.says("SIGTERM: no longer accepting"));
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty(), "the idle connection ends in order");
    busy.get_mut().write_all(b"1]").unwrap();
    assert_eq!(read_answer(&mut busy), (200, String::from("[1]")));
    busy.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty(), "the busy one ends after its answer");
    assert_eq!(demo.wait().code(), Some(0));
}

#[test]
fn a_client_that_stops_in_a_request_is_timed_out() {
    let mut demo = start(&["--idle-timeout", "100ms"]);
    let mut stream = connect(demo.addr());
    let head = b"POST /json HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\n[";
    stream.write_all(head).unwrap();
    let mut rest = Vec::new();
    // The service may still say why, before the connection ends.
    stream.read_to_end(&mut rest).unwrap();
    demo.signal(Signal::TERM);
    assert_eq!(demo.wait().code(), Some(0));
    let summary = demo.rest_of_stdout();
    assert!(summary.contains("1 timed out"), "{summary}");
}
