//! A run: its plan and session, the main thread, and everything that runs on a shard.
//!
//! `setup` holds the requested run. `session` finds the server and makes a `plan`. `coordinator`
//! takes the shards through the plan. `summary` makes the report.

mod backoff;
mod bad_client;
pub mod bad_kind;
mod balancer;
mod churn;
mod connection;
mod connection_slot;
mod control;
pub(crate) mod coordinator;
pub(crate) mod dialogue;
mod dispatch;
pub mod embedded;
#[cfg(feature = "tls")]
mod encrypted;
pub(crate) mod endpoint;
mod event;
pub mod exchange;
mod exposition;
pub(crate) mod folder_clock;
pub mod hot;
#[cfg(feature = "http2")]
pub(crate) mod http2;
mod interval_log;
mod lives;
pub mod part;
pub mod payload;
#[cfg(any(feature = "http2", feature = "websocket"))]
mod pipe;
pub(crate) mod plan;
mod progress;
pub mod protocol;
mod ramp;
pub mod random;
pub mod schedule;
mod scratch;
pub(crate) mod session;
pub(crate) mod setup;
mod shard;
mod signals;
pub mod sizes;
pub mod sources;
pub mod stages;
pub(crate) mod summary;
mod supervisor;
pub mod template;
#[cfg(feature = "tls")]
pub(crate) mod tls;
#[cfg(not(feature = "tls"))]
#[path = "run/tls_absent.rs"]
pub(crate) mod tls;
pub(crate) mod tls_options;
mod transport;
#[cfg(feature = "websocket")]
pub(crate) mod websocket;
mod weighted;
