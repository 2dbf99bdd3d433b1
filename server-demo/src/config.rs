//! The configuration of a server. The command line, the tests and the load generator fill it. It is
//! checked once, when a server starts, so that later code can trust it.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use asyncfd::serve::AcceptPolicy;
use clap::ValueEnum;
use reactor::{Pinning, Reactor, Stall};
use serde::{Deserialize, Serialize};

use crate::units::{self, UnitError};

/// The maximum number of connections that the kernel queues for a listener.
pub const BACKLOG: i32 = 1024;

/// The maximum number of bytes that one read takes from a connection. It limits the memory that the
/// server holds for a peer that never reads.
pub const READ_BUFFER: usize = 16 * 1024;

/// An observed server reports a poll that blocks its shard for this long.
const STALL: Duration = Duration::from_millis(100);

/// The maximum number of shards. A larger number is refused as a typing mistake.
const SHARDS_MAX: usize = 1024;

/// The number of bytes at the start of a `work` request that hold its time.
const WORK_HEAD: usize = 4;

/// The surface of `AsyncFd` that the code of a connection uses, in the server and in the load
/// generator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IoSurface {
    /// The socket types of `asyncfd::net`, which detect that a socket is drained
    #[default]
    Helpers,
    /// `AsyncFd` with `readable().await` and `try_io` on the guard
    Guards,
    /// `AsyncFd` with `poll_read_ready` and `poll_write_ready`
    Poll,
}

impl IoSurface {
    /// Every surface, in the order of the help text.
    pub const ALL: [Self; 3] = [Self::Helpers, Self::Guards, Self::Poll];

    /// Returns the surface's name on a command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Helpers => "helpers",
            Self::Guards => "guards",
            Self::Poll => "poll",
        }
    }
}

/// The protocol that a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Service {
    /// Sends back what it receives, byte for byte.
    #[default]
    Echo,
    /// Spends the CPU time that each request asks for, then sends the request back. Served with
    /// [`IoSurface::Helpers`], without the idle and write timeouts.
    Work {
        /// The size of a request and of its answer, in bytes; 4 or more.
        size: usize,
    },
}

impl fmt::Display for IoSurface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Parses a pinning: `auto`, `none`, or a list of CPUs such as `0,2` or `0-3`.
///
/// # Errors
///
/// The text is neither one of these words nor a list of CPUs.
pub fn parse_pinning(text: &str) -> Result<Pinning, UnitError> {
    match text {
        "auto" => Ok(Pinning::Auto),
        "none" => Ok(Pinning::None),
        list => units::parse_cpus(list).map(Pinning::Cpus),
    }
}

/// Writes a pinning in the form that [`parse_pinning`] reads.
#[must_use]
pub fn pinning_text(pinning: &Pinning) -> String {
    match pinning {
        Pinning::Auto => "auto".to_owned(),
        Pinning::Cpus(cpus) => {
            let cpus: Vec<_> = cpus.iter().map(ToString::to_string).collect();
            cpus.join(",")
        }
        _ => "none".to_owned(),
    }
}

/// The configuration of a server.
///
/// # Examples
///
/// ```
/// use server_demo::{AcceptPolicy, Config};
///
/// let config = Config {
///     accept: AcceptPolicy::LeastLoaded,
///     max_connections: Some(10_000),
///     ..Config::default()
/// };
/// assert!(config.listen.ip().is_loopback());
/// ```
#[derive(Debug, Clone)]
pub struct Config {
    /// The address to listen on; port 0 selects a free port. Default: 127.0.0.1:7777.
    pub listen: SocketAddr,
    /// The number of shard threads. Default: the number of CPUs listed in `pinning`, or else one
    /// per CPU that this process may use.
    pub shards: Option<usize>,
    /// The CPUs that the shards are pinned to. Default: those that this process may use, in order.
    pub pinning: Pinning,
    /// Serves each connection with a task that stays on its shard, rather than with a `Send` task.
    /// Default: false.
    pub local: bool,
    /// True if idle shards run ready tasks of busy ones. Default: true. It concerns connections
    /// that may leave their shard, so it has no effect with `local`.
    pub stealing: bool,
    /// The policy that spreads connections over the shards.
    pub accept: AcceptPolicy,
    /// The surface of `AsyncFd` that serves connections.
    pub io: IoSurface,
    /// The protocol. Default: [`Service::Echo`].
    pub service: Service,
    /// The limit on open connections. A connection beyond it is closed as soon as it is accepted.
    /// Default: no limit.
    pub max_connections: Option<usize>,
    /// The idle timeout: a connection on which no byte moves for this long is closed. Default:
    /// never.
    pub idle_timeout: Option<Duration>,
    /// The write timeout: a connection is cut off if its peer has not taken an answer this long
    /// after the socket refused part of it. An answer is at most [`READ_BUFFER`] bytes, so this
    /// also sets the slowest reader that is served. Bytes that the kernel holds for such a peer are
    /// dropped. Default: never.
    pub write_timeout: Option<Duration>,
    /// True if the server measures the data for an endpoint: histograms, the times of tasks, and
    /// polls that block a shard for 100 milliseconds, which are reported to `notice`. Default:
    /// false.
    pub observed: bool,
    /// A callback for messages to the operator, such as a pause in accepting and its reason. It
    /// runs on a shard thread, rarely. Default: no callback.
    pub notice: fn(&str),
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7777)),
            shards: None,
            pinning: Pinning::Auto,
            local: false,
            stealing: true,
            accept: AcceptPolicy::default(),
            io: IoSurface::default(),
            service: Service::default(),
            max_connections: None,
            idle_timeout: None,
            write_timeout: None,
            observed: false,
            notice: |_| {},
        }
    }
}

impl Config {
    /// Returns true if the shards share their work: stealing is on, and connections may leave their
    /// shard. If no connection may leave, a search for work costs time and finds nothing.
    pub(crate) fn shares_work(&self) -> bool {
        self.stealing && !self.local
    }

    /// Returns the builder of the server's reactor.
    pub(crate) fn builder(&self) -> reactor::Builder {
        let mut builder = Reactor::builder()
            .thread_name("server")
            .pinning(self.pinning.clone())
            .work_stealing(self.shares_work());
        if self.observed {
            let notice = self.notice;
            builder = builder
                .histograms(true)
                .task_tracking(true)
                .detect_stalls(STALL)
                .on_stall(move |stall| notice(&report(stall)));
            #[cfg(all(feature = "observe", target_os = "linux"))]
            {
                builder = builder.stall_backtraces(true);
            }
        }
        match self.shard_count() {
            Some(shards) => builder.shards(shards),
            None => builder,
        }
    }

    /// Rejects impossible configurations before any resource is taken.
    pub(crate) fn check(&self) -> io::Result<()> {
        let refuse = |why: String| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        match self.shards {
            Some(0) => return refuse("a server needs at least one shard".into()),
            Some(shards) if shards > SHARDS_MAX => {
                return refuse(format!(
                    "{shards} shards are too many; the maximum is {SHARDS_MAX}"
                ));
            }
            _ => {}
        }
        if let Pinning::Cpus(cpus) = &self.pinning {
            check_cpus(cpus)?;
        }
        if self.max_connections == Some(0) {
            return refuse("a limit of 0 connections would refuse every connection".into());
        }
        if self.idle_timeout == Some(Duration::ZERO) {
            return refuse("an idle timeout of 0 would close every connection at once".into());
        }
        if self.write_timeout == Some(Duration::ZERO) {
            return refuse(
                "a write timeout of 0 would cut off every client slower than this server".into(),
            );
        }
        match self.service {
            Service::Work { size } if size < WORK_HEAD => refuse(format!(
                "a request of {size} bytes has no room for its time, which takes {}",
                WORK_HEAD
            )),
            _ => Ok(()),
        }
    }

    /// Returns the number of shards to start, or `None` to leave it to the reactor.
    pub(crate) fn shard_count(&self) -> Option<usize> {
        match (self.shards, &self.pinning) {
            (Some(shards), _) => Some(shards),
            (None, Pinning::Cpus(cpus)) => Some(cpus.len()),
            (None, _) => None,
        }
    }
}

/// Returns the message for a stall: one line, and a backtrace if there is one.
fn report(stall: &Stall) -> String {
    #[cfg(feature = "observe")]
    if let Some(backtrace) = stall.backtrace().filter(|_| !stall.is_over()) {
        return format!("{stall}\n{backtrace}");
    }
    stall.to_string()
}

/// Rejects CPUs that this process may not run on. The reactor itself would only warn, since a
/// library must live with a mask that changed. A list that a person typed should be corrected.
fn check_cpus(cpus: &[usize]) -> io::Result<()> {
    let refuse = |why: String| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    if cpus.is_empty() {
        return refuse("the list of CPUs is empty".into());
    }
    let Some(allowed) = allowed_cpus()? else {
        return Ok(());
    };
    match cpus.iter().find(|cpu| !allowed.contains(cpu)) {
        None => Ok(()),
        Some(cpu) => {
            let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
            refuse(format!(
                "cannot pin to CPU {cpu}: this process may use {}",
                if allowed.is_empty() {
                    "none".to_owned()
                } else {
                    allowed.join(", ")
                }
            ))
        }
    }
}

/// Returns the CPUs in this thread's mask, or `None` if the system does not report it.
#[cfg(target_os = "linux")]
fn allowed_cpus() -> io::Result<Option<Vec<usize>>> {
    use rustix::thread::{CpuSet, sched_getaffinity};
    let mask = sched_getaffinity(None)?;
    Ok(Some(
        (0..CpuSet::MAX_CPU)
            .filter(|cpu| mask.is_set(*cpu))
            .collect(),
    ))
}

#[cfg(not(target_os = "linux"))]
fn allowed_cpus() -> io::Result<Option<Vec<usize>>> {
    Ok(None)
}

#[cfg(test)]
mod tests;
