//! Thresholds, and their effect on the exit code.

mod common;

use std::io::Read;
use std::time::Duration;

use common::{echo, run, serve, start};
use loadgen::report::Status;

#[test]
fn met_thresholds_change_nothing() {
    let run = run("-c 5 -n 500 --slo p99<60s,errors=0,rate>=1").expect_code(0);
    assert!(run.stdout.contains("Thresholds: 3 of 3 met"), "{run:#?}");
    assert!(!run.stderr.contains("--slo"), "{run:#?}");
}

#[test]
fn a_missed_threshold_ends_with_three_and_says_by_how_much() {
    // Every answer except the first takes 20 ms.
    let server = serve(|_, mut stream| {
        echo(&mut stream, 64)?;
        loop {
            let mut request = [0; 64];
            stream.read_exact(&mut request)?;
            std::thread::sleep(Duration::from_millis(20));
            std::io::Write::write_all(&mut stream, &request)?;
        }
    });
    let args = format!("{server} -c 2 -n 20 --slo p50<10ms,errors=0");
    let text = run(&args)
        .expect_code(3)
        .expect_message("--slo: p50<10ms missed: ");
    assert!(text.stdout.contains("Thresholds: 1 of 2 met"), "{text:#?}");
    assert!(text.stdout.contains("ms over ("), "{text:#?}");
    let report = run(&format!("{args} --format json"))
        .expect_code(3)
        .report();
    assert_eq!(
        (report.outcome.status, report.outcome.exit_code),
        (Status::Missed, 3)
    );
    let [latency, errors] = &report.slo[..] else {
        panic!("two thresholds: {:?}", report.slo)
    };
    assert!(!latency.met && latency.measured.expect("measured") >= 20e6);
    assert!(errors.met && errors.measured == Some(0.0));
}

#[test]
fn a_threshold_on_errors_decides_whether_failed_connections_are_a_failure() {
    // Each connection ends after its third answer, in the middle of the load.
    let server = || serve(|_, mut stream| echo(&mut stream, 3 * 64));
    let args = "-c 4 -n 100 --no-reconnect";
    run(&format!("{} {args}", server())).expect_code(1);
    run(&format!("{} {args} --slo errors=0", server()))
        .expect_code(3)
        .expect_message("errors=0 missed: 4, 4 over");
    let tolerant = run(&format!("{} {args} --slo errors<=4", server())).expect_code(0);
    assert!(
        tolerant.stdout.contains("Errors: 4 connections failed"),
        "{tolerant:#?}"
    );
    // A load that never began is a failure, whatever the thresholds tolerate.
    run("127.0.0.1:1 -c 4 -n 100 --slo errors<=4").expect_code(1);
}

#[test]
fn an_interrupted_run_is_judged_and_keeps_its_exit_code() {
    let running = start("-c 20 -d 50 --warmup 0 --slo p50>50s");
    let pid = running.pid();
    let open = || std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    common::wait_until("the load", || open() > 30);
    // No run can meet this threshold, so it is missed even if the load has not begun.
    let status = std::process::Command::new("kill")
        .args(["-INT", &pid.to_string()])
        .status();
    assert!(status.expect("kill is there").success());
    let run = running
        .finish()
        .expect_code(130)
        .expect_message("p50>50s missed");
    assert!(run.stdout.contains("Interrupted") && run.stdout.contains("Thresholds: 0 of 1 met"));
}

#[test]
fn what_cannot_be_read_ends_with_two() {
    run("--slo p99~5ms")
        .expect_code(2)
        .expect_message("no operator");
    run("--slo latency<5ms")
        .expect_code(2)
        .expect_message("there are pN");
}

#[test]
fn a_lag_in_a_closed_loop_is_refused_before_anything_is_loaded() {
    run("127.0.0.1:1 --slo lag.p99<1ms")
        .expect_code(2)
        .expect_message("use -R");
}
