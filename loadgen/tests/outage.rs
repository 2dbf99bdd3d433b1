//! Servers that stop, start again, close early or are slow on one connection. The generator's
//! counts are compared with the server's own record.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::{run, serve, start, wait_until};
use loadgen::report::Status;

const SIZE: usize = 64;
/// The number of requests that an interruption may catch in transit: one per connection, and on a
/// busy machine a few more.
const LOST_MAX: u64 = 80;

/// An echo server that can be stopped and started again on the same port. It counts requests.
struct Server {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
    answered: Arc<AtomicU64>,
}

impl Server {
    fn start(address: &str, answered: Arc<AtomicU64>) -> Self {
        let mut listener = TcpListener::bind(address);
        // Another connection may have the port for a moment.
        wait_until("a free port", || {
            if listener.is_err() {
                listener = TcpListener::bind(address);
            }
            listener.is_ok()
        });
        let listener = listener.expect("a free port");
        let server = Self {
            address: listener.local_addr().expect("bound"),
            stopped: Arc::default(),
            streams: Arc::default(),
            answered,
        };
        let (stopped, streams) = (Arc::clone(&server.stopped), Arc::clone(&server.streams));
        let answered = Arc::clone(&server.answered);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(SeqCst) {
                    return;
                }
                let mut stream = stream.expect("descriptors suffice");
                stream.set_nodelay(true).expect("a socket");
                let clone = stream.try_clone().expect("descriptors suffice");
                streams.lock().expect("no panic").push(clone);
                let answered = Arc::clone(&answered);
                thread::spawn(move || {
                    let mut request = [0; SIZE];
                    while stream.read_exact(&mut request).is_ok() {
                        answered.fetch_add(1, SeqCst);
                        if stream.write_all(&request).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        server
    }

    fn new() -> Self {
        Self::start("127.0.0.1:0", Arc::default())
    }

    fn answered(&self) -> u64 {
        self.answered.load(SeqCst)
    }

    /// Closes the listener, and then every connection, so that none reconnects to a listener that
    /// is about to close.
    fn stop(&self) {
        self.stopped.store(true, SeqCst);
        // The first connection wakes the accept loop, which then drops its listener.
        wait_until("the end of the listener", || {
            TcpStream::connect(self.address).is_err()
        });
        for stream in self.streams.lock().expect("no panic").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

#[test]
fn an_outage_leaves_the_schedule_whole() {
    let server = Server::new();
    let args = "-c 8 -R 200 -d 4s --warmup 0 --slo achieved>=99,p99<1s,errors<=100% --format json";
    let running = start(&format!("{} {args}", server.address));
    wait_until("load", || server.answered() >= 8 + 150);
    server.stop();
    let run = running.finish().expect_code(3);
    let report = run.report();
    let requests = &report.requests;
    assert_eq!(requests.scheduled, 800);
    let probes = 8;
    // Requests that were answered when the connections broke may not have been read.
    let recorded = server.answered() - probes;
    assert!(
        (recorded.saturating_sub(LOST_MAX)..=recorded).contains(&requests.answered),
        "{recorded} {requests:?}"
    );
    assert_eq!(
        requests.answered + requests.unanswered + requests.unsent,
        800,
        "{requests:?}"
    );
    let corrected = report.latency.corrected.expect("open loop");
    assert_eq!(corrected.count, 800);
    // The requests that were due after the start of the outage waited at least until the end. One
    // is due every 5 ms, so number 600 of the sorted latencies follows from the number of answers.
    let least = 600_u64.saturating_sub(recorded) * 5_000_000;
    assert!(corrected.p75_ns >= least, "{} {least}", corrected.p75_ns);
    assert!(recorded < 500, "the outage came too late: {recorded}");
    assert!(
        (report.elapsed_s - 4.0).abs() < 1e-9,
        "{}",
        report.elapsed_s
    );
    let met: Vec<_> = report.slo.iter().map(|verdict| verdict.met).collect();
    assert_eq!(met, [false, false, true]);
    let last = report
        .series
        .intervals
        .iter()
        .rfind(|one| one.measured_s > 0.0);
    assert_eq!(last.expect("intervals").live, 0, "nobody is connected");
    assert_eq!(report.series.intervals[0].live, 8);
}

#[test]
fn after_a_restart_every_connection_is_back_and_every_request_is_answered() {
    let server = Server::new();
    let address = server.address.to_string();
    let args = "-c 8 -R 200 -d 6s --warmup 0 --slo errors<=50% --format json";
    let running = start(&format!("{address} {args}"));
    wait_until("load", || server.answered() >= 8 + 100);
    server.stop();
    let down = Instant::now();
    thread::sleep(Duration::from_millis(700));
    let again = Server::start(&address, Arc::clone(&server.answered));
    let down = down.elapsed();
    let report = running.finish().expect_code(0).report();
    let requests = &report.requests;
    assert_eq!(requests.scheduled, 1_200);
    assert_eq!(requests.unsent, 0, "{requests:?}");
    let unanswered = requests.unanswered;
    assert!(unanswered <= LOST_MAX, "those in flight: {requests:?}");
    assert_eq!(report.connections.reconnected, 8);
    assert_eq!(report.connections.broken, 8);
    assert_eq!(again.streams.lock().expect("no panic").len(), 8);
    // The latency includes the outage, even if the answers came soon after it.
    let corrected = report.latency.corrected.expect("open loop");
    let longest = Duration::from_nanos(corrected.max_ns);
    assert!(
        longest > down - Duration::from_millis(50),
        "{longest:?} {down:?}"
    );
}

#[test]
fn connections_that_the_server_closes_early_are_made_again() {
    let requests = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&requests);
    let server = serve(move |_, mut stream| {
        for _ in 0..3 {
            let mut request = [0; SIZE];
            stream.read_exact(&mut request)?;
            seen.fetch_add(1, SeqCst);
            stream.write_all(&request)?;
        }
        Ok(())
    });
    let report = run(&format!(
        "{server} -c 2 -n 60 --slo errors<=50% --format json"
    ))
    .expect_code(0)
    .report();
    let counts = &report.requests;
    assert_eq!(counts.answered + counts.unanswered, 60, "{counts:?}");
    // The first request of each of the two connections is not measured.
    assert_eq!(requests.load(SeqCst), counts.answered + 2);
    assert!(counts.answered >= 40, "{counts:?}");
    let failures: u64 = report.errors.iter().map(|error| error.count).sum();
    assert_eq!(failures, report.connections.broken);
}

/// Serves all connections except the first ones, which it resets at once.
fn picky(bad: usize) -> SocketAddr {
    serve(move |number, mut stream| {
        if number < bad {
            return Ok(());
        }
        common::echo_all(&mut stream)
    })
}

#[test]
fn a_bad_connection_in_the_ramp_is_made_again() {
    let args = "-c 4 -n 100 --format json";
    let report = run(&format!("{} {args}", picky(2))).expect_code(0).report();
    assert_eq!(report.connections.served, 4);
    assert_eq!((report.requests.answered, report.errors.len()), (100, 0));
    let outside: u64 = report.errors_outside.iter().map(|error| error.count).sum();
    assert_eq!(outside, 2);
    let warned = |warning: &String| warning.contains("outside the measured part");
    assert!(report.outcome.warnings.iter().any(warned));
}

#[test]
fn without_reconnecting_the_run_goes_on_with_the_others() {
    let args = "-c 4 -n 100 --no-reconnect --format json";
    let report = run(&format!("{} {args}", picky(1)))
        .expect_code(1)
        .expect_message("not every connection was served")
        .report();
    assert_eq!(
        (report.connections.served, report.requests.answered),
        (3, 100)
    );
}

#[test]
fn the_first_failure_ends_the_run_where_that_is_asked_for() {
    let server = Server::new();
    let args = "-c 4 -R 100 -d 1h --warmup 0 --fail-fast --format json";
    let running = start(&format!("{} {args}", server.address));
    wait_until("load", || server.answered() >= 4 + 50);
    server.stop();
    let report = running.finish().expect_code(1).report();
    let early = report.outcome.ended_early.expect("it ended early");
    assert!(early.contains("--fail-fast"), "{early}");
    let rate = report.requests.completed as f64 / report.elapsed_s;
    assert!((report.throughput.requests_per_s - rate).abs() < 0.01);
}

#[test]
fn a_closed_loop_of_requests_ends_when_the_server_stays_away() {
    let server = Server::new();
    let args = "-c 2 -n 10m --timeout 300ms --format json";
    let running = start(&format!("{} {args}", server.address));
    wait_until("load", || server.answered() >= 100);
    server.stop();
    let report = running.finish().expect_code(1).report();
    assert_eq!(report.outcome.status, Status::Failed);
    assert!(report.requests.answered < 10_000_000);
}

/// Starts an HTTP server that answers with this status, and is slow on the first connection.
/// `requests` counts all requests, and `on_slow` those of the slow connection.
fn http(
    status: &'static str,
    slow: Duration,
    requests: Arc<AtomicU64>,
    on_slow: Arc<AtomicU64>,
) -> SocketAddr {
    serve(move |number, mut stream| {
        let mut buffer = [0; 4096];
        let mut first = true;
        loop {
            let read = stream.read(&mut buffer)?;
            if read == 0 {
                return Ok(());
            }
            assert!(buffer[..read].ends_with(b"\r\n\r\n"), "no pipelining");
            requests.fetch_add(1, SeqCst);
            on_slow.fetch_add(u64::from(number == 0), SeqCst);
            if number == 0 && !first {
                thread::sleep(slow);
            }
            first = false;
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok");
            stream.write_all(answer.as_bytes())?;
        }
    })
}

#[test]
fn errors_are_those_of_the_measured_requests_whatever_the_warm_up() {
    for warmup in ["0", "100ms", "300ms"] {
        let requests = Arc::new(AtomicU64::new(0));
        let server = http(
            "503 Busy",
            Duration::ZERO,
            Arc::clone(&requests),
            Arc::default(),
        );
        let args = format!("-c 4 -R 500 -n 200 --warmup {warmup} --slo errors<=1% --format json");
        let report = run(&format!("http://{server}/ {args}"))
            .expect_code(3)
            .report();
        let errors: u64 = report.errors.iter().map(|error| error.count).sum();
        assert_eq!((errors, report.requests.answered), (200, 200), "{warmup}");
        assert_eq!(report.statuses.get(&503), Some(&200));
        assert_eq!(report.slo[0].measured, Some(100.0));
        let outside: u64 = report.errors_outside.iter().map(|error| error.count).sum();
        assert_eq!(requests.load(SeqCst), errors + outside);
    }
}

#[test]
fn a_slow_connection_gets_no_more_requests_than_it_answers() {
    let slow = Duration::from_millis(200);
    let requests = Arc::new(AtomicU64::new(0));
    let on_slow = Arc::new(AtomicU64::new(0));
    let server = http("200 OK", slow, Arc::clone(&requests), Arc::clone(&on_slow));
    let args = "-c 20 -R 1000 -d 2s --warmup 0 --format json";
    let run = run(&format!("http://{server}/ {args}")).expect_code(0);
    let report = run.report();
    assert_eq!(report.requests.answered, 2_000);
    assert_eq!(requests.load(SeqCst), 2_000 + 20);
    // A twentieth of the requests would be a hundred. The slow connection takes one after the
    // other, each of them late, except its first one.
    let given = on_slow.load(SeqCst) - 1;
    let most = run.took.as_millis() / slow.as_millis() + 1;
    assert!(given > 0 && u128::from(given) <= most, "{given} of {most}");
    let corrected = report.latency.corrected.expect("open loop").recorder();
    let corrected = corrected.expect("a histogram");
    let late: u64 = corrected
        .iter()
        .filter(|&(ns, _)| ns >= 200_000_000)
        .map(|(_, count)| count)
        .sum();
    assert!(late >= given, "{late} {given}");
}
