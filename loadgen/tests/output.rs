//! The output of runs: the time series, and the files of every format.

mod common;

use std::fs;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{echo, run, serve};
use loadgen::measure::histogram::Recorder;
use loadgen::report::{Report, csv, hgrm, hlog, html};

/// Asserts that the intervals add up exactly to the whole run.
fn assert_series_adds_up(report: &Report) {
    let intervals = &report.series.intervals;
    let completed: u64 = intervals.iter().map(|interval| interval.completed).sum();
    assert_eq!(completed, report.requests.completed);
    let mut sum = Recorder::new();
    for (at, interval) in intervals.iter().enumerate() {
        let start = report.series.interval_s * at as f64;
        assert!((interval.start_s - start).abs() < 1e-9, "no gaps");
        let recorder = interval.recorder().expect("a histogram");
        assert_eq!(
            (interval.count, interval.max_ns),
            (recorder.count(), recorder.max())
        );
        sum.merge(&recorder);
    }
    let all = report.latency.headline().recorder().expect("a histogram");
    assert!(sum == all, "{} values against {}", sum.count(), all.count());
}

#[test]
fn the_intervals_add_up_to_the_run() {
    for args in [
        "-c 20 -d 500ms --warmup 50ms",
        "-c 20 -d 500ms --warmup 50ms -R 5k",
        "-c 20 -n 5000 -t 2 --interval 10ms",
    ] {
        let report = run(&format!("{args} --format json"))
            .expect_code(0)
            .report();
        assert_series_adds_up(&report);
        let measured: f64 = report
            .series
            .intervals
            .iter()
            .map(|interval| interval.measured_s)
            .sum();
        assert!(
            (measured - report.elapsed_s).abs() < 0.02 * report.elapsed_s + 0.1,
            "{args}: {measured} against {}",
            report.elapsed_s
        );
    }
}

#[test]
fn a_stall_shows_in_the_interval_in_which_it_ended() {
    const STALL: Duration = Duration::from_millis(350);
    let now = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970")
    };
    // The time at which the server continued.
    let stalled = Arc::new(OnceLock::new());
    let record = Arc::clone(&stalled);
    let server = serve(move |_, mut stream| {
        for request in 0.. {
            if request == 310 {
                thread::sleep(STALL);
                record.set(now()).expect("one connection");
            }
            echo(&mut stream, 64)?;
        }
        Ok(())
    });
    let report = run(&format!(
        "{server} -c 1 -R 1k -d 1s --warmup 0s --format json"
    ))
    .expect_code(0)
    .report();
    assert_series_adds_up(&report);
    let ended = *stalled.get().expect("request 310 came");
    let measured = Duration::from_millis(report.measured_unix_ms);
    let at = |moment: Duration| {
        usize::try_from((moment - measured).as_millis() / 100).expect("a short run")
    };
    let intervals = &report.series.intervals;
    // Even if this process is delayed, no answer from after the stall is in an interval before the
    // stall's end.
    let before: u64 = intervals
        .iter()
        .take(at(ended))
        .map(|interval| interval.completed)
        .sum();
    assert!(before <= 310, "{before} answers before {ended:?}");
    // The server stops between two requests: the next one comes up to a millisecond later.
    let waited = u64::try_from(STALL.as_nanos()).expect("small") * 9 / 10;
    let mut after = intervals.iter().skip(at(ended));
    assert!(
        after.any(|interval| interval.max_ns >= waited),
        "{ended:?}: {intervals:?}"
    );
}

#[test]
fn every_format_is_written_from_the_same_report() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |extension: &str| folder.path().join(format!("run.{extension}"));
    let outputs: String = ["json", "csv", "hgrm", "hlog", "html"]
        .iter()
        .map(|extension| format!(" -o {}", path(extension).display()))
        .collect();
    let printed = run(&format!("-c 5 -n 2000 --format csv{outputs}")).expect_code(0);
    let read = |extension: &str| fs::read_to_string(path(extension)).expect(extension);
    let report: Report = serde_json::from_str(&read("json")).expect("a report");
    assert_eq!(read("csv"), csv::render(&report));
    assert_eq!(printed.stdout, read("csv"));
    assert_eq!(read("hgrm"), hgrm::render(&report));
    assert_eq!(read("hlog"), hlog::render(&report));
    assert_eq!(read("html"), html::run(&report));
    assert_eq!(
        fs::read_dir(folder.path()).expect("ours").count(),
        5,
        "and nothing else"
    );
}

#[test]
fn a_run_that_fails_before_it_begins_leaves_files_as_they_were() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run.json");
    fs::write(&path, "before").expect("ours");
    run(&format!(
        "no-such-host.invalid:80 -c 1 -o {}",
        path.display()
    ))
    .expect_code(1);
    assert_eq!(fs::read_to_string(&path).expect("there"), "before");
    assert_eq!(fs::read_dir(folder.path()).expect("ours").count(), 1);
}

#[test]
fn a_comparison_is_printed_and_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    for side in ["a.json", "b.json"] {
        let rounds: String = (0..2)
            .map(|_| run("-c 2 -n 500 --format json").expect_code(0).stdout)
            .collect();
        fs::write(path(side), rounds).expect("ours");
    }
    let compare = |outputs: &str| {
        let (a, b) = (path("a.json"), path("b.json"));
        run(&format!("compare {a} {b} --format csv {outputs}"))
    };
    let (csv, page) = (path("c.csv"), path("c.html"));
    let printed = compare(&format!("-o {csv} -o {page}")).expect_code(0);
    assert_eq!(fs::read_to_string(csv).expect("written"), printed.stdout);
    let page = fs::read_to_string(page).expect("written");
    assert!(page.contains("2 paired rounds") && page.ends_with("</html>\n"));
    compare(&format!("-o {}", path("c.hgrm")))
        .expect_code(2)
        .expect_message("json, csv or html");
    compare("-o /no/such/folder/c.json").expect_code(1);
}

#[test]
fn two_processes_are_merged_into_one_report() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let server = serve(|_, mut stream| common::echo_all(&mut stream));
    let load = format!("{server} -d 300ms --warmup 0 -R 2k -q -o");
    let both: Vec<_> = ["a.json", "b.json"]
        .map(|name| common::start(&format!("{load} {} -c 3", path(name))))
        .into_iter()
        .map(common::Running::finish)
        .collect();
    assert!(both.iter().all(|run| run.code == Some(0)), "{both:#?}");
    let (a, b) = (path("a.json"), path("b.json"));
    let read = |path: &str| -> Report {
        serde_json::from_str(&fs::read_to_string(path).expect("written")).expect("a report")
    };
    let sum = run(&format!(
        "merge {a} {b} --format json -o {}",
        path("m.hlog")
    ))
    .expect_code(0)
    .report();
    assert_series_adds_up(&sum);
    let parts = [read(&a), read(&b)];
    let completed: u64 = parts.iter().map(|part| part.requests.completed).sum();
    assert_eq!(sum.requests.completed, completed);
    assert_eq!(
        (sum.settings.rate, sum.connections.served),
        (Some(loadgen::report::rate::Rate::whole(4_000)), 6)
    );
    assert_eq!(
        fs::read_to_string(path("m.hlog")).expect("written"),
        hlog::render(&sum)
    );

    run(&format!(
        "{server} -d 300ms --warmup 0 -R 2k --size 65 -c 3 -q -o {b}"
    ))
    .expect_code(0);
    run(&format!("merge {a} {b}"))
        .expect_code(1)
        .expect_message("--size is 65 there and 64 here");
    run(&format!("merge {a} -o {}", path("m.txt"))).expect_code(2);
    let copy = path("copy.json");
    fs::copy(&a, &copy).expect("ours");
    for again in [&a, &copy] {
        run(&format!("merge {a} {again}"))
            .expect_code(1)
            .expect_message("name each run once");
    }
    run("merge").expect_code(2);
}

#[test]
fn tables_hold_on_a_narrow_terminal() {
    let sweep = |columns: &str| {
        let mut command = common::command("-c 4 --sweep 100..200:100 -d 200ms --warmup 0 -q");
        command.env("COLUMNS", columns);
        common::start_command(command).finish().stdout
    };
    let narrow = sweep("40");
    let rows = |text: &str| -> Vec<String> {
        // A warning about a busy machine is a sentence, and no row.
        let is_row = |line: &&str| line.starts_with("  ") && !line.contains("Warning: ");
        text.lines().filter(is_row).map(str::to_owned).collect()
    };
    assert!(rows(&narrow).len() >= 14, "{narrow}");
    assert!(rows(&narrow).iter().all(|row| row.len() <= 40), "{narrow}");
    assert!(
        sweep("120").contains("answered/s        p50"),
        "one row for each step"
    );

    let mut command = common::command("-c 4 -R 200 -d 300ms --warmup 0 -q");
    command.env("COLUMNS", "40");
    let text = common::start_command(command).finish().stdout;
    let stats = text.lines().skip_while(|line| !line.contains("Stats"));
    let stats: Vec<_> = stats.take(5).collect();
    assert!(stats[4].contains("+/- Stdev"), "{text}");
    assert!(stats.iter().all(|line| line.len() <= 40), "{text}");
    let table: Vec<_> = text
        .lines()
        .skip_while(|line| !line.trim_start().starts_with("corrected"))
        .collect();
    let table: Vec<_> = table
        .iter()
        .take_while(|line| !line.contains("Connections"))
        .collect();
    assert!(
        table.len() > 8 && table.iter().all(|line| line.len() <= 40),
        "{text}"
    );
}
