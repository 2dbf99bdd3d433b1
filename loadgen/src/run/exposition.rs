//! `--metrics`: the figures of a run in Prometheus' text format, while the run goes on.
//!
//! A separate thread answers GET /metrics with the last sample of the main thread, which takes a
//! new one a few times a second. The shards are not involved. Tests: `tests/live.rs`.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use crate::measure::histogram::Recorder;
use crate::run::control::Live;

/// The longest time for a scraper to send its request, and to take the answer.
const SCRAPE_MAX: Duration = Duration::from_secs(2);
/// The maximum number of bytes read from a request.
const REQUEST_MAX: usize = 8 * 1_024;
/// The quantiles of latency that it shows.
const QUANTILES: [(&str, f64); 4] = [("0.5", 0.5), ("0.9", 0.9), ("0.99", 0.99), ("0.999", 0.999)];

/// The last sample of a run.
#[derive(Debug, Default)]
struct Sample {
    answers: u64,
    errors: u64,
    live: u64,
    latencies: Recorder,
}

/// An endpoint for Prometheus. It lives as long as the process.
#[derive(Debug, Clone)]
pub(crate) struct Exposition {
    sample: Arc<Mutex<Sample>>,
}

impl Exposition {
    /// Starts an endpoint at this address.
    ///
    /// # Errors
    /// The address is taken, or no thread can be started.
    pub(crate) fn start(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let sample: Arc<Mutex<Sample>> = Arc::default();
        let shared = Arc::clone(&sample);
        thread::Builder::new()
            .name("metrics".to_owned())
            .spawn(move || {
                for stream in listener.incoming().flatten() {
                    // A scraper that goes away misses one sample.
                    let _ = answer(stream, &shared);
                }
            })?;
        Ok(Self { sample })
    }

    /// Adds latencies.
    pub(crate) fn latencies(&self, more: &Recorder) {
        let mut sample = self.sample.lock();
        sample.latencies.merge(more);
    }

    /// Sets the counters of the shards.
    pub(crate) fn counters(&self, shards: &[Live]) {
        let mut sample = self.sample.lock();
        sample.answers = shards.iter().map(|shard| shard.answers).sum();
        sample.errors = shards.iter().map(|shard| shard.errors).sum();
        sample.live = shards.iter().map(|shard| u64::from(shard.live)).sum();
    }
}

fn answer(mut stream: TcpStream, sample: &Mutex<Sample>) -> io::Result<()> {
    stream.set_read_timeout(Some(SCRAPE_MAX))?;
    stream.set_write_timeout(Some(SCRAPE_MAX))?;
    let mut request = Vec::new();
    let mut buffer = [0; 1_024];
    while !request.ends_with(b"\r\n\r\n") && request.len() < REQUEST_MAX {
        match stream.read(&mut buffer)? {
            0 => break,
            read => request.extend_from_slice(&buffer[..read]),
        }
    }
    let is_known = request.starts_with(b"GET /metrics ") || request.starts_with(b"GET / ");
    let (status, body) = if is_known {
        let sample = sample.lock();
        ("200 OK", render(&sample))
    } else {
        ("404 Not Found", "The metrics are at /metrics.\n".to_owned())
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[expect(clippy::cast_precision_loss, reason = "latencies far below 2^53 ns")]
fn render(sample: &Sample) -> String {
    let mut out = String::new();
    for (name, kind, help, value) in [
        (
            "loadgen_answers_total",
            "counter",
            "Answers, those of the ramp and the warm-up included.",
            sample.answers,
        ),
        (
            "loadgen_errors_total",
            "counter",
            "Failed connections and refused requests.",
            sample.errors,
        ),
        (
            "loadgen_connections",
            "gauge",
            "Open connections.",
            sample.live,
        ),
    ] {
        let _ = writeln!(
            out,
            "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}"
        );
    }
    let name = "loadgen_latency_seconds";
    let help = "Latency of the measured part; from the intended send in an open loop.";
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} summary");
    let latencies = &sample.latencies;
    let count = latencies.count();
    for (label, quantile) in QUANTILES {
        let seconds = match count {
            0 => "NaN".to_owned(),
            _ => (latencies.quantile(quantile) as f64 / 1e9).to_string(),
        };
        let _ = writeln!(out, "{name}{{quantile=\"{label}\"}} {seconds}");
    }
    let sum: f64 = latencies
        .iter()
        .map(|(ns, times)| ns as f64 / 1e9 * times as f64)
        .sum();
    let _ = writeln!(out, "{name}_sum {sum}\n{name}_count {count}");
    out
}
