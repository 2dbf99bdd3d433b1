//! The content of the report, as in `bench.json`.

use std::fs;

use serde::{Deserialize, Serialize};

use crate::scenario::{Ratio, Scenario, Verdict};

/// All scenarios of a run of `scripts/bench.sh`, and the machine that ran them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Summary {
    /// `bench`.
    pub format: String,
    /// The version of the format.
    pub version: u32,
    /// The measured commit.
    pub commit: String,
    /// The command that measured.
    pub command: String,
    /// The model of the CPU.
    pub cpu: String,
    /// The kernel and the architecture.
    pub kernel: String,
    /// The CPUs of the machine.
    pub cpus: usize,
    /// In the order of the run; the others vary the first one.
    pub scenarios: Vec<Scenario>,
}

impl Summary {
    /// Adds the facts about the machine.
    ///
    /// # Errors
    /// Returns an error if there is no scenario.
    pub fn new(commit: &str, command: &str, scenarios: Vec<Scenario>) -> Result<Self, String> {
        let machine = &scenarios.first().ok_or("there is no scenario")?.machine;
        Ok(Self {
            format: "bench".to_owned(),
            version: 2,
            commit: commit.to_owned(),
            command: command.to_owned(),
            cpu: cpu_model(),
            kernel: format!("{} {}", machine.kernel, machine.architecture),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            scenarios,
        })
    }

    /// Returns the ratios of the project's servers to tokio's servers of the same kind that show no
    /// advantage, scenario by scenario.
    pub fn not_ahead(&self) -> impl Iterator<Item = (&Scenario, &Ratio)> {
        self.scenarios.iter().flat_map(|scenario| {
            let shown = |ratio: &&Ratio| {
                ratio.is_of_peers() && ratio.is_headline() && ratio.verdict != Verdict::Better
            };
            let ratios = scenario.ratios.iter().filter(shown);
            ratios.map(move |ratio| (scenario, ratio))
        })
    }
}

fn cpu_model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("model name"))
        .and_then(|rest| rest.split_once(':'))
        .map_or_else(
            || "unknown".to_owned(),
            |(_, model)| model.trim().to_owned(),
        )
}
