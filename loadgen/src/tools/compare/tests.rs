use super::*;
use crate::report::VERSION;
use crate::report::read::parse;
use crate::report::tests::sample;

pub(crate) fn contender(rates: &[f64]) -> Contender {
    Contender {
        file: "x.json".to_owned(),
        rounds: rates.iter().map(|&rate| sample(rate, 100)).collect(),
    }
}

fn find<'a>(comparison: &'a Comparison, name: &str) -> &'a Metric {
    comparison
        .metrics
        .iter()
        .find(|metric| metric.name == name)
        .unwrap_or_else(|| panic!("no {name}"))
}

fn texts(contender: &Contender) -> Vec<String> {
    contender
        .rounds
        .iter()
        .map(|round| serde_json::to_string(round).expect("serialises"))
        .collect()
}

#[test]
fn a_faster_contender_is_better_and_costs_less() {
    let base = [100.0, 140.0, 90.0, 120.0];
    let comparison =
        compare(&contender(&base), &contender(&base.map(|rate| rate * 1.1))).expect("pairs");
    let rate = find(&comparison, "requests_per_s");
    assert_eq!(
        (rate.verdict, rate.better, rate.a_median),
        (Verdict::BBetter, "higher", 110.0)
    );
    assert!((rate.ratio.expect("an interval") - 1.1).abs() < 1e-9);
    let cpu = find(&comparison, "server_cpu_us_per_request");
    assert_eq!((cpu.verdict, cpu.better), (Verdict::BBetter, "lower"));
    assert_eq!(
        find(&comparison, "latency_p99").verdict,
        Verdict::NoDifferenceShown
    );
    assert!(comparison.warnings.is_empty(), "{:?}", comparison.warnings);
}

#[test]
fn noise_shows_no_difference() {
    let comparison = compare(
        &contender(&[100.0, 110.0, 95.0]),
        &contender(&[105.0, 100.0, 99.0]),
    )
    .expect("pairs");
    let rate = find(&comparison, "requests_per_s");
    assert_eq!(rate.verdict, Verdict::NoDifferenceShown);
    assert!(rate.low.expect("an interval") < 1.0 && rate.high.expect("an interval") > 1.0);
    assert!(comparison.render().contains("no difference shown"));
    let csv = comparison.csv();
    let row = csv
        .lines()
        .find(|line| line.starts_with("requests_per_s,"))
        .expect("a row");
    assert!(
        row.starts_with("requests_per_s,1/s,higher,100.000000,100.000000,"),
        "{row}"
    );
    assert!(row.ends_with(",no difference shown"), "{row}");
    let columns = |line: &str| line.split(',').count();
    assert!(
        csv.lines().all(|line| columns(line) == columns(row)),
        "{csv}"
    );
}

#[test]
fn one_round_has_no_interval_and_says_so() {
    let comparison = compare(&contender(&[100.0]), &contender(&[200.0])).expect("a pair");
    assert_eq!(
        find(&comparison, "requests_per_s").verdict,
        Verdict::NoInterval
    );
    assert!(
        comparison
            .render()
            .contains("Warning: one round has no interval")
    );
}

#[test]
fn unequal_rounds_are_refused() {
    let message = compare(&contender(&[1.0, 2.0]), &contender(&[1.0])).expect_err("unequal");
    assert!(
        message.contains("2 rounds") && message.contains("cannot be paired"),
        "{message}"
    );
}

#[test]
fn doubtful_rounds_are_named() {
    let (mut a, mut b) = (contender(&[1.0, 1.0]), contender(&[1.0, 1.0]));
    a.rounds[1].outcome.status = Status::Failed;
    b.rounds[0].outcome.generator_was_bottleneck = true;
    b.rounds[0].settings.size = 128;
    let warnings = compare(&a, &b).expect("pairs").warnings.join("\n");
    for words in ["1 rounds did not end well", "bottleneck", "same load"] {
        assert!(warnings.contains(words), "{words} is not in {warnings}");
    }
}

#[test]
fn a_metric_that_a_round_lacks_is_left_out() {
    let mut a = contender(&[1.0, 1.0]);
    a.rounds[1].server = None;
    let comparison = compare(&a, &contender(&[1.0, 1.0])).expect("pairs");
    assert!(
        comparison
            .metrics
            .iter()
            .all(|metric| !metric.name.contains("server"))
    );
}

#[test]
fn lines_and_arrays_read_alike() {
    let rounds = texts(&contender(&[1.0, 2.0, 3.0]));
    let rates = |text: &str| -> Vec<f64> {
        parse(text)
            .expect("reports")
            .iter()
            .map(|round| round.throughput.requests_per_s)
            .collect()
    };
    assert_eq!(rates(&rounds.join("\n")), [1.0, 2.0, 3.0]);
    assert_eq!(rates(&format!("[{}]", rounds.join(","))), [1.0, 2.0, 3.0]);
}

#[test]
fn other_files_are_refused_with_a_reason() {
    let report = &texts(&contender(&[1.0]))[0];
    for (text, words) in [
        ("", "no report"),
        ("{", "not JSON"),
        ("{}", "not a report"),
        (r#"{"format":"other"}"#, "other"),
        (
            &report.replacen(&format!(r#""version":{VERSION}"#), r#""version":99"#, 1),
            "version 99",
        ),
        (&report.replacen("elapsed_s", "elapsed", 1), "elapsed_s"),
    ] {
        let message = parse(text).expect_err(text);
        assert!(message.contains(words), "{words} is not in {message}");
    }
    let message = read(Path::new("/no/such/file.json")).expect_err("no file");
    assert!(message.starts_with("/no/such/file.json: "), "{message}");
}

#[test]
fn a_zero_keeps_a_metric_from_an_interval_and_the_verdict_says_so() {
    let rates = [100.0, 101.0, 99.0, 100.0, 102.0, 98.0, 100.0];
    let (a, whole) = (contender(&rates), contender(&rates));
    let mut b = contender(&rates);
    b.rounds[3].throughput.requests_per_s = 0.0;
    let shown = |comparison: &Comparison| {
        let metric = find(comparison, "requests_per_s");
        let text = comparison.render();
        let line = text
            .lines()
            .find(|line| line.trim_start().starts_with("requests_per_s"));
        (metric.ratio.is_some(), line.expect("a row").to_owned())
    };
    let (has_interval, line) = shown(&compare(&a, &whole).expect("pairs"));
    assert!(has_interval && !line.contains("zero"), "{line}");
    // A zero on either side has no ratio.
    for (a, b) in [(&a, &b), (&b, &a)] {
        let (has_interval, line) = shown(&compare(a, b).expect("pairs"));
        assert!(!has_interval && line.contains("or a zero"), "{line}");
    }
}

#[test]
fn the_table_reads_back_with_as_many_fields_as_its_header() {
    // One round has no interval, and the text for that contains a comma.
    let comparison = compare(&contender(&[100.0]), &contender(&[110.0])).expect("paired");
    let table = comparison.csv();
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    assert_eq!(reader.headers().expect("a header").len(), 9);
    let rows: Vec<_> = reader
        .records()
        .collect::<Result<_, _>>()
        .expect("every row has the header's fields");
    assert_eq!(rows.len(), comparison.metrics.len());
    assert_eq!(&rows[0][0], "requests_per_s");
    assert_eq!(&rows[0][8], "too few rounds, or a zero");
}
