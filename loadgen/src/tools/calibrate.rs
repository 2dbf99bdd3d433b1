//! `loadgen calibrate`: checks the generator's latencies against a server's own record.
//!
//! A built-in server (`server.rs`) answers after known delays. It stamps every arrival and every
//! reply with the system's monotonic clock, which the generator uses too. For the same requests the
//! two records must agree. The latency from the send must be the time that the server held each
//! request. In the open loop, the latency from the intended time must be the time from the computed
//! schedule to the reply. The only allowed difference is the way through the system, which the
//! generator's figures contain. Each case runs several times, because other work on the machine
//! disturbs single rounds. `table.rs` renders. Tests: `calibrate/tests.rs` and
//! `tests/calibrate.rs`.

use std::time::{Duration, Instant};

use clap::Args;

use crate::console;
use crate::exit_error::ExitError;
use crate::measure::clock::{Nanos, nanos};
use crate::report::output::TextOrJson;
use crate::report::rate::Rate;
use crate::report::settings::Arrivals;
use crate::report::width::columns;
use crate::report::{Machine, Report, Status};
use crate::run::endpoint::Endpoint;
use crate::run::protocol::{Answers, ProtocolSpec};
use crate::run::session::{Measured, Session};
use crate::run::setup::{Amount, Load, Pace, Setup};
use crate::run::template::Template;
use delays::{Delays, Extra};
use server::{DelayServer, Interruption, Kind, Reply};

mod arrival;
mod data;
mod delays;
mod server;
mod table;

pub use data::*;

/// The number of connections in each round. With seven, p50 and p90 are within the requests of one
/// connection, and not between two.
const CONNECTIONS: u32 = 7;
/// The size of a request.
const SIZE: usize = 64;
/// The rate of the open loop. At these delays, about seven requests are in flight, as in the closed
/// loop.
const RATE: u64 = 350;
/// The constant delay of the first connection. 1% of it is longer than waking a thread takes.
const DELAY: Duration = Duration::from_millis(20);
/// The additional delay of each further connection. Without it, the connections of a closed loop
/// would send in step forever, and the comparison would show the time that the machine takes to
/// wake all their threads at once.
const APART: Duration = Duration::from_micros(400);
/// The exponential delays: their minimum, the mean of the exponential part, and their maximum.
const LEAST: Duration = Duration::from_millis(16);
const MEAN: Duration = Duration::from_millis(8);
const MOST: Duration = Duration::from_millis(100);
/// The additional delay of a slow connection.
const SLOWER: Duration = Duration::from_millis(100);
/// The compared quantiles. Those from p99.9 on come from too few requests to be judged.
const QUANTILES: [(&str, f64, bool); 5] = [
    ("p50", 0.5, true),
    ("p90", 0.9, true),
    ("p99", 0.99, true),
    ("p99.9", 0.999, false),
    ("max", 1.0, false),
];

/// The arguments of `calibrate`.
#[derive(Args, Debug, Clone)]
pub struct CalibrateArgs {
    /// Three rounds of 0.6s of each of the eleven cases, instead of five of 1.3s
    #[arg(long)]
    pub quick: bool,

    /// Format of standard output
    #[arg(long, value_enum, default_value = "text")]
    pub format: TextOrJson,

    /// Show no progress
    #[arg(short = 'q', long)]
    pub quiet: bool,
}

/// The number and length of rounds.
struct Extent {
    rounds: usize,
    needed: usize,
    round: Duration,
}

impl Extent {
    /// Returns five rounds of 1.3 s for each of the eleven cases, or three rounds of 0.6 s.
    const fn new(quick: bool) -> Self {
        match quick {
            false => Self {
                rounds: 5,
                needed: 4,
                round: Duration::from_millis(1_300),
            },
            true => Self {
                rounds: 3,
                needed: 2,
                round: Duration::from_millis(600),
            },
        }
    }
}

/// The load of a case.
struct Scenario {
    name: String,
    open: bool,
    delays: Delays,
    interruption: Option<Interruption>,
    requests: u64,
    /// The length of the measured part of a case with an interruption.
    length: Duration,
}

/// The eleven cases: each kind of delay in both loops, and each interruption in the open one.
fn setups(round: Duration) -> Vec<Scenario> {
    let stall = round / 4;
    let with = |extra| Delays {
        first: DELAY,
        apart: APART,
        extra,
    };
    let stalled = with(Extra::Stall {
        after: round / 3,
        length: stall,
    });
    let exponential = Delays {
        first: LEAST,
        apart: Duration::ZERO,
        extra: Extra::Exponential {
            mean: MEAN,
            most: MOST,
        },
    };
    let mean = DELAY + APART * (CONNECTIONS - 1) / 2;
    let stall_ms = stall.as_millis();
    let slower_ms = SLOWER.as_millis();
    let kinds = [
        (
            "constant delays of 20ms to 22ms".to_owned(),
            with(Extra::Nothing),
            mean,
        ),
        (
            format!("the same and a stall of {stall_ms}ms"),
            stalled,
            mean,
        ),
        (
            "16ms and an exponential 8ms".to_owned(),
            exponential,
            LEAST + MEAN,
        ),
        (
            format!("one connection slower by {slower_ms}ms"),
            with(Extra::Slow(SLOWER)),
            mean,
        ),
    ];
    let setup = |(name, delays, mean): &(String, Delays, Duration), open| {
        let requests = if open {
            RATE * nanos(round) / 1_000_000_000
        } else {
            // A connection sends again only after an answer, so it sends nothing during a stall.
            let idle = if *delays == stalled {
                stall
            } else {
                Duration::ZERO
            };
            u64::from(CONNECTIONS) * (nanos(round - idle) / nanos(*mean))
        };
        Scenario {
            name: format!("{} loop, {name}", if open { "open" } else { "closed" }),
            open,
            delays: *delays,
            interruption: None,
            requests,
            length: round,
        }
    };
    let both = |kind| [setup(kind, false), setup(kind, true)];
    let interrupted = |(name, kind): (&str, Kind)| Scenario {
        name: format!("open loop, {name}"),
        interruption: Some(Interruption {
            after: round / 3,
            kind,
        }),
        ..setup(&kinds[0], true)
    };
    let interruptions = [
        ("an outage", Kind::Outage),
        ("a restart", Kind::Restart(round / 6)),
        ("a reload", Kind::Reload),
    ];
    let steady = kinds.iter().flat_map(both);
    steady.chain(interruptions.map(interrupted)).collect()
}

/// Runs all cases and prints the table. Returns the exit code: 0 if every case agreed, otherwise 1.
///
/// # Errors
/// A round could not be run.
pub fn run(args: &CalibrateArgs, command: Vec<String>) -> Result<u8, ExitError> {
    let extent = Extent::new(args.quick);
    let server = DelayServer::start(SIZE)
        .map_err(|error| ExitError::run(format!("calibration server: {error}")))?;
    let mut session = Session::begin(run_setup(&server, true), command)?;
    let mut cases = Vec::new();
    for setup in setups(extent.round) {
        let mut rounds = Vec::new();
        for round in 1..=extent.rounds {
            if !args.quiet {
                console::remark(format_args!(
                    "  {}: round {round} of {}",
                    setup.name, extent.rounds
                ));
            }
            match measure(&mut session, &server, &setup)? {
                Ok(round) => rounds.push(round),
                Err(exit_code) => return Ok(exit_code),
            }
        }
        cases.push(case(setup, &rounds, extent.needed));
    }
    let calibration = Calibration {
        format: CALIBRATION_FORMAT.to_owned(),
        version: CALIBRATION_VERSION,
        loadgen: env!("CARGO_PKG_VERSION").to_owned(),
        machine: Machine::this(),
        connections: CONNECTIONS,
        rounds: extent.rounds,
        rounds_needed: extent.needed,
        round_s: extent.round.as_secs_f64(),
        passed: cases.iter().all(|case| case.passed),
        cases,
    };
    let text = match args.format {
        TextOrJson::Json => {
            serde_json::to_string(&calibration).expect("plain data becomes JSON") + "\n"
        }
        TextOrJson::Text => table::render(&calibration, columns()),
    };
    console::print(text.as_bytes())
        .map_err(|error| ExitError::run(format!("standard output: {error}")))?;
    Ok(u8::from(!calibration.passed))
}

/// The runs of a calibration.
fn run_setup(server: &DelayServer, quiet: bool) -> Setup {
    let address = server.address();
    // The server identifies each request by its intended time, independent of connection and order.
    let protocol = ProtocolSpec::Fixed {
        request: Template::stamped(server.size()),
        answer: Answers::Bytes {
            expected: vec![0; server.size()].into(),
            verify: false,
        },
    };
    Setup {
        target: Some(Endpoint::Tcp {
            host: address.ip().to_string(),
            port: address.port(),
        }),
        connections: Some(CONNECTIONS),
        interval: nanos(Duration::from_millis(100)),
        quiet,
        ..Setup::new(protocol)
    }
}

/// The load of a round.
fn load(setup: &Scenario) -> Load {
    let pace = if setup.open {
        Pace::Open {
            rate: Rate::whole(RATE),
            arrivals: Arrivals::Fixed,
            in_flight_max: usize::MAX,
        }
    } else {
        Pace::Closed { pipeline: 1 }
    };
    let amount = match setup.interruption {
        Some(_) => Amount::Time(nanos(setup.length)),
        None => Amount::Requests(setup.requests),
    };
    // Connections that an interruption breaks do not fail the round.
    let slo = setup.interruption.map(|_| "errors<=100%");
    Load {
        slo: slo.map(|slo| slo.parse().expect("a threshold")),
        ..Load::new(pace, amount)
    }
}

/// Each series with the quantiles of both sides, in the order of [`QUANTILES`].
type Round = Vec<(&'static str, Vec<Pair>)>;

/// Runs one round. The inner error is the exit code of a signal.
fn measure(
    session: &mut Session,
    server: &DelayServer,
    setup: &Scenario,
) -> Result<Result<Round, u8>, ExitError> {
    let record = server.begin(setup.delays, CONNECTIONS, setup.interruption);
    let Measured { report, began } = session.measure(&load(setup))?;
    match report.outcome.status {
        Status::Ok | Status::Missed => {}
        Status::Interrupted => return Ok(Err(report.outcome.exit_code)),
        Status::Failed => return Err(ExitError::run(report.outcome.messages.join("; "))),
    }
    let replies = record
        .take()
        .map_err(|error| ExitError::run(error.to_string()))?
        .concat();
    let (served, answered) = (replies.len() as u64, report.requests.answered);
    // An answer that is on its way when its connection breaks may be lost.
    let lost_max = match setup.interruption {
        Some(_) => u64::from(CONNECTIONS) * LOST_MAX,
        None => 0,
    };
    if answered > served || served - answered > lost_max {
        return Err(ExitError::run(format!(
            "the server recorded {served} replies and the generator {answered}"
        )));
    }
    compare(&report, &replies, began.filter(|_| setup.open), setup)
        .map(Ok)
        .map_err(ExitError::run)
}

/// The number of answers per connection that an interruption may lose.
const LOST_MAX: u64 = 4;

/// Returns both sides of each series. `began` is the start of an open loop's schedule.
///
/// # Errors
/// A request does not belong to a time of the schedule. The text names the time.
fn compare(
    report: &Report,
    replies: &[Reply],
    began: Option<(Nanos, Instant)>,
    setup: &Scenario,
) -> Result<Round, String> {
    let mut round = Vec::new();
    // After an interruption, the server does not know the latency of unanswered requests.
    if setup.interruption.is_none() {
        let held = replies.iter().map(|reply| reply.replied - reply.arrived);
        round.push(("raw", pairs(held.collect(), &report.latency.raw)));
    }
    if let (Some(began), Some(corrected)) = (began, &report.latency.corrected) {
        let from_intended = since_intended(replies, began, setup)?;
        round.push(("corrected", pairs(from_intended, corrected)));
    }
    Ok(round)
}

/// Returns the intended time of request number `at`, from the beginning of the schedule.
fn intended(at: u64) -> Duration {
    Duration::from_nanos(at * 1_000_000_000 / RATE)
}

/// Returns the time from the intended send of each scheduled request to its reply, or to the end of
/// the measured part if it has no reply.
///
/// # Errors
/// A request has a time that is not in the schedule, or the time of another request.
fn since_intended(
    replies: &[Reply],
    (start, began): (Nanos, Instant),
    setup: &Scenario,
) -> Result<Vec<Duration>, String> {
    let requests = usize::try_from(setup.requests).expect("a few hundred");
    let mut latencies: Vec<Option<Duration>> = vec![None; requests];
    for reply in replies {
        let since = reply.intended.saturating_sub(start);
        // The number of the request with this time, which was rounded to nanoseconds.
        let at = (since + 1) * RATE / 1_000_000_000;
        let place = usize::try_from(at)
            .ok()
            .and_then(|at| latencies.get_mut(at));
        let free = place.filter(|place| place.is_none());
        match free {
            Some(place)
                if intended(at)
                    .abs_diff(Duration::from_nanos(since))
                    .as_nanos()
                    <= 1 =>
            {
                let meant = began + intended(at);
                *place = Some(reply.replied.saturating_duration_since(meant));
            }
            _ => return Err(format!("a request at {since} ns is not in the schedule")),
        }
    }
    let waited = |(at, latency): (u64, Option<Duration>)| {
        latency.unwrap_or_else(|| setup.length.saturating_sub(intended(at)))
    };
    Ok((0..).zip(latencies).map(waited).collect())
}

/// Pairs the quantiles of the server's record with those of the generator's histogram.
fn pairs(mut server: Vec<Duration>, measured: &crate::report::Distribution) -> Vec<Pair> {
    server.sort_unstable();
    let recorder = measured
        .recorder()
        .expect("a histogram that this process encoded");
    let pair = |(_, quantile, _): (&str, f64, bool)| Pair {
        server_ns: rank(&server, quantile).map_or(0, nanos),
        measured_ns: recorder.quantile(quantile),
    };
    QUANTILES.map(pair).to_vec()
}

/// Returns the smallest value that this share of all values does not exceed, as histograms define
/// it.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rank among a few thousand"
)]
fn rank(sorted: &[Duration], quantile: f64) -> Option<Duration> {
    let rank = (quantile * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

/// Transposes rounds with quantiles into quantiles with rounds.
fn case(setup: Scenario, rounds: &[Round], needed: usize) -> Case {
    let gated = |pairs: &[Pair]| {
        let gated = pairs
            .iter()
            .zip(QUANTILES)
            .filter(|(_, (.., gated))| *gated);
        gated.map(|(pair, _)| *pair).all(Pair::agrees)
    };
    let within = |round: &&Round| round.iter().all(|(_, pairs)| gated(pairs));
    let rounds_within = rounds.iter().filter(within).count();
    let series = |(at, (name, _)): (usize, &(&str, Vec<Pair>))| Series {
        name: (*name).to_owned(),
        quantiles: (0..)
            .zip(QUANTILES)
            .map(|(row, (name, _, gated))| Quantile {
                name: name.to_owned(),
                gated,
                rounds: rounds.iter().map(|round| round[at].1[row]).collect(),
            })
            .collect(),
    };
    Case {
        name: setup.name,
        open: setup.open,
        requests: setup.requests,
        rounds_within,
        passed: rounds_within >= needed,
        series: rounds
            .first()
            .map(|round| round.iter().enumerate().map(series).collect())
            .unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;
