//! Finishes a report, of a run or of a sum of runs.
//!
//! [`Report::finish`] is the one place that derives figures from those that were measured, and
//! judges the thresholds. Tests: `run/summary/tests.rs` and `tools/merge/tests.rs`.

use super::data::{FORMAT, Generator, Report, Requests, Server, Throughput, VERSION};
use super::gate::gate;
use super::slo::Slo;
use crate::measure::stats::Running;

impl Report {
    /// Computes the derived figures from those that were measured, and judges the thresholds.
    pub(crate) fn finish(self, slo: Option<&Slo>) -> Self {
        let (completed, connected) = (self.requests.completed, self.connections.connected);
        let mut report = Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            loadgen: env!("CARGO_PKG_VERSION").to_owned(),
            throughput: Throughput::new(&self.requests, self.elapsed_s, &self.series.rates()),
            generator: self.generator.derived(completed, connected),
            server: self
                .server
                .map(|server| server.derived(completed, connected)),
            slo: Vec::new(),
            ..self
        };
        if let Some(slo) = slo {
            gate(slo, &mut report);
        }
        report
    }
}

impl Generator {
    /// Fills in the figures per request and per connection. CPU time of zero was not measured.
    fn derived(mut self, completed: u64, connected: u32) -> Self {
        let cpu_s = self.cpu_user_s + self.cpu_system_s;
        let known = cpu_s > 0.0 && completed > 0;
        self.cpu_us_per_request = known.then(|| cpu_s * 1e6 / as_f64(completed));
        self.bytes_per_connection = bytes_per_connection(
            self.resident_before_bytes,
            self.resident_connected_bytes,
            connected,
        );
        self
    }
}

impl Server {
    /// Fills in the figures per request and per connection. CPU time of zero was not measured.
    fn derived(mut self, completed: u64, connected: u32) -> Self {
        let cpu_s = self.cpu_user_s + self.cpu_system_s;
        let known = cpu_s > 0.0 && completed > 0;
        let each = |cpu_s: f64| known.then(|| cpu_s * 1e6 / as_f64(completed));
        self.cpu_us_per_request = each(cpu_s);
        self.cpu_user_us_per_request = each(self.cpu_user_s);
        self.cpu_system_us_per_request = each(self.cpu_system_s);
        self.requests_per_cpu_s = known.then(|| as_f64(completed) / cpu_s);
        self.bytes_per_connection = bytes_per_connection(
            self.resident_before_bytes,
            self.resident_connected_bytes,
            connected,
        );
        self
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a report shows at most nine digits"
)]
fn as_f64(count: u64) -> f64 {
    count as f64
}

/// The minimum number of connections for a figure of memory per connection. A page is 4 KiB, and
/// buffers that a process allocates once take more than a few connections.
const CONNECTIONS_MIN: u32 = 64;

/// Returns the growth of resident memory per connection. Returns `None` if a reading is zero (it
/// failed or never took place), if the memory shrank, or if there are few connections.
fn bytes_per_connection(before: u64, connected: u64, connections: u32) -> Option<f64> {
    let grown = connected.checked_sub(before)?;
    (before > 0 && connections >= CONNECTIONS_MIN).then(|| as_f64(grown) / f64::from(connections))
}

impl Throughput {
    /// Computes the rates over `elapsed_s`, and those of the intervals.
    fn new(requests: &Requests, elapsed_s: f64, intervals: &Running) -> Self {
        let per_second = |count: u64| {
            if elapsed_s > 0.0 {
                as_f64(count) / elapsed_s
            } else {
                0.0
            }
        };
        let known = intervals.count() > 0;
        Self {
            requests_per_s: per_second(requests.completed),
            bytes_read_per_s: per_second(requests.bytes_read),
            intervals: intervals.count(),
            interval_mean_per_s: known.then(|| intervals.mean()),
            interval_stdev_per_s: known.then(|| intervals.stdev()),
            interval_max_per_s: known.then(|| intervals.max()),
        }
    }
}
