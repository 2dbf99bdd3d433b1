//! Verdicts, medians and warnings from rounds with known figures.

use loadgen::report::Report;
use loadgen::report::rate::Rate;
use serde_json::json;

use crate::text;
use crate::{html, markdown};
use benches::scenario::{Run, Scenario, Verdict};
use benches::summary::Summary;

/// Returns a round as the load generator writes it, with the figures that matter here.
fn round(requests_per_s: f64, cpu_us: f64, bound: bool) -> Report {
    let distribution = json!({
        "count": 10, "min_ns": 1_000, "mean_ns": 2_000.0, "stdev_ns": 1.0, "p50_ns": 5_000, "p75_ns": 6_000,
        "p90_ns": 7_000, "p99_ns": 8_000, "p99_9_ns": 9_000, "p99_99_ns": 10_000, "max_ns": 11_000,
        "histogram_base64": ""
    });
    let report = json!({
        "format": "loadgen-run", "version": loadgen::report::VERSION, "loadgen": "0.1.0", "command": ["loadgen"],
        "started_unix_ms": 0, "measured_unix_ms": 0,
        "machine": { "kernel": "Linux 6", "architecture": "x86_64", "cpus": 2 },
        "target": { "address": "127.0.0.1:1", "embedded": false, "shards": null },
        "settings": {
            "connections": 64, "active": 64, "threads": 1, "duration_s": 1.0, "requests": null,
            "rate": null, "arrivals": null, "pipeline": 1, "size": 64, "connect_rate": null,
            "timeout_s": 5.0, "warmup_s": 0.5, "io": "helpers", "verify": true, "pin": "none"
        },
        "outcome": {
            "status": "ok", "exit_code": 0, "messages": [], "warnings": [], "notes": [],
            "generator_was_bottleneck": bound
        },
        "elapsed_s": 2.0,
        "connections": {
            "requested": 64, "connected": 64, "peak_live": 64, "served": 64, "active": 64,
            "ramp_s": 0.1, "connect_latency": distribution
        },
        "requests": {
            "scheduled": 10, "launched": 10, "answered": 10, "unanswered": 0, "interrupted": 0,
            "completed": 10, "bytes_read": 640
        },
        "throughput": {
            "requests_per_s": requests_per_s, "bytes_read_per_s": 1.0, "intervals": 0,
            "interval_mean_per_s": 0.0, "interval_stdev_per_s": 0.0, "interval_max_per_s": 0.0
        },
        "latency": { "raw": distribution, "corrected": null, "schedule_lag": null },
        "series": { "interval_s": 1.0, "intervals": [] },
        "generator": {
            "cpu_user_s": 0.0, "cpu_system_s": 0.0, "cpu_us_per_request": 1.0, "busiest_thread": 0.5,
            "waited_for_cpu_s": 0.0, "resident_bytes": 0
        },
        "server": {
            "pid": 1, "cpu_user_s": 0.5, "cpu_system_s": 1.0, "cpu_us_per_request": cpu_us,
            "cpu_user_us_per_request": 1.0, "cpu_system_us_per_request": cpu_us - 1.0,
            "requests_per_cpu_s": 1e6 / cpu_us, "resident_before_bytes": 1_000,
            "resident_connected_bytes": 2_000, "resident_peak_bytes": 2_000,
            "bytes_per_connection": 1.0
        },
        "errors": []
    });
    serde_json::from_value(report).expect("the schema of the load generator's reports")
}

/// Returns three rounds with CPU times around `cpu_us`, `spread` apart.
fn run(name: &str, cpu_us: f64, spread: f64) -> Run {
    let rounds = [-spread, 0.0, spread].map(|off| round(1e5, cpu_us * (1.0 + off), false));
    Run::new(name, rounds.into(), None)
}

fn scenario(runs: Vec<Run>) -> Scenario {
    Scenario::new("base", "a load", runs).expect("the rounds can be paired")
}

fn whole(scenarios: Vec<Scenario>) -> Summary {
    Summary::new("abc", "bench.sh", scenarios).expect("there are scenarios")
}

fn render(scenario: Scenario) -> String {
    text::render(&whole(vec![scenario]))
}

fn verdict(summary: &Scenario, contender: &str, base: &str) -> Verdict {
    summary
        .ratio(contender, base, "server_cpu_us_per_request")
        .expect("they were compared")
        .verdict
}

#[test]
fn every_contender_meets_the_bare_loop_and_ours_meet_tokio() {
    let names = ["bare-epoll", "tokio-mt", "tokio-ct", "demo-helpers"];
    let runs = names.map(|name| run(name, 5.0, 0.0));
    let summary = scenario(runs.into());
    let mut pairs: Vec<_> = summary
        .ratios
        .iter()
        .map(|r| (r.contender.as_str(), r.base.as_str()))
        .collect();
    pairs.dedup();
    let expected = [
        ("tokio-mt", "bare-epoll"),
        ("tokio-ct", "bare-epoll"),
        ("demo-helpers", "bare-epoll"),
        ("demo-helpers", "tokio-mt"),
        ("demo-helpers", "tokio-ct"),
    ];
    assert_eq!(pairs, expected);
}

#[test]
fn a_server_that_steals_work_meets_itself_without() {
    let names = ["tokio-mt-work", "demo-work", "demo-work-no-stealing"];
    let summary = scenario(names.map(|name| run(name, 5.0, 0.0)).into());
    let mut pairs: Vec<_> = summary
        .ratios
        .iter()
        .filter(|ratio| ratio.is_of_peers())
        .map(|ratio| (ratio.contender.as_str(), ratio.base.as_str()))
        .collect();
    pairs.dedup();
    let expected = [
        ("demo-work", "tokio-mt-work"),
        ("demo-work", "demo-work-no-stealing"),
    ];
    assert_eq!(pairs, expected);
}

#[test]
fn an_open_loop_shows_the_share_that_is_done() {
    let mut late = round(1e5, 5.0, false);
    late.settings.rate = Some(Rate::whole(10));
    late.requests.completed = 9;
    let summary = scenario(vec![
        Run::new("bare-epoll", vec![late; 3], None),
        run("tokio-mt", 5.0, 0.0),
    ]);
    let done: Vec<_> = summary.contenders.iter().map(|row| row.done).collect();
    assert_eq!(done, [Some(0.9), None]);
    let page = markdown::render(&whole(vec![summary]));
    assert!(page.contains("| bare-epoll | 100000 | 90.0 |"), "{page}");
}

#[test]
fn a_narrow_interval_has_a_verdict_and_a_wide_one_has_none() {
    let runs = [
        run("bare-epoll", 5.0, 0.0),
        run("tokio-ct", 6.0, 0.001),
        run("tokio-mt", 6.0, 0.2),
        run("demo-poll", 5.0, 0.001),
        run("demo-helpers", 4.0, 0.001),
    ];
    let summary = scenario(runs.into());
    assert_eq!(verdict(&summary, "tokio-ct", "bare-epoll"), Verdict::Worse);
    assert_eq!(
        verdict(&summary, "tokio-mt", "bare-epoll"),
        Verdict::Inconclusive
    );
    assert_eq!(
        verdict(&summary, "demo-poll", "bare-epoll"),
        Verdict::NoDifferenceShown
    );
    assert_eq!(
        verdict(&summary, "demo-helpers", "bare-epoll"),
        Verdict::Better
    );
    // Also better by the other metric, where higher is better.
    let ratio = summary
        .ratio("demo-helpers", "tokio-ct", "requests_per_server_cpu_s")
        .unwrap();
    assert_eq!(ratio.verdict, Verdict::Better);
    assert!((ratio.ratio - 1.5).abs() < 0.01, "{ratio:?}");
    let text = render(summary);
    assert!(text.contains("inconclusive: wider than ±5%"), "{text}");
    assert!(text.contains("20.0% better"), "{text}");
}

#[test]
fn a_generator_that_was_the_bottleneck_is_named() {
    let bare = || run("bare-epoll", 5.0, 0.0);
    assert!(scenario(vec![bare()]).warnings.is_empty());
    let rounds = vec![
        round(1e5, 5.0, false),
        round(1e5, 5.0, true),
        round(1e5, 5.0, true),
    ];
    let text = render(scenario(vec![bare(), Run::new("tokio-mt", rounds, None)]));
    assert!(
        text.contains("the generator was the bottleneck in rounds of tokio-mt (2)"),
        "{text}"
    );
}

#[test]
fn a_round_in_which_someone_was_silent_is_left_out_for_all() {
    let mut silent = round(0.0, 5.0, false);
    silent.requests.completed = 0;
    let server = silent.server.as_mut().unwrap();
    (server.cpu_us_per_request, server.requests_per_cpu_s) = (None, None);
    let good = |cpu_us| round(1e5, cpu_us, false);
    let summary = scenario(vec![
        Run::new("bare-epoll", vec![good(4.0), good(1.0), good(4.0)], None),
        Run::new("demo-helpers", vec![good(8.0), silent, good(8.0)], None),
    ]);
    assert_eq!(summary.rounds, 2);
    let ratio = summary
        .ratio("demo-helpers", "bare-epoll", "server_cpu_us_per_request")
        .unwrap();
    assert!((ratio.ratio - 2.0).abs() < 1e-9, "{ratio:?}");
    let text = render(summary);
    assert!(text.contains("round 2 is left out: demo-helpers"), "{text}");
}

#[test]
fn a_busy_machine_is_named() {
    let mut waiting = round(1e5, 5.0, false);
    waiting.generator.waited_for_cpu_s = 1.0;
    let text = render(scenario(vec![Run::new("bare-epoll", vec![waiting], None)]));
    assert!(
        text.contains("kept the generator off its CPU for 50%"),
        "{text}"
    );
}

#[test]
fn memory_is_the_slope_between_the_two_runs() {
    let mut few = round(1.0, 1.0, false);
    let mut many = few.clone();
    few.connections.connected = 1_000;
    many.connections.connected = 3_000;
    few.server.as_mut().unwrap().resident_connected_bytes = 10_000_000;
    many.server.as_mut().unwrap().resident_connected_bytes = 10_800_000;
    let runs = [Run::new(
        "bare-epoll",
        vec![round(1.0, 1.0, false)],
        Some([few, many]),
    )];
    let bytes = scenario(runs.into()).contenders[0]
        .bytes_per_connection
        .unwrap();
    assert!((bytes - 400.0).abs() < 1e-6, "{bytes}");
}

#[test]
fn medians_are_over_rounds() {
    let rounds = vec![
        round(1.0, 2.0, false),
        round(30.0, 9.0, false),
        round(20.0, 3.0, false),
    ];
    let summary = scenario(vec![Run::new("bare-epoll", rounds, None)]);
    let row = &summary.contenders[0];
    assert_eq!(
        (row.requests_per_s, row.cpu_us_per_request),
        (20.0, Some(3.0))
    );
    assert_eq!(
        (row.p50_us, row.p99_99_us, row.server_busy),
        (5.0, 10.0, Some(0.75))
    );
}

#[test]
fn the_page_names_the_rows_that_are_not_ahead_and_no_others() {
    let runs = |helpers: f64| {
        scenario(vec![
            run("bare-epoll", 5.0, 0.0),
            run("tokio-ct", 6.0, 0.001),
            run("demo-helpers", helpers, 0.001),
        ])
    };
    let summary = whole(vec![runs(5.0), runs(7.0)]);
    let behind: Vec<_> = summary
        .not_ahead()
        .filter(|(_, ratio)| ratio.metric == "requests_per_server_cpu_s")
        .map(|(_, ratio)| (ratio.contender.as_str(), ratio.verdict))
        .collect();
    assert_eq!(behind, [("demo-helpers", Verdict::Worse)]);
    let page = markdown::render(&summary);
    let (_, listed) = page.split_once("not ahead").expect("it has that part");
    let (listed, tables) = listed
        .split_once("## a load")
        .expect("then come the tables");
    assert!(listed.contains("14.3% worse"), "{listed}");
    assert!(!listed.contains("20.0% better"), "{listed}");
    assert!(tables.contains("20.0% better"), "{tables}");
    let page = html::render(&summary);
    for part in [
        "against-tokio-ct",
        "20.0% better",
        "14.3% worse",
        "Medians of 3 rounds",
    ] {
        assert!(page.contains(part), "{part} is missing from the page");
    }
}
