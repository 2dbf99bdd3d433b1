//! The open loop keeps its schedule independent of the server, and its latencies include the delay.

mod common;

use std::io::{Read, Write};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use common::{echo, run, serve};
use loadgen::report::Status;

const SIZE: usize = 64;

#[test]
fn the_rate_is_what_was_asked_for() {
    for arrivals in ["fixed", "poisson"] {
        let args = format!("-c 20 -R 2000 --arrivals {arrivals} -d 2 --warmup 200ms --format json");
        let report = run(&args).expect_code(0).report();
        let due = report.requests.scheduled;
        if arrivals == "fixed" {
            assert_eq!(due, 4_000);
        } else {
            // Five standard deviations of a Poisson count.
            assert!((3_684..=4_316).contains(&due), "{due}");
        }
        assert_eq!(
            (report.requests.launched, report.requests.answered),
            (due, due)
        );
        let corrected = report.latency.corrected.expect("open loop");
        assert_eq!((corrected.count, report.latency.raw.count), (due, due));
        assert!(
            corrected.mean_ns >= report.latency.raw.mean_ns,
            "an intended time is never after the actual one"
        );
    }
}

#[test]
fn a_stall_shows_in_full_where_the_closed_loop_hides_it() {
    const STALL: Duration = Duration::from_millis(500);
    // Each run's connection serves for a while, then stalls once.
    let server = serve(|_, mut stream| {
        let began = Instant::now();
        let mut stalled = false;
        let mut buffer = [0; SIZE];
        loop {
            stream.read_exact(&mut buffer)?;
            if !stalled && began.elapsed() > Duration::from_millis(400) {
                stalled = true;
                thread::sleep(STALL);
            }
            stream.write_all(&buffer)?;
        }
    });
    let open = run(&format!(
        "{server} -c 1 -R 500 -d 2 --warmup 100ms --format json"
    ))
    .expect_code(0)
    .report();
    let closed = run(&format!("{server} -c 1 -d 2 --warmup 100ms --format json"))
        .expect_code(0)
        .report();
    // A quarter of the open loop's requests were due during the stall and waited for its end. Half
    // of these waited for at least half of the stall.
    let corrected = open.latency.corrected.expect("open loop");
    assert!(corrected.p90_ns > 200_000_000, "{}", corrected.p90_ns);
    assert!(corrected.max_ns > 490_000_000, "{}", corrected.max_ns);
    // The closed loop sent only one request during the stall.
    assert!(
        closed.latency.raw.p99_ns < 100_000_000,
        "{}",
        closed.latency.raw.p99_ns
    );
    assert!(
        closed.latency.raw.max_ns > 490_000_000,
        "{}",
        closed.latency.raw.max_ns
    );
}

#[test]
fn a_rate_above_what_is_served_is_a_warning_and_latency_grows() {
    // All connections together get 1,000 answers per second, after the first answer of each.
    let turn = Mutex::new(());
    let server = serve(move |_, mut stream| {
        echo(&mut stream, SIZE)?;
        loop {
            let mut reply = [0; SIZE];
            stream.read_exact(&mut reply)?;
            {
                let _turn = turn.lock().expect("no panic while it is held");
                thread::sleep(Duration::from_millis(1));
            }
            stream.write_all(&reply)?;
        }
    });
    let args = format!("{server} -c 8 -R 6000 -d 1 --warmup 0 --timeout 3 --format json");
    let report = run(&args).expect_code(0).report();
    assert_eq!(report.outcome.status, Status::Ok);
    let warnings = report.outcome.warnings.join("\n");
    assert!(
        warnings.contains("above what could be served"),
        "{warnings}"
    );
    assert_eq!(
        report.requests.scheduled, 6_000,
        "the schedule does not wait"
    );
    assert_eq!(report.requests.launched, 6_000);
    assert!(
        report.requests.completed < 1_500,
        "{}",
        report.requests.completed
    );
    assert!(report.requests.unanswered > 0, "given up");
    // The queue grows for a second, and is not empty three seconds later.
    assert!(report.latency.corrected.expect("open loop").p99_ns > 1_000_000_000);
}

#[test]
fn a_server_that_reads_slowly_does_not_block_the_schedule() {
    // The server does not read for a second. Sockets fill, requests wait in the generator, and all
    // are answered in the end.
    let server = serve(|_, mut stream| {
        echo(&mut stream, 32 * 1024)?;
        thread::sleep(Duration::from_secs(1));
        common::echo_all(&mut stream)
    });
    let args =
        format!("{server} -c 2 --size 32k -R 2000 -d 1 --warmup 0 --timeout 5 --format json");
    let report = run(&args).expect_code(0).report();
    let requests = &report.requests;
    assert_eq!(
        (requests.scheduled, requests.launched, requests.answered),
        (2_000, 2_000, 2_000)
    );
    assert!(report.latency.corrected.expect("open loop").max_ns > 900_000_000);
}

#[test]
fn a_number_of_requests_takes_as_many_intervals() {
    for (load, rate) in [
        ("-n 5 -R 10", 10.0),
        ("-n 1 -R 10", 10.0),
        ("-n 30 -R 100 -t 2", 100.0),
    ] {
        let report = run(&format!("-c 2 {load} --format json"))
            .expect_code(0)
            .report();
        let measured = report.throughput.requests_per_s;
        // An answer that comes after its interval makes the run longer.
        assert!(
            (0.8 * rate..=1.001 * rate).contains(&measured),
            "{load}: {measured}"
        );
    }
}
