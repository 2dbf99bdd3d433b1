//! The result of a run as plain data. JSON holds it, the text shows it, and `compare` reads it.
//!
//! The structs below are the JSON schema, version 2. Field names end in their unit. A reader
//! ignores unknown fields. The version changes only when a field changes its meaning or is removed.
//! `loadgen/docs/outputs.md` describes the formats. Tests: `report/tests.rs`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::measure::clock::Nanos;
use crate::measure::failure::{ErrorKind, Errors};
use crate::measure::histogram::Recorder;

use super::clocks::PartClock;
use super::series::TimeSeries;
use super::settings::{Machine, Settings, Target};
use super::threshold;
use super::wire::wire;

/// The value of the `format` field of a run's report.
pub const FORMAT: &str = "loadgen-run";
/// The version of the schema.
pub const VERSION: u32 = 2;

/// The report of a run, complete or interrupted.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// Version of the program.
    pub loadgen: String,
    /// The command line.
    pub command: Vec<String>,
    /// The unique name of the run; for a sum, the names of all its parts.
    #[serde(default)]
    pub runs: Vec<String>,
    /// The time at which the run began, in milliseconds since 1970.
    pub started_unix_ms: u64,
    /// The time at which its measured part began, in milliseconds since 1970.
    pub measured_unix_ms: u64,
    /// The machine of the generator.
    pub machine: Machine,
    /// The server.
    pub target: Target,
    /// The load, with defaults filled in.
    pub settings: Settings,
    /// The outcome.
    pub outcome: Outcome,
    /// Seconds of the measured part.
    pub elapsed_s: f64,
    /// Connection counts.
    pub connections: Connections,
    /// Request counts.
    pub requests: Requests,
    /// Requests and bytes per second.
    pub throughput: Throughput,
    /// Latencies.
    pub latency: Latency,
    /// Rate and latency over time.
    pub series: TimeSeries,
    /// The clock of the part, compared with that of the shared folder's server; for a sum, the
    /// clocks of all parts. Empty without `--part` and a folder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clocks: Vec<PartClock>,
    /// Resource usage of this program.
    pub generator: Generator,
    /// Resource usage of the server, if it is known.
    pub server: Option<Server>,
    /// Clients that misbehaved on purpose, by kind. No other figure of this report includes them.
    #[serde(default)]
    pub bad_clients: Vec<BadClients>,
    /// Failed connections and refused requests of the measured part, by kind; empty without
    /// failures.
    pub errors: Vec<ErrorCount>,
    /// Failed connections and refused requests before and after the measured part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors_outside: Vec<ErrorCount>,
    /// Answers of the measured part by which the server refused a request, by status.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub statuses: BTreeMap<u16, u64>,
    /// All answers of the measured part, by status; HTTP only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub status_codes: BTreeMap<u16, u64>,
    /// The verdicts on the thresholds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slo: Vec<threshold::Verdict>,
}

/// The outcome of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The run completed.
    #[default]
    Ok,
    /// The run failed.
    Failed,
    /// A signal ended the run.
    Interrupted,
    /// The run completed, but missed a threshold.
    Missed,
}

/// The outcome of a run with its reasons.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// The status, in one word.
    pub status: Status,
    /// The exit code.
    pub exit_code: u8,
    /// The reasons why it failed.
    pub messages: Vec<String>,
    /// Warnings: reasons to doubt the figures.
    pub warnings: Vec<String>,
    /// The reason why the run ended early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_early: Option<String>,
    /// Notes.
    pub notes: Vec<String>,
    /// True if the generator, rather than the server, may have limited the result.
    pub generator_was_bottleneck: bool,
}

/// Connections of a run. A connection and its replacements share one slot.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Connections {
    /// Requested connections, without the bad clients.
    pub requested: u32,
    /// Slots in which a connection was established.
    pub connected: u32,
    /// The maximum number of connections that were open at the same time.
    pub peak_live: u32,
    /// Slots that were served at least once, with a verified answer.
    pub served: u32,
    /// Of those, the slots that send during the run.
    pub active: u32,
    /// Established connections in total, including replacements.
    #[serde(default)]
    pub established: u64,
    /// Connections that loadgen closed after their number of requests or their lifetime.
    #[serde(default)]
    pub retired: u64,
    /// Connections that the server closed while it owed nothing, and that were replaced, as at the
    /// end of an HTTP connection.
    #[serde(default)]
    pub closed_by_server: u64,
    /// Connections that failed after they were established.
    #[serde(default)]
    pub broken: u64,
    /// Connections that replaced a failed one.
    #[serde(default)]
    pub reconnected: u64,
    /// Seconds from the first connect to the last connection served.
    pub ramp_s: f64,
    /// Times to connect, including the TLS handshake.
    pub connect_latency: Distribution,
    /// Times of the TLS handshake; absent without TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handshake_latency: Option<Distribution>,
}

/// Requests of the measured part.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Requests {
    /// Requests due by the schedule; in a closed loop the same as launched.
    pub scheduled: u64,
    /// Requests that were sent.
    pub launched: u64,
    /// Launched requests that were answered.
    pub answered: u64,
    /// Requests that were sent and not answered. They count in the tail.
    pub unanswered: u64,
    /// Requests that were due and never sent, because no connection was free. They count in the
    /// tail.
    #[serde(default)]
    pub unsent: u64,
    /// Requests in flight when a signal ended the run. No other figure counts them.
    pub interrupted: u64,
    /// Answers that arrived within the measured time, even if their requests were sent before.
    /// Throughput counts these.
    pub completed: u64,
    /// Of those, answers to requests that were due before the measured time.
    #[serde(default)]
    pub carried_in: u64,
    /// Answers to requests of the measured time that arrived after it.
    #[serde(default)]
    pub late: u64,
    /// Requests of an open loop that found no free connection: they were pipelined, or waited.
    #[serde(default)]
    pub found_none_free: u64,
    /// Bytes of answers that arrived within the measured time.
    pub bytes_read: u64,
}

/// Rates of the measured part.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Throughput {
    /// Answers per second.
    pub requests_per_s: f64,
    /// Bytes read per second.
    pub bytes_read_per_s: f64,
    /// The number of intervals that the next three fields describe.
    pub intervals: u64,
    /// Mean rate of an interval; absent without intervals, like the next two.
    pub interval_mean_per_s: Option<f64>,
    /// Standard deviation of the rates of intervals.
    pub interval_stdev_per_s: Option<f64>,
    /// The highest rate of an interval.
    pub interval_max_per_s: Option<f64>,
}

/// Latencies of the measured part.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Latency {
    /// Latency from the actual send.
    pub raw: Distribution,
    /// Latency from the intended send; open loop only.
    pub corrected: Option<Distribution>,
    /// The lag of the generator behind its schedule; open loop only.
    pub schedule_lag: Option<Distribution>,
    /// Latency of answers by which the server refused a request, from the intended send if there is
    /// one. No other distribution includes them.
    #[serde(default)]
    pub failures: Distribution,
    /// The time from the actual send to the first byte of the answer; HTTP and raw only.
    #[serde(default)]
    pub first_byte: Option<Distribution>,
}

/// A distribution of durations. Each figure is `null` if nothing was recorded.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "WrittenDistribution", into = "WrittenDistribution")]
pub struct Distribution {
    /// The number of durations.
    pub count: u64,
    /// The smallest.
    pub min_ns: Nanos,
    /// The average.
    pub mean_ns: f64,
    /// The standard deviation.
    pub stdev_ns: f64,
    /// The median.
    pub p50_ns: Nanos,
    /// 75%.
    pub p75_ns: Nanos,
    /// 90%.
    pub p90_ns: Nanos,
    /// 99%.
    pub p99_ns: Nanos,
    /// 99.9%.
    pub p99_9_ns: Nanos,
    /// 99.99%.
    pub p99_99_ns: Nanos,
    /// The largest.
    pub max_ns: Nanos,
    /// The whole distribution: an HDR histogram in nanoseconds, in the V2 encoding, compressed with
    /// deflate, in base64.
    pub histogram_base64: String,
}

/// Resource usage of this program.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Generator {
    /// CPU seconds in user space.
    pub cpu_user_s: f64,
    /// CPU seconds in the kernel.
    pub cpu_system_s: f64,
    /// CPU microseconds per request; absent without requests.
    pub cpu_us_per_request: Option<f64>,
    /// The share of the measured time that the busiest thread was on a CPU.
    pub busiest_thread: f64,
    /// The seconds that its threads were ready to run and waited for a CPU.
    pub waited_for_cpu_s: f64,
    /// The largest observed resident memory, in bytes.
    pub resident_bytes: u64,
    /// Resident memory before the first connection, in bytes.
    #[serde(default)]
    pub resident_before_bytes: u64,
    /// Resident memory with all connections open and served once.
    #[serde(default)]
    pub resident_connected_bytes: u64,
    /// Growth from before to connected, per connection.
    #[serde(default)]
    pub bytes_per_connection: Option<f64>,
}

/// Resource usage of the server.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Server {
    /// Its process id.
    pub pid: i32,
    /// CPU seconds in user space.
    pub cpu_user_s: f64,
    /// CPU seconds in the kernel.
    pub cpu_system_s: f64,
    /// CPU microseconds per request.
    pub cpu_us_per_request: Option<f64>,
    /// The part of it in user space.
    pub cpu_user_us_per_request: Option<f64>,
    /// The part of it in the kernel.
    pub cpu_system_us_per_request: Option<f64>,
    /// Requests answered per CPU second.
    pub requests_per_cpu_s: Option<f64>,
    /// Resident memory before the first connection, in bytes.
    pub resident_before_bytes: u64,
    /// Resident memory with all connections open and served once.
    pub resident_connected_bytes: u64,
    /// The largest observed resident memory, in bytes.
    pub resident_peak_bytes: u64,
    /// Growth from before to connected, per connection.
    pub bytes_per_connection: Option<f64>,
}

/// Bad clients of one kind, from the beginning of the run to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadClients {
    /// The kind, as on the command line.
    pub kind: String,
    /// The number of clients.
    pub clients: u32,
    /// Connections that they opened, one after the other.
    pub connections: u64,
    /// Connections that could not be opened.
    pub refused: u64,
    /// Requests that they sent completely.
    pub requests: u64,
    /// Answers that they read completely.
    pub answers: u64,
    /// Connections that the server ended before the client was done.
    pub cut_by_server: u64,
}

/// Failures of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorCount {
    /// The kind, in one word.
    pub kind: String,
    /// A short description.
    pub description: String,
    /// The number of connections or requests.
    pub count: u64,
    /// The first one, as an example.
    pub first: String,
}

/// The verdict on a run, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The run went well.
    Pass,
    /// The run went well, but its figures are doubtful.
    Doubtful,
    /// The run failed, or missed a threshold.
    Fail,
    /// A signal ended the run early.
    Interrupted,
}

impl Verdict {
    /// Returns the word at the beginning of a report.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Doubtful => "DOUBTFUL",
            Self::Fail => "FAIL",
            Self::Interrupted => "INTERRUPTED",
        }
    }
}

impl Outcome {
    /// Returns the verdict.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self.status {
            Status::Interrupted => Verdict::Interrupted,
            Status::Failed | Status::Missed => Verdict::Fail,
            Status::Ok if self.warnings.is_empty() => Verdict::Pass,
            Status::Ok => Verdict::Doubtful,
        }
    }

    /// Adds a reason why the run failed.
    pub fn fail(&mut self, message: String) {
        self.messages.push(message);
        if matches!(self.status, Status::Ok | Status::Missed) {
            (self.status, self.exit_code) = (Status::Failed, 1);
        }
    }
}

impl Distribution {
    /// Returns the quantiles, with their names.
    #[must_use]
    pub fn quantiles(&self) -> [(&'static str, Nanos); 7] {
        [
            ("50%", self.p50_ns),
            ("75%", self.p75_ns),
            ("90%", self.p90_ns),
            ("99%", self.p99_ns),
            ("99.9%", self.p99_9_ns),
            ("99.99%", self.p99_99_ns),
            ("100%", self.max_ns),
        ]
    }

    /// Returns the duration at this quantile, if it is one of the figures.
    pub(crate) fn named_quantile(&self, share: f64) -> Option<Nanos> {
        let figures = [
            (0.5, self.p50_ns),
            (0.75, self.p75_ns),
            (0.9, self.p90_ns),
            (0.99, self.p99_ns),
            (0.999, self.p99_9_ns),
            (0.9999, self.p99_99_ns),
        ];
        let found = figures.into_iter().find(|&(figure, _)| figure == share);
        found.map(|(_, ns)| ns)
    }

    /// Decodes the histogram.
    ///
    /// # Errors
    /// The text is no histogram.
    pub fn recorder(&self) -> Result<Recorder, String> {
        Recorder::from_base64(&self.histogram_base64)
    }
}

impl From<&Recorder> for Distribution {
    fn from(recorder: &Recorder) -> Self {
        Self {
            count: recorder.count(),
            min_ns: recorder.min(),
            mean_ns: recorder.mean(),
            stdev_ns: recorder.stdev(),
            p50_ns: recorder.quantile(0.5),
            p75_ns: recorder.quantile(0.75),
            p90_ns: recorder.quantile(0.9),
            p99_ns: recorder.quantile(0.99),
            p99_9_ns: recorder.quantile(0.999),
            p99_99_ns: recorder.quantile(0.9999),
            max_ns: recorder.max(),
            histogram_base64: recorder.to_base64(),
        }
    }
}

impl Latency {
    /// Returns the headline latency: the corrected one if there is a schedule.
    #[must_use]
    pub fn headline(&self) -> &Distribution {
        self.corrected.as_ref().unwrap_or(&self.raw)
    }
}

impl ErrorCount {
    /// Returns an entry for each kind that occurred.
    #[must_use]
    pub fn list(errors: &Errors) -> Vec<Self> {
        let entry = |(kind, count, first): (ErrorKind, u64, &str)| Self {
            kind: kind.name().to_owned(),
            description: kind.describe().to_owned(),
            count,
            first: first.to_owned(),
        };
        errors.iter().map(entry).collect()
    }

    /// Returns true if it counts requests whose connections went on.
    #[must_use]
    pub fn is_of_request(&self) -> bool {
        let mut kinds = ErrorKind::ALL.into_iter();
        kinds.any(|kind| kind.is_of_request() && kind.name() == self.kind)
    }
}

wire!(WrittenDistribution, Distribution,
    plain: { count: u64, histogram_base64: String },
    figures: {
        min_ns: Nanos, mean_ns: f64, stdev_ns: f64, p50_ns: Nanos, p75_ns: Nanos, p90_ns: Nanos,
        p99_ns: Nanos, p99_9_ns: Nanos, p99_99_ns: Nanos, max_ns: Nanos
    }
);
