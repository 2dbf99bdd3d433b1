//! Protocols other than TCP echo: HTTP, fixed exchanges, mixed sizes, Unix sockets. Each runs in a
//! closed and in an open loop.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use common::{Run, command, run, serve, start_command, wait_until};
use loadgen::report::Report;

/// The two loops, with the requests they measure.
const LOOPS: [(&str, u64); 3] = [
    ("-c 4 -n 400", 400),
    ("-c 4 -n 400 -P 5", 400),
    ("-c 4 -n 400 -R 4k", 400),
];

/// Runs the program with arguments that a shell would split.
fn run_with(args: &str, more: &[&str]) -> Run {
    let mut command = command(args);
    command.args(more);
    start_command(command).finish()
}

fn assert_whole(report: &Report, requests: u64) {
    let counted = &report.requests;
    assert_eq!(
        (counted.launched, counted.answered, counted.completed),
        (requests, requests, requests)
    );
    assert_eq!(report.latency.headline().count, requests);
    assert!(report.errors.is_empty(), "{:?}", report.errors);
}

/// Starts a server that reads one head after another. `answer` gets the numbers of the connection
/// and of the request, answers, and returns true if the connection goes on.
fn http(
    answer: impl Fn((usize, usize), &str, &mut TcpStream) -> std::io::Result<bool>
    + Send
    + Sync
    + 'static,
) -> (SocketAddr, Arc<AtomicUsize>) {
    let accepted = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&accepted);
    let server = serve(move |connection, mut stream| {
        counter.fetch_add(1, Relaxed);
        let mut reader = BufReader::new(stream.try_clone()?);
        for number in 0.. {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if reader.read_line(&mut head)? == 0 {
                    return Ok(());
                }
            }
            if !answer((connection, number), &head, &mut stream)? {
                // A close with unread bytes would be a reset, which can overtake the answer.
                stream.shutdown(Shutdown::Write)?;
                return std::io::copy(&mut reader, &mut std::io::sink()).map(|_| ());
            }
        }
        Ok(())
    });
    (server, accepted)
}

#[test]
fn http_bodies_of_every_kind_are_read() {
    let (server, _) = http(|(_, number), head, stream| {
        assert!(
            head.starts_with("GET /a%20b?c HTTP/1.1\r\nHost: 127.0.0.1:"),
            "{head}"
        );
        match number % 4 {
            0 => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")?,
            1 => {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhi")?;
                stream.flush()?;
                stream.write_all(b"ho\r\n3;x=y\r\nabc\r\n0\r\nT: x\r\n\r\n")?;
            }
            2 => stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?,
            _ => {
                let body = vec![b'x'; 200_000];
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                )?;
                stream.write_all(&body)?;
            }
        }
        Ok(true)
    });
    for (load, requests) in LOOPS {
        let args = format!("http://{server}/a%20b?c {load} --format json");
        let report = run(&args).expect_code(0).report();
        assert_whole(&report, requests);
        assert_eq!(report.connections.established, 4, "they stay open");
        assert_eq!(report.settings.protocol, "http");
    }
    let named = format!("{server} --protocol http --path /a%20b?c -c 2 -n 10 --format json");
    assert_whole(&run(&named).expect_code(0).report(), 10);
}

#[test]
fn http_answers_outside_2xx_are_errors_by_kind() {
    let (server, _) = http(|(_, number), _, stream| {
        let status = match number % 10 {
            3 => "404 Not Found",
            7 => "503 Service Unavailable",
            _ => "200 OK",
        };
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nhi")?;
        Ok(true)
    });
    // There is one connection. Its first request shows that it is served, and the other 99 are
    // measured.
    let run = run(&format!("http://{server} -c 1 -n 99 --format json"))
        .expect_code(1)
        .expect_message(
            "answered with a client error (HTTP 4xx): 10 requests (connection 0: status 404)",
        );
    let report = run.report();
    let errors: Vec<_> = report
        .errors
        .iter()
        .map(|error| (error.kind.as_str(), error.count))
        .collect();
    assert_eq!(errors, [("http-4xx", 10), ("http-5xx", 10)]);
    assert_eq!(report.requests.answered, 99, "the connection went on");
}

#[test]
fn http_connections_that_the_server_closes_are_replaced_and_counted() {
    // Every third answer is the last one of its connection: it announces the end, or has the old
    // HTTP version.
    let (server, accepted) =
        http(
            |(connection, number), _, stream| match (number, connection % 2) {
                (2, 0) => {
                    stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")?;
                    Ok(false)
                }
                (2, _) => {
                    stream.write_all(
                        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
                    )?;
                    Ok(false)
                }
                _ => {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")?;
                    Ok(true)
                }
            },
        );
    let mut established = 0;
    for (load, requests) in [
        ("-c 1 -n 299", 299),
        ("-c 3 -n 300 -R 3k", 300),
        ("-c 3 -n 300 -P 4", 300),
    ] {
        let report = run(&format!("http://{server} {load} --format json"))
            .expect_code(0)
            .report();
        assert_whole(&report, requests);
        let connections = &report.connections;
        established += connections.established;
        let came = || accepted.load(Relaxed) as u64;
        wait_until("what was established", || came() >= established);
        assert_eq!(came(), established, "{load}");
        assert_eq!(connections.connect_latency.count, connections.established);
        // Three requests each, and one more per slot before the run.
        assert!(
            connections.closed_by_server >= requests / 3 - 3,
            "{connections:?}"
        );
        assert_eq!(connections.retired, 0);
        if load == "-c 1 -n 299" {
            assert_eq!(
                (connections.established, connections.closed_by_server),
                (100, 100)
            );
        }
    }
}

#[test]
fn what_is_not_http_is_a_wrong_answer() {
    let server = serve(|_, mut stream| {
        stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n")?;
        stream.read_to_end(&mut Vec::new()).map(|_| ())
    });
    // The bytes came before the first request, or as an answer.
    let run = run(&format!("http://{server} -c 2 -n 10")).expect_code(1);
    assert!(run.stderr.contains("wrong answer"), "{run:#?}");
}

#[test]
fn a_fixed_exchange_is_repeated_and_compared() {
    let server = serve(|_, mut stream| {
        let mut request = [0; 6];
        for number in 0.. {
            stream.read_exact(&mut request)?;
            assert_eq!(&request, b"PING\r\n");
            stream.write_all(if number == 450 {
                b"+PANG\r\n"
            } else {
                b"+PONG\r\n"
            })?;
        }
        Ok(())
    });
    let exchange = ["--send", r"PING\r\n", "--expect", r"+PONG\r\n"];
    for (load, requests) in LOOPS {
        let args = format!("{server} {load} --format json");
        let report = run_with(&args, &exchange).expect_code(0).report();
        assert_whole(&report, requests);
        assert_eq!(
            (report.settings.protocol.as_str(), report.settings.size),
            ("raw", 6)
        );
        assert_eq!(report.requests.bytes_read, requests * 7);
    }
    run_with(&format!("{server} -c 1 -n 1000"), &exchange)
        .expect_code(1)
        .expect_message("request 450: byte 2 of the reply is 0x41, expected was 0x4f");
    run_with(&format!("{server} -c 1 -n 1000 --verify off"), &exchange).expect_code(0);
}

#[test]
fn mixed_sizes_are_echoed_and_each_byte_compared() {
    for (load, requests) in LOOPS {
        let report = run(&format!("--size 1:5,64:80,40k:15 {load} --format json"))
            .expect_code(0)
            .report();
        assert_whole(&report, requests);
        let mix = (5 + 64 * 80 + 40 * 1_024 * 15) / 100;
        let mean = report.requests.bytes_read / requests;
        // Five standard deviations: 40 KiB come with probability 0.15.
        assert!(mean.abs_diff(mix) < 3_700, "{mean} for {mix}");
    }
    let server = serve(|_, mut stream| {
        common::echo(&mut stream, 100_000)?;
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        stream.write_all(&[byte[0] ^ 1])?;
        common::echo_all(&mut stream)
    });
    run(&format!(
        "{server} --size 1:5,64:80,4k:15 -c 1 -n 10000 --no-reconnect"
    ))
    .expect_code(1)
    .expect_message("wrong answer: 1 of 1 connections");
}

/// Returns a path that no other test uses, and that is short enough for a socket.
fn socket_path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("loadgen-{}-{name}.sock", std::process::id()))
}

#[test]
fn a_unix_socket_is_a_target_for_every_surface() {
    let path = socket_path("echo");
    let listener = UnixListener::bind(&path).expect("a free path");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("descriptors suffice");
            thread::spawn(move || -> std::io::Result<()> {
                let mut buffer = vec![0; 65_536];
                loop {
                    match stream.read(&mut buffer)? {
                        0 => return Ok(()),
                        bytes => stream.write_all(&buffer[..bytes])?,
                    }
                }
            });
        }
    });
    for io in ["helpers", "guards", "poll"] {
        for (load, requests) in LOOPS {
            // There are more connections than the queue of the listener holds.
            let load = load.replace("-c 4", "-c 200");
            for size in ["64", "100k"] {
                let args = format!(
                    "unix:{} {load} --io {io} --size {size} --format json",
                    path.display()
                );
                let report = run(&args).expect_code(0).report();
                assert_whole(&report, requests);
                assert_eq!(report.connections.served, 200);
                assert_eq!(report.target.address, format!("unix:{}", path.display()));
            }
        }
    }
    std::fs::remove_file(&path).expect("ours");
    run(&format!("unix:{} -c 1 -n 1", path.display()))
        .expect_code(1)
        .expect_message("No such file");
}

#[test]
fn the_bytes_of_a_wrong_answer_are_shown() {
    let server = serve(|_, mut stream| {
        stream.read_exact(&mut [0; 6])?;
        stream.write_all(b"-DENIED protected mode\r\n")?;
        stream.read_to_end(&mut Vec::new()).map(|_| ())
    });
    let mut command = command(&format!("{server} -c 1 -n 1"));
    command.args(["--send", "PING\\r\\n", "--expect", "+PONG\\r\\n"]);
    start_command(command)
        .finish()
        .expect_code(1)
        .expect_message(r#"the bytes: "-DENIED protected mode\r\n""#);
}

#[test]
fn a_farewell_on_an_idle_connection_is_a_close() {
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
    let farewells = Arc::new(AtomicU64::new(0));
    let sent = Arc::clone(&farewells);
    let server = serve(move |number, mut stream| {
        // A proxy does this with a client that is idle for too long. Here it affects only the first
        // connections, long before the next request, so no request is in transit at the close.
        if number < 3 {
            stream.set_read_timeout(Some(std::time::Duration::from_millis(100)))?;
        }
        let mut request = [0; 4096];
        loop {
            match stream.read(&mut request) {
                Ok(0) => return Ok(()),
                Ok(_) => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?,
                Err(_) => {
                    sent.fetch_add(1, SeqCst);
                    return stream.write_all(
                        b"HTTP/1.0 408 Request Time-out\r\nConnection: close\r\n\r\nlate",
                    );
                }
            }
        }
    });
    let args = "-c 3 -R 1 --active 1 -d 3 --warmup 0 --format json";
    let report = run(&format!("http://{server}/ {args}"))
        .expect_code(0)
        .report();
    assert_eq!((report.errors.len(), report.requests.answered), (0, 3));
    let closed = report.connections.closed_by_server;
    let sent = farewells.load(SeqCst);
    assert!(
        sent == 3 && (1..=sent).contains(&closed),
        "{closed} of {sent}"
    );
}

#[test]
fn a_user_and_a_password_are_sent_as_basic_authentication() {
    let server = serve(|_, mut stream| {
        let mut request = [0; 4096];
        loop {
            let read = stream.read(&mut request)?;
            let head = String::from_utf8_lossy(&request[..read]).into_owned();
            if read == 0 {
                return Ok(());
            }
            assert!(head.contains("\r\nAuthorization: Basic dTpw\r\n"), "{head}");
            assert!(!head.contains('@'), "{head}");
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
        }
    });
    run(&format!("HTTP://u:p@{server}/ -c 1 -n 5")).expect_code(0);
}
