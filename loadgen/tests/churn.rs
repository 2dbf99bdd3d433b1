//! Replacement of connections: after a number of requests, after a time, and at a limited rate.

mod common;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use common::{echo_all, run, serve, wait_until};

/// The record of an echo server.
#[derive(Default)]
struct Witness {
    came: AtomicUsize,
    ended: AtomicUsize,
    /// Connections that did not end in order.
    broken: AtomicUsize,
}

fn witnessed() -> (SocketAddr, Arc<Witness>) {
    let witness = Arc::new(Witness::default());
    let seen = Arc::clone(&witness);
    let server = serve(move |_, mut stream| {
        seen.came.fetch_add(1, Relaxed);
        let result = echo_all(&mut stream);
        seen.broken.fetch_add(usize::from(result.is_err()), Relaxed);
        seen.ended.fetch_add(1, Relaxed);
        result
    });
    (server, witness)
}

impl Witness {
    /// Asserts that this many connections came since the last call, and that all ended in order.
    fn expect(&self, established: u64, load: &str) {
        let came = || self.came.load(Relaxed);
        wait_until("all connections, and their end", || {
            came() as u64 >= established && self.ended.load(Relaxed) == came()
        });
        assert_eq!(came() as u64, established, "{load}");
        self.came.store(0, Relaxed);
        self.ended.store(0, Relaxed);
        assert_eq!(self.broken.load(Relaxed), 0, "each ends in order");
    }
}

#[test]
fn a_connection_carries_its_requests_and_no_more() {
    let (server, witness) = witnessed();
    // The first connection of each slot has one request before the run.
    for (load, connections) in [
        ("-c 1 -n 99 --requests-per-conn 10", 10),
        ("-c 1 -n 100 --requests-per-conn 10", 11),
        ("-c 1 -n 50 --requests-per-conn 1", 51),
        ("-c 1 -n 99 --requests-per-conn 10 -P 4", 10),
        ("-c 1 -n 99 --requests-per-conn 10 -R 10k", 10),
    ] {
        let report = run(&format!("{server} {load} --format json"))
            .expect_code(0)
            .report();
        let counted = &report.connections;
        assert_eq!(counted.established, connections, "{load}");
        witness.expect(counted.established, load);
        assert_eq!(counted.connect_latency.count, connections, "{load}");
        assert_eq!(
            (counted.requested, counted.connected, counted.served),
            (1, 1, 1)
        );
        // The last connection ends with the run, unless that was its last request.
        assert!(
            counted.retired == connections || counted.retired == connections - 1,
            "{load}: {counted:?}"
        );
        assert_eq!(
            report.requests.answered,
            report.settings.requests.expect("-n")
        );
        assert_eq!(report.latency.headline().count, report.requests.answered);
    }
}

#[test]
fn counts_are_exact_over_threads_loops_and_surfaces() {
    let (server, witness) = witnessed();
    for load in [
        "-t 2 -n 3000",
        "-t 2 -n 3000 -R 30k --io poll",
        "-n 3000 -P 3 --io guards",
        "-n 3000 --active 5",
    ] {
        let args = format!("{server} -c 20 --requests-per-conn 7 {load} --format json");
        let report = run(&args).expect_code(0).report();
        let counted = &report.connections;
        witness.expect(counted.established, load);
        assert_eq!(counted.connect_latency.count, counted.established);
        // There are 3,020 requests, with seven on each connection, except those that the end of the
        // run cut short.
        assert!(
            (432..=460).contains(&counted.established),
            "{load}: {counted:?}"
        );
        assert!(counted.peak_live <= 20);
        assert_eq!((counted.connected, counted.served), (20, 20));
        let requests = &report.requests;
        assert_eq!(
            (requests.launched, requests.answered, requests.unanswered),
            (3_000, 3_000, 0),
            "{load}"
        );
    }
}

#[test]
fn connections_live_as_long_as_asked() {
    let (server, witness) = witnessed();
    for load in ["-R 2k", "", "--active 2 -P 2"] {
        let args = format!("{server} -c 20 --lifetime 200ms -d 1 --warmup 0 {load} --format json");
        let report = run(&args).expect_code(0).report();
        let counted = &report.connections;
        witness.expect(counted.established, load);
        // Each slot has five lives in the second, and the first of them is shorter. A busy machine
        // needs time to end a connection and to begin the next one, and no life is shorter than
        // requested.
        assert!(
            (40..=140).contains(&counted.established),
            "{load}: {counted:?}"
        );
        assert!(report.requests.answered > 0 && report.requests.unanswered == 0);
        assert!(report.errors.is_empty());
    }
}

#[test]
fn replacements_keep_to_the_connect_rate() {
    let (server, witness) = witnessed();
    let args = format!("{server} -c 5 --requests-per-conn 1 --connect-rate 50 -n 45 --format json");
    let run = run(&args).expect_code(0);
    let report = run.report();
    let established = report.connections.established;
    witness.expect(established, &args);
    // Each connection carried one request, and one was opened every 20 ms. Without the limit, this
    // would take almost no time. A busy machine makes it longer. It is never shorter, except for
    // the small lag that the pacer makes up for.
    assert!((50..=55).contains(&established), "{established}");
    assert_eq!(report.requests.answered, 45);
    assert!(run.took >= Duration::from_millis(20 * 45), "{:?}", run.took);
}

#[test]
fn a_server_that_is_gone_fails_the_connections_that_come_back() {
    let server = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        std::thread::spawn(move || {
            let streams: Vec<_> = (0..3)
                .map(|_| listener.accept().expect("a client").0)
                .collect();
            // The server accepts no connections after these.
            drop(listener);
            for mut stream in streams {
                std::thread::spawn(move || echo_all(&mut stream));
            }
        });
        address
    };
    let run = run(&format!(
        "{server} -c 3 --requests-per-conn 20 -d 1h --warmup 0 --no-reconnect --format json"
    ))
    .expect_code(1)
    .expect_message("connection refused: 3 of 3 connections");
    let report = run.report();
    assert_eq!(report.errors[0].kind, "refused");
}

#[test]
fn a_place_that_the_server_drops_again_and_again_rests_in_between() {
    const PLACES: usize = 20;
    // True if the active connection has sent more than its first request. The others are idle then.
    let begun = AtomicBool::new(false);
    let server = serve(move |number, mut stream| {
        // The server serves the first connection of each slot and closes it when it is idle. It
        // closes the others at once.
        if number >= PLACES {
            return Ok(());
        }
        let mut request = [0; 4];
        stream.read_exact(&mut request)?;
        stream.write_all(b"pong")?;
        stream.set_nonblocking(true)?;
        while stream.peek(&mut request).is_err() {
            if begun.load(Relaxed) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        begun.store(true, Relaxed);
        stream.set_nonblocking(false)?;
        loop {
            stream.read_exact(&mut request)?;
            stream.write_all(b"pong")?;
        }
    });
    let run = run(&format!(
        "{server} -c {PLACES} --active 1 --send ping --expect pong -d 2s --warmup 0 --format json"
    ))
    .expect_code(0);
    let report = run.report();
    assert!(report.requests.answered > 0 && report.errors.is_empty());
    let counted = &report.connections;
    // About eight each, because the waits double. Without waits there would be thousands, and on a
    // busy machine fewer.
    let again = counted.established - PLACES as u64;
    assert!((19..=12 * 19).contains(&again), "{counted:?}");
}
