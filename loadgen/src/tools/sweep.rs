//! `--sweep`: the rate rises step by step until a threshold breaks, and the last rate that held is the knee.
//!
//! Steps are `FROM..TO:STEP` (a rate and what is added to it) or `FROM..TO*FACTOR` (a rate and what it is multiplied by);
//! `TO` is the last rate unless a step jumps over it. Each is a run of its own in the open loop: short, with fresh connections,
//! against the same server. Without `--slo` a rate holds while 99% of what is due is answered in time. A step that misses is
//! run once more, since one hiccup of the machine makes no knee. Called by `run.rs`; [`text`](text()), [`csv`] and `report/html/sweep.rs` show. Tests:
//! `sweep/tests.rs` and `tests/sweep.rs`.

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use server_demo::units::parse_count;

use crate::cli::args::{RATE_MAX, RunArgs};
use crate::measure::slo::Slo;
use crate::report::{Machine, Report, Status, Target};
use crate::run::Refusal;
use crate::run::session::Session;

mod table;

pub(crate) use table::{COLUMNS, cells, doubt, knee};
pub use table::{csv, text};

/// What the `format` field of a sweep says.
pub const SWEEP_FORMAT: &str = "loadgen-sweep";
/// The version of its schema.
pub const SWEEP_VERSION: u32 = 1;
/// Measured time of a step where `-d` is absent, and what is thrown away before it.
pub const STEP_DURATION: Duration = Duration::from_secs(3);
const STEP_WARMUP: Duration = Duration::from_millis(500);
/// What holds where `--slo` is absent.
const SLO_DEFAULT: &str = "kept>=99%";
/// More steps than this are a mistake.
const STEPS_MAX: usize = 200;

/// The rates of a sweep, as asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steps(Vec<u64>);

impl FromStr for Steps {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str =
            "write FROM..TO:STEP or FROM..TO*FACTOR, for example `10k..200k:10k` or `1k..100k*2`";
        let (from, rest) = text.split_once("..").ok_or(FORM)?;
        let rate = |text: &str| match parse_count(text.trim()) {
            Ok(rate) if (1..=RATE_MAX).contains(&rate) => Ok(rate),
            Ok(rate) => Err(format!("{rate} is not between 1 and {RATE_MAX}")),
            Err(error) => Err(error.to_string()),
        };
        let (to, next): (_, Box<dyn Fn(u64) -> u64>) =
            if let Some((to, step)) = rest.split_once(':') {
                let step = rate(step)?;
                (to, Box::new(move |rate| rate + step))
            } else if let Some((to, factor)) = rest.split_once('*') {
                let factor = factor.trim().parse::<f64>().ok();
                let factor = factor.filter(|factor| (1.01..=100.0).contains(factor));
                let factor = factor.ok_or("FACTOR is a number from 1.01 to 100")?;
                (to, Box::new(move |rate| times(rate, factor)))
            } else {
                return Err(FORM.to_owned());
            };
        let (from, to) = (rate(from)?, rate(to)?);
        if from > to {
            return Err(format!("{from} is above {to}: a sweep rises"));
        }
        let rates: Vec<_> = std::iter::successors(Some(from), |&rate| Some(next(rate)))
            .take_while(|&rate| rate <= to)
            .take(STEPS_MAX + 1)
            .collect();
        if rates.len() > STEPS_MAX {
            return Err(format!("more than {STEPS_MAX} steps"));
        }
        Ok(Self(rates))
    }
}

/// The next whole rate, always a higher one.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rates are at most a billion, and factors a hundred"
)]
fn times(rate: u64, factor: f64) -> u64 {
    ((rate as f64 * factor).round() as u64).max(rate + 1)
}

/// The result: what JSON holds.
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
    /// Where it ran.
    pub machine: Machine,
    /// What was loaded.
    pub target: Target,
    /// What a rate must show.
    pub slo: String,
    /// What was run, in order; a rate that missed occurs twice.
    pub steps: Vec<Step>,
    /// The last rate that held; absent where none did.
    pub knee: Option<u64>,
    /// The rate that broke; absent where none did.
    pub broke: Option<u64>,
    /// 0; 3 where not even the first rate held; 1 or above 128 as for a run.
    pub exit_code: u8,
    /// Why it ended as it did, where that is not the knee's doing.
    pub messages: Vec<String>,
}

/// One run of a sweep.
#[derive(Debug, Serialize, Deserialize)]
pub struct Step {
    /// Requests per second.
    pub rate: u64,
    /// Whether the thresholds were met.
    pub held: bool,
    /// All of it.
    pub report: Report,
}

impl Step {
    fn new(rate: u64, report: Report) -> Self {
        let held = report.outcome.status == Status::Ok;
        Self { rate, held, report }
    }

    /// What broke it.
    #[must_use]
    pub fn why(&self) -> String {
        self.report.outcome.messages.join("; ")
    }
}

/// Runs the steps until one breaks.
///
/// # Errors
/// No step could be run.
pub(crate) fn run(args: &RunArgs, steps: &Steps, mut session: Session) -> Result<Sweep, Refusal> {
    let slo = match &args.slo {
        Some(slo) => slo.clone(),
        None => SLO_DEFAULT.parse().expect("the default is right"),
    };
    let mut sweep = Sweep {
        format: SWEEP_FORMAT.to_owned(),
        version: SWEEP_VERSION,
        loadgen: env!("CARGO_PKG_VERSION").to_owned(),
        command: session.command().to_vec(),
        machine: Machine::this(),
        target: session.target(),
        slo: slo.to_string(),
        steps: Vec::new(),
        knee: None,
        broke: None,
        exit_code: 0,
        messages: Vec::new(),
    };
    for &rate in &steps.0 {
        let step = step_args(args, rate, &slo);
        if !args.quiet {
            crate::report::output::remark(format_args!("  step: {rate} requests/s"));
        }
        if !sweep.hold(&step, rate, &mut session)? && !sweep.hold(&step, rate, &mut session)? {
            break;
        }
    }
    if let Some(wrong) = session.end() {
        sweep.fail(1, vec![wrong]);
    }
    sweep.conclude();
    Ok(sweep)
}

/// The arguments of one step.
fn step_args(args: &RunArgs, rate: u64, slo: &Slo) -> RunArgs {
    RunArgs {
        rate: Some(rate),
        slo: Some(slo.clone()),
        duration: Some(args.duration.unwrap_or(STEP_DURATION)),
        warmup: Some(args.warmup.unwrap_or(STEP_WARMUP)),
        ..args.clone()
    }
}

impl Sweep {
    /// Runs one step; says whether to go on to the next rate.
    fn hold(&mut self, args: &RunArgs, rate: u64, session: &mut Session) -> Result<bool, Refusal> {
        if self.exit_code != 0 {
            return Ok(false);
        }
        let report = session.measure(args)?.report;
        let outcome = &report.outcome;
        let began = report.requests.scheduled > 0;
        if outcome.status == Status::Interrupted || (outcome.status == Status::Failed && !began) {
            self.fail(outcome.exit_code, outcome.messages.clone());
            return Ok(false);
        }
        let step = Step::new(rate, report);
        let held = step.held;
        self.steps.push(step);
        Ok(held)
    }

    fn fail(&mut self, exit_code: u8, messages: Vec<String>) {
        self.exit_code = self.exit_code.max(exit_code);
        self.messages.extend(messages);
    }

    /// Names the knee.
    fn conclude(&mut self) {
        self.knee = self
            .steps
            .iter()
            .rev()
            .find(|step| step.held)
            .map(|step| step.rate);
        if let Some(last) = self.steps.last()
            && !last.held
        {
            self.broke = Some(last.rate);
            if self.knee.is_none() && self.exit_code == 0 {
                self.exit_code = 3;
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
