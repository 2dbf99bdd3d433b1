//! A calibration as plain data.

use serde::{Deserialize, Serialize};

use crate::measure::clock::Nanos;
use crate::report::Machine;

/// The value of the `format` field of a calibration.
pub const CALIBRATION_FORMAT: &str = "loadgen-calibration";
/// The version of its schema.
pub const CALIBRATION_VERSION: u32 = 1;

/// A measured value agrees if its error is at most this share …
pub(super) const SHARE_MAX: f64 = 0.01;
/// … or at most this time.
pub(super) const OFF_MAX: Nanos = 50_000;
/// The result, in the form of the JSON.
#[derive(Debug, Serialize, Deserialize)]
pub struct Calibration {
    /// [`CALIBRATION_FORMAT`].
    pub format: String,
    /// [`CALIBRATION_VERSION`].
    pub version: u32,
    /// Version of the program.
    pub loadgen: String,
    /// Where it ran.
    pub machine: Machine,
    /// Connections of each round.
    pub connections: u32,
    /// Rounds of each case.
    pub rounds: usize,
    /// The number of rounds that have to agree.
    pub rounds_needed: usize,
    /// The approximate seconds of load in a round.
    pub round_s: f64,
    /// True if every case agreed often enough.
    pub passed: bool,
    /// The cases.
    pub cases: Vec<Case>,
}

/// One loop under one kind of delay.
#[derive(Debug, Serialize, Deserialize)]
pub struct Case {
    /// The description.
    pub name: String,
    /// True if requests followed a schedule.
    pub open: bool,
    /// Requests in each round.
    pub requests: u64,
    /// The number of rounds in which every quantile from p50 to p99 of every series agreed.
    pub rounds_within: usize,
    /// True if enough rounds agreed.
    pub passed: bool,
    /// The latency from the send, and in the open loop also from the intended time.
    pub series: Vec<Series>,
}

/// One kind of latency.
#[derive(Debug, Serialize, Deserialize)]
pub struct Series {
    /// `raw` (from the send) or `corrected` (from the intended time).
    pub name: String,
    /// Its quantiles.
    pub quantiles: Vec<Quantile>,
}

/// One quantile in all rounds.
#[derive(Debug, Serialize, Deserialize)]
pub struct Quantile {
    /// `p50` and so on.
    pub name: String,
    /// True if it must agree; otherwise it is only reported.
    pub gated: bool,
    /// One pair per round.
    pub rounds: Vec<Pair>,
}

/// One quantile in one round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// The value of the server's record.
    pub server_ns: Nanos,
    /// The value of the generator's histogram.
    pub measured_ns: Nanos,
}

impl Pair {
    /// Returns the generator's value minus the server's.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "latencies far below 2^53 ns")]
    pub fn difference_ns(self) -> f64 {
        self.measured_ns as f64 - self.server_ns as f64
    }

    /// Returns the difference as a share of the server's value.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "latencies far below 2^53 ns")]
    pub fn difference(self) -> f64 {
        self.difference_ns() / (self.server_ns.max(1) as f64)
    }

    /// Returns true if the two agree.
    #[must_use]
    pub fn agrees(self) -> bool {
        self.measured_ns.abs_diff(self.server_ns) <= OFF_MAX || self.difference().abs() <= SHARE_MAX
    }
}
