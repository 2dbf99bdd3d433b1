//! Starts and stops a server: its reactor, the serving layer (`asyncfd::serve`), and the handlers
//! of its connections.
//!
//! Tests: the integration tests of this package.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream as StdTcpStream};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use asyncfd::serve::{self, Bare, Connection, Outcome, Running, Tcp};
use reactor::{Handle, Metric, Reactor, ShutdownError};

use crate::config::{BACKLOG, Config, IoSurface, Service};
use crate::connection;
use crate::home::Home;
use crate::shared::Shared;
use crate::stats::Stats;
use crate::surface::{Guards, Helpers, Polling, Surface};
use crate::work;

/// A running server with a reactor of its own.
///
/// Dropping it closes every connection at once. [`Self::shutdown`] lets them finish.
pub struct Server {
    reactor: Reactor,
    running: Running<Bare<Tcp>>,
    shared: Arc<Shared>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("running", &self.running)
            .field("shared", &self.shared)
            .finish()
    }
}

/// The result of a server that has ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Summary {
    /// The counters of each shard. The reactor's counts are those from before the shutdown.
    pub stats: Stats,
    /// The error that names a shard which did not end, if there is one.
    pub stuck: Option<ShutdownError>,
}

impl Server {
    /// Starts the shards, listens, and begins to accept.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an impossible configuration; otherwise the error of binding the address,
    /// starting a thread or registering a listener. Nothing is left behind after an error.
    ///
    /// # Panics
    ///
    /// Panics on a thread that is a shard of any reactor, since it waits for other threads on an
    /// error.
    pub fn start(config: Config) -> io::Result<Self> {
        config.check()?;
        let reactor = config.builder().build()?;
        let handle = reactor.handle();
        let shared = Arc::new(Shared::new(&config, handle.shards().len()));
        let start = Start {
            server: bind(&config)?.bare(),
            handle,
            local: config.local,
        };
        let running = match config.service {
            Service::Echo => match config.io {
                IoSurface::Helpers => start.echo::<Helpers>(&shared),
                IoSurface::Guards => start.echo::<Guards>(&shared),
                IoSurface::Poll => start.echo::<Polling>(&shared),
            },
            Service::Work { size } => start.work(&shared, size),
        }?;
        Ok(Self {
            reactor,
            running,
            shared,
        })
    }

    /// Returns the address that clients connect to, with the real port if port 0 was requested.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.running.local_addr()
    }

    /// Returns a function that returns the counters of the serving layer so far, as metrics. It may
    /// be called after the server has ended.
    pub fn metrics_source(&self) -> impl Fn() -> Vec<Metric> + Send + Sync + use<> {
        let stats = self.running.stats_source();
        move || stats().metrics().collect()
    }

    /// Returns the server's reactor.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        self.reactor.handle()
    }

    /// Returns the warnings from startup, such as CPU pins that the system refused.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        self.reactor.warnings()
    }

    /// Returns the counters of each shard so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = served(&self.shared, &self.running);
        for (shard, measured) in stats.shards.iter_mut().zip(self.handle().metrics().shards) {
            shard.polls = measured.polls;
            shard.queued_turns_max = measured.queued_turns_max;
            shard.remote_wakes = measured.remote_wakes_received;
            shard.tasks = measured.tasks;
            shard.registrations = measured.registrations;
            shard.timers = measured.timers;
            shard.cpu = measured.cpu;
        }
        stats
    }

    /// Closes the listeners, lets connections finish for up to `drain`, cuts off the rest, and ends
    /// the shards.
    ///
    /// A connection finishes when the peer ends it or when it has been quiet for a moment. A
    /// connection that is always busy is closed in the second half of `drain`, at a moment when
    /// everything that it received has been answered.
    ///
    /// # Panics
    ///
    /// Panics on a thread that is a shard of any reactor, since it waits for other threads.
    #[must_use]
    pub fn shutdown(self, drain: Duration) -> Summary {
        let before = self.stats();
        self.running.begin_drain_within(drain);
        let stuck = self.reactor.shutdown(drain).err();
        let mut stats = served(&self.shared, &self.running);
        for (shard, before) in stats.shards.iter_mut().zip(before.shards) {
            shard.polls = before.polls;
            shard.queued_turns_max = before.queued_turns_max;
            shard.remote_wakes = before.remote_wakes;
            shard.tasks = before.tasks;
            shard.registrations = before.registrations;
            shard.timers = before.timers;
            shard.cpu = before.cpu;
        }
        Summary { stats, stuck }
    }
}

/// Returns the serving layer of a configuration.
pub(crate) fn bind(config: &Config) -> io::Result<serve::Server<Tcp>> {
    let server = serve::Server::bind(config.listen)?
        .accept(config.accept)
        .backlog(BACKLOG)
        .on_notice(config.notice);
    Ok(match config.max_connections {
        Some(connections) => server.max_connections(connections),
        None => server,
    })
}

/// Returns the counters of the serving layer and of the connections.
fn served(shared: &Shared, running: &Running<Bare<Tcp>>) -> Stats {
    let layer = running.stats().shards;
    let shards = layer.iter().zip(&shared.counters);
    Stats {
        shards: shards.map(|(layer, own)| own.read(layer)).collect(),
    }
}

/// A serving layer to start, and the kind of its tasks.
struct Start<'a> {
    server: serve::Server<Bare<Tcp>>,
    handle: &'a Handle,
    local: bool,
}

impl Start<'_> {
    fn echo<S: Surface>(self, shared: &Arc<Shared>) -> io::Result<Running<Bare<Tcp>>> {
        let shared = Arc::clone(shared);
        let homes: Vec<OnceLock<Arc<Home>>> =
            self.handle.shards().map(|_| OnceLock::new()).collect();
        self.run(move |stream, connection| {
            let home = &homes[connection.shard().index()];
            let home = home.get_or_init(|| Arc::new(Home::new(&shared, connection)));
            connection::serve::<S>(Arc::clone(home), stream)
        })
    }

    fn work(self, shared: &Arc<Shared>, size: usize) -> io::Result<Running<Bare<Tcp>>> {
        let shared = Arc::clone(shared);
        self.run(move |stream, connection| {
            work::serve(Arc::clone(&shared), connection, stream, size)
        })
    }

    fn run<H, F>(self, handler: H) -> io::Result<Running<Bare<Tcp>>>
    where
        H: Fn(StdTcpStream, Connection<Bare<Tcp>>) -> F + Send + Sync + 'static,
        F: Future<Output: Outcome> + Send + 'static,
    {
        if self.local {
            let handler = Arc::new(handler);
            self.server.start_local(self.handle, move || {
                let handler = Arc::clone(&handler);
                move |stream, connection| handler(stream, connection)
            })
        } else {
            self.server.start(self.handle, handler)
        }
    }
}
