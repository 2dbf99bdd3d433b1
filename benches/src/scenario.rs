//! One scenario: from its rounds to medians, ratios and verdicts.
//!
//! `bench-report` writes it and `budgets` reads it, as part of a
//! [`Summary`](crate::summary::Summary). Tests: `bin/bench-report/tests.rs`.

use std::path::Path;

use loadgen::measure::histogram::Recorder;
use loadgen::measure::stats::median;
use loadgen::report::{Machine, Report, Settings};
use loadgen::tools::compare::{self, Contender};
use serde::{Deserialize, Serialize};

/// The widest useful interval: one that reaches further to either side of its ratio is
/// inconclusive.
pub const WIDEST: f64 = 0.05;

/// The largest share of time that a generator may wait for its CPU before it counts as sharing it
/// with other work.
const BUSY: f64 = 0.02;

/// The metrics that the tables show, and their titles.
pub const HEADLINES: [(&str, &str); 5] = [
    ("requests_per_server_cpu_s", "echoes per CPU second"),
    ("requests_per_s", "echoes per second"),
    ("latency_p50", "p50"),
    ("latency_p99", "p99"),
    ("latency_p99_9", "p99.9"),
];

/// Pairs that the tables show: servers with the same design here and on tokio (sockets with
/// sockets, `AsyncFd` with `AsyncFd`), and the project's servers with and without work stealing.
const PEERS: [(&str, &str); 6] = [
    ("demo-helpers", "tokio-mt"),
    ("demo-helpers", "tokio-ct"),
    ("demo-guards", "tokio-asyncfd"),
    ("demo-work", "tokio-mt-work"),
    ("demo-work", "demo-work-no-stealing"),
    ("demo-helpers", "demo-helpers-no-stealing"),
];

/// The base of all comparisons; the project's own servers are also compared with tokio's, and with
/// themselves without work stealing.
const BARE: &str = "bare-epoll";
const OTHERS: &str = "tokio-";
const OURS: &str = "demo-";
const WITHOUT: &str = "-no-stealing";

/// All measurements of one contender.
#[derive(Debug)]
pub struct Run {
    name: String,
    rounds: Contender,
    /// Two runs with few and with many connections, if memory was measured.
    memory: Option<[Report; 2]>,
}

impl Run {
    /// Reads a contender's files.
    ///
    /// # Errors
    /// Returns an error if a file cannot be read or holds no reports.
    pub fn read(dir: &Path, name: &str) -> Result<Self, String> {
        let rounds = compare::read(&dir.join(format!("{name}.json")))?;
        let path = dir.join(format!("{name}.memory.json"));
        let memory = if path.exists() {
            let runs = compare::read(&path)?.rounds;
            let runs = <[Report; 2]>::try_from(runs)
                .map_err(|runs| format!("{}: {} runs, not 2", path.display(), runs.len()))?;
            Some(runs)
        } else {
            None
        };
        Ok(Self {
            name: name.to_owned(),
            rounds,
            memory,
        })
    }

    /// Makes a run from its rounds.
    #[must_use]
    pub fn new(name: &str, rounds: Vec<Report>, memory: Option<[Report; 2]>) -> Self {
        let rounds = Contender {
            file: format!("{name}.json"),
            rounds,
        };
        Self {
            name: name.to_owned(),
            rounds,
            memory,
        }
    }
}

/// The measurements under one load.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Scenario {
    /// The name of its folder, which also identifies it elsewhere.
    pub name: String,
    /// The description of the load.
    pub title: String,
    /// Rounds of each contender.
    pub rounds: usize,
    /// The load, from the first round.
    pub settings: Settings,
    /// In the order of a round.
    pub contenders: Vec<Medians>,
    /// Every compared pair, in every metric.
    pub ratios: Vec<Ratio>,
    /// Reasons to doubt the figures.
    pub warnings: Vec<String>,
    /// The machine that the generator ran on.
    #[serde(skip)]
    pub machine: Machine,
}

/// Medians over a contender's rounds.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Medians {
    /// The contender.
    pub name: String,
    /// Answers per second.
    pub requests_per_s: f64,
    /// The share of the offered requests that were answered in the measured time. A closed loop
    /// has none.
    pub done: Option<f64>,
    /// The median latency in microseconds.
    pub p50_us: f64,
    /// 90%.
    pub p90_us: f64,
    /// 99%.
    pub p99_us: f64,
    /// 99.9%.
    pub p99_9_us: f64,
    /// 99.99%.
    pub p99_99_us: f64,
    /// The server's CPU time per request.
    pub cpu_us_per_request: Option<f64>,
    /// The part of it in user space.
    pub cpu_user_us_per_request: Option<f64>,
    /// The part of it in the kernel.
    pub cpu_system_us_per_request: Option<f64>,
    /// The share of the measured time in which the server was on its CPU.
    pub server_busy: Option<f64>,
    /// Growth of the resident memory per connection, from the two memory runs.
    pub bytes_per_connection: Option<f64>,
    /// Rounds in which the generator may have been the bottleneck.
    pub rounds_generator_bound: usize,
    /// The latencies of all rounds together.
    #[serde(skip)]
    pub latency: Recorder,
}

/// A comparison of one contender with another.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ratio {
    /// The contender.
    pub contender: String,
    /// The one that it is compared with.
    pub base: String,
    /// A metric of `loadgen compare`.
    pub metric: String,
    /// The contender's figure divided by that of the base.
    pub ratio: f64,
    /// The lower end of its interval.
    pub low: f64,
    /// The upper end of its interval.
    pub high: f64,
    /// The conclusion from the interval.
    pub verdict: Verdict,
}

impl Ratio {
    /// Returns true if it compares one of the project's servers with the server of the same kind on
    /// tokio or without work stealing.
    #[must_use]
    pub fn is_of_peers(&self) -> bool {
        PEERS.contains(&(&self.contender, &self.base))
    }

    /// Returns true if the tables show its metric.
    #[must_use]
    pub fn is_headline(&self) -> bool {
        HEADLINES.iter().any(|(metric, _)| *metric == self.metric)
    }
}

/// The conclusion from an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The whole interval is on the better side of 1.
    Better,
    /// The whole interval is on the worse side of 1.
    Worse,
    /// The interval is narrow and contains 1.
    NoDifferenceShown,
    /// The interval is too wide to tell the size of a difference, or that there is none.
    Inconclusive,
}

impl Verdict {
    fn of(ratio: f64, low: f64, high: f64, higher_is_better: bool) -> Self {
        if high / ratio - 1.0 > WIDEST || 1.0 - low / ratio > WIDEST {
            Self::Inconclusive
        } else if low <= 1.0 && 1.0 <= high {
            Self::NoDifferenceShown
        } else if (ratio > 1.0) == higher_is_better {
            Self::Better
        } else {
            Self::Worse
        }
    }
}

impl Scenario {
    /// Computes the scenario from its runs.
    ///
    /// # Errors
    /// Returns an error if there is no round in which every contender answered.
    pub fn new(name: &str, title: &str, mut runs: Vec<Run>) -> Result<Self, String> {
        let warnings = leave_out_silent_rounds(&mut runs);
        let runs = runs.as_slice();
        let first = runs
            .first()
            .and_then(|run| run.rounds.rounds.first())
            .ok_or_else(|| {
                format!("{name}: there is no round in which every contender answered")
            })?;
        let mut scenario = Self {
            name: name.to_owned(),
            title: title.to_owned(),
            rounds: runs[0].rounds.rounds.len(),
            settings: first.settings.clone(),
            contenders: runs.iter().map(medians).collect(),
            ratios: Vec::new(),
            warnings,
            machine: first.machine.clone(),
        };
        for base in runs {
            for run in runs {
                if compared(&run.name, &base.name) {
                    scenario.compare(base, run)?;
                }
            }
        }
        scenario.warn_about_generator();
        scenario.warn_about_rounds(runs);
        Ok(scenario)
    }

    /// Adds the ratios of `run` to `base`.
    fn compare(&mut self, base: &Run, run: &Run) -> Result<(), String> {
        let comparison = compare::compare(&base.rounds, &run.rounds)?;
        for warning in comparison.warnings {
            // The warning is reported once below, for all.
            if !warning.contains("bottleneck") && !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
        for metric in comparison.metrics {
            if let (Some(ratio), Some(low), Some(high)) = (metric.ratio, metric.low, metric.high) {
                self.ratios.push(Ratio {
                    contender: run.name.clone(),
                    base: base.name.clone(),
                    metric: metric.name.to_owned(),
                    ratio,
                    low,
                    high,
                    verdict: Verdict::of(ratio, low, high, metric.better == "higher"),
                });
            }
        }
        Ok(())
    }

    fn warn_about_generator(&mut self) {
        let bound: Vec<String> = self
            .contenders
            .iter()
            .filter(|contender| contender.rounds_generator_bound > 0)
            .map(|contender| format!("{} ({})", contender.name, contender.rounds_generator_bound))
            .collect();
        if !bound.is_empty() {
            self.warnings.push(format!(
                "the generator was the bottleneck in rounds of {}: there, requests per second and latency \
                 show the limit of the generator; CPU per echo is still the server's",
                bound.join(", ")
            ));
        }
    }

    /// Warns about rounds of little value: without an echo, or with a generator that other work
    /// kept off its CPU.
    fn warn_about_rounds(&mut self, runs: &[Run]) {
        for run in runs {
            let rounds = &run.rounds.rounds;
            let empty = rounds
                .iter()
                .filter(|round| round.requests.completed == 0)
                .count();
            if empty > 0 {
                self.warnings.push(format!(
                    "{}: {empty} rounds without a single echo; it has no CPU per echo, and no ratios of it",
                    run.name
                ));
            }
        }
        let waited = runs
            .iter()
            .flat_map(|run| &run.rounds.rounds)
            .map(|round| round.generator.waited_for_cpu_s / round.elapsed_s)
            .collect::<Vec<_>>();
        if let Some(share) = median(&waited).filter(|share| *share > BUSY) {
            self.warnings.push(format!(
                "the machine was busy: in half of the rounds other work kept the generator off its CPU for {:.0}% \
                 of the time or more",
                share * 100.0
            ));
        }
    }

    /// Returns the ratio of one pair in one metric.
    #[must_use]
    pub fn ratio(&self, contender: &str, base: &str, metric: &str) -> Option<&Ratio> {
        self.ratios.iter().find(|ratio| {
            ratio.contender == contender && ratio.base == base && ratio.metric == metric
        })
    }
}

/// Removes the rounds in which a contender answered nothing, as happens if other work keeps it off
/// its CPU. It removes the whole round, since rounds are compared in pairs, and returns a note
/// about each.
fn leave_out_silent_rounds(runs: &mut [Run]) -> Vec<String> {
    let mut silent: Vec<(usize, String)> = Vec::new();
    for run in &*runs {
        for (index, round) in run.rounds.rounds.iter().enumerate() {
            if round.requests.completed == 0 {
                silent.push((index, run.name.clone()));
            }
        }
    }
    for run in runs {
        let mut index = 0;
        run.rounds.rounds.retain(|_| {
            index += 1;
            silent.iter().all(|(left_out, _)| *left_out != index - 1)
        });
    }
    silent
        .into_iter()
        .map(|(index, name)| {
            format!(
                "round {} is left out: {name} had not a single echo in it",
                index + 1
            )
        })
        .collect()
}

/// Returns true for pairs that are compared: everything with the bare loop, the project's own
/// servers with every tokio server, and those that steal work with those that do not.
fn compared(name: &str, base: &str) -> bool {
    (base == BARE && name != BARE)
        || (base.starts_with(OTHERS) && name.starts_with(OURS))
        || base.strip_suffix(WITHOUT) == Some(name)
}

fn medians(run: &Run) -> Medians {
    let rounds = &run.rounds.rounds;
    let all = |value: &dyn Fn(&Report) -> Option<f64>| {
        median(&rounds.iter().map(value).collect::<Option<Vec<_>>>()?)
    };
    let latency = |ns: &dyn Fn(&Report) -> u64| {
        all(&|round| Some(micros(ns(round)))).expect("a contender has rounds")
    };
    Medians {
        name: run.name.clone(),
        requests_per_s: all(&|round| Some(round.throughput.requests_per_s)).unwrap_or(0.0),
        done: all(&done),
        p50_us: latency(&|round| round.latency.headline().p50_ns),
        p90_us: latency(&|round| round.latency.headline().p90_ns),
        p99_us: latency(&|round| round.latency.headline().p99_ns),
        p99_9_us: latency(&|round| round.latency.headline().p99_9_ns),
        p99_99_us: latency(&|round| round.latency.headline().p99_99_ns),
        cpu_us_per_request: all(&|round| round.server.as_ref()?.cpu_us_per_request),
        cpu_user_us_per_request: all(&|round| round.server.as_ref()?.cpu_user_us_per_request),
        cpu_system_us_per_request: all(&|round| round.server.as_ref()?.cpu_system_us_per_request),
        server_busy: all(&|round| {
            let server = round.server.as_ref()?;
            Some((server.cpu_user_s + server.cpu_system_s) / round.elapsed_s)
        }),
        bytes_per_connection: run.memory.as_ref().and_then(memory_slope),
        rounds_generator_bound: rounds
            .iter()
            .filter(|round| round.outcome.generator_was_bottleneck)
            .count(),
        latency: all_latencies(rounds),
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn done(round: &Report) -> Option<f64> {
    round.settings.rate?;
    let requests = &round.requests;
    (requests.scheduled > 0).then(|| requests.completed as f64 / requests.scheduled as f64)
}

fn all_latencies(rounds: &[Report]) -> Recorder {
    let mut all = Recorder::new();
    for round in rounds {
        all.merge(&round.latency.headline().recorder().unwrap_or_default());
    }
    all
}

#[expect(
    clippy::cast_precision_loss,
    reason = "latencies are far below 2^53 ns"
)]
fn micros(ns: u64) -> f64 {
    ns as f64 / 1e3
}

/// Returns the bytes per connection between the two runs; start-up and the first pages of every
/// pool cancel out.
#[expect(clippy::cast_precision_loss, reason = "memory is far below 2^53 bytes")]
fn memory_slope([few, many]: &[Report; 2]) -> Option<f64> {
    let connections = f64::from(many.connections.connected) - f64::from(few.connections.connected);
    let resident = |report: &Report| Some(report.server.as_ref()?.resident_connected_bytes as f64);
    (connections > 0.0).then_some((resident(many)? - resident(few)?) / connections)
}
