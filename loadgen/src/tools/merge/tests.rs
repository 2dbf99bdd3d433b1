use serde_json::{Value, json};

use super::*;
use crate::measure::clock::Nanos;
use crate::measure::histogram::Recorder;
use crate::report::clocks::PartClock;
use crate::report::gate::gate;
use crate::report::rate::Rate;
use crate::report::tests::sample;
use crate::report::{BadClients, Distribution, ErrorCount, Interval};

/// Returns a part that began `offset_ms` after the first one, with one latency in each of four
/// intervals of a second.
fn part(offset_ms: u64, latency: Nanos) -> Report {
    let mut report = sample(25.0, 100);
    (report.measured_unix_ms, report.elapsed_s) = (1_000_000 + offset_ms, 4.0);
    report.settings.duration_s = Some(4.0);
    let mut all = Recorder::new();
    report.series.intervals = (0..4)
        .map(|at: u32| {
            let mut one = Recorder::new();
            one.record(latency);
            all.merge(&one);
            Interval::new(f64::from(at), 1.0, 25, 0, &one)
        })
        .collect();
    report.latency.raw = Distribution::from(&all);
    report
}

fn named(parts: Vec<Report>) -> Vec<(String, Report)> {
    let name = |(at, mut part): (usize, Report)| {
        part.runs = vec![format!("run {at}")];
        (format!("{at}.json"), part)
    };
    parts.into_iter().enumerate().map(name).collect()
}

fn merged(parts: Vec<Report>) -> Report {
    merge(&named(parts), vec!["merge".to_owned()]).expect("they can be added")
}

fn of_intervals<T>(sum: &Report, value: fn(&Interval) -> T) -> Vec<T> {
    sum.series.intervals.iter().map(value).collect()
}

#[test]
fn one_report_stays_what_it_is() {
    let mut alone = part(0, 5_000);
    let mut same = merged(vec![alone.clone()]);
    alone.command = vec!["merge".to_owned()];
    alone.runs = vec!["run 0".to_owned()];
    alone.loadgen = same.loadgen.clone();
    alone.outcome.notes = std::mem::take(&mut same.outcome.notes);
    same.outcome.notes = alone.outcome.notes.clone();
    // The rates of intervals are computed again from the series.
    alone.throughput = same.throughput.clone();
    alone.server = same.server.clone();
    assert_eq!(
        serde_json::to_value(&same).expect("JSON"),
        serde_json::to_value(&alone).expect("JSON")
    );
}

#[test]
fn counts_and_histograms_are_added() {
    let (mut a, mut b) = (part(0, 1_000), part(0, 9_000));
    (a.settings.rate, b.settings.rate) = (Some(Rate::whole(10)), Some(Rate::whole(20)));
    a.latency.corrected = Some(a.latency.raw.clone());
    b.latency.corrected = Some(b.latency.raw.clone());
    let sum = merged(vec![a, b]);
    assert_eq!(
        (sum.requests.completed, sum.connections.connected),
        (200, 8_000)
    );
    assert_eq!(
        (sum.settings.rate, sum.settings.threads),
        (Some(Rate::whole(30)), 2)
    );
    for distribution in [&sum.latency.raw, sum.latency.headline()] {
        assert_eq!((distribution.count, distribution.min_ns), (8, 1_000));
        assert!(distribution.max_ns >= 9_000);
    }
    let counts = of_intervals(&sum, |interval| (interval.completed, interval.count));
    assert_eq!(counts, [(50, 2); 4]);
    assert!((sum.throughput.requests_per_s - 50.0).abs() < 1e-9);
}

#[test]
fn parts_are_laid_over_each_other_by_the_clock() {
    let sum = merged(vec![part(2_100, 9_000), part(0, 1_000)]);
    assert_eq!(sum.measured_unix_ms, 1_000_000);
    assert!((sum.elapsed_s - 6.1).abs() < 1e-9);
    let counts = of_intervals(&sum, |interval| interval.count);
    assert_eq!(counts, [1, 1, 2, 2, 1, 1]);
    let slow = of_intervals(&sum, |interval| interval.max_ns > 5_000);
    assert_eq!(slow, [false, false, true, true, true, true]);
    assert!(
        sum.outcome.warnings[0].contains("1.90 s of 6.10 s in common"),
        "{:?}",
        sum.outcome.warnings
    );
}

#[test]
fn coarser_intervals_decide() {
    let mut fine = part(0, 1_000);
    fine.series.interval_s = 0.5;
    for interval in &mut fine.series.intervals {
        interval.start_s /= 2.0;
    }
    let sum = merged(vec![fine, part(0, 2_000)]);
    assert!((sum.series.interval_s - 1.0).abs() < 1e-9);
    let counts = of_intervals(&sum, |interval| interval.count);
    assert_eq!(counts, [3, 3, 1, 1]);
}

#[test]
fn another_load_is_refused_by_name() {
    let refuse = |change: fn(&mut Report)| {
        let mut other = part(0, 1);
        change(&mut other);
        merge(&named(vec![part(0, 1), other]), Vec::new()).expect_err("another load")
    };
    let message = refuse(|other| other.target.address = "10.0.0.1:80".to_owned());
    assert!(
        message.contains(
            "1.json cannot be added to 0.json: the target is 10.0.0.1:80 there and 127.0.0.1:7 here"
        ),
        "{message}"
    );
    assert!(refuse(|other| other.settings.size = 65).contains("--size is 65 there and 64 here"));
    assert!(
        refuse(|other| other.settings.rate = Some(Rate::whole(1)))
            .contains("the loop is open there and closed here")
    );
    assert!(
        refuse(|other| other.settings.duration_s = None).contains("--duration is not set there")
    );
    let message = refuse(|other| other.latency.raw.histogram_base64 = "!".to_owned());
    assert!(message.starts_with("1.json: "), "{message}");
    assert!(merge(&[], Vec::new()).is_err());
}

#[test]
fn a_run_that_is_named_twice_is_refused() {
    let mut parts = named(vec![part(0, 1), part(0, 1), part(0, 1)]);
    parts[2].1.runs = vec!["run 9".to_owned(), "run 0".to_owned()];
    for (files, again) in [
        ([0, 0], "0.json holds a run that is in 0.json"),
        ([1, 2], ""),
        ([0, 2], "2.json holds a run that is in 0.json"),
    ] {
        let chosen: Vec<_> = files.iter().map(|&at: &usize| parts[at].clone()).collect();
        match merge(&chosen, Vec::new()) {
            Ok(sum) => {
                assert_eq!(again, "");
                assert_eq!(sum.runs, ["run 1", "run 9", "run 0"]);
            }
            Err(message) => {
                assert!(!again.is_empty() && message.starts_with(again), "{message}");
                assert!(message.contains("name each run once"), "{message}");
            }
        }
    }
    // Reports from before runs had names.
    let old = |completed| {
        let mut report = part(0, 1);
        report.requests.completed = completed;
        ("old.json".to_owned(), report)
    };
    assert!(merge(&[old(1), old(2)], Vec::new()).is_ok());
    assert!(merge(&[old(1), old(1)], Vec::new()).is_err());
}

#[test]
fn the_server_is_not_counted_twice() {
    let looked = |user: f64| {
        let mut report = part(0, 1);
        let server = report.server.as_mut().expect("sample");
        (server.cpu_user_s, server.cpu_system_s) = (user, 1.0);
        (
            server.resident_before_bytes,
            server.resident_connected_bytes,
        ) = (1_000, 9_000);
        report
    };
    let server = merged(vec![looked(1.0), looked(1.5)])
        .server
        .expect("looked at");
    assert!((server.cpu_us_per_request.expect("known") - 2.5e6 / 200.0).abs() < 1e-6);
    assert_eq!(server.bytes_per_connection, Some(1.0));
    let mut other = looked(1.0);
    other.server.as_mut().expect("sample").pid = 99;
    let sum = merged(vec![looked(1.0), other]);
    assert!(sum.outcome.warnings[0].contains("different processes"));
}

#[test]
fn the_sum_is_as_bad_as_its_worst_part_and_thresholds_are_judged_again() {
    let mut failed = part(0, 1_000);
    (failed.outcome.status, failed.outcome.exit_code) = (Status::Failed, 1);
    failed.outcome.messages = vec!["reset".to_owned(), "--slo: rate".to_owned()];
    let errors = ErrorCount {
        kind: "reset".to_owned(),
        description: "connection reset".to_owned(),
        count: 2,
        first: "connection 1".to_owned(),
    };
    failed.errors = vec![errors.clone()];
    let mut other = part(0, 1_000);
    other.errors = vec![errors];
    let sum = merged(vec![other, failed]);
    assert_eq!(
        (sum.outcome.status, sum.outcome.exit_code),
        (Status::Failed, 1)
    );
    assert_eq!(sum.outcome.messages, ["1.json: reset"]);
    assert_eq!((sum.errors.len(), sum.errors[0].count), (1, 4));

    // Each of them alone misses the rate. Together they reach it, but have a latency that is too
    // long.
    let gated = || {
        let mut report = part(0, 6_000_000);
        let slo: Slo = "rate>30,p99<5ms".parse().expect("thresholds");
        gate(&slo, &mut report);
        assert_eq!(report.outcome.status, Status::Missed);
        report
    };
    let sum = merged(vec![gated(), gated()]);
    let met: Vec<_> = sum
        .slo
        .iter()
        .map(|verdict| (verdict.threshold.as_str(), verdict.met))
        .collect();
    assert_eq!(met, [("p99<5ms", false), ("rate>30", true)]);
    assert_eq!((sum.outcome.exit_code, sum.outcome.messages.len()), (3, 1));
}

/// Returns two parts with these values in this field.
fn with(place: &str, values: [Value; 2]) -> Vec<Report> {
    let at = |value| {
        let mut report = serde_json::to_value(part(0, 1_000)).expect("plain data");
        *report.pointer_mut(place).expect(place) = value;
        serde_json::from_value(report).unwrap_or_else(|error| panic!("{place}: {error}"))
    };
    values.map(at).into()
}

#[test]
fn every_figure_of_the_sum_is_what_its_kind_makes_of_the_parts() {
    let check = |place: &str, values: [Value; 2], expected: Value| {
        let merged = serde_json::to_value(merged(with(place, values))).expect("plain data");
        assert_eq!(merged.pointer(place), Some(&expected), "{place}");
    };
    for place in [
        "/requests/scheduled",
        "/requests/launched",
        "/requests/answered",
        "/requests/unanswered",
        "/requests/interrupted",
        "/requests/completed",
        "/requests/bytes_read",
        "/connections/requested",
        "/connections/connected",
        "/connections/peak_live",
        "/connections/served",
        "/connections/active",
        "/connections/established",
        "/connections/retired",
        "/connections/closed_by_server",
        "/settings/connections",
        "/settings/active",
        "/settings/threads",
        "/settings/connect_rate",
        "/settings/rate",
        "/settings/requests",
        "/generator/resident_bytes",
        "/generator/resident_before_bytes",
        "/generator/resident_connected_bytes",
    ] {
        check(place, [json!(3), json!(40)], json!(43));
    }
    for place in [
        "/generator/cpu_user_s",
        "/generator/cpu_system_s",
        "/generator/waited_for_cpu_s",
    ] {
        check(place, [json!(3.0), json!(40.0)], json!(43.0));
    }
    for place in [
        "/connections/ramp_s",
        "/generator/busiest_thread",
        "/server/cpu_user_s",
        "/server/cpu_system_s",
    ] {
        check(place, [json!(3.0), json!(40.0)], json!(40.0));
    }
    for place in [
        "/server/resident_connected_bytes",
        "/server/resident_peak_bytes",
    ] {
        check(place, [json!(3), json!(40)], json!(40));
    }
    for place in ["/server/resident_before_bytes", "/started_unix_ms"] {
        check(place, [json!(40), json!(3)], json!(3));
    }
    let pins = |one, other| [json!(one), json!(other)];
    check("/settings/pin", pins("0", "1"), json!("various"));
    check("/settings/pin", pins("0", "0"), json!("0"));
    for (one, other) in [(false, true), (true, false)] {
        let place = "/outcome/generator_was_bottleneck";
        check(place, [json!(one), json!(other)], json!(true));
    }
    // If one part has no limit, the sum has none.
    let values = [json!(3), json!(null)];
    check("/settings/connect_rate", values, json!(null));
}

#[test]
fn whatever_makes_it_another_load_is_refused() {
    for (key, one, other, name) in [
        ("protocol", json!("echo"), json!("http"), "the protocol"),
        ("arrivals", json!("fixed"), json!("poisson"), "the loop"),
        ("pipeline", json!(1), json!(2), "--pipeline"),
        ("size", json!(64), json!(65), "--size"),
        ("size_mix", json!(null), json!("1:9,2:1"), "--size"),
        ("stages", json!(null), json!("1s:10"), "--stages"),
        ("think_time_s", json!(0.5), json!(null), "--think-time"),
        ("tls", json!(true), json!(false), "TLS"),
        ("hot", json!(null), json!("10%:90%"), "--hot"),
        ("hot_shift_s", json!(1.0), json!(2.0), "--hot-shift"),
        ("work_us", json!(1), json!(2), "--work"),
        ("verify", json!(true), json!(false), "--verify"),
        ("io", json!("helpers"), json!("poll"), "--io"),
        ("duration_s", json!(4.0), json!(5.0), "--duration"),
        ("requests", json!(5), json!(null), "--requests"),
        (
            "requests_per_conn",
            json!(5),
            json!(6),
            "--requests-per-conn",
        ),
        ("lifetime_s", json!(5.0), json!(null), "--lifetime"),
        ("timeout_s", json!(5.0), json!(6.0), "--timeout"),
    ] {
        let change = |value: Value| {
            let mut report = serde_json::to_value(part(0, 1_000)).expect("plain data");
            report["settings"][key] = value;
            serde_json::from_value(report).unwrap_or_else(|error| panic!("{key}: {error}"))
        };
        let parts = [one, other].map(change);
        let message = merge(&named(parts.into()), Vec::new()).expect_err(key);
        assert!(
            message.contains(&format!("to 0.json: {name} is ")),
            "{key}: {message}"
        );
    }
}

fn client(kind: &str, figure: u64) -> BadClients {
    BadClients {
        kind: kind.to_owned(),
        clients: u32::try_from(figure).expect("small"),
        connections: figure + 1,
        refused: figure + 2,
        requests: figure + 3,
        answers: figure + 4,
        cut_by_server: figure + 5,
    }
}

#[test]
fn bad_clients_are_added_by_their_ways() {
    let (mut a, mut b) = (part(0, 1), part(0, 1));
    a.bad_clients = vec![client("reset", 10), client("slow-read", 1)];
    b.bad_clients = vec![client("slow-read", 100)];
    let sum = serde_json::to_value(merged(vec![a, b]).bad_clients).expect("plain data");
    let slow = json!({
        "kind": "slow-read", "clients": 101, "connections": 103, "refused": 105,
        "requests": 107, "answers": 109, "cut_by_server": 111,
    });
    assert_eq!(sum, json!([client("reset", 10), slow]));
}

#[test]
fn clients_that_cannot_be_counted_do_not_begin_again_at_zero() {
    let parts = [u32::MAX, 2].map(|clients| {
        let mut part = part(0, 1);
        part.bad_clients = vec![BadClients {
            clients,
            ..client("reset", 0)
        }];
        part
    });
    assert_eq!(merged(parts.into()).bad_clients[0].clients, u32::MAX);
}

#[test]
fn other_distributions_and_the_failures_of_an_interval_are_added_too() {
    let (mut a, mut b) = (part(0, 1_000), part(600, 9_000));
    for (report, latency) in [(&mut a, 10), (&mut b, 20)] {
        let mut all = Recorder::new();
        all.record(latency);
        report.latency.schedule_lag = Some(Distribution::from(&all));
        report.connections.connect_latency = Distribution::from(&all);
        report.series.intervals[0].errors = latency;
    }
    let sum = merged(vec![a, b]);
    let lag = sum.latency.schedule_lag.as_ref().expect("both have it");
    for distribution in [lag, &sum.connections.connect_latency] {
        assert_eq!(
            (distribution.count, distribution.min_ns, distribution.max_ns),
            (2, 10, 20)
        );
    }
    // The middle of the second part's first interval is in the second interval of the sum.
    let errors = of_intervals(&sum, |interval| interval.errors);
    assert_eq!(errors, [10, 20, 0, 0, 0]);
}

#[test]
fn an_interrupted_part_makes_an_interrupted_sum_whatever_the_others() {
    let ended = |status, exit_code| {
        let mut report = part(0, 1);
        (report.outcome.status, report.outcome.exit_code) = (status, exit_code);
        report
    };
    let (failed, interrupted) = (ended(Status::Failed, 1), ended(Status::Interrupted, 130));
    for parts in [
        vec![failed.clone(), interrupted.clone()],
        vec![interrupted, failed],
    ] {
        let outcome = merged(parts).outcome;
        assert_eq!(
            (outcome.status, outcome.exit_code),
            (Status::Interrupted, 130)
        );
    }
}

/// Returns a part on this host, whose clock differs from the folder's by `offset_ms`, within 4 ms.
fn on_host(host: &str, offset_ms: f64, stamped_by_server: bool) -> Report {
    let mut report = part(0, 1_000);
    report.clocks.push(PartClock {
        part: "1/2".to_owned(),
        host: host.to_owned(),
        file_system: Some("nfs4".to_owned()),
        stamped_by_server,
        offset_ms,
        bound_ms: 4.0,
    });
    report
}

#[test]
fn clocks_that_differ_are_reported() {
    // The measured time is 4 s, so 40 ms are allowed.
    for (parts, line, warning) in [
        (
            &[("a", 10.0, true), ("b", -10.0, true)][..],
            "12.00ms to 28.00ms apart",
            "",
        ),
        (
            &[("a", 25.0, true), ("b", -10.0, true)],
            "27.00ms to 43.00ms apart",
            "the clocks of the parts are 27.00ms to 43.00ms apart, and 1% of the measured time is 40.00ms",
        ),
        (
            &[("a", -3.0, true), ("b", -510.5, true), ("c", 0.0, true)],
            "502.50ms to 518.50ms apart",
            "502.50ms to 518.50ms apart",
        ),
        (
            &[("a", 0.0, true), ("b", 1.0, true)],
            "0ns to 9.00ms apart",
            "",
        ),
        (&[("a", 0.0, false), ("b", 0.0, true)], "not compared", ""),
        (&[("a", 0.0, false), ("a", 0.0, false)], "one machine", ""),
    ] {
        let parts = parts
            .iter()
            .map(|&(host, offset_ms, stamped)| on_host(host, offset_ms, stamped));
        let parts: Vec<_> = parts.collect();
        let count = parts.len();
        let sum = merged(parts);
        assert_eq!(sum.clocks.len(), count);
        let warnings = &sum.outcome.warnings;
        match warning {
            "" => assert!(warnings.is_empty(), "{warnings:?}"),
            words => assert!(warnings[0].contains(words), "{warnings:?}"),
        }
        let text = crate::report::text::render(&sum);
        assert!(text.contains(&format!("  Clocks: {line}")), "{text}");
    }
    let text = crate::report::text::render(&merged(vec![on_host("a", -2.5, true)]));
    assert!(
        text.contains("1/2 on a: -2.50ms, give or take 4.00ms"),
        "{text}"
    );
    assert!(!crate::report::text::render(&merged(vec![part(0, 1)])).contains("Clocks"));
}
