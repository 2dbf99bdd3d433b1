//! Stages, rates below one per second, and think time.

mod common;

use common::{echo_all, run, serve};

#[test]
fn stages_rise_and_fall() {
    let server = serve(|_, mut stream| echo_all(&mut stream));
    let args = "-c 4 --stages 1s:200,1s:0 --interval 500ms --format json";
    let report = run(&format!("{server} {args}")).expect_code(0).report();
    assert_eq!(
        (report.requests.scheduled, report.requests.answered),
        (200, 200)
    );
    assert!(
        (report.elapsed_s - 2.0).abs() < 1e-9,
        "{}",
        report.elapsed_s
    );
    assert_eq!(report.settings.stages.as_deref(), Some("1s:200,1s:0"));
    // A quarter of the requests is due in the outer halves of each second.
    let intervals = &report.series.intervals;
    let outer = intervals[0].completed + intervals[3].completed;
    assert!(outer < 80, "{outer} of 200");
}

#[test]
fn a_rate_may_be_below_one_per_second() {
    let server = serve(|_, mut stream| echo_all(&mut stream));
    let run = run(&format!(
        "{server} -c 1 -R 0.8 -d 3s --warmup 0 --format json"
    ));
    let report = run.expect_code(0).report();
    // They are due at 0 s, 1.25 s and 2.5 s.
    assert_eq!(
        (report.requests.scheduled, report.requests.answered),
        (3, 3)
    );
    let rate = serde_json::to_value(&report).expect("plain data")["settings"]["rate"].clone();
    assert_eq!(rate, serde_json::json!(0.8));
}

#[test]
fn a_connection_thinks_after_each_answer() {
    let server = serve(|_, mut stream| echo_all(&mut stream));
    let run = run(&format!(
        "{server} -c 2 -n 10 --think-time 100ms --format json"
    ));
    let report = run.expect_code(0).report();
    assert_eq!(report.requests.answered, 10);
    // Five requests on each connection have four waits between them.
    assert!(report.elapsed_s > 0.4, "{}", report.elapsed_s);
    assert!(
        report.latency.raw.p50_ns < 100_000_000,
        "the wait is no latency"
    );
}

#[test]
fn stages_exclude_what_contradicts_them() {
    for args in [
        "--stages 1s:5 -R 5",
        "--stages 1s:5 -d 3s",
        "--think-time 1s -R 5",
        "--stages 1s",
    ] {
        run(args).expect_code(2);
    }
}
