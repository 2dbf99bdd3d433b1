//! `--sweep` through the real program, against servers whose capacity is known.

mod common;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use common::{echo, run, serve};
use loadgen::report::sweep::Sweep;

/// All connections together get at most one answer every 2 ms, after the first answer of each.
fn server_of_500_per_second() -> SocketAddr {
    let turn = Mutex::new(());
    serve(move |_, mut stream| {
        echo(&mut stream, 64)?;
        loop {
            let mut reply = [0; 64];
            stream.read_exact(&mut reply)?;
            {
                let _turn = turn.lock().expect("no panic while it is held");
                thread::sleep(Duration::from_millis(2));
            }
            stream.write_all(&reply)?;
        }
    })
}

#[test]
fn the_knee_lies_below_the_capacity() {
    let server = server_of_500_per_second();
    let args = format!(
        "{server} -c 4 --sweep 50..800*16 -d 500ms --warmup 100ms --timeout 2 --slo kept>=80% --format json"
    );
    let run = run(&args).expect_code(0);
    let sweep: Sweep = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!((sweep.knee, sweep.broke), (Some(50), Some(800)));
    let steps: Vec<_> = sweep
        .steps
        .iter()
        .map(|step| (step.rate, step.held))
        .collect();
    assert!(steps.ends_with(&[(800, false), (800, false)]), "{steps:?}");
    assert!(sweep.steps.iter().all(
        |step| step.report.settings.rate == Some(loadgen::report::rate::Rate::whole(step.rate))
    ));
}

#[test]
fn a_range_that_holds_has_no_knee_and_leaves_its_files() {
    let folder = env!("CARGO_TARGET_TMPDIR");
    let files =
        ["json", "csv", "html"].map(|kind| format!("{folder}/{}-sweep.{kind}", std::process::id()));
    let args = format!(
        "-c 4 --sweep 100..300:100 -d 200ms --warmup 0 --slo p99<60s -o {} -o {} -o {}",
        files[0], files[1], files[2]
    );
    let run = run(&args).expect_code(0);
    assert!(
        run.stdout.contains("Knee: none up to 300 requests/s"),
        "{run:#?}"
    );
    assert_eq!(run.stdout.matches("  held\n").count(), 3, "{run:#?}");
    let [json, csv, html] = files.map(|file| {
        let text = std::fs::read_to_string(&file).expect("written");
        std::fs::remove_file(file).expect("ours");
        text
    });
    let sweep: Sweep = serde_json::from_str(&json).expect("JSON");
    assert_eq!(sweep.steps.len(), 3);
    assert_eq!(csv.lines().count(), 4, "{csv}");
    assert_eq!(html, loadgen::report::html::sweep(&sweep));
}

#[test]
fn a_first_rate_that_breaks_is_a_missed_threshold() {
    let run = run("-c 2 --sweep 100..300:100 -d 100ms --warmup 0 --slo p50<1ns").expect_code(3);
    assert!(
        run.stdout.contains("Knee: below 100 requests/s"),
        "{run:#?}"
    );
    assert_eq!(run.stdout.matches("  missed\n").count(), 2, "{run:#?}");
}

#[test]
fn a_server_that_is_not_there_ends_the_sweep() {
    run("127.0.0.1:1 -c 2 --sweep 100..300:100")
        .expect_code(1)
        .expect_message("refused");
}

#[test]
fn it_goes_with_an_open_loop_of_a_duration_only() {
    for args in ["-R 5", "-n 5"] {
        run(&format!("--sweep 1..2:1 {args}")).expect_code(2);
    }
    run("--sweep 1..2:1 -o a.hlog")
        .expect_code(2)
        .expect_message("json, csv or html");
}
