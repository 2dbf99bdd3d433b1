use super::*;
use crate::measure::failure::{ErrorKind, Errors, Failure};
use crate::measure::histogram::Recorder;
use crate::report::settings::Arrivals;

/// Returns the report of a successful run, for tests of code that reads reports.
pub(crate) fn sample(requests_per_s: f64, latency_us: u64) -> Report {
    let mut raw = Recorder::new();
    for step in 1..=100 {
        raw.record(latency_us * 10 * step);
    }
    Report {
        format: FORMAT.to_owned(),
        version: VERSION,
        loadgen: "0.0.0".to_owned(),
        command: vec!["loadgen".to_owned()],
        started_unix_ms: 1,
        measured_unix_ms: 1,
        target: Target {
            address: "127.0.0.1:7".to_owned(),
            embedded: true,
            shards: Some(2),
        },
        settings: Settings {
            connections: 4_000,
            active: 4_000,
            threads: 1,
            duration_s: Some(10.0),
            pipeline: 1,
            protocol: "echo".to_owned(),
            size: 64,
            timeout_s: 5.0,
            warmup_s: 1.0,
            verify: true,
            pin: "none".to_owned(),
            ..Settings::default()
        },
        elapsed_s: 10.0,
        connections: Connections {
            requested: 4_000,
            connected: 4_000,
            peak_live: 4_000,
            served: 4_000,
            active: 4_000,
            established: 4_000,
            ramp_s: 0.1,
            connect_latency: Distribution::from(&raw),
            ..Connections::default()
        },
        requests: Requests {
            scheduled: 100,
            launched: 100,
            answered: 100,
            completed: 100,
            bytes_read: 6_400,
            ..Requests::default()
        },
        throughput: Throughput {
            requests_per_s,
            bytes_read_per_s: 64.0 * requests_per_s,
            ..Throughput::default()
        },
        latency: Latency {
            raw: Distribution::from(&raw),
            ..Latency::default()
        },
        series: TimeSeries {
            interval_s: 1.0,
            intervals: vec![Interval::new(0.0, 1.0, 100, 0, &raw)],
        },
        server: Some(Server {
            pid: 1,
            cpu_us_per_request: Some(1e6 / requests_per_s),
            cpu_user_us_per_request: Some(0.0),
            cpu_system_us_per_request: Some(1e6 / requests_per_s),
            requests_per_cpu_s: Some(requests_per_s),
            ..Server::default()
        }),
        ..Report::default()
    }
}

fn line<'a>(text: &'a str, word: &str) -> &'a str {
    text.lines()
        .find(|line| line.contains(word))
        .unwrap_or_else(|| panic!("no line with {word:?} in\n{text}"))
}

#[test]
fn the_text_has_wrks_shape() {
    let text = text::render(&sample(12_345.678, 100));
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("PASS"));
    assert_eq!(
        lines.next(),
        Some("Running 10s test @ 127.0.0.1:7 (embedded echo server, 2 shards)")
    );
    assert_eq!(lines.next(), Some("  1 thread and 4,000 connections"));
    let last: Vec<_> = text.lines().rev().take(3).collect();
    assert_eq!(last[2], "  100 requests in 10.00s, 6.25KB read");
    assert_eq!(last[1], "Requests/sec:     12345.68");
    assert_eq!(last[0], "Transfer/sec:     771.60KB");
    assert_eq!(
        line(&text, " 99% ").split_whitespace().collect::<Vec<_>>(),
        ["99%", "99.01us"]
    );
    assert!(line(&text, "closed loop:").contains("stall"));
    assert!(
        !text.contains("Errors"),
        "errors only when there are some\n{text}"
    );
}

#[test]
fn an_open_loop_shows_both_latencies() {
    let mut report = sample(1_000.0, 100);
    report.settings.rate = Some(rate::Rate::whole(1_000));
    report.settings.arrivals = Some(Arrivals::Poisson);
    let mut corrected = Recorder::new();
    corrected.record(2_000_000_000);
    report.latency.corrected = Some(Distribution::from(&corrected));
    report.latency.schedule_lag = Some(Distribution::from(&Recorder::new()));
    let text = text::render(&report);
    assert!(
        text.contains("open loop at 1,000 requests/s (poisson)"),
        "{text}"
    );
    assert_eq!(
        line(&text, " 50% ").split_whitespace().collect::<Vec<_>>(),
        ["50%", "2.00s", "50.02us"]
    );
    assert!(
        line(&text, "Schedule:")
            .contains("100 due (10.00/s), 100 sent, 100 answered (1.00k/s in time)")
    );
}

#[test]
fn errors_are_shown_with_their_first_example() {
    let mut errors = Errors::default();
    errors.record(
        17,
        &Failure::new(ErrorKind::WrongAnswer, "request 3: byte 5 differs"),
    );
    let mut report = sample(1.0, 1);
    report.errors = ErrorCount::list(&errors);
    let text = text::render(&report);
    assert!(line(&text, "Errors:").contains("1 connection failed"));
    assert!(
        line(&text, "wrong answer: 1")
            .contains("(first: connection 17: request 3: byte 5 differs)")
    );
}

#[test]
fn bars_hold_every_value_once() {
    let mut recorder = Recorder::new();
    for value in [1, 999, 1_000, 1_999, 2_000, 49_999, 7_000_000_000] {
        recorder.record(value);
    }
    let mut report = sample(1.0, 1);
    report.latency.raw = Distribution::from(&recorder);
    let text = text::render(&report);
    let shares: Vec<f64> = text
        .lines()
        .filter_map(|line| line.rsplit_once('|'))
        .map(|(_, share)| share.trim().trim_end_matches('%').parse().expect("a share"))
        .collect();
    // From 1 ns to 10 s: three bins in each of ten decades, minus the first bin of the first
    // decade.
    assert_eq!(shares.len(), 30);
    assert!(
        (shares.iter().sum::<f64>() - 100.0).abs() < 0.1,
        "{shares:?}"
    );
    assert!(line(&text, "1us - 2us").contains("28.57%"), "{text}");
}

#[test]
fn json_reads_back_on_one_line() {
    let report = sample(5.0, 10);
    let text = String::from_utf8(json::line(&report)).expect("text");
    assert_eq!(text.matches('\n').count(), 1);
    let read: Report = serde_json::from_str(&text).expect("what was written");
    assert_eq!((read.format.as_str(), read.version), (FORMAT, VERSION));
    let recorder = read.latency.raw.recorder().expect("a histogram");
    assert_eq!(
        (recorder.count(), recorder.max()),
        (report.latency.raw.count, report.latency.raw.max_ns)
    );
}

#[test]
fn json_has_null_where_nothing_was_recorded() {
    let mut report = sample(5.0, 10);
    let empty = Interval::new(1.0, 1.0, 0, 0, &Recorder::new());
    report.series.intervals.push(empty);
    report.connections.connect_latency = Distribution::from(&Recorder::new());
    report.generator = Generator::default();
    let json = serde_json::to_value(&report).expect("plain data");
    for place in [
        "/connections/connect_latency/p50_ns",
        "/connections/connect_latency/mean_ns",
        "/series/intervals/1/max_ns",
        "/generator/cpu_us_per_request",
        "/throughput/interval_mean_per_s",
    ] {
        assert_eq!(
            json.pointer(place),
            Some(&serde_json::Value::Null),
            "{place}"
        );
    }
    assert_eq!(
        json.pointer("/latency/raw/p50_ns"),
        Some(&report.latency.raw.p50_ns.into())
    );
    let read: Report = serde_json::from_value(json).expect("what was written");
    assert_eq!(read.connections.connect_latency.p50_ns, 0);
}

#[test]
fn figures_are_readable() {
    use crate::measure::units::*;
    assert_eq!(
        ["0ns", "999ns", "1.50us", "2.00ms", "1.00s", "2.00m"].map(str::to_owned),
        [0, 999, 1_500, 2_000_000, 1_000_000_000, 120_000_000_000].map(duration)
    );
    assert_eq!(
        ["1.00", "1.50k", "2.00M"].map(str::to_owned),
        [1.0, 1_500.0, 2e6].map(metric)
    );
    assert_eq!(
        ["0B", "1023B", "1.00KB", "1.50MB"].map(str::to_owned),
        [0.0, 1_023.0, 1_024.0, 1.5 * 1_048_576.0].map(bytes)
    );
    assert_eq!(
        ["0", "999", "1,000", "1,234,567"].map(str::to_owned),
        [0, 999, 1_000, 1_234_567].map(count)
    );
    assert_eq!(
        ["0ns", "2us", "1.5ms", "20s"].map(str::to_owned),
        [0.0, 2e3, 1.5e6, 2e10].map(short_duration)
    );
    assert_eq!(
        ["0", "2.5", "10k", "1.25M"].map(str::to_owned),
        [0.0, 2.5, 1e4, 1.25e6].map(short_metric)
    );
    assert_eq!(
        [0, 951_782_399_000, 1_709_208_000_000, 4_107_542_400_999].map(utc),
        [
            "1970-01-01 00:00:00 UTC",
            "2000-02-28 23:59:59 UTC",
            "2024-02-29 12:00:00 UTC",
            "2100-03-01 00:00:00 UTC"
        ]
        .map(str::to_owned)
    );
    assert_eq!(
        (plural(1, "thread"), plural(2, "thread")),
        ("1 thread".to_owned(), "2 threads".to_owned())
    );
}

#[test]
fn the_table_has_the_run_and_every_interval() {
    let mut report = sample(1_000.0, 100);
    report
        .series
        .intervals
        .push(Interval::new(1.0, 0.0, 0, 2, &Recorder::new()));
    let rows = |report: &Report| -> Vec<Vec<String>> {
        let text = csv::render(report);
        text.lines()
            .map(|line| line.split(',').map(str::to_owned).collect())
            .collect()
    };
    let table = rows(&report);
    assert!(
        table.iter().all(|row| row.len() == table[0].len()),
        "{table:?}"
    );
    let scopes = |table: &[Vec<String>]| -> Vec<String> {
        table[1..].iter().map(|row| row[..2].join(" ")).collect()
    };
    assert_eq!(scopes(&table), ["run raw", "interval raw", "interval raw"]);
    let column = |name: &str| {
        let header = &table[0];
        header.iter().position(|other| other == name).expect(name)
    };
    assert_eq!(table[1][column("p99_us")], "99.007");
    assert_eq!(table[2][column("requests_per_s")], "100.000");
    let after = &table[3];
    assert_eq!(
        (
            after[column("errors")].as_str(),
            after[column("requests_per_s")].as_str()
        ),
        ("2", "")
    );
    assert!(
        after[column("min_us")..].iter().all(String::is_empty),
        "no latencies, no figures"
    );

    report.latency.corrected = Some(report.latency.raw.clone());
    assert_eq!(
        scopes(&rows(&report)),
        [
            "run corrected",
            "run raw",
            "interval corrected",
            "interval corrected"
        ]
    );
}

#[test]
fn the_log_has_a_line_for_each_interval() {
    let mut report = sample(1_000.0, 100);
    (report.measured_unix_ms, report.command) = (1_700_000_000_042, vec!["load\ngen".to_owned()]);
    report
        .series
        .intervals
        .push(Interval::new(1.0, 0.0, 0, 2, &Recorder::new()));
    let text = hlog::render(&report);
    let (comments, lines): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with('#'));
    assert!(
        comments.contains(&"#[StartTime: 1700000000.042 (seconds since epoch)]"),
        "{text}"
    );
    assert!(lines[0].starts_with(r#""StartTimestamp""#));
    let fields: Vec<Vec<&str>> = lines[1..]
        .iter()
        .map(|line| line.split(',').collect())
        .collect();
    assert_eq!(fields[0][..3], ["0.000", "1.000", "0.100"]);
    assert_eq!(fields[1][..3], ["1.000", "1.000", "0.000"]);
    let read = |at: usize| Recorder::from_base64(fields[at][3]).expect("a histogram");
    assert_eq!(
        (fields.len(), read(0).count(), read(1).count()),
        (2, 100, 0)
    );
}

#[test]
fn the_first_line_is_the_verdict_with_its_reason() {
    let first = |change: fn(&mut Outcome)| {
        let mut report = sample(1.0, 1);
        change(&mut report.outcome);
        let text = text::render(&report);
        text.lines().next().expect("a line").to_owned()
    };
    assert_eq!(first(|_| {}), "PASS");
    let doubtful = first(|outcome| outcome.warnings = vec!["it was busy".to_owned()]);
    assert_eq!(doubtful, "DOUBTFUL: it was busy");
    let failed = first(|outcome| {
        outcome.ended_early = Some("after 3.00s of 20.00s: no connection is left".to_owned());
        outcome.fail("refused".to_owned());
    });
    assert_eq!(
        failed,
        "FAIL: ended early, after 3.00s of 20.00s: no connection is left; refused"
    );
    let interrupted = first(|outcome| outcome.status = Status::Interrupted);
    assert_eq!(interrupted, "INTERRUPTED");
}
