//! The report of a run: bench-report of benches/ reads the rounds, and writes bench.json,
//! bench.html and the page in Markdown.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::measure::contenders::{self, Bench};

/// The parts of bench.json that a rate is taken from. bench-report writes it.
#[derive(Debug, Deserialize)]
struct Measured {
    scenarios: Vec<Scenario>,
}

#[derive(Debug, Deserialize)]
struct Scenario {
    contenders: Vec<Medians>,
}

#[derive(Debug, Deserialize)]
struct Medians {
    requests_per_s: f64,
}

/// The folder of a run, and the scenarios that it has measured.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) folder: PathBuf,
    /// The command that measured.
    pub(crate) command: String,
    /// File for the page in Markdown.
    pub(crate) markdown: Option<PathBuf>,
    /// Name and title of each scenario, as `NAME=TITLE`.
    pub(crate) scenarios: Vec<String>,
}

impl Report {
    /// Writes the files, and returns the tables.
    ///
    /// # Errors
    /// The rounds cannot be read or compared.
    pub(crate) fn write(&self, bench: &Bench) -> Result<String> {
        let mut command = self.of(bench, &self.scenarios);
        if let Some(file) = &self.markdown {
            command.arg("--markdown").arg(file);
        }
        let tables = text_of(command)?;
        fs::write(self.folder.join("table.txt"), &tables)?;
        Ok(tables)
    }

    /// Returns a percentage of the requests per second of the slowest contender in `base`.
    ///
    /// # Errors
    /// `base` was not measured.
    pub(crate) fn saturation(&self, bench: &Bench, percent: u32) -> Result<u64> {
        text_of(self.of(bench, &["base=base".to_owned()]))?;
        let json = fs::read_to_string(self.folder.join("bench.json"))?;
        let measured: Measured = serde_json::from_str(&json)?;
        let all = measured.scenarios.iter().flat_map(|one| &one.contenders);
        let slowest = all.map(|one| one.requests_per_s).reduce(f64::min);
        let slowest = slowest.context("'base' has no contender")?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate is positive and far below 2^53"
        )]
        let rate = (slowest * f64::from(percent) / 100.0) as u64;
        Ok(rate)
    }

    fn of(&self, bench: &Bench, scenarios: &[String]) -> Command {
        let mut command = Command::new(bench.program("bench-report"));
        command.arg("--dir").arg(&self.folder);
        command.args(["--contenders", &contenders::ALL.join(",")]);
        command.args(["--commit", &contenders::commit()]);
        command.args(["--command", &self.command]);
        for scenario in scenarios {
            command.args(["--scenario", scenario]);
        }
        command
    }
}

fn text_of(mut command: Command) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "bench-report failed");
    Ok(String::from_utf8(output.stdout)?)
}
