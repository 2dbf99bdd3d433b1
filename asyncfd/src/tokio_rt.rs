//! The tokio bridge: shards whose tasks run in the context of a tokio runtime.
//!
//! Many libraries spawn, sleep or open sockets on tokio's runtime by themselves, and panic on a
//! bare shard ("there is no reactor running"). With the bridge they work: each shard polls its
//! tasks inside the context of a tokio runtime, which has threads of its own.
//!
//! ```
//! use std::time::Duration;
//!
//! # fn main() -> std::io::Result<()> {
//! let bridge = asyncfd::tokio_rt::start(reactor::Reactor::builder().shards(2))?;
//! let task = bridge.handle().spawn(async {
//!     // tokio's own task and timer, awaited on a shard.
//!     let task = tokio::spawn(async { 6 * 7 });
//!     let limit = Duration::from_secs(5);
//!     tokio::time::timeout(limit, task).await.expect("in time").expect("no panic")
//! });
//! assert_eq!(bridge.block_on(task)?, 42);
//! bridge.shutdown(Duration::from_secs(1))?;
//! # Ok(()) }
//! ```
//!
//! It needs tokio 1.47 or newer.
//!
//! # What runs where
//!
//! | code | runs on | costs a hop between threads |
//! |---|---|---|
//! | tasks of the reactor: `Handle::spawn`, `spawn_on`, `spawn_local` | their shard | no |
//! | `asyncfd::net`, `AsyncFd`, `reactor::time` in such a task | their shard | no |
//! | `tokio::sync`, `tokio::io::duplex`, `select!`, `join!` between tasks of one shard | their shard | no |
//! | tower's `timeout` and `rate_limit`, tower-http's `timeout`, in such a task | their shard; the timer is tokio's | one when the timer fires |
//! | `tokio::time`, awaited in such a task | the timer is tokio's | one when it fires |
//! | `tokio::net`, awaited in such a task (hyper-util's `HttpConnector`, sqlx, tokio-postgres, redis, tonic's client) | the reads and writes on the shard, the epoll on a tokio thread | one for each readiness |
//! | `tokio::spawn`, `JoinSet::spawn` (tower's `buffer`, reqwest's and tonic's connections, axum's `ws` upgrade) | tokio's threads | one for each wake in either direction |
//! | `tokio::task::spawn_blocking`, `tokio::fs` | tokio's blocking threads | one in each direction |
//! | `reactor::time`, `AsyncFd`, `asyncfd::net` on tokio's threads | waits on a shard, runs on the tokio thread | one for each readiness |
//!
//! # Libraries
//!
//! `interop/` has a test for each row, with real servers. A library that fails panics or ends with
//! an error on a bare shard.
//!
//! | library | without the bridge | with it |
//! |---|---|---|
//! | hyper's and hyper-util's servers, axum with [`serve::http`](crate::serve), tokio-rustls, async-tungstenite | works | works |
//! | hyper-util's client with `asyncfd::client::HttpConnector` | works | works |
//! | hyper-util's client with its own `HttpConnector` | fails | works |
//! | reqwest | fails | works |
//! | axum's `ws` extractor | fails | works |
//! | `axum::serve` with a listener of [`net`](crate::net) | fails | works; connections run on tokio's threads |
//! | tower's `timeout`, `rate_limit` and `buffer`; tower-http's `timeout` | fails | works |
//! | tonic's server and channel | fails | works |
//! | tonic's server over streams of [`net`](crate::net), with its `Connected` on a type of yours | fails | works; connections run on tokio's threads |
//! | redis: `MultiplexedConnection` over a stream of [`net`](crate::net), without timeouts | works | works |
//! | redis: `Client` and `ConnectionManager` | fails | works |
//! | tokio-postgres `connect`; sqlx pools of PostgreSQL and SQLite | fails | works |
//! | tokio's `JoinSet`, `spawn_blocking` and `time` | fails | works |
//!
//! # Cooperation
//!
//! Each poll of a task on a shard has tokio's budget besides the reactor's, so loops over tokio's
//! channels, locks and I/O yield as they do on tokio. tokio has no function that begins a budget,
//! but two public ones together do: `Handle::block_on` polls with a full one, once a turn, and
//! `tokio::task::coop::poll_proceed` returns a guard that restores, when it is dropped, the budget
//! that it found. So each task of the turn starts with a full budget, less the guard's one unit.
//! Inside a task, `blocking_recv` and `block_on` panic as they do in a task of tokio.
//!
//! # Cost
//!
//! A turn of a shard with ready tasks enters the runtime once: two reference counts and one lock of
//! the runtime, which all shards share. A poll writes tokio's budget twice.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::ops::Deref;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use reactor::{Builder, Reactor, ShutdownError, ShutdownReport};

use crate::lock::lock;
use tokio::runtime::{Handle, Runtime};
use tokio::task::coop::poll_proceed;

/// A reactor with a tokio runtime beside it; made by [`start`]. It derefs to the [`Reactor`].
///
/// Dropping it shuts down both.
pub struct Bridge {
    /// `None` once it has shut down.
    reactor: Option<Reactor>,
    runtime: Option<Runtime>,
    /// The reactor that threads of the runtime enter as they start. Emptied by the drop: the shards
    /// hold the runtime's handle, and the runtime holds this, so both would live for ever.
    entered: Arc<Mutex<Option<reactor::Handle>>>,
}

/// Starts a reactor, and a tokio runtime of the multi-thread kind with all that tokio's features
/// enable.
///
/// # Errors
///
/// Returns the same errors as [`start_with`].
pub fn start(builder: Builder) -> io::Result<Bridge> {
    start_with(
        builder,
        tokio::runtime::Builder::new_multi_thread().enable_all(),
    )
}

/// Starts a reactor, and the runtime that `runtime` configures.
///
/// The runtime must be of the multi-thread kind: nothing here drives another. Its
/// `on_thread_start` hook is replaced: tokio's threads know the reactor, so `reactor::time` and
/// `AsyncFd` work there, and a thread that tokio starts from a pinned shard gets the CPU mask from
/// before the pin.
///
/// # Errors
///
/// Returns the errors of [`Builder::build`] and of starting the runtime.
pub fn start_with(builder: Builder, runtime: &mut tokio::runtime::Builder) -> io::Result<Bridge> {
    let context = Arc::new(OnceLock::new());
    let reactor = in_context(builder, Arc::clone(&context)).build()?;
    let entered = Arc::new(Mutex::new(Some(reactor.handle().clone())));
    let to_enter = Arc::clone(&entered);
    let runtime = runtime
        .on_thread_start(move || {
            // A mask that the system refuses is the one that the thread has.
            let _ = reactor::unpin_current();
            // The reactor stays current until the thread ends, and its list of reactors with it.
            if let Some(handle) = &*lock(&to_enter) {
                std::mem::forget(handle.enter());
            }
        })
        .build()?;
    let is_first = context.set(runtime.handle().clone()).is_ok();
    debug_assert!(is_first, "the context is set here only");
    Ok(Bridge {
        reactor: Some(reactor),
        runtime: Some(runtime),
        entered,
    })
}

/// Starts a reactor in the context of a runtime that runs already.
///
/// Its threads know the reactor only if it is the global one
/// ([`Builder::build_global`](reactor::Builder::build_global)) or if they enter it. Call
/// [`reactor::unpin_current`] in its `on_thread_start` hook, or its blocking threads may be pinned
/// to a shard's CPU.
///
/// # Errors
///
/// Returns the errors of [`Builder::build`].
pub fn start_on(builder: Builder, runtime: &Handle) -> io::Result<Reactor> {
    in_context(builder, Arc::new(OnceLock::from(runtime.clone()))).build()
}

/// Makes shards poll their tasks in the context of a runtime, once there is one.
fn in_context(builder: Builder, runtime: Arc<OnceLock<Handle>>) -> Builder {
    builder.poll_tasks_with(move |poll_next| match runtime.get() {
        None => while poll_next() {},
        Some(runtime) => runtime.block_on(poll_fn(|_| {
            while poll_with_budget(poll_next) {}
            Poll::Ready(())
        })),
    })
}

/// Polls a task with a full budget of tokio's.
fn poll_with_budget(poll_next: &mut dyn FnMut() -> bool) -> bool {
    // The budget is full here, and dropping the guard makes it full again.
    let full = poll_proceed(&mut Context::from_waker(Waker::noop()));
    debug_assert!(full.is_ready(), "each poll leaves a full budget");
    poll_next()
}

impl Bridge {
    /// Returns the tokio runtime.
    ///
    /// # Panics
    ///
    /// Never: it lives as long as this.
    pub fn runtime(&self) -> &Runtime {
        self.runtime
            .as_ref()
            .expect("taken by `shutdown` and `drop` only")
    }

    /// Shuts the reactor down as [`Reactor::shutdown`] does, then the runtime, without waiting for
    /// blocking work on its threads.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`Reactor::shutdown`].
    pub fn shutdown(mut self, deadline: Duration) -> Result<ShutdownReport, ShutdownError> {
        let reactor = self.reactor.take().expect("taken here only");
        reactor.shutdown(deadline)
    }
}

impl Deref for Bridge {
    type Target = Reactor;

    fn deref(&self) -> &Reactor {
        self.reactor
            .as_ref()
            .expect("taken by `shutdown` and `drop` only")
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        // Tasks on the shards may need the runtime until they end.
        drop(self.reactor.take());
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        let handle = lock(&self.entered).take();
        drop(handle);
    }
}

impl fmt::Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridge")
            .field("runtime", &self.runtime)
            .finish_non_exhaustive()
    }
}
