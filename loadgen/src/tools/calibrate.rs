//! `loadgen calibrate`: does the generator measure what a server does?
//!
//! A built-in server (`server.rs`) answers after known delays and stamps every arrival and every
//! reply with its own clock, which is the system's monotonic one, as the generator's is. For the
//! same requests the two records must agree: latency from the send with the time the server held
//! each request; latency from the intended time, in the open loop, with the replies against the
//! schedule as arithmetic gives it. What the generator shows beyond that is the way through the
//! system. Each case is run several times, because other work on the machine disturbs single
//! rounds. `table.rs` renders. Tests: `calibrate/tests.rs` and `tests/calibrate.rs`.

use std::time::{Duration, Instant};

use clap::Args;

use crate::console;
use crate::exit_error::ExitError;
use crate::measure::clock::nanos;
use crate::report::output::TextOrJson;
use crate::report::rate::Rate;
use crate::report::settings::{Arrivals, IoSurface, Pin};
use crate::report::{Machine, Report, Status};
use crate::run::endpoint::Endpoint;
use crate::run::part::Part;
use crate::run::plan::{Amount, OnFailure, Pace};
use crate::run::protocol::ProtocolSpec;
use crate::run::session::{Measured, Session};
use crate::run::setup::{Load, Setup};
use server::{DelayServer, Delays, PerConnection, Reply};

mod arrival;
mod data;
mod server;
mod table;

pub use data::*;

/// Connections of each round. With seven, p50 and p90 fall within the requests of one connection
/// and not between two.
const CONNECTIONS: u32 = 7;
/// The time after which a server counts as silent.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of a request.
const SIZE: usize = 64;
/// Requests per second of the open loop: at these delays about seven are in flight, as in the
/// closed one.
const RATE: u64 = 350;
/// The constant delay of the first connection: 1% of it is more than waking a thread takes.
const DELAY: Duration = Duration::from_millis(20);
/// The additional delay of each further connection. Without it a closed loop's connections would
/// send in step for ever, and what is compared would be how long the machine takes to wake all
/// their threads at once.
const APART: Duration = Duration::from_micros(400);
/// The least of the exponential delays, what they have on top on average, and their most.
const LEAST: Duration = Duration::from_millis(16);
const MEAN: Duration = Duration::from_millis(8);
const MOST: Duration = Duration::from_millis(100);
/// The quantiles compared; those from p99.9 on rest on too few requests to be held to anything.
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
    /// Three rounds of 0.6s of each of the six cases, instead of five of 1.3s
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
    /// Six cases of five rounds of 1.3 s, or of three rounds of 0.6 s.
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
    requests: u64,
}

/// The six cases: each kind of delay in both loops.
fn setups(round: Duration) -> Vec<Scenario> {
    let stall = round / 4;
    let each = PerConnection {
        first: DELAY,
        apart: APART,
    };
    let mean = DELAY + APART * (CONNECTIONS - 1) / 2;
    let kinds = [
        (
            "constant delays of 20ms to 22ms".to_owned(),
            Delays::Constant(each),
            mean,
            Duration::ZERO,
        ),
        (
            format!("the same and a stall of {}ms", stall.as_millis()),
            Delays::Stall {
                delay: each,
                after: round / 3,
                length: stall,
            },
            mean,
            stall,
        ),
        (
            "16ms and an exponential 8ms".to_owned(),
            Delays::Exponential {
                least: LEAST,
                mean: MEAN,
                most: MOST,
            },
            LEAST + MEAN,
            Duration::ZERO,
        ),
    ];
    let setup = |(name, delays, mean, idle): &(String, Delays, Duration, Duration), open| {
        let requests = if open {
            RATE * nanos(round) / 1_000_000_000
        } else {
            // A connection sends as often as answers come; nothing is sent during a stall.
            u64::from(CONNECTIONS) * (nanos(round - *idle) / nanos(*mean))
        };
        Scenario {
            name: format!("{} loop, {name}", if open { "open" } else { "closed" }),
            open,
            delays: *delays,
            requests,
        }
    };
    let both = |kind| [setup(kind, false), setup(kind, true)];
    kinds.iter().flat_map(both).collect()
}

/// Runs all cases and prints the table. Returns the exit code: 0 where every case agreed, else 1.
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
        TextOrJson::Text => table::render(&calibration),
    };
    console::print(text.as_bytes())
        .map_err(|error| ExitError::run(format!("standard output: {error}")))?;
    Ok(u8::from(!calibration.passed))
}

/// The runs of a calibration.
fn run_setup(server: &DelayServer, quiet: bool) -> Setup {
    let address = server.address();
    Setup {
        target: Some(Endpoint::Tcp {
            host: address.ip().to_string(),
            port: address.port(),
        }),
        family: None,
        protocol: ProtocolSpec::Echo {
            sizes: server.size().into(),
            verify: true,
            work_us: None,
        },
        connections: Some(CONNECTIONS),
        bad: Vec::new(),
        active: None,
        threads: 1,
        io: IoSurface::Helpers,
        pin: Pin::None,
        timeout: TIMEOUT,
        interval: Duration::from_millis(100),
        on_failure: OnFailure::Reconnect,
        connect_rate: None,
        requests_per_conn: None,
        lifetime: None,
        sources: Vec::new(),
        server_pid: None,
        part: Part::WHOLE,
        start_at: None,
        metrics: None,
        log: None,
        quiet,
    }
}

/// The load of a round.
fn load(setup: &Scenario) -> Load {
    Load {
        pace: if setup.open {
            Pace::Open {
                rate: Rate::whole(RATE),
                arrivals: Arrivals::Fixed,
                in_flight_max: usize::MAX,
            }
        } else {
            Pace::Closed { pipeline: 1 }
        },
        stages: None,
        think_time: 0,
        hot: None,
        hot_shift: None,
        amount: Amount::Requests(setup.requests),
        warmup: Duration::ZERO,
        slo: None,
    }
}

/// The quantiles of both sides for each series, in the order of [`QUANTILES`].
type Round = Vec<(&'static str, Vec<Pair>)>;

/// One round; the inner error is the exit code of a signal.
fn measure(
    session: &mut Session,
    server: &DelayServer,
    setup: &Scenario,
) -> Result<Result<Round, u8>, ExitError> {
    let record = server.begin(setup.delays, CONNECTIONS as usize);
    let Measured { report, began } = session.measure(&load(setup))?;
    match report.outcome.status {
        Status::Ok | Status::Missed => {}
        Status::Interrupted => return Ok(Err(report.outcome.exit_code)),
        Status::Failed => return Err(ExitError::run(report.outcome.messages.join("; "))),
    }
    let replies = record
        .take()
        .map_err(|error| ExitError::run(error.to_string()))?;
    let served: usize = replies.iter().map(Vec::len).sum();
    if served as u64 != report.requests.answered {
        let answered = report.requests.answered;
        return Err(ExitError::run(format!(
            "the server recorded {served} replies and the generator {answered}"
        )));
    }
    Ok(Ok(compare(&report, &replies, began.filter(|_| setup.open))))
}

/// Both sides of each series; `began` is when the schedule of an open loop did.
fn compare(report: &Report, replies: &[Vec<Reply>], began: Option<Instant>) -> Round {
    let held = replies
        .iter()
        .flatten()
        .map(|reply| reply.replied - reply.arrived)
        .collect();
    let mut round = vec![("raw", pairs(held, &report.latency.raw))];
    if let (Some(began), Some(corrected)) = (began, &report.latency.corrected) {
        let from_intended = since_intended(replies, began);
        round.push(("corrected", pairs(from_intended, corrected)));
    }
    round
}

/// When request number `at` of the schedule is meant to be sent, from its beginning.
fn intended(at: usize) -> Duration {
    Duration::from_nanos(at as u64 * 1_000_000_000 / RATE)
}

/// The times from the intended send of each request to its reply.
///
/// Requests are sent in the order of the schedule, so the nth arrival of the server's record
/// belongs to the nth intended time.
fn since_intended(replies: &[Vec<Reply>], began: Instant) -> Vec<Duration> {
    let mut arrivals: Vec<_> = replies.iter().flatten().collect();
    arrivals.sort_by_key(|reply| reply.arrived);
    let nth = arrivals.into_iter().enumerate();
    nth.map(|(nth, reply)| {
        reply
            .replied
            .saturating_duration_since(began + intended(nth))
    })
    .collect()
}

/// The quantiles of the server's record beside those of the generator's histogram.
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

/// The smallest value that this share of all does not exceed, as histograms define it.
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

/// Turns rounds with quantiles into quantiles with rounds.
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
