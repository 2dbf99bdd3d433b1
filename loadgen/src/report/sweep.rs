//! A sweep over rates as plain data.

use serde::{Deserialize, Serialize};

use super::data::{Report, Status};
use super::settings::{Machine, Target};

/// The value of the `format` field of a sweep.
pub const SWEEP_FORMAT: &str = "loadgen-sweep";
/// The version of its schema.
pub const SWEEP_VERSION: u32 = 1;
/// The result, in the form of the JSON.
#[derive(Debug, Serialize, Deserialize)]
pub struct Sweep {
    /// [`SWEEP_FORMAT`].
    pub format: String,
    /// [`SWEEP_VERSION`].
    pub version: u32,
    /// Version of the program.
    pub loadgen: String,
    /// The command line.
    pub command: Vec<String>,
    /// The machine of the generator.
    pub machine: Machine,
    /// The server.
    pub target: Target,
    /// The thresholds that a rate has to meet.
    pub slo: String,
    /// The runs in order; a rate that missed occurs twice.
    pub steps: Vec<Step>,
    /// The last rate that met the thresholds; absent if none did.
    pub knee: Option<u64>,
    /// The first rate that missed a threshold; absent if none did.
    pub broke: Option<u64>,
    /// The exit code: 0, or 3 if even the first rate missed a threshold; 1 or above 128 as for a
    /// run.
    pub exit_code: u8,
    /// The reason for the end of the sweep, if it is not the knee.
    pub messages: Vec<String>,
}

/// One run of a sweep.
#[derive(Debug, Serialize, Deserialize)]
pub struct Step {
    /// Requests per second.
    pub rate: u64,
    /// True if the thresholds were met.
    pub held: bool,
    /// The whole report.
    pub report: Report,
}

impl Step {
    pub(crate) fn new(rate: u64, report: Report) -> Self {
        let held = report.outcome.status == Status::Ok;
        Self { rate, held, report }
    }

    /// Returns the reason why the run missed.
    #[must_use]
    pub fn why(&self) -> String {
        self.report.outcome.messages.join("; ")
    }
}
