//! Servers that misbehave: each leads to the right message and exit code 1, and none to a hang. The
//! loads last an hour (`-d 1h`), so a run ends before its deadline only because the generator gives
//! up.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::{echo, echo_all, run, serve};
use loadgen::report::{Report, Status};
use socket2::SockRef;

const SIZE: usize = 64;

/// Returns the only error kind of a failed run in the JSON, with its count.
fn only_error(report: &Report) -> (&str, u64) {
    assert_eq!(report.outcome.status, Status::Failed);
    assert_eq!(report.outcome.exit_code, 1);
    let [error] = &report.errors[..] else {
        panic!("{:?}", report.errors)
    };
    (&error.kind, error.count)
}

#[test]
fn a_corrupted_byte_is_caught() {
    // Only the first connection needs to get this far: requests go to free connections, so one
    // connection may get nearly all of them.
    let corrupted = AtomicBool::new(false);
    let server = serve(move |_, mut stream| {
        echo(&mut stream, 10 * SIZE)?;
        let mut reply = [0; SIZE];
        stream.read_exact(&mut reply)?;
        if !corrupted.swap(true, Ordering::Relaxed) {
            reply[17] ^= 0x20;
        }
        stream.write_all(&reply)?;
        echo_all(&mut stream)
    });
    let report = run(&format!(
        "{server} -c 4 -n 400 --no-reconnect --format json"
    ))
    .expect_code(1)
    .report();
    assert_eq!(only_error(&report), ("wrong-answer", 1));

    let server = serve(|_, mut stream| {
        echo(&mut stream, SIZE)?;
        let mut reply = [0; SIZE];
        stream.read_exact(&mut reply)?;
        reply[17] ^= 0x20;
        stream.write_all(&reply)
    });
    let run = run(&format!("{server} -c 1 -n 5 --no-reconnect")).expect_code(1);
    run.expect_message(
        "wrong answer: 1 of 1 connections (connection 0: request 1: byte 17 of the reply is",
    );
}

#[test]
fn without_verification_it_is_not() {
    let server = serve(|_, mut stream| {
        let mut reply = [0; SIZE];
        loop {
            stream.read_exact(&mut reply)?;
            reply[5] ^= 1;
            stream.write_all(&reply)?;
        }
    });
    run(&format!("{server} -c 2 -n 100 --verify off")).expect_code(0);
    run(&format!("{server} -c 2 -n 100"))
        .expect_code(1)
        .expect_message("wrong answer");
}

#[test]
fn swapped_replies_are_caught() {
    let server = serve(|_, mut stream| {
        echo(&mut stream, SIZE)?;
        let mut replies = [0; 2 * SIZE];
        stream.read_exact(&mut replies)?;
        replies.rotate_left(SIZE);
        stream.write_all(&replies)?;
        echo_all(&mut stream)
    });
    run(&format!("{server} -c 1 -P 2 -n 100 --no-reconnect"))
        .expect_code(1)
        .expect_message(
            "wrong answer: 1 of 1 connections (connection 0: request 1: byte 0 of the reply is",
        )
        .expect_message("(this is the reply to request 2)");
}

#[test]
fn lost_bytes_are_caught_by_their_successors() {
    let server = serve(|_, mut stream| {
        echo(&mut stream, SIZE)?;
        let mut replies = [0; 4 * SIZE];
        stream.read_exact(&mut replies)?;
        stream.write_all(&replies[..70])?;
        stream.write_all(&replies[75..])?;
        echo_all(&mut stream)
    });
    run(&format!("{server} -c 1 -P 4 -n 100"))
        .expect_code(1)
        // The difference is at byte 6, unless a byte happens to equal the one five bytes later.
        .expect_message("request 2: byte ")
        .expect_message("(5 bytes are missing)");
}

#[test]
fn lost_bytes_at_the_end_are_caught_by_the_time_out() {
    let server = serve(|_, mut stream| {
        echo(&mut stream, SIZE)?;
        let mut reply = [0; SIZE];
        stream.read_exact(&mut reply)?;
        stream.write_all(&reply[..SIZE - 1])?;
        echo_all(&mut stream)
    });
    let run = run(&format!(
        "{server} -c 3 -n 100 --timeout 1 --no-reconnect --format json"
    ))
    .expect_code(1);
    let report = run.report();
    assert_eq!(only_error(&report), ("silent", 3));
    assert_eq!(report.requests.unanswered, 3);
    assert!(
        report.latency.raw.max_ns >= 1_000_000_000,
        "unanswered requests are in the tail"
    );
}

#[test]
fn bytes_that_nobody_asked_for_are_caught() {
    let server = serve(|_, mut stream| {
        echo(&mut stream, 5 * SIZE)?;
        stream.write_all(b"!")?;
        echo_all(&mut stream)
    });
    let run = run(&format!("{server} -c 1 -n 40")).expect_code(1);
    // The extra byte arrives with the next answer, or alone.
    assert!(run.stderr.contains("wrong answer"), "{run:#?}");
}

#[test]
fn an_idle_connection_that_is_sent_something_is_caught() {
    let server = serve(|number, mut stream| {
        echo(&mut stream, SIZE)?;
        if number == 1 {
            stream.write_all(b"hello")?;
        }
        echo_all(&mut stream)
    });
    run(&format!(
        "{server} -c 2 --active 1 -d 1h --warmup 0 --fail-fast"
    ))
    .expect_code(1)
    .expect_message("5 bytes came that no request asked for");
}

#[test]
fn a_reset_is_told_from_an_early_close() {
    let server = serve(|_, mut stream| {
        echo(&mut stream, 3 * SIZE)?;
        SockRef::from(&stream).set_linger(Some(Duration::ZERO))
    });
    let reset = run(&format!(
        "{server} -c 2 -n 100 --no-reconnect --format json"
    ))
    .expect_code(1);
    assert_eq!(only_error(&reset.report()), ("reset", 2), "{reset:#?}");

    let server = serve(|_, mut stream| {
        echo(&mut stream, 3 * SIZE)?;
        stream.shutdown(Shutdown::Write)?;
        stream.read_to_end(&mut Vec::new()).map(|_| ())
    });
    let closed = run(&format!(
        "{server} -c 2 -n 100 --no-reconnect --format json"
    ))
    .expect_code(1);
    assert_eq!(only_error(&closed.report()), ("closed", 2), "{closed:#?}");
    closed.expect_message("end of stream after 3 answers, with 1 request in flight");
}

#[test]
fn a_server_that_closes_at_once_fails_the_ramp() {
    let server = serve(|_, stream| stream.shutdown(Shutdown::Both));
    let run = run(&format!("{server} -c 500 -d 1h")).expect_code(1);
    assert!(run.stderr.contains("of 500 connections"), "{run:#?}");
}

#[test]
fn a_silent_server_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let server = listener.local_addr().expect("bound");
    // The system establishes the connections, but the server does not accept them.
    let run = run(&format!("{server} -c 3 --timeout 1 -d 1h --format json")).expect_code(1);
    // The first silent connection ends the ramp. The others are found at the same time, or not
    // checked.
    assert_eq!(only_error(&run.report()).0, "silent");
    assert_eq!(run.report().connections.connected, 3);
    assert_eq!(run.report().connections.served, 0);
    drop(listener);
}

#[test]
fn a_server_that_falls_silent_is_given_up_in_an_open_loop_too() {
    let server = serve(|_, mut stream| {
        echo(&mut stream, 20 * SIZE)?;
        stream.read_to_end(&mut Vec::new()).map(|_| ())
    });
    let run = run(&format!(
        "{server} -c 2 -R 1000 -d 2 --warmup 0 --timeout 1 --no-reconnect --format json"
    ))
    .expect_code(1);
    let report = run.report();
    assert_eq!(only_error(&report), ("silent", 2));
    let requests = &report.requests;
    assert!(
        requests.unanswered > 0 && requests.unsent > 0,
        "{requests:?}"
    );
    assert_eq!(requests.scheduled, 2_000, "the schedule goes on");
}

#[test]
fn nothing_that_listens_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let server = listener.local_addr().expect("bound");
    drop(listener);
    let run = run(&format!("{server} -c 300 -d 1h --format json")).expect_code(1);
    let report = run.report();
    assert_eq!(only_error(&report).0, "refused");
    assert_eq!(report.connections.connected, 0);
    run.expect_message(&format!("{server}: connection refused: "))
        .expect_message("start the server, or check its address");
}

#[test]
fn a_target_out_of_reach_ends_in_time() {
    // An address that is reserved for documentation: there is no route, or no answer.
    let run = run("[2001:db8::1]:9 -c 2 -d 1h --timeout 500ms --format json").expect_code(1);
    let report = run.report();
    assert!(
        ["unreachable", "connect-timeout", "ports"].contains(&only_error(&report).0),
        "{:?}",
        report.errors
    );
}

#[test]
fn one_bad_connection_leaves_the_others_running_and_fails_the_run() {
    let server = serve(|number, mut stream| {
        if number == 7 {
            echo(&mut stream, 3 * SIZE)?;
            return SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
        echo_all(&mut stream)
    });
    // There are enough requests for every connection to reach its third one.
    let run = run(&format!("{server} -c 20 -n 4000 --format json")).expect_code(1);
    let report = run.report();
    assert_eq!(only_error(&report), ("reset", 1));
    let requests = &report.requests;
    assert_eq!(
        requests.answered + requests.unanswered,
        4_000,
        "{requests:?}"
    );
    assert!(requests.unanswered <= 1, "the others went on: {requests:?}");
}

#[test]
fn a_failure_between_ramp_and_run_is_told_apart() {
    let server = serve(|number, mut stream| {
        echo(&mut stream, SIZE)?;
        if number == 1 {
            return SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
        echo_all(&mut stream)
    });
    // A busy machine may report the reset late, but still before the measured part.
    let args = "-c 2 --active 1 -d 300ms --warmup 2s --format json";
    let report = run(&format!("{server} {args}")).expect_code(0).report();
    assert_eq!(report.connections.reconnected, 1);
    assert_eq!(report.errors_outside[0].kind, "reset");
}

#[test]
fn late_answers_are_measured_and_are_no_error() {
    let server = serve(|_, mut stream| {
        echo(&mut stream, SIZE)?;
        loop {
            let mut reply = [0; SIZE];
            stream.read_exact(&mut reply)?;
            thread::sleep(Duration::from_millis(100));
            stream.write_all(&reply)?;
        }
    });
    let run = run(&format!("{server} -c 2 -n 10 --timeout 5 --format json")).expect_code(0);
    let latency = run.report().latency.raw;
    assert!(latency.min_ns >= 100_000_000, "{latency:?}");
    assert_eq!(latency.count, 10);
}

#[test]
fn a_server_that_never_reads_is_given_up() {
    const LARGE: usize = 1 << 20;
    let server = serve(|_, mut stream| {
        echo(&mut stream, LARGE)?;
        // The connection stays open, and the server does not read.
        thread::sleep(Duration::from_secs(60));
        drop(stream);
        Ok(())
    });
    // The client has sent as many bytes as the system takes, and more are waiting.
    for load in ["-P 64 -d 1h", "-R 100 -d 3"] {
        let args = format!(
            "{server} -c 2 --size {LARGE} {load} --warmup 0 --timeout 1 --no-reconnect --format json"
        );
        let run = run(&args).expect_code(1);
        let report = run.report();
        assert_eq!(only_error(&report), ("silent", 2), "{load}");
        assert_eq!(report.connections.served, 2);
    }
}

#[test]
fn http_that_ends_early_or_stalls_is_told_apart() {
    for (ends, kind) in [(true, "closed"), (false, "silent")] {
        let server = serve(move |_, mut stream| {
            stream.read_exact(&mut [0; 20])?;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfive!")?;
            if ends {
                stream.shutdown(Shutdown::Write)?;
            }
            stream.read_to_end(&mut Vec::new()).map(|_| ())
        });
        let timeout = if ends { "30s" } else { "1s" };
        let run = run(&format!(
            "http://{server} -c 2 --timeout {timeout} -d 1h --format json"
        ))
        .expect_code(1)
        .expect_message("check that the server speaks this protocol (--protocol)");
        // The first failed connection ends the ramp. The other one fails too, or is not checked.
        assert_eq!(only_error(&run.report()).0, kind);
    }
}

#[test]
fn a_unix_socket_whose_queue_stays_full_is_given_up() {
    let path = std::env::temp_dir().join(format!("loadgen-{}-full.sock", std::process::id()));
    let listener = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None);
    let listener = listener.expect("a socket");
    let address = socket2::SockAddr::unix(&path).expect("short enough");
    listener.bind(&address).expect("a free path");
    listener.listen(1).expect("bound");
    let run = run(&format!(
        "unix:{} -c 20 --timeout 1 -d 1h --format json",
        path.display()
    ))
    .expect_code(1);
    std::fs::remove_file(&path).expect("ours");
    let report = run.report();
    let count = |kind: &str| -> u64 {
        let of = report.errors.iter().filter(|error| error.kind == kind);
        of.map(|error| error.count).sum()
    };
    // A queue of length one takes two connections. They are not accepted, and the others find no
    // room.
    assert!(count("connect-timeout") > 0, "{:?}", report.errors);
    assert_eq!(
        count("connect-timeout") + count("silent"),
        report.errors.iter().map(|error| error.count).sum::<u64>()
    );
}

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n";

/// Sends a byte of an answer now and then, much more often than the timeout.
fn drip(stream: &mut impl Write) -> std::io::Result<()> {
    loop {
        stream.write_all(b"X")?;
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_answer_that_never_ends_is_given_up_in_the_ramp() {
    let server = serve(|_, mut stream| {
        stream.read_exact(&mut [0; 4])?;
        stream.write_all(HEAD)?;
        drip(&mut stream)
    });
    run(&format!("http://{server}/ -c 1 --timeout 700ms"))
        .expect_code(1)
        .expect_message("no answer in time: 1 of 1 connections")
        .expect_message("and no whole answer, after 0 answers");
}

#[test]
fn an_answer_that_never_ends_is_given_up_in_the_run() {
    // While these are not answered, more requests are left to begin.
    let server = serve(|_, mut stream| {
        let mut request = [0; 4_096];
        let _first = stream.read(&mut request)?;
        stream.write_all(HEAD)?;
        stream.write_all(b"Content-Length: 0\r\n\r\n")?;
        let _second = stream.read(&mut request)?;
        stream.write_all(HEAD)?;
        drip(&mut stream)
    });
    run(&format!(
        "http://{server}/ -c 1 -n 100 --timeout 700ms --no-reconnect"
    ))
    .expect_code(1)
    .expect_message("and no whole answer, after 1 answer,");
}
