//! A run from its command line to its exit code: what the machine allows, the target, the reactor, the report.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reactor::{Pinning, Reactor};
use server_demo::limits::raise_nofile;

use crate::args::{CONNECTIONS_DEFAULT, DURATION_DEFAULT, Format, Pin, RunArgs, Switch};
use crate::clock::{Clock, nanos};
use crate::conclude::{Context, conclude};
use crate::conduct::{Probes, conduct};
use crate::embedded::{self, Embedded};
use crate::payload::mix;
use crate::plan::{Amount, Pace, Plan};
use crate::progress::Progress;
use crate::report::{Report, Target, json, text};
use crate::server_side::Probe;
use crate::signals;

/// Descriptors a process of ours needs besides its connections: standard streams, pipes, and per thread an epoll, an eventfd
/// and a listener, with room to spare.
const DESCRIPTORS_BESIDE: u64 = 64;
const DESCRIPTORS_PER_THREAD: u64 = 8;
/// How long shards may take to end after the report is made.
const SHUTDOWN_MAX: Duration = Duration::from_secs(1);

/// Why no run took place: what to say, and the exit code.
#[derive(Debug)]
pub struct Refusal {
    /// A sentence.
    pub message: String,
    /// 1 for the machine or the target, 2 for the arguments.
    pub exit_code: u8,
}

impl Refusal {
    fn arguments(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            exit_code: 2,
        }
    }

    fn run(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            exit_code: 1,
        }
    }
}

/// Runs the load, prints the report and writes the files. Returns the exit code.
///
/// # Errors
/// The run could not begin.
pub fn run(args: &RunArgs, command: Vec<String>) -> Result<u8, Refusal> {
    args.check().map_err(Refusal::arguments)?;
    let mut files = open_outputs(args)?;
    let (connections, note) = connections(args)?;
    let started = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    // Signals are taken from before the child starts, so that it never outlives an interrupted parent.
    let (sender, events) = mpsc::channel();
    signals::forward(sender.clone()).map_err(|error| Refusal::run(format!("signals: {error}")))?;

    let mut embedded = None;
    let address = match &args.target {
        Some(target) => resolve(target)?,
        None => {
            let server = Embedded::start(embedded::shards(), args.io)
                .map_err(|error| Refusal::run(format!("embedded server: {error}")))?;
            let address = server.address();
            embedded = Some(server);
            address
        }
    };
    let server_pid = args
        .server_pid
        .or_else(|| embedded.as_ref().map(Embedded::pid));
    let server = match server_pid {
        Some(pid) => Some(
            Probe::new(pid)
                .and_then(|probe| probe.cpu().map(|_| probe))
                .map_err(|error| Refusal::run(format!("--server-pid {pid}: {error}")))?,
        ),
        None => None,
    };
    let plan = Arc::new(plan(args, address, connections, nanos(started)));
    let reactor = Reactor::builder()
        .shards(plan.threads as usize)
        .pinning(match &args.pin {
            Pin::None => Pinning::None,
            Pin::Auto => Pinning::Auto,
            Pin::Cpus(cpus) => Pinning::Cpus(cpus.clone()),
        })
        .thread_name("loadgen")
        .build()
        .map_err(|error| Refusal::run(format!("cannot start the threads: {error}")))?;
    if args.pin != Pin::None
        && let Some(refused) = reactor.warnings().first()
    {
        return Err(Refusal::run(format!("--pin: {refused}")));
    }

    let probes = Probes {
        server,
        generator: Probe::this_process().ok(),
    };
    let progress = Progress::new(args.quiet);
    let seen = conduct(
        &plan,
        Clock::start(),
        &reactor,
        (sender, events),
        probes,
        progress,
    );
    let mut server_ended = None;
    let shards = embedded.as_ref().map(|_| embedded::shards());
    if let Some(mut server) = embedded {
        server_ended = match server.ended() {
            Some(status) => Some(format!("the embedded server ended with {status}")),
            None => server.stop().err().map(|error| error.to_string()),
        };
    }
    let context = Context {
        command,
        started_unix_ms: u64::try_from(started.as_millis()).unwrap_or(0),
        target: Target {
            address: address.to_string(),
            embedded: shards.is_some(),
            shards,
        },
        pin: args.pin.clone(),
        notes: note.into_iter().collect(),
        warnings: Vec::new(),
        server_pid,
        server_ended,
    };
    let report = conclude(&plan, context, &seen);
    let mut exit_code = report.outcome.exit_code;
    if let Err(error) = reactor.shutdown(SHUTDOWN_MAX) {
        eprintln!("loadgen: {error}");
    }
    for message in &report.outcome.messages {
        eprintln!("loadgen: {message}");
    }
    if let Err(error) = print(&report, args.format) {
        // A reader that has seen enough, as in `loadgen | head`, is no failure.
        if error.kind() != io::ErrorKind::BrokenPipe {
            eprintln!("loadgen: standard output: {error}");
            exit_code = exit_code.max(1);
        }
    }
    for (path, file) in &mut files {
        if let Err(error) = file.set_len(0).and_then(|()| json::write(&report, &*file)) {
            eprintln!("loadgen: {}: {error}", path.display());
            exit_code = exit_code.max(1);
        }
    }
    Ok(exit_code)
}

/// Opens the files of the report before the run, so that a run is not lost to a mistyped path. What is in them stays until
/// there is a report.
fn open_outputs(args: &RunArgs) -> Result<Vec<(PathBuf, File)>, Refusal> {
    let open = |path: &PathBuf| {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path);
        file.map(|file| (path.clone(), file))
            .map_err(|error| Refusal::run(format!("{}: {error}", path.display())))
    };
    args.outputs.iter().map(open).collect()
}

/// How many connections there will be, with a remark where the descriptor limit decided.
fn connections(args: &RunArgs) -> Result<(u32, Option<String>), Refusal> {
    let limit =
        raise_nofile().map_err(|error| Refusal::run(format!("descriptor limit: {error}")))?;
    let threads = if args.target.is_none() {
        embedded::shards() as u64
    } else {
        0
    }
    .max(args.threads.into());
    let beside = DESCRIPTORS_BESIDE + DESCRIPTORS_PER_THREAD * threads;
    let possible = limit.now.saturating_sub(beside);
    if let Some(asked) = args.connections {
        if u64::from(asked) > possible {
            return Err(Refusal::run(format!(
                "-c {asked} needs {} descriptors and the limit is {}: raise it (ulimit -Hn) or ask for {possible} at most",
                u64::from(asked) + beside,
                limit.now
            )));
        }
        return Ok((asked, None));
    }
    let least = args.active.unwrap_or(1).max(args.threads);
    if possible < u64::from(least) {
        let now = limit.now;
        return Err(Refusal::run(format!(
            "the descriptor limit of {now} leaves {possible} connections; {least} are needed"
        )));
    }
    let wanted = CONNECTIONS_DEFAULT.max(least);
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

/// The first address of HOST:PORT.
fn resolve(target: &str) -> Result<SocketAddr, Refusal> {
    if let Ok(address) = target.parse() {
        return Ok(address);
    }
    match target.rsplit_once(':').map(|(_, port)| port.parse::<u16>()) {
        Some(Ok(_)) => {}
        _ => {
            return Err(Refusal::arguments(format!(
                "{target:?} is not HOST:PORT (an IPv6 host stands in brackets)"
            )));
        }
    }
    let found = target
        .to_socket_addrs()
        .map_err(|error| Refusal::run(format!("{target}: {error}")))?
        .next();
    found.ok_or_else(|| Refusal::run(format!("{target}: the name has no address")))
}

fn plan(args: &RunArgs, target: SocketAddr, connections: u32, started: u64) -> Plan {
    Plan {
        target,
        connections,
        active: args.active.unwrap_or(connections),
        threads: args.threads,
        pace: match args.rate {
            Some(rate) => Pace::Open {
                rate,
                arrivals: args.arrivals,
            },
            None => Pace::Closed {
                pipeline: args.pipeline as usize,
            },
        },
        amount: match args.requests {
            Some(requests) => Amount::Requests(requests),
            None => Amount::Time(nanos(args.duration.unwrap_or(DURATION_DEFAULT))),
        },
        warmup: nanos(args.warmup()),
        size: args.size,
        verify: args.verify == Switch::On,
        io: args.io,
        timeout: nanos(args.timeout),
        connect_rate: args.connect_rate,
        seed: mix(started ^ u64::from(std::process::id())),
    }
}

fn print(report: &Report, format: Format) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match format {
        Format::Text => out.write_all(text::render(report).as_bytes())?,
        Format::Json => json::write(report, &mut out)?,
    }
    out.flush()
}
