//! The requested run: every value is checked, and no name is looked up yet.
//!
//! The command line makes a [`Setup`] and a [`Load`]. The session adds the limits of the machine.
//! Both are plain data. Tests: `cli/args/tests.rs` and every integration test.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use reactor::Pinning;
use server_demo::IoSurface;

use crate::measure::clock::Nanos;
use crate::measure::series::INTERVAL_DEFAULT;
use crate::report::rate::Rate;
use crate::report::settings::Arrivals;
use crate::report::slo::Slo;
use crate::run::bad_kind::{BadKind, BadShare};
use crate::run::endpoint::{Endpoint, Family};
use crate::run::hot::Hot;
use crate::run::part::Part;
use crate::run::protocol::ProtocolSpec;
use crate::run::stages::Stages;
use crate::run::tls_options::TlsOptions;

/// The number of connections without `-c`.
pub(crate) const CONNECTIONS_DEFAULT: u32 = 4_000;
/// The time after which a server counts as silent.
const TIMEOUT_DEFAULT: Nanos = 5_000_000_000;

/// The rule that decides when a request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Closed loop: each connection keeps this many requests in flight.
    Closed {
        /// Requests in flight.
        pipeline: usize,
    },
    /// Open loop: a schedule.
    Open {
        /// Requests per second in total.
        rate: Rate,
        /// Their spacing.
        arrivals: Arrivals,
        /// The maximum number of requests in flight on a connection.
        in_flight_max: usize,
    },
}

/// The reaction to a connection that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnFailure {
    /// Connects again, after a back-off.
    Reconnect,
    /// Goes on without it.
    End,
    /// Ends the run.
    Abort,
}

/// The amount of load that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Amount {
    /// All requests during this time.
    Time(Nanos),
    /// This many requests.
    Requests(u64),
}

/// The parts that all runs of a session share.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    /// The server. If absent, the embedded server.
    pub(crate) target: Option<Endpoint>,
    /// The only family of addresses to use.
    pub(crate) family: Option<Family>,
    pub(crate) protocol: ProtocolSpec,
    /// The TLS options, if TLS was requested.
    pub(crate) tls: Option<TlsOptions>,
    /// Connections in total. If absent, the default, or fewer if the descriptor limit requires it.
    pub(crate) connections: Option<u32>,
    /// Clients that misbehave.
    pub(crate) bad: Vec<BadShare>,
    /// Connections that send. If absent, all.
    pub(crate) active: Option<u32>,
    /// Threads, each a shard.
    pub(crate) threads: u32,
    pub(crate) io: IoSurface,
    pub(crate) pin: Pinning,
    /// The longest time that the server may owe an answer.
    pub(crate) timeout: Nanos,
    /// Length of an interval of the time series.
    pub(crate) interval: Nanos,
    pub(crate) on_failure: OnFailure,
    /// Connections opened per second in total.
    pub(crate) connect_rate: Option<u64>,
    /// Requests after which a connection is replaced.
    pub(crate) requests_per_conn: Option<u64>,
    /// Time after which a connection is replaced.
    pub(crate) lifetime: Option<Nanos>,
    /// Source addresses. If empty, the system chooses.
    pub(crate) sources: Vec<IpAddr>,
    pub(crate) server_pid: Option<i32>,
    /// This process's part of the load. Connections are those of the part, requests and rates those
    /// of the whole.
    pub(crate) part: Part,
    /// The time since 1970 at which requests begin. If absent, they begin as soon as possible.
    pub(crate) start_at: Option<Duration>,
    /// The address of the endpoint for Prometheus.
    pub(crate) metrics: Option<SocketAddr>,
    /// The log of intervals that is written during the run.
    pub(crate) log: Option<PathBuf>,
    /// True if no progress is shown.
    pub(crate) quiet: bool,
}

/// The parts that differ between the runs of a session.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) pace: Pace,
    /// The changing rate of an open loop.
    pub(crate) stages: Option<Stages>,
    /// The wait after each answer of a closed loop; zero without one.
    pub(crate) think_time: Nanos,
    /// The connections that get most of the requests of an open loop.
    pub(crate) hot: Option<Hot>,
    /// The time after which the hot set moves.
    pub(crate) hot_shift: Option<Nanos>,
    pub(crate) amount: Amount,
    /// The discarded time before the measured part.
    pub(crate) warmup: Nanos,
    /// The thresholds.
    pub(crate) slo: Option<Slo>,
}

impl Load {
    /// A steady load of this pace and amount, all of it measured.
    pub(crate) fn new(pace: Pace, amount: Amount) -> Self {
        Self {
            pace,
            stages: None,
            think_time: 0,
            hot: None,
            hot_shift: None,
            amount,
            warmup: 0,
            slo: None,
        }
    }
}

/// The connections of a run, divided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Division {
    /// Connections of the load.
    pub(crate) good: u32,
    /// Those of them that send.
    pub(crate) active: u32,
    /// Bad clients.
    pub(crate) bad: Vec<(BadKind, u32)>,
}

impl Setup {
    /// The defaults of a run on one thread, with this protocol.
    pub(crate) fn new(protocol: ProtocolSpec) -> Self {
        Self {
            target: None,
            family: None,
            protocol,
            tls: None,
            connections: None,
            bad: Vec::new(),
            active: None,
            threads: 1,
            io: IoSurface::default(),
            pin: Pinning::None,
            timeout: TIMEOUT_DEFAULT,
            interval: INTERVAL_DEFAULT,
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
            quiet: false,
        }
    }

    /// Divides this many connections.
    ///
    /// # Errors
    /// They are too few for the bad clients, the threads, the active connections or the hot set, or
    /// a kind of bad client is named twice. The text names the flags.
    pub(crate) fn divide(&self, connections: u32, hot: Option<&Hot>) -> Result<Division, String> {
        let mut good = connections;
        let mut bad: Vec<(BadKind, u32)> = Vec::new();
        for share in &self.bad {
            let (kind, clients) = (share.kind(), share.of(connections));
            if bad.iter().any(|&(other, _)| other == kind) {
                return Err(format!("--bad-clients names {kind} twice"));
            }
            good = good.saturating_sub(clients);
            bad.push((kind, clients));
        }
        if good == 0 {
            return Err(format!(
                "--bad-clients leaves none of the {connections} connections to measure"
            ));
        }
        let threads = self.threads;
        if threads > good {
            return Err(format!(
                "-t {threads} is more threads than the {good} connections"
            ));
        }
        let active = self.active.unwrap_or(good);
        if active > good {
            let less = if good < connections {
                " less the bad clients"
            } else {
                ""
            };
            return Err(format!(
                "--active {active} is more than -c {connections}{less}"
            ));
        }
        if let Some(hot) = hot
            && hot.stride() > active
        {
            return Err(format!(
                "--hot {hot}: {active} active connections cannot be divided into this share"
            ));
        }
        Ok(Division { good, active, bad })
    }

    /// Returns the minimum number of connections for the threads and the active ones.
    pub(crate) fn least(&self) -> u32 {
        self.active.unwrap_or(1).max(self.threads)
    }

    /// Returns the number of connections without `-c`, within the descriptor limit.
    pub(crate) fn connections_default(&self) -> u32 {
        CONNECTIONS_DEFAULT.max(self.least())
    }
}
