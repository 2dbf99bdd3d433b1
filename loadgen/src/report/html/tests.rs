use super::*;
use crate::measure::histogram::Recorder;
use crate::report::tests::sample;
use crate::report::{ErrorCount, Interval, Report};
use crate::tools::compare::{compare, tests::contender};
use crate::tools::sweep::tests::sweep as sweep_of;

/// Returns the report of a run of ten seconds with a stall in the seventh second.
fn eventful() -> Report {
    let mut report = sample(1_000.0, 100);
    report.settings.rate = Some(crate::report::rate::Rate::whole(1_200));
    report.latency.corrected = Some(report.latency.raw.clone());
    let slo = "p99<1us".parse().expect("a threshold");
    report.slo = crate::report::gate::judge(&slo, &report);
    report.bad_clients = vec![crate::report::BadClients {
        kind: "slow-reader".to_owned(),
        clients: 7,
        connections: 8,
        refused: 0,
        requests: 9,
        answers: 9,
        cut_by_server: 1,
    }];
    report.status_codes = [(200, 75), (503, 25)].into();
    report.latency.failures = report.latency.raw.clone();
    report.latency.first_byte = Some(report.latency.raw.clone());
    report.connections.handshake_latency = Some(report.latency.raw.clone());
    report.errors = vec![ErrorCount {
        kind: "reset".to_owned(),
        description: "connection reset by the server".to_owned(),
        count: 3,
        first: "connection 17: <b>gone</b> & \"away\"".to_owned(),
    }];
    report.series.intervals = (0..10)
        .map(|at: u32| {
            let mut latencies = Recorder::new();
            latencies.record(if at == 7 { 900_000_000 } else { 40_000 });
            if at == 6 {
                latencies = Recorder::new();
            }
            Interval::new(f64::from(at), 1.0, 100, u64::from(at / 8), &latencies)
        })
        .collect();
    report
}

/// Asserts that every element is closed in order, and returns the names of all elements.
fn elements(page: &str) -> Vec<String> {
    const VOID: [&str; 2] = ["meta", "link"];
    let (mut open, mut all): (Vec<String>, _) = (Vec::new(), Vec::new());
    let body = page.split_once("</style>").expect("a style").1;
    for tag in body.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').expect("tags end");
        let name: String = tag
            .chars()
            .take_while(|c| !c.is_whitespace() && *c != '/')
            .collect();
        if let Some(closed) = tag.strip_prefix('/') {
            let expected = open.pop();
            if closed != "head" && closed != "html" {
                assert_eq!(expected.as_deref(), Some(closed), "{open:?}");
            }
        } else {
            all.push(name.clone());
            if !tag.ends_with('/') && !VOID.contains(&name.as_str()) {
                open.push(name);
            }
        }
    }
    all
}

fn assert_self_contained(page: &str) {
    for word in ["http:", "https:", "<script", "@import", "url(", "src="] {
        assert!(!page.contains(word), "{word} is in the page");
    }
    assert!(
        !page.contains("NaN") && !page.contains("inf"),
        "a plot has no place"
    );
}

#[test]
fn a_run_has_every_section_and_nothing_from_elsewhere() {
    let page = run(&eventful());
    assert_self_contained(&page);
    for id in ["latency", "time", "statuses", "errors", "run"] {
        assert!(page.contains(&format!("<section id=\"{id}\"")), "{id}");
    }
    let svgs = elements(&page).iter().filter(|name| *name == "svg").count();
    // Four figures, each drawn twice, and seven colour samples in their legends: two percentiles,
    // two rates, three latencies.
    assert_eq!(svgs, 4 * 2 + 7);
    assert_eq!(page.matches("role=\"img\"").count(), 8);
    assert_eq!(page.matches("<desc ").count(), 8, "each says what it shows");
    for words in [
        "Bad clients: slow-reader",
        "p99&lt;1us</th><td>missed",
        "503</th><td>25</td><td>25.00%",
        "<th scope=\"col\">first byte</th><th scope=\"col\">failed</th>",
        "<th scope=\"col\">TLS handshake</th>",
    ] {
        assert!(page.contains(words), "{words}");
    }
    assert!(
        page.contains("900.20ms, came in the interval that began at 7.0 s"),
        "{page}"
    );
}

#[test]
fn what_a_server_or_a_user_wrote_is_text() {
    let mut report = eventful();
    report.command = vec![
        "loadgen".to_owned(),
        "</code><script>alert(1)</script>".to_owned(),
    ];
    let page = run(&report);
    assert_self_contained(&page);
    assert!(page.contains("&lt;b&gt;gone&lt;/b&gt; &amp; &quot;away&quot;"));
    elements(&page);
}

#[test]
fn a_run_in_which_nothing_happened_still_has_a_page() {
    let mut report = sample(0.0, 1);
    report.latency.raw = crate::report::Distribution::from(&Recorder::new());
    report.series.intervals.clear();
    report.server = None;
    let page = run(&report);
    assert_self_contained(&page);
    assert!(page.contains("Nothing was measured") && page.contains("Nothing failed"));
    elements(&page);
}

#[test]
fn a_line_is_broken_where_nothing_was_measured() {
    let page = run(&eventful());
    let latencies = page
        .split("id=\"latencies-wide-t\"")
        .nth(1)
        .expect("the figure");
    let line = latencies
        .split("class=\"line s1\" d=\"")
        .nth(1)
        .expect("the line");
    let path = line.split('"').next().expect("a path");
    assert_eq!(path.matches('M').count(), 2, "{path}");
}

#[test]
fn a_comparison_shows_each_metric_with_its_interval() {
    let base = [100.0, 140.0, 90.0, 120.0, 100.0, 110.0];
    let (a, b) = (contender(&base), contender(&base.map(|rate| rate * 1.1)));
    let compared = compare(&a, &b).expect("pairs");
    let page = comparison(&compared, &a, &b);
    assert_self_contained(&page);
    elements(&page);
    for id in ["ratios", "latency", "rounds"] {
        assert!(page.contains(&format!("<section id=\"{id}\"")), "{id}");
    }
    let shown = |class: &str| page.matches(&format!("<circle class=\"{class}\"")).count();
    let verdicts = |verdict| {
        compared
            .metrics
            .iter()
            .filter(|metric| metric.verdict == verdict)
            .count()
    };
    assert_eq!(
        shown("better"),
        2 * verdicts(crate::report::comparison::Verdict::BBetter)
    );
    assert_eq!(
        shown("same"),
        2 * verdicts(crate::report::comparison::Verdict::NoDifferenceShown)
    );
    assert!(shown("better") > 0 && shown("same") > 0);
}

#[test]
fn one_round_has_no_intervals_to_show() {
    let (a, b) = (contender(&[100.0]), contender(&[110.0]));
    let page = comparison(&compare(&a, &b).expect("a pair"), &a, &b);
    assert_self_contained(&page);
    assert!(page.contains("too few rounds") && !page.contains("<circle"));
}

#[test]
fn a_sweep_shows_what_decided_and_lists_every_run() {
    let swept = sweep_of(&[
        (10, true),
        (20, false),
        (20, true),
        (30, false),
        (30, false),
    ]);
    let page = sweep(&swept);
    assert_self_contained(&page);
    elements(&page);
    for id in ["knee", "steps"] {
        assert!(page.contains(&format!("<section id=\"{id}\"")), "{id}");
    }
    // Two figures, each drawn twice, with a point for each of three rates.
    assert_eq!(page.matches("role=\"img\"").count(), 4);
    let figure = page.split("id=\"rate-wide-t\"").nth(1).expect("a figure");
    let answered = figure
        .split("class=\"line s1\" d=\"")
        .nth(1)
        .expect("a line");
    let path = answered.split('"').next().expect("a path");
    assert_eq!(path.matches(['M', 'L']).count(), 3, "{path}");
    assert_eq!(page.matches("<th scope=\"row\">").count(), 5);
    assert_eq!(page.matches("<td>missed</td>").count(), 3);
    assert!(
        page.contains("20 requests/s held p99&lt;1ms; 30/s did not"),
        "{page}"
    );
    assert!(
        page.contains("<dt>Held</dt><dd>20</dd>") && page.contains("<dt>Broke</dt><dd>30</dd>")
    );
}

#[test]
fn a_sweep_without_steps_or_answers_still_has_a_page() {
    let mut none = sweep_of(&[]);
    none.messages = vec!["<gone>".to_owned()];
    let page = sweep(&none);
    assert_self_contained(&page);
    elements(&page);
    assert!(page.contains("No step was run") && page.contains("&lt;gone&gt;"));
    let mut silent = sweep_of(&[(10, false), (10, false)]);
    for step in &mut silent.steps {
        step.report.latency.raw = crate::report::Distribution::from(&Recorder::new());
        step.report.throughput.requests_per_s = 0.0;
    }
    let page = sweep(&silent);
    assert_self_contained(&page);
    elements(&page);
    assert!(!page.contains("the last rate that held"));
}
