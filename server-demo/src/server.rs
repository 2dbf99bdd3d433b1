//! Starts and stops a server: its listeners, its reactor, and the state that every shard receives.
//!
//! The caller's thread binds the listeners, so an address in use is reported before any thread
//! starts. The shard that accepts on a listener registers it. Tests: `tests/lifecycle.rs` and the
//! rest of this package.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use asyncfd::net::TcpListener;
use reactor::{Handle, JoinHandle, Reactor, ShardId, ShutdownError, spawn_local};
use socket2::{Domain, Protocol, Socket, Type};

use crate::accept;
use crate::config::{AcceptPolicy, BACKLOG, Config, IoSurface, Service};
use crate::local::Local;
use crate::stats::{Counters, Stats};

/// The state that all shards of a server read. Except for the counters, it is written before they
/// start.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) accept: AcceptPolicy,
    pub(crate) io: IoSurface,
    pub(crate) service: Service,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) write_timeout: Option<Duration>,
    pub(crate) notice: fn(&str),
    pub(crate) shards: Vec<ShardId>,
    /// One entry per shard, in the order of `shards`. Each shard holds a reference to its own.
    pub(crate) counters: Vec<Arc<Counters>>,
    /// The limit on open connections.
    open_max: usize,
    /// Open connections over all shards. The shard concerned writes it when it accepts one and when
    /// one ends. It guards a limit and publishes nothing, so `Relaxed` is enough.
    open: AtomicUsize,
    /// The time limit of the drain. It is set before the drain is announced.
    drain: OnceLock<Duration>,
}

impl Shared {
    pub(crate) fn new(config: &Config, shards: Vec<ShardId>) -> Self {
        Self {
            accept: config.accept,
            io: config.io,
            service: config.service,
            idle_timeout: config.idle_timeout,
            write_timeout: config.write_timeout,
            notice: config.notice,
            counters: shards.iter().map(|_| Arc::default()).collect(),
            shards,
            open_max: config.max_connections.unwrap_or(usize::MAX),
            open: AtomicUsize::new(0),
            drain: OnceLock::new(),
        }
    }

    /// Counts a new connection on `shard`, unless the limit is reached.
    pub(crate) fn open_one(&self, shard: usize) -> bool {
        let admitted = self
            .open
            .fetch_update(Relaxed, Relaxed, |open| {
                (open < self.open_max).then_some(open + 1)
            })
            .is_ok();
        if admitted {
            Counters::bump(&self.counters[shard].accepted);
        }
        admitted
    }

    /// Counts a connection's end.
    pub(crate) fn close_one(&self, shard: usize) {
        Counters::bump(&self.counters[shard].closed);
        self.open.fetch_sub(1, Relaxed);
    }
}

/// A running echo server with a reactor of its own.
///
/// Dropping it closes every connection at once. [`Self::shutdown`] lets them finish.
pub struct Server {
    reactor: Reactor,
    handle: Handle,
    local_addr: SocketAddr,
    shared: Arc<Shared>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("local_addr", &self.local_addr)
            .field("shared", &self.shared)
            .finish()
    }
}

/// The result of a server that has ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Summary {
    /// The counters of each shard. The reactor's counts end before the shutdown begins.
    pub stats: Stats,
    /// The error that names a shard which did not end, if there is one.
    pub stuck: Option<ShutdownError>,
}

impl Server {
    /// Binds the listeners, starts the shards, and begins to accept.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an impossible configuration; otherwise the error of binding the address,
    /// starting a thread or registering a listener. Nothing is left behind after an error.
    ///
    /// # Panics
    ///
    /// On a thread that is a shard of any reactor, since it waits for other threads.
    pub fn start(config: Config) -> io::Result<Self> {
        config.check()?;
        let mut builder = Reactor::builder()
            .thread_name("server")
            .pinning(config.pinning.clone());
        if let Some(shards) = config.shard_count() {
            builder = builder.shards(shards);
        }
        // The address comes first, because it fails most often.
        let first = Listener::bind(config.listen, config.accept)?;
        let local_addr = first.local_addr()?;
        let reactor = builder.build()?;
        let handle = reactor.handle().clone();
        let shared = Arc::new(Shared::new(&config, handle.shards().collect()));

        let mut listeners = vec![first];
        if config.accept.listens_on_every_shard() {
            for _ in 1..shared.shards.len() {
                listeners.push(Listener::bind_another(local_addr)?);
            }
        }
        // Every shard is set up before one accepts, since any shard may be chosen for the first
        // connection.
        let set_up = shared.shards.iter().map(|shard| {
            let (shared, handle, shard) = (Arc::clone(&shared), handle.clone(), *shard);
            handle
                .clone()
                .spawn_on(shard, move || set_up_shard(shared, handle, shard))
        });
        wait_for(&handle, set_up.collect())?;
        let accepting = shared
            .shards
            .iter()
            .zip(listeners)
            .map(|(shard, listener)| {
                let handle = handle.clone();
                handle
                    .clone()
                    .spawn_on(*shard, move || start_accepting(listener, handle))
            });
        wait_for(&handle, accepting.collect())?;
        Ok(Self {
            reactor,
            handle,
            local_addr,
            shared,
        })
    }

    /// Returns the address that clients connect to, with the real port if port 0 was requested.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Returns the server's reactor.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Returns the warnings from startup, such as CPU pins that the system refused.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        self.reactor.warnings()
    }

    /// Returns the counters of each shard so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = Stats {
            shards: self
                .shared
                .counters
                .iter()
                .map(|shard| shard.read())
                .collect(),
        };
        for (shard, measured) in stats.shards.iter_mut().zip(self.handle.metrics().shards) {
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
    /// A connection finishes when the peer ends it or when it has been quiet for a moment. One that
    /// is always busy is closed in the second half of `drain`, at a moment when everything that it
    /// received has been answered.
    ///
    /// # Panics
    ///
    /// On a thread that is a shard of any reactor, since it waits for other threads.
    #[must_use]
    pub fn shutdown(self, drain: Duration) -> Summary {
        let before = self.stats();
        // It can only be set already if this function ran before, and it takes `self`.
        let _ = self.shared.drain.set(drain);
        let stuck = self.reactor.shutdown(drain).err();
        let mut stats = Stats {
            shards: self
                .shared
                .counters
                .iter()
                .map(|shard| shard.read())
                .collect(),
        };
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

/// A bound listener on its way to the shard that accepts on it.
#[derive(Debug)]
struct Listener(StdTcpListener);

impl Listener {
    /// Binds the address for a server that starts.
    fn bind(addr: SocketAddr, policy: AcceptPolicy) -> io::Result<Self> {
        let shared = policy.listens_on_every_shard();
        // With SO_REUSEPORT, the kernel would let this server share the address with another server
        // of the same user, and each would get part of the clients. A trial bind without the option
        // finds out if the address is free. A port that the kernel chooses is always free.
        let free = if shared && addr.port() != 0 {
            Self::bound(addr, false).map(drop)
        } else {
            Ok(())
        };
        let bound = free.and_then(|()| Self::listen(addr, shared));
        bound.map_err(|error| {
            io::Error::new(error.kind(), format!("cannot listen on {addr}: {error}"))
        })
    }

    /// Binds one more listener of this server to its address.
    fn bind_another(addr: SocketAddr) -> io::Result<Self> {
        Self::listen(addr, true).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("cannot listen on {addr} once more: {error}"),
            )
        })
    }

    fn listen(addr: SocketAddr, shared: bool) -> io::Result<Self> {
        let socket = Self::bound(addr, shared)?;
        socket.listen(BACKLOG)?;
        Ok(Self(socket.into()))
    }

    fn bound(addr: SocketAddr, shared: bool) -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_reuse_address(true)?;
        if shared {
            socket.set_reuse_port(true)?;
        }
        socket.bind(&addr.into())?;
        Ok(socket)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Waits for the tasks that set up the shards.
fn wait_for(handle: &Handle, tasks: Vec<JoinHandle<io::Result<()>>>) -> io::Result<()> {
    handle.block_on(async {
        for task in tasks {
            task.await
                .map_err(|error| io::Error::other(error.to_string()))??;
        }
        Ok(())
    })
}

/// Makes the current thread a shard of the server, and leaves a task on it that waits for the
/// drain.
async fn set_up_shard(shared: Arc<Shared>, handle: Handle, shard: ShardId) -> io::Result<()> {
    let local = Local::install(shared, shard);
    let drained = handle.shutdown_requested();
    drop(spawn_local(async move {
        drained.await;
        let allowed = local.shared.drain.get().copied().unwrap_or_default();
        local.begin_drain(allowed);
    }));
    Ok(())
}

/// Registers the listener on the current shard and accepts on it from then on.
async fn start_accepting(listener: Listener, handle: Handle) -> io::Result<()> {
    let listener = TcpListener::from_std(listener.0)?;
    drop(spawn_local(accept::run(listener, handle)));
    Ok(())
}
