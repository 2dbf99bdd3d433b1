//! The requested run: every value is checked, and no name is looked up yet.
//!
//! The command line makes a [`Setup`] and a [`Load`]; the session adds what the machine allows.
//! Both are plain data. Tests: `cli/args/tests.rs` and every integration test.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use reactor::Pinning;
use server_demo::IoSurface;

use crate::measure::clock::Nanos;
use crate::report::slo::Slo;
use crate::run::bad_kind::{BadKind, BadShare};
use crate::run::endpoint::{Endpoint, Family};
use crate::run::hot::Hot;
use crate::run::part::Part;
use crate::run::plan::{Amount, OnFailure, Pace};
use crate::run::protocol::ProtocolSpec;
use crate::run::stages::Stages;
use crate::run::tls_options::TlsOptions;

/// The number of connections without `-c`.
pub(crate) const CONNECTIONS_DEFAULT: u32 = 4_000;

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
    pub(crate) bad: Vec<BadShare>,
    /// Connections that send. If absent, all.
    pub(crate) active: Option<u32>,
    pub(crate) threads: u32,
    pub(crate) io: IoSurface,
    pub(crate) pin: Pinning,
    pub(crate) timeout: Duration,
    pub(crate) interval: Duration,
    pub(crate) on_failure: OnFailure,
    pub(crate) connect_rate: Option<u64>,
    pub(crate) requests_per_conn: Option<u64>,
    pub(crate) lifetime: Option<Duration>,
    /// Source addresses. If empty, the system chooses.
    pub(crate) sources: Vec<IpAddr>,
    pub(crate) server_pid: Option<i32>,
    /// This process's part of the load. Connections are those of the part.
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
    pub(crate) hot: Option<Hot>,
    pub(crate) hot_shift: Option<Nanos>,
    pub(crate) amount: Amount,
    /// The discarded time before the measured part.
    pub(crate) warmup: Duration,
    pub(crate) slo: Option<Slo>,
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
                "--hot {hot}: {active} connections that send have no such share"
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
