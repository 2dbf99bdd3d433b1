//! The content of the report, as in `bench.json`.

use std::fs;

use serde::Serialize;

use crate::scenario::{Ratio, Scenario, Verdict};

/// All scenarios of a run of `scripts/bench.sh`, and the machine that ran them.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) format: &'static str,
    pub(crate) version: u32,
    pub(crate) commit: String,
    pub(crate) command: String,
    pub(crate) cpu: String,
    pub(crate) kernel: String,
    pub(crate) cpus: usize,
    /// In the order of the run; the others vary the first one.
    pub(crate) scenarios: Vec<Scenario>,
}

impl Summary {
    /// Adds the facts about the machine.
    ///
    /// # Errors
    ///
    /// There is no scenario.
    pub(crate) fn new(
        commit: &str,
        command: &str,
        scenarios: Vec<Scenario>,
    ) -> Result<Self, String> {
        let machine = &scenarios.first().ok_or("there is no scenario")?.machine;
        Ok(Self {
            format: "bench",
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
    pub(crate) fn not_ahead(&self) -> impl Iterator<Item = (&Scenario, &Ratio)> {
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
