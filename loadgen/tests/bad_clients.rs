//! Bad clients: each kind behaves as its name says, the server survives, and the load is not
//! affected.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use common::{echo_all, run, serve, wait_until};
use loadgen::report::{BadClients, Report};

const ALL: &str = "slow-read:10%,slow-write:10%,never-read:10%,half-close:10%,reset:10%";

fn of<'a>(report: &'a Report, kind: &str) -> &'a BadClients {
    let mut found = report.bad_clients.iter().filter(|bad| bad.kind == kind);
    found
        .next()
        .unwrap_or_else(|| panic!("no {kind} in {:?}", report.bad_clients))
}

#[test]
fn the_server_survives_all_of_them_and_the_load_is_counted_apart() {
    for load in [
        "-n 5000",
        "-n 5000 -R 20k -t 2",
        "-d 1 --warmup 0 --size 10k --io poll",
    ] {
        let args = format!("-c 40 --bad-clients {ALL} {load} --format json");
        let report = run(&args).expect_code(0).report();
        let counted = &report.connections;
        assert_eq!(
            (counted.requested, counted.connected, counted.served),
            (20, 20, 20)
        );
        assert_eq!(counted.established, 20, "{load}");
        if load.starts_with("-n") {
            assert_eq!(
                (report.requests.launched, report.requests.answered),
                (5_000, 5_000)
            );
        }
        assert_eq!(report.latency.headline().count, report.requests.answered);
        assert_eq!(report.bad_clients.len(), 5);
        for bad in &report.bad_clients {
            assert_eq!((bad.clients, bad.refused), (4, 0), "{bad:?}");
        }
    }
}

#[test]
fn each_does_what_it_is_named_for() {
    let report = run(&format!(
        "-c 20 --bad-clients {ALL} -R 100 -d 1500ms --warmup 0 --format json"
    ))
    .expect_code(0)
    .report();
    let slow_read = of(&report, "slow-read");
    // At a byte every 10 ms, two clients read at most five answers in a second and a half.
    assert!(slow_read.requests > slow_read.answers, "{slow_read:?}");
    assert!(slow_read.answers <= 6, "{slow_read:?}");
    let slow_write = of(&report, "slow-write");
    assert!(
        slow_write.requests <= 6 && slow_write.answers <= slow_write.requests,
        "{slow_write:?}"
    );
    let never = of(&report, "never-read");
    assert!(never.requests > 0 && never.answers == 0, "{never:?}");
    let half = of(&report, "half-close");
    assert!(
        half.connections > 2 && half.answers > 0,
        "one after the other: {half:?}"
    );
    assert!(
        half.connections - half.answers <= 2,
        "each is answered in whole: {half:?}"
    );
    let reset = of(&report, "reset");
    assert!(reset.connections > 2 && reset.answers == 0, "{reset:?}");
    for bad in &report.bad_clients {
        assert_eq!(bad.cut_by_server, 0, "{bad:?}");
    }
    let text =
        run("-c 20 --bad-clients reset:0.05 --bad-clients never-read:5% -n 1000").expect_code(0);
    assert!(
        text.stdout.contains("  Bad clients: 1 reset: "),
        "{}",
        text.stdout
    );
    assert!(
        text.stdout.contains("  Bad clients: 1 never-read: "),
        "{}",
        text.stdout
    );
}

/// The ends of connections, as the server saw them.
#[derive(Default)]
struct Ends {
    resets: AtomicUsize,
    orderly: AtomicUsize,
}

impl Ends {
    fn count(&self, result: &std::io::Result<()>) {
        let reset = |error: &std::io::Error| {
            matches!(
                error.kind(),
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
            )
        };
        let ends = match result {
            Err(error) if reset(error) => &self.resets,
            _ => &self.orderly,
        };
        ends.fetch_add(1, Relaxed);
    }

    /// Waits for this many resets and orderly ends.
    fn of(&self, connections: u64) -> (u64, u64) {
        let seen = |ends: &AtomicUsize| ends.load(Relaxed) as u64;
        wait_until("the end of all connections", || {
            seen(&self.resets) + seen(&self.orderly) >= connections
        });
        (seen(&self.resets), seen(&self.orderly))
    }
}

#[test]
fn half_closes_are_orderly_and_answered() {
    let ends = Arc::new(Ends::default());
    let seen = Arc::clone(&ends);
    let server = serve(move |_, mut stream| {
        let result = echo_all(&mut stream);
        seen.count(&result);
        result
    });
    let args = "-c 10 --bad-clients half-close:20% -R 100 -d 1 --warmup 0 --format json";
    let report = run(&format!("{server} {args}")).expect_code(0).report();
    let bad = of(&report, "half-close");
    assert!(bad.answers > 2, "{bad:?}");
    assert_eq!(ends.of(8 + bad.connections), (0, 8 + bad.connections));
}

#[test]
fn resets_are_resets() {
    let ends = Arc::new(Ends::default());
    let seen = Arc::clone(&ends);
    let server = serve(move |number, mut stream| {
        // The load connects first. The bad clients get no answers, because the close of a socket
        // with unread bytes would be a reset.
        let result = if number < 8 {
            echo_all(&mut stream)
        } else {
            stream.read_to_end(&mut Vec::new()).map(|_| ())
        };
        seen.count(&result);
        result
    });
    let args = "-c 10 --bad-clients reset:20% -R 100 -d 1 --warmup 0 --format json";
    let report = run(&format!("{server} {args}")).expect_code(0).report();
    let bad = of(&report, "reset");
    assert!(bad.connections > 2, "{bad:?}");
    let (resets, orderly) = ends.of(8 + bad.connections);
    assert_eq!(resets + orderly, 8 + bad.connections);
    // The end of the run closes the last connections in order.
    assert!(
        resets >= bad.connections - 2 && orderly >= 8,
        "{resets} resets, {orderly} ends, {bad:?}"
    );
}

#[test]
fn being_cut_off_is_counted_and_is_no_error() {
    // The server closes connections that send a single byte.
    let server = serve(|_, mut stream| {
        let mut buffer = vec![0; 65_536];
        loop {
            match stream.read(&mut buffer)? {
                0 | 1 => return Ok(()),
                bytes => stream.write_all(&buffer[..bytes])?,
            }
        }
    });
    let report = run(&format!(
        "{server} -c 5 --bad-clients slow-write:20% -R 100 -d 2 --warmup 0 --format json"
    ))
    .expect_code(0)
    .report();
    let bad = of(&report, "slow-write");
    assert!(bad.cut_by_server > 1 && bad.requests == 0, "{bad:?}");
    assert!(
        bad.connections - bad.cut_by_server <= 1,
        "it comes again: {bad:?}"
    );
}

#[test]
fn wrong_bytes_are_an_error_whoever_gets_them() {
    let server = serve(|number, mut stream| {
        if number < 4 {
            return echo_all(&mut stream);
        }
        let mut reply = [0; 64];
        stream.read_exact(&mut reply)?;
        reply[3] ^= 1;
        stream.write_all(&reply)?;
        echo_all(&mut stream)
    });
    run(&format!(
        "{server} -c 5 --bad-clients half-close:20% -R 100 -d 1 --warmup 0"
    ))
    .expect_code(1)
    .expect_message("a half-close client: request 0: byte 3 of the reply is");
}

#[test]
fn they_bother_http_and_unix_sockets_in_the_same_way() {
    let server = serve(|_, mut stream| {
        let mut head = Vec::new();
        let mut byte = [0];
        loop {
            if stream.read(&mut byte)? == 0 {
                return Ok(());
            }
            head.push(byte[0]);
            if head.ends_with(b"\r\n\r\n") {
                head.clear();
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes")?;
            }
        }
    });
    let report = run(&format!(
        "http://{server} -c 20 --bad-clients {ALL} -R 100 -d 1500ms --warmup 0 --format json"
    ))
    .expect_code(0)
    .report();
    assert!(of(&report, "half-close").answers > 0 && of(&report, "reset").connections > 1);
    assert_eq!(report.connections.served, 10);
}

#[test]
fn a_load_must_be_left() {
    for (args, words) in [
        ("-c 2 --bad-clients reset:50%,never-read:50%", "leaves none"),
        (
            "-c 10 --active 10 --bad-clients reset:10%",
            "less the bad clients",
        ),
        ("-c 10 --bad-clients reset:10%,reset:20%", "reset twice"),
        ("-c 10 --bad-clients reset:10", "5% or 0.05"),
    ] {
        run(args).expect_code(2).expect_message(words);
    }
}
