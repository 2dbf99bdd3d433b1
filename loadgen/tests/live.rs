//! Figures during a run: the endpoint for Prometheus, and the log that a killed process leaves
//! behind.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use common::{echo_all, run, serve, start, wait_until};
use loadgen::measure::histogram::Recorder;

fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// Returns the value of a line of the exposition.
fn value(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn prometheus_reads_the_figures_of_a_run() {
    let server = serve(|_, mut stream| echo_all(&mut stream));
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("bound");
    drop(free);
    let running = start(&format!(
        "{server} -c 3 -R 200 -d 20s --warmup 0 --metrics {address}"
    ));
    let metric = |name: &str| {
        get(address, "/metrics")
            .ok()
            .and_then(|text| value(&text, name))
    };
    wait_until("latencies", || {
        metric("loadgen_latency_seconds_count") >= Some(50.0)
    });
    assert_eq!(metric("loadgen_connections"), Some(3.0));
    assert_eq!(metric("loadgen_errors_total"), Some(0.0));
    assert!(metric("loadgen_answers_total") > Some(50.0));
    let median = metric("loadgen_latency_seconds{quantile=\"0.5\"}").expect("measured");
    assert!(median > 0.0 && median < 5.0, "{median}");
    assert!(
        get(address, "/other")
            .expect("an answer")
            .starts_with("HTTP/1.1 404")
    );
    let pid = running.pid().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .expect("kill")
            .success()
    );
    running.finish().expect_code(130);
}

/// Returns the sum of the histograms of a log.
fn logged(text: &str) -> Recorder {
    let mut all = Recorder::new();
    for line in text
        .lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_digit()))
    {
        let histogram = line.rsplit(',').next().expect("four fields");
        all.merge(&Recorder::from_base64(histogram).expect("a histogram"));
    }
    all
}

#[test]
fn a_log_survives_the_process_and_is_whole_at_its_end() {
    let server = serve(|_, mut stream| echo_all(&mut stream));
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("run.hlog");
    let read = || fs::read_to_string(&log).unwrap_or_default();
    let args = format!("{server} -c 3 -R 200 --warmup 0 --log {}", log.display());
    let running = start(&format!("{args} -d 30s"));
    wait_until("intervals", || logged(&read()).count() >= 100);
    let pid = running.pid().to_string();
    assert!(
        Command::new("kill")
            .args(["-KILL", &pid])
            .status()
            .expect("kill")
            .success()
    );
    running.finish();
    let text = read();
    assert!(
        text.starts_with("#[loadgen ") && text.ends_with('\n'),
        "{text}"
    );
    assert!(logged(&text).count() >= 100);

    let report = run(&format!("{args} -d 1s --format json"))
        .expect_code(0)
        .report();
    let all = logged(&read());
    assert_eq!(
        all,
        report.latency.headline().recorder().expect("a histogram")
    );
}
