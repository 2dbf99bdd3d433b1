//! `--sweep`: raises the rate step by step until it misses a threshold. The last rate that met all
//! thresholds is the knee.
//!
//! Steps are `FROM..TO:STEP` (each step adds `STEP`) or `FROM..TO*FACTOR` (each step multiplies by
//! `FACTOR`). `TO` is the last rate, unless a step jumps over it. Each step is a short open-loop
//! run with new connections against the same server. Without `--slo`, a rate passes if 99% of the
//! scheduled requests are answered in time. A step that misses runs once more, because one pause of
//! the machine is not a knee. Tests: `sweep/tests.rs` and `tests/sweep.rs`.

use std::str::FromStr;
use std::time::Duration;

use server_demo::units::parse_count;

use crate::exit_error::ExitError;
use crate::report::rate::{RATE_MAX, Rate};
use crate::report::slo::Slo;
use crate::report::sweep::{SWEEP_FORMAT, SWEEP_VERSION, Step, Sweep};
use crate::report::{Machine, Status};
use crate::run::session::Session;
use crate::run::setup::{Load, Pace};

/// The measured time of a step without `-d`.
pub const STEP_DURATION: Duration = Duration::from_secs(3);
/// The discarded start of a step without `--warmup`.
pub const STEP_WARMUP: Duration = Duration::from_millis(500);
/// The threshold without `--slo`.
const SLO_DEFAULT: &str = "achieved>=99%";
/// The maximum number of steps. More are refused as a mistake.
const STEPS_MAX: usize = 200;

/// The requested rates of a sweep.
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

impl Steps {
    /// Returns the lowest rate.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.0[0]
    }
}

/// Returns the next whole rate, which is always higher.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rates are at most a billion, and factors a hundred"
)]
fn times(rate: u64, factor: f64) -> u64 {
    ((rate as f64 * factor).round() as u64).max(rate + 1)
}

/// Runs the steps until one misses a threshold.
///
/// # Errors
/// No step could be run.
pub(crate) fn run(load: &Load, steps: &Steps, mut session: Session) -> Result<Sweep, ExitError> {
    let slo = load.slo.clone().unwrap_or_else(slo_default);
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
        let mut step = load.clone();
        step.slo = Some(slo.clone());
        if let Pace::Open { rate: of_step, .. } = &mut step.pace {
            *of_step = Rate::whole(rate);
        }
        if !session.is_quiet() {
            crate::console::remark(format_args!("  step: {rate} requests/s"));
        }
        if !hold(&mut sweep, &step, rate, &mut session)?
            && !hold(&mut sweep, &step, rate, &mut session)?
        {
            break;
        }
    }
    if let Some(wrong) = session.end() {
        fail(&mut sweep, 1, vec![wrong]);
    }
    name_knee(&mut sweep);
    Ok(sweep)
}

/// Runs one step. Returns true if the rate met the thresholds.
fn hold(
    sweep: &mut Sweep,
    load: &Load,
    rate: u64,
    session: &mut Session,
) -> Result<bool, ExitError> {
    if sweep.exit_code != 0 {
        return Ok(false);
    }
    let report = session.measure(load)?.report;
    let outcome = &report.outcome;
    let began = report.requests.scheduled > 0;
    if outcome.status == Status::Interrupted || (outcome.status == Status::Failed && !began) {
        fail(sweep, outcome.exit_code, outcome.messages.clone());
        return Ok(false);
    }
    let step = Step::new(rate, report);
    let held = step.held;
    sweep.steps.push(step);
    Ok(held)
}

fn fail(sweep: &mut Sweep, exit_code: u8, messages: Vec<String>) {
    sweep.exit_code = sweep.exit_code.max(exit_code);
    sweep.messages.extend(messages);
}

/// Determines the knee.
fn name_knee(sweep: &mut Sweep) {
    let held = sweep.steps.iter().rev().find(|step| step.held);
    sweep.knee = held.map(|step| step.rate);
    if let Some(last) = sweep.steps.last()
        && !last.held
    {
        sweep.broke = Some(last.rate);
        if sweep.knee.is_none() && sweep.exit_code == 0 {
            sweep.exit_code = 3;
        }
    }
}

/// Returns the threshold of a sweep without `--slo`.
pub(crate) fn slo_default() -> Slo {
    SLO_DEFAULT.parse().expect("the default is right")
}

#[cfg(test)]
pub(crate) mod tests;
