//! Runs without a target: the embedded server in its child process, the report, files, signals.

mod common;

use std::fs;
use std::path::PathBuf;

use common::{command, run, start, start_command, wait_until};
use loadgen::measure::histogram::Recorder;
use loadgen::report::{Report, Status};

/// Returns a file name for this test that no other process uses.
fn scratch_file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()))
}

fn assert_whole(report: &Report, connections: u32) {
    assert_eq!(report.outcome.status, Status::Ok);
    assert!(report.errors.is_empty() && report.outcome.messages.is_empty());
    let counted = &report.connections;
    assert_eq!(
        (
            counted.requested,
            counted.connected,
            counted.peak_live,
            counted.served
        ),
        (connections, connections, connections, connections)
    );
}

#[test]
fn every_surface_and_loop_is_served() {
    const LOADS: [(&str, u32, u64); 8] = [
        ("", 40, 2_000),
        ("-P 4", 40, 2_000),
        ("-R 5k", 40, 1_000),
        ("-R 5k --arrivals poisson", 40, 1_000),
        ("-t 2", 40, 2_000),
        ("--size 100k", 5, 100),
        ("--size 1", 40, 2_000),
        ("--active 3", 40, 2_000),
    ];
    for io in ["helpers", "guards", "poll"] {
        for (load, connections, requests) in LOADS {
            let args = format!("{load} -c {connections} -n {requests} --io {io} --format json");
            let report = run(&args).expect_code(0).report();
            assert_whole(&report, connections);
            assert_eq!(report.requests.completed, requests, "{args}");
            assert_eq!(report.requests.unanswered, 0, "{args}");
        }
    }
}

#[test]
fn a_number_of_requests_is_exact() {
    for (args, requests) in [
        ("-c 10 -n 1", 1),
        ("-c 10 -n 1001 -t 3", 1001),
        ("-c 4 -n 999 -P 16", 999),
        ("-c 4 -n 500 -R 10k", 500),
    ] {
        let report = run(&format!("{args} --format json"))
            .expect_code(0)
            .report();
        let counted = &report.requests;
        assert_eq!(
            (
                counted.scheduled,
                counted.launched,
                counted.answered,
                counted.completed
            ),
            (requests, requests, requests, requests),
            "{args}"
        );
        assert_eq!(report.latency.headline().count, requests, "{args}");
        assert!(report.elapsed_s > 0.0);
    }
}

#[test]
fn the_report_is_complete_and_consistent() {
    let file = scratch_file("report.json");
    let args = format!("-c 100 -d 1 --warmup 100ms -o {}", file.display());
    let run = run(&args).expect_code(0);
    let report: Report =
        serde_json::from_str(&fs::read_to_string(&file).expect("written")).expect("a report");
    fs::remove_file(&file).expect("ours");
    assert_whole(&report, 100);
    let rate = format!("Requests/sec: {:>12.2}", report.throughput.requests_per_s);
    assert!(
        run.stdout.contains(&rate),
        "{rate} is not in\n{}",
        run.stdout
    );
    for words in [
        "100 connections",
        "99.99%",
        "Latency Histogram",
        "Server CPU: ",
        "bytes per connection",
        "Transfer/sec: ",
    ] {
        assert!(
            run.stdout.contains(words),
            "{words:?} is not in\n{}",
            run.stdout
        );
    }
    assert!((report.elapsed_s - 1.0).abs() < 1e-6);
    assert_eq!(
        report.requests.bytes_read / 64,
        report.requests.completed,
        "whole answers of 64 bytes"
    );
    let histogram =
        Recorder::from_base64(&report.latency.raw.histogram_base64).expect("a histogram");
    assert_eq!(histogram.count(), report.requests.answered);
    assert_eq!(histogram.quantile(0.99), report.latency.raw.p99_ns);
    let server = report.server.expect("the child is known");
    // A machine with little memory takes pages back, so the resident memory need not grow.
    assert!(server.resident_connected_bytes > 0 && server.resident_before_bytes > 0);
    let (cost, rate) = (
        server.cpu_us_per_request.expect("CPU time"),
        server.requests_per_cpu_s.expect("CPU time"),
    );
    assert!((cost * rate / 1e6 - 1.0).abs() < 1e-9);
    assert!(
        report
            .generator
            .cpu_us_per_request
            .is_some_and(|us| us > 0.0)
            && report.generator.busiest_thread > 0.0
    );
}

#[test]
fn idle_connections_are_served_once_and_stay() {
    let report = run("-c 200 --active 5 -n 1000 --format json")
        .expect_code(0)
        .report();
    assert_whole(&report, 200);
    assert_eq!(
        (report.connections.active, report.requests.answered),
        (5, 1000)
    );
    assert_eq!(report.connections.connect_latency.count, 200);
}

#[test]
fn connections_open_no_faster_than_asked() {
    let report = run("-c 20 --connect-rate 50 -n 20 --format json")
        .expect_code(0)
        .report();
    assert_whole(&report, 20);
    // Twenty requests, one every 20 ms, and the first at once.
    assert!(
        report.connections.ramp_s >= 0.38,
        "{}",
        report.connections.ramp_s
    );
}

/// Runs the program in its own network namespace with ten ports; returns `None` if that is not
/// allowed.
#[cfg(target_os = "linux")]
fn with_ten_ports(args: &str) -> Option<common::Run> {
    let isolated = |script: &str| {
        let mut shell = std::process::Command::new("unshare");
        shell.args(["--net", "--map-root-user", "sh", "-c", script]);
        shell
    };
    let prepare = "ip link set lo up && echo 40000 40009 >/proc/sys/net/ipv4/ip_local_port_range";
    if !isolated(prepare)
        .status()
        .is_ok_and(|status| status.success())
    {
        eprintln!("not seen: this needs unshare(1), ip(8) and the right to a network of one's own");
        return None;
    }
    let program = command(args);
    let mut limited = isolated(&format!("{prepare} && exec \"$0\" \"$@\""));
    limited.arg(program.get_program()).args(program.get_args());
    Some(start_command(limited).finish())
}

#[cfg(target_os = "linux")]
#[test]
fn further_sources_take_over_when_ports_are_used_up() {
    let Some(run) = with_ten_ports("-c 200 -n 400 --format json") else {
        return;
    };
    let report = run.expect_code(0).report();
    assert_eq!(report.connections.served, 200);
    // The server has one port.
    let note = &report.outcome.notes[0];
    let sources = note.split_whitespace().rev().nth(1).expect("a number");
    let sources: u32 = sources.parse().expect("a number");
    assert!((20..=24).contains(&sources), "{note}");
}

#[cfg(target_os = "linux")]
#[test]
fn too_few_ports_are_named_with_what_helps() {
    let args = "-c 30 -d 1 --warmup 0 --source 127.0.0.1 --format json";
    let Some(run) = with_ten_ports(args) else {
        return;
    };
    let run = run
        .expect_code(1)
        .expect_message("no local port left: ")
        .expect_message("widen net.ipv4.ip_local_port_range");
    let report = run.report();
    let kinds: Vec<_> = report
        .errors
        .iter()
        .map(|error| error.kind.as_str())
        .collect();
    assert_eq!(kinds, ["ports"]);
    assert!((9..=10).contains(&report.connections.connected));
}

#[test]
fn a_server_process_that_goes_away_meanwhile_is_a_warning() {
    let mut other = std::process::Command::new("sleep")
        .arg("1000")
        .spawn()
        .expect("sleep is there");
    let running = start(&format!(
        "-c 5 -d 2 --warmup 0 --server-pid {} --format json",
        other.id()
    ));
    // When its connections are open, the program has observed the process.
    let descriptors = format!("/proc/{}/fd", running.pid());
    wait_until("the load", || {
        fs::read_dir(&descriptors).is_ok_and(|open| open.count() > 15)
    });
    other.kill().expect("ours");
    other.wait().expect("ours");
    let report = running.finish().expect_code(0).report();
    let warnings = report.outcome.warnings.join("\n");
    assert!(
        warnings.contains("could not be observed: no such process"),
        "{warnings}"
    );
    assert!(report.requests.answered > 0);
}

#[cfg(unix)]
mod limits {
    use super::*;

    fn with_limit(descriptors: u32, args: &str) -> common::Run {
        let mut limited = std::process::Command::new("sh");
        let program = command(args);
        limited
            .arg("-c")
            .arg(format!("ulimit -n {descriptors}; exec \"$0\" \"$@\""));
        limited.arg(program.get_program()).args(program.get_args());
        start_command(limited).finish()
    }

    #[test]
    fn too_few_descriptors_are_an_error_before_anything_starts() {
        let run = with_limit(300, "-c 1000 -d 50").expect_code(1);
        run.expect_message("-c 1000 needs")
            .expect_message("the limit is 300");
    }

    #[test]
    fn where_connections_are_not_asked_for_the_limit_decides_and_is_reported() {
        let run = with_limit(300, "-n 1000 --format json").expect_code(0);
        let report = run.report();
        let connections = report.connections.requested;
        assert!((100..300).contains(&connections), "{connections}");
        assert_whole(&report, connections);
        assert!(
            report.outcome.notes[0].contains("the descriptor limit is 300"),
            "{:?}",
            report.outcome.notes
        );
    }

    #[test]
    fn what_is_needed_at_least_is_an_error_too() {
        with_limit(300, "--active 1000 -n 1")
            .expect_code(1)
            .expect_message("1000 are needed");
        with_limit(70, "-n 1")
            .expect_code(1)
            .expect_message("descriptor limit of 70");
    }
}
