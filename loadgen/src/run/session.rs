//! A session: the state that the runs of one process share (the target, the embedded server,
//! signals). It takes each run from its plan to its report.
//!
//! The command line makes one [`Session`]. It then runs one load, or one per step of a sweep.
//! Tests: every integration test.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use reactor::{Pinning, Reactor};
use server_demo::limits::raise_nofile;

use crate::exit_error::ExitError;
use crate::measure::clock::{Clock, Nanos, nanos};
use crate::measure::server_side::Probe;
use crate::report::{Machine, Outcome, Report, Target};
use crate::run::control::ShardEvent;
use crate::run::coordinator::{Probes, Watchers, coordinate};
use crate::run::embedded::{self, Embedded};
use crate::run::endpoint::first_that_accepts;
use crate::run::exposition::Exposition;
use crate::run::interval_log::IntervalLog;
use crate::run::plan::Plan;
use crate::run::progress::Progress;
use crate::run::random::mix;
use crate::run::setup::{Load, Setup};
use crate::run::signals;
use crate::run::sources::Address;
use crate::run::summary::{Context, summarize};
use crate::run::tls::Tls;
use crate::run::tls_options::TlsOptions;

/// The descriptors that a process needs besides its connections: standard streams, pipes, and for
/// each thread an epoll, an eventfd and a listener, with some to spare.
const DESCRIPTORS_BESIDE: u64 = 64;
const DESCRIPTORS_PER_THREAD: u64 = 8;
/// The longest time for shards to end after the report is complete.
const SHUTDOWN_MAX: Duration = Duration::from_secs(1);

/// The state that the runs of one process share.
#[derive(Debug)]
pub(crate) struct Session {
    command: Vec<String>,
    setup: Setup,
    /// The number of all connections.
    connections: u32,
    /// Remarks from before the runs.
    notes: Vec<String>,
    address: Address,
    embedded: Option<Embedded>,
    server_pid: Option<i32>,
    exposition: Option<Exposition>,
    tls: Option<Tls>,
    /// Signals, and the events of the current run's shards.
    sender: mpsc::Sender<ShardEvent>,
    events: mpsc::Receiver<ShardEvent>,
}

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) report: Report,
    /// The first intended time of an open loop, by the run's clock and as an [`Instant`].
    pub(crate) began: Option<(Nanos, Instant)>,
}

impl Session {
    /// Reads the limits of the machine, installs the signal handlers, and finds or starts the
    /// server.
    ///
    /// # Errors
    /// No run can begin.
    pub(crate) fn begin(setup: Setup, command: Vec<String>) -> Result<Self, ExitError> {
        let (connections, note) = connections(&setup)?;
        let mut notes: Vec<_> = note.into_iter().collect();
        let address = match &setup.target {
            Some(target) => {
                let addresses = target.look_up(setup.family)?;
                let (address, note) =
                    first_that_accepts(addresses, Duration::from_nanos(setup.timeout));
                notes.extend(note);
                Some(address)
            }
            None => None,
        };
        // The signal handlers are installed before the child starts, so that it never outlives an
        // interrupted parent.
        let (sender, events) = mpsc::channel();
        signals::forward(sender.clone())
            .map_err(|error| ExitError::run(format!("signals: {error}")))?;
        let mut embedded = None;
        let address = match address {
            Some(address) => address,
            None => {
                let server = Embedded::start(embedded::shards(), setup.io)
                    .map_err(|error| ExitError::run(format!("embedded server: {error}")))?;
                let address = Address::Tcp(server.address());
                embedded = Some(server);
                address
            }
        };
        let tls = setup.tls.as_ref().map(TlsOptions::prepare).transpose();
        let tls = tls.map_err(ExitError::run)?;
        let exposition = match setup.metrics {
            Some(address) => Some(
                Exposition::start(address)
                    .map_err(|error| ExitError::run(format!("--metrics {address}: {error}")))?,
            ),
            None => None,
        };
        let server_pid = setup
            .server_pid
            .or_else(|| embedded.as_ref().map(Embedded::pid));
        Ok(Self {
            command,
            setup,
            connections,
            notes,
            address,
            embedded,
            server_pid,
            exposition,
            tls,
            sender,
            events,
        })
    }

    /// Runs the load once. The embedded server keeps running.
    ///
    /// # Errors
    /// The run could not begin.
    pub(crate) fn measure(&mut self, load: &Load) -> Result<Measured, ExitError> {
        let started = unix_now();
        let server = match self.server_pid {
            Some(pid) => Some(
                Probe::new(pid)
                    .and_then(|probe| probe.cpu().map(|_| probe))
                    .map_err(|error| ExitError::run(format!("--server-pid {pid}: {error}")))?,
            ),
            None => None,
        };
        let plan = Arc::new(self.plan(load, nanos(started))?);
        let reactor = reactor(&self.setup)?;
        let probes = Probes {
            server,
            generator: Probe::this_process().ok(),
        };
        let log = self.setup.log.as_deref();
        let log = log.map(|path| {
            IntervalLog::create(path, self.setup.interval, &self.command).map_err(ExitError::run)
        });
        let watchers = Watchers {
            progress: Progress::new(self.setup.quiet),
            exposition: self.exposition.clone(),
            log: log.transpose()?,
        };
        let clock = Clock::start();
        let clock_unix = unix_now();
        let observations = coordinate(
            &plan,
            clock,
            &reactor,
            (&self.sender, &self.events),
            probes,
            watchers,
        );
        let context = Context {
            begun: Report {
                command: self.command.clone(),
                runs: vec![run_name(nanos(started))],
                started_unix_ms: unix_ms(started),
                machine: Machine::this(),
                target: self.target(),
                outcome: Outcome {
                    notes: self.notes.clone(),
                    ..Outcome::default()
                },
                ..Report::default()
            },
            clock_unix_ms: unix_ms(clock_unix),
            server_pid: self.server_pid,
            server_ended: self.server_ended(),
        };
        let report = summarize(&plan, context, &observations);
        if let Err(error) = reactor.shutdown(SHUTDOWN_MAX) {
            crate::console::remark(format_args!("loadgen: {error}"));
        }
        let began = observations
            .timeline
            .map(|timeline| (timeline.start, clock.instant(timeline.start)));
        Ok(Measured { report, began })
    }

    /// Returns the plan of a run that begins now.
    fn plan(&self, load: &Load, started: u64) -> Result<Plan, ExitError> {
        let setup = &self.setup;
        let division = setup
            .divide(self.connections, load.hot.as_ref())
            .map_err(ExitError::run)?;
        Ok(Plan {
            setup: setup.clone(),
            load: load.clone(),
            target: self.address.clone(),
            connections: division.good,
            active: division.active,
            bad: division.bad,
            tls: self.tls.clone(),
            seed: mix(started ^ u64::from(std::process::id())),
        })
    }

    /// Returns true if progress is not shown.
    pub(crate) fn is_quiet(&self) -> bool {
        self.setup.quiet
    }

    /// Returns the command line.
    pub(crate) fn command(&self) -> &[String] {
        &self.command
    }

    /// Returns the target.
    pub(crate) fn target(&self) -> Target {
        let shards = self.embedded.as_ref().map(|_| embedded::shards());
        Target {
            address: self.address.to_string(),
            embedded: shards.is_some(),
            shards,
        }
    }

    /// Ends the embedded server. Returns a message if it did not end well.
    pub(crate) fn end(mut self) -> Option<String> {
        let server = self.embedded.take()?;
        server.stop().err().map(|error| error.to_string())
    }

    /// Returns a message about the end of the embedded server, if it ended.
    fn server_ended(&mut self) -> Option<String> {
        let status = self.embedded.as_mut()?.ended()?;
        self.embedded = None;
        Some(format!("the embedded server ended with {status}"))
    }
}

/// Returns a unique name for the run that began at this moment, so that `merge` can identify it. It
/// has the process id and the time in nanoseconds, which is not the same on two machines.
fn run_name(started: u64) -> String {
    format!("{:016x}", mix(started ^ mix(u64::from(std::process::id()))))
}

/// Returns the time since 1970.
fn unix_now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

fn unix_ms(unix: Duration) -> u64 {
    u64::try_from(unix.as_millis()).unwrap_or(0)
}

/// Builds the threads of a run.
fn reactor(setup: &Setup) -> Result<Reactor, ExitError> {
    let reactor = Reactor::builder()
        .shards(setup.threads as usize)
        .pinning(setup.pin.clone())
        .thread_name("loadgen")
        .build()
        .map_err(|error| ExitError::run(format!("cannot start the threads: {error}")))?;
    match reactor.warnings().first() {
        Some(refused) if setup.pin != Pinning::None => {
            Err(ExitError::run(format!("--pin: {refused}")))
        }
        _ => Ok(reactor),
    }
}

/// Returns the number of connections, with a note if the descriptor limit decided it.
fn connections(setup: &Setup) -> Result<(u32, Option<String>), ExitError> {
    let limit =
        raise_nofile().map_err(|error| ExitError::run(format!("descriptor limit: {error}")))?;
    let threads = if setup.target.is_none() {
        embedded::shards() as u64
    } else {
        0
    }
    .max(setup.threads.into());
    let beside = DESCRIPTORS_BESIDE + DESCRIPTORS_PER_THREAD * threads;
    let possible = limit.now.saturating_sub(beside);
    if let Some(asked) = setup.connections {
        if u64::from(asked) > possible {
            let less = match possible {
                0 => String::new(),
                possible => format!(" or ask for {possible} at most"),
            };
            return Err(ExitError::run(format!(
                "-c {asked} needs {} descriptors and the limit is {}: raise it (ulimit -Hn){less}",
                u64::from(asked) + beside,
                limit.now
            )));
        }
        return Ok((asked, None));
    }
    let least = setup.least();
    if possible < u64::from(least) {
        let now = limit.now;
        return Err(ExitError::run(format!(
            "the descriptor limit of {now} leaves {possible} connections; {least} are needed"
        )));
    }
    let wanted = setup.connections_default();
    match u32::try_from(possible) {
        Ok(possible) if possible < wanted => {
            let note = format!(
                "{possible} connections instead of {wanted}: the descriptor limit is {}",
                limit.now
            );
            Ok((possible, Some(note)))
        }
        _ => Ok((wanted, None)),
    }
}
