//! The accepting side of a server: listeners on every shard, accept loops, limits, and a graceful
//! drain.
//!
//! A [`Server`] listens, spreads connections over the shards of a reactor and runs a handler for
//! each. The handler decides how it uses its stream.
//!
//! ```
//! use std::io;
//! use std::time::Duration;
//!
//! use asyncfd::net::TcpStream;
//! use asyncfd::serve::{Connection, Server, Tcp};
//!
//! async fn echo(stream: TcpStream, _: Connection<Tcp>) -> io::Result<()> {
//!     let mut buffer = [0; 4096];
//!     loop {
//!         match stream.read(&mut buffer).await? {
//!             0 => return Ok(()),
//!             n => stream.write_all(&buffer[..n]).await?,
//!         }
//!     }
//! }
//!
//! # fn main() -> io::Result<()> {
//! let reactor = reactor::Reactor::builder().shards(2).build()?;
//! let server = Server::bind("127.0.0.1:0")?
//!     .max_connections(10_000)
//!     .drain(Duration::from_secs(5))
//!     .start(reactor.handle(), echo)?;
//!
//! # use std::io::{Read, Write};
//! let mut client = std::net::TcpStream::connect(server.local_addr())?;
//! client.write_all(b"hello")?;
//! let mut answer = [0; 5];
//! client.read_exact(&mut answer)?;
//! assert_eq!(&answer, b"hello");
//! drop(client);
//!
//! let stats = reactor.block_on(server.shutdown());
//! assert_eq!(stats.total(|shard| shard.accepted), 1);
//! # Ok(()) }
//! ```
//!
//! # Which shard serves a connection
//!
//! [`AcceptPolicy`] lists the policies. By default each shard listens on the address itself
//! (`SO_REUSEPORT`), which suits many short connections. [`AcceptPolicy::Hybrid`] suits connections
//! that stay open. [`AcceptPolicy::LeastLoaded`] suits few, heavy connections. A Unix socket is a
//! single socket, and so is a listener that was handed over. Every shard waits for it
//! ([`AcceptPolicy::Exclusive`]).
//!
//! # Handlers
//!
//! [`Server::start`] takes a handler whose future is `Send`. Its tasks are made by
//! [`Handle::spawn`](reactor::Handle::spawn) on the connection's shard, so a reactor that moves
//! ready tasks may move them. [`Server::start_local`] takes a handler for each shard. Those futures
//! need not be `Send`, may share data of the shard, and never leave it.
//!
//! # The drain
//!
//! A drain begins when [`Running::shutdown`] or [`Running::begin_drain`] is called, or when the
//! reactor announces its shutdown. Then:
//!
//! 1. The listeners close. Connections that the kernel has completed are still served.
//! 2. Each connection's task is woken, and [`Connection::is_draining`] is true. A handler ends
//!    after the request that is under way.
//! 3. At the deadline, the connections that are left are dropped.

mod accept;
mod bind;
mod connection;
#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
pub mod http;
mod inherited;
mod metrics;
mod policy;
mod running;
mod state;
mod stats;
mod timed;
mod timeouts;
mod transport;

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::net::ToSocketAddrs;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reactor::Handle;

use accept::{Acceptor, Notice};
use bind::Source;
use connection::{Local, Mobile, Start};
use state::Shared;

pub use connection::{Connection, Draining, Outcome};
pub use policy::{AcceptPolicy, UnknownPolicy};
pub use running::Running;
pub use stats::{Ended, ShardStats, Stats};
pub use timed::TimedStream;
pub use timeouts::Timeouts;
pub use transport::{Bare, Tcp, Timed, Transport, Unix};

/// The settings of a server that has not started.
#[must_use = "a server does nothing until it is started"]
pub struct Server<T: Transport> {
    source: Source<T::Listener>,
    policy: AcceptPolicy,
    max_connections: Option<usize>,
    backlog: i32,
    nodelay: bool,
    drain: Duration,
    timeouts: Timeouts,
    notice: Option<Notice>,
    transport: PhantomData<fn() -> T>,
}

impl Server<Tcp> {
    /// Creates a server for a TCP address. Port 0 selects a free port. This call looks up a host
    /// name, and blocks meanwhile.
    ///
    /// The address is bound by [`start`](Self::start).
    ///
    /// # Errors
    ///
    /// Returns the errors of the name lookup.
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        let addresses = address.to_socket_addrs()?.collect();
        let source = Source::Tcp(addresses, |listener| listener);
        Ok(Self::new(source, AcceptPolicy::ReusePort))
    }

    /// Creates a server for a socket that listens already.
    ///
    /// # Errors
    ///
    /// Returns the errors of setting it to non-blocking mode.
    pub fn from_listener(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self::new(Source::Given(listener), AcceptPolicy::Exclusive))
    }

    /// Sets `TCP_NODELAY` on each connection, so that small answers are sent at once. Default:
    /// true.
    pub fn nodelay(mut self, nodelay: bool) -> Self {
        self.nodelay = nodelay;
        self
    }
}

impl Server<Unix> {
    /// Creates a server for a path, which must not exist yet. The server does not remove the path
    /// when it ends.
    pub fn bind_unix(path: impl Into<PathBuf>) -> Self {
        let source = Source::Unix(path.into(), |listener| listener);
        Self::new(source, AcceptPolicy::Exclusive)
    }

    /// Creates a server for a socket that listens already.
    ///
    /// # Errors
    ///
    /// Returns the errors of setting it to non-blocking mode.
    pub fn from_unix_listener(listener: UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self::new(Source::Given(listener), AcceptPolicy::Exclusive))
    }
}

/// Takes the sockets that a service manager handed over (systemd's socket activation), in its
/// order.
///
/// Make a `TcpListener` or a `UnixListener` of each with `into`, and a server with
/// [`Server::from_listener`] or [`Server::from_unix_listener`]. The list is empty if the process
/// was started in another way, and in each call after the first.
///
/// # Errors
///
/// Returns [`InvalidData`](io::ErrorKind::InvalidData) if `LISTEN_PID` or `LISTEN_FDS` is not a
/// number; the errors of setting `FD_CLOEXEC`.
pub fn inherited_sockets() -> io::Result<Vec<std::os::fd::OwnedFd>> {
    inherited::take()
}

impl<T: Transport> Server<T> {
    fn new(source: Source<T::Listener>, policy: AcceptPolicy) -> Self {
        Self {
            source,
            policy,
            max_connections: None,
            backlog: crate::net::sys::BACKLOG,
            nodelay: true,
            drain: Duration::from_secs(10),
            timeouts: Timeouts::new(),
            notice: None,
            transport: PhantomData,
        }
    }

    /// Sets the policy that spreads connections over the shards. Default:
    /// [`ReusePort`](AcceptPolicy::ReusePort) for an address,
    /// [`Exclusive`](AcceptPolicy::Exclusive) for a single socket.
    pub fn accept(mut self, policy: AcceptPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets the limit on open connections. A connection beyond it is closed as soon as it is
    /// accepted. Default: no limit.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = Some(connections);
        self
    }

    /// Sets the maximum number of connections that the kernel queues for each listener. Default:
    /// 4,096. The system lowers it to `net.core.somaxconn`.
    pub fn backlog(mut self, connections: i32) -> Self {
        self.backlog = connections;
        self
    }

    /// Sets the time that connections get to finish when the server drains. Default: 10 seconds.
    pub fn drain(mut self, time: Duration) -> Self {
        self.drain = time;
        self
    }

    /// Sets a function for messages to the operator, such as a pause in accepting and its reason.
    /// It runs on a shard, rarely. Default: none.
    pub fn on_notice(mut self, notice: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.notice = Some(Arc::new(notice));
        self
    }

    /// Gives handlers the standard library's streams, in non-blocking mode and not registered, for
    /// handlers that tie the socket to an [`AsyncFd`](crate::AsyncFd) of their own.
    pub fn bare(self) -> Server<Bare<T>> {
        self.with_transport()
    }

    /// Gives handlers a [`TimedStream`], whose operations fail when a timeout passes. It reads and
    /// writes as the stream without timeouts does, so a handler's code stays the same.
    ///
    /// Connections that a timeout ended are counted in [`ShardStats::timed_out`]. HTTP has more
    /// timeouts: those of `serve::http`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::io::{self, Read};
    /// use std::time::Duration;
    ///
    /// use asyncfd::net::TcpStream;
    /// use asyncfd::serve::{Server, TimedStream, Timeouts};
    ///
    /// # fn main() -> io::Result<()> {
    /// let timeouts = Timeouts::new()
    ///     .idle(Duration::from_millis(20))
    ///     .write(Duration::from_secs(10));
    /// let reactor = reactor::Reactor::builder().shards(1).build()?;
    /// let server = Server::bind("127.0.0.1:0")?.timeouts(timeouts).start(
    ///     reactor.handle(),
    ///     async |mut stream: TimedStream<TcpStream>, _| {
    ///         let mut buffer = [0; 4096];
    ///         loop {
    ///             match stream.read(&mut buffer).await? {
    ///                 0 => return io::Result::Ok(()),
    ///                 n => stream.write_all(&buffer[..n]).await?,
    ///             }
    ///         }
    ///     },
    /// )?;
    /// # let mut client = std::net::TcpStream::connect(server.local_addr())?;
    /// // A client that sends nothing reads the end of the stream.
    /// # assert_eq!(client.read(&mut [0])?, 0);
    /// # assert_eq!(server.stats().total(|shard| shard.timed_out), 1);
    /// # Ok(()) }
    /// ```
    pub fn timeouts(mut self, timeouts: Timeouts) -> Server<Timed<T>> {
        self.timeouts = timeouts;
        self.with_transport()
    }

    fn with_transport<U: Transport<Listener = T::Listener>>(self) -> Server<U> {
        Server {
            source: self.source,
            policy: self.policy,
            max_connections: self.max_connections,
            backlog: self.backlog,
            nodelay: self.nodelay,
            drain: self.drain,
            timeouts: self.timeouts,
            notice: self.notice,
            transport: PhantomData,
        }
    }

    /// Listens, and runs `handler` for each connection as a `Send` task on the connection's shard.
    ///
    /// Call it from any thread. The server runs until its drain ends.
    ///
    /// # Errors
    ///
    /// Returns the errors of binding, listening and registering; `InvalidInput` for a policy that
    /// binds several sockets where there is one. Nothing is left listening then.
    pub fn start<H, F>(self, handle: &Handle, handler: H) -> io::Result<Running<T>>
    where
        H: Fn(T::Stream, Connection<T>) -> F + Send + Sync + 'static,
        F: Future<Output: Outcome> + Send + 'static,
    {
        self.launch(handle, Mobile(Arc::new(handler)), || {})
    }

    /// Listens, and runs the handlers that `make` creates: one for each shard, when its first
    /// connection arrives. They and their futures stay on their shard and need not be `Send`.
    ///
    /// Otherwise the same as [`start`](Self::start).
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`start`](Self::start).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{cell::Cell, rc::Rc};
    ///
    /// use asyncfd::net::TcpStream;
    /// use asyncfd::serve::Server;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let reactor = reactor::Reactor::builder().shards(2).build()?;
    /// let server = Server::bind("127.0.0.1:0")?.start_local(reactor.handle(), || {
    ///     let of_this_shard = Rc::new(Cell::new(0));
    ///     move |stream: TcpStream, _| {
    ///         let count = Rc::clone(&of_this_shard);
    ///         async move {
    ///             count.set(count.get() + 1);
    ///             stream.write_all(format!("{}\n", count.get()).as_bytes()).await
    ///         }
    ///     }
    /// })?;
    /// # let mut answer = String::new();
    /// # use std::io::Read;
    /// # std::net::TcpStream::connect(server.local_addr())?.read_to_string(&mut answer)?;
    /// # assert_eq!(answer, "1\n");
    /// # Ok(()) }
    /// ```
    pub fn start_local<M, S, F>(self, handle: &Handle, make: M) -> io::Result<Running<T>>
    where
        M: Fn() -> S + Send + Sync + 'static,
        S: Fn(T::Stream, Connection<T>) -> F + 'static,
        F: Future<Output: Outcome> + 'static,
    {
        let local = Local(Arc::new(make));
        let made = local.clone();
        self.launch(handle, local, move || made.forget())
    }

    /// Binds and registers the listeners, then starts the accept loops. `at_end` runs on each shard
    /// when the server has ended.
    fn launch(
        self,
        handle: &Handle,
        start: impl Start<T>,
        at_end: impl Fn() + Clone + Send + 'static,
    ) -> io::Result<Running<T>> {
        let shards: Vec<_> = handle.shards().collect();
        let listeners = bind::listeners::<T>(self.source, self.policy, shards.len(), self.backlog)?;
        let local_addr = T::local_addr(&listeners[0])?;
        let mut registered = Vec::new();
        for (shard, listener) in shards.iter().zip(listeners) {
            let listener = accept::register::<T>(handle, *shard, self.policy, listener)?;
            registered.push((*shard, listener));
        }
        let accepting = registered.len();
        let shared = Arc::new(Shared::new(
            handle,
            self.max_connections,
            accepting,
            self.timeouts,
        ));
        for (shard, listener) in registered {
            let acceptor = Acceptor {
                shared: Arc::clone(&shared),
                here: shard.index(),
                policy: self.policy,
                nodelay: self.nodelay,
                backlog: self.backlog,
                notice: self.notice.clone(),
                start: start.clone(),
                turn: Cell::new(0),
                listener,
            };
            drop(handle.spawn_on(shard, move || acceptor.run()));
        }
        Ok(Running::new(shared, local_addr, self.drain, at_end))
    }
}

impl<T: Transport> fmt::Debug for Server<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("policy", &self.policy)
            .field("max_connections", &self.max_connections)
            .field("drain", &self.drain)
            .finish_non_exhaustive()
    }
}
