//! A sharded, multi-threaded readiness reactor for servers with very many connections.
//!
//! A [`Reactor`] runs several shard threads. Each shard is pinned to a CPU and owns one epoll
//! instance, one table of registrations, one run queue, one timer store and one set of counters.
//! Tasks run on the shard that polls their descriptors. In the steady state, an event therefore
//! leads to a task's poll without notifying another thread, and no shard writes a cache line that
//! another shard reads. If one shard is busy and another is idle, the idle shard takes ready tasks
//! ([`Builder::work_stealing`]).
//!
//! ```text
//!        shard 0 (CPU 0)               shard 1 (CPU 1)            any other thread
//!  epoll ── events ── publish    epoll ── events ── publish    Handle::spawn, spawn_on
//!                      │                             │         Registration::new, ready
//!        ready word of the slot        ready word of the slot  wakes of tasks
//!                      │ wake                        │ wake       │
//!        run queue ── poll ── task     run queue ── poll ── task  │
//!             ▲                             ▲                     │
//!             └────── inbox, eventfd ───────┴─────────────────────┘
//! ```
//!
//! `AsyncFd`, sockets and adaptors are in `shard-asyncfd`. This crate is the layer below:
//! [`Registration`] links a descriptor to a shard, [`Handle`] spawns tasks, and [`time`] has
//! timers.
//!
//! # Examples
//!
//! ```
//! use std::time::Duration;
//! use reactor::{Reactor, time};
//!
//! let reactor = Reactor::new()?;
//! let tasks = reactor.handle().spawn_on_all(|shard| async move {
//!     time::sleep(Duration::from_millis(1)).await;
//!     shard.index()
//! });
//! for (index, task) in tasks.into_iter().enumerate() {
//!     assert_eq!(reactor.block_on(task)?, index);
//! }
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `macros` | the attributes `main` and `test` |
//! | `metrics` | `facade`: the metrics for a recorder of the crate `metrics` |
//! | `stall-backtrace` | a backtrace of the stuck thread in the report of a stall: `Builder::stall_backtraces` |
//! | `test-util` | a clock that tests can pause: `time::pause`, `advance`, `resume`, `Builder::start_paused` |
//! | `tracing` | events of the crate `tracing` for stalls, steals, moves and shutdown, and a span for each task if [`Builder::task_tracking`] is on |
//!
//! # Platforms
//!
//! All tests run on 64-bit Linux on x86-64. For FreeBSD and macOS, and for Linux on ARM, this crate
//! and its tests are only compiled. Only 64-bit machines are supported.

#![cfg_attr(docsrs, feature(doc_cfg))]
// The library's atomics come from `sync`, as clippy.toml requires. Tests count with std's.
#![cfg_attr(not(test), warn(clippy::disallowed_types))]

#[cfg(not(target_pointer_width = "64"))]
compile_error!("tokens and readiness words take 64 bits: shard-reactor is for 64-bit targets");

#[cfg(all(reactor_sim, feature = "test-util"))]
compile_error!("the simulation has a clock of its own: leave `test-util` out");

#[cfg(feature = "macros")]
#[doc(hidden)]
#[path = "macros.rs"]
pub mod __macros;
mod affinity;
mod block_on;
mod blocking;
mod budget;
mod builder;
mod context;
pub mod coop;
mod cpus;
#[cfg(not(reactor_sim))]
mod driver;
#[cfg(reactor_sim)]
#[path = "driver_sim.rs"]
mod driver;
mod error;
#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub mod facade;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod guide;
mod handle;
mod hooks;
mod interest;
mod io;
mod metrics;
mod owner_mutex;
mod owners;
mod panics;
mod placement;
pub mod prometheus;
mod reactor;
mod readiness;
mod ready;
mod registration;
mod seat;
mod shard;
mod shutdown;
mod stall;
mod sync;
mod sys;
mod table;
mod task;
pub mod time;
mod token;
mod trace;

#[cfg(all(test, reactor_loom))]
mod loom;
#[cfg(all(test, reactor_sim))]
mod sim;

pub use affinity::{unpin_current, unpinned};
pub use blocking::spawn_blocking;
pub use budget::{Unconstrained, consume_budget, unconstrained, yield_now};
pub use builder::Builder;
pub use context::EnterGuard;
pub use error::is_shutdown_error;
pub use handle::{Handle, spawn, spawn_local};
pub use hooks::{PanicPlace, TaskPanic, UnhandledPanic};
pub use interest::Interest;
pub use metrics::{
    BlockingMetrics, Histogram, Metric, MetricKind, MetricUnit, MetricValue, ReactorMetrics,
    ShardMetrics,
};
pub use placement::{Pinning, Placement};
pub use reactor::Reactor;
pub use ready::Ready;
pub use registration::{Direction, ReadyEvent, Registration};
pub use shard::ShardId;
pub use shutdown::{ShutdownError, ShutdownReport};
pub use stall::Stall;
#[cfg(feature = "stall-backtrace")]
#[cfg_attr(docsrs, doc(cfg(feature = "stall-backtrace")))]
pub use stall::StallBacktrace;
pub use task::{
    AbortHandle, AbortOnDropHandle, JoinError, JoinHandle, JoinSet, TaskBuilder, TaskId, TaskInfo,
    TaskMeta, TaskState, TaskTimes, TaskWait,
};

#[cfg(feature = "macros")]
#[cfg_attr(docsrs, doc(cfg(feature = "macros")))]
pub use reactor_macros::{main, test};

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// A task of `spawn` may run on any shard, so its future has to be `Send`. This one is:
///
/// ```
/// use std::{future::poll_fn, sync::Arc, task::Poll};
///
/// let reactor = reactor::Reactor::builder().shards(1).build()?;
/// let kept = Arc::new(7);
/// let task = reactor.spawn(poll_fn(move |_| Poll::Ready(*kept)));
/// assert_eq!(reactor.block_on(task)?, 7);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// This one is not:
///
/// ```compile_fail,E0277
/// use std::{future::poll_fn, rc::Rc, task::Poll};
///
/// let reactor = reactor::Reactor::builder().shards(1).build()?;
/// let kept = Rc::new(7);
/// let task = reactor.spawn(poll_fn(move |_| Poll::Ready(*kept)));
/// assert_eq!(reactor.block_on(task)?, 7);
/// # Ok::<(), std::io::Error>(())
/// ```
#[cfg(doctest)]
struct MobileFutures;
