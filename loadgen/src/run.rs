//! A run: its plan and session, the main thread, and everything that runs on a shard.
//!
//! `setup` says what was asked for; `session` finds the server and makes a `plan`; `conduct` leads
//! the shards through it; `conclude` makes the report.

mod backoff;
mod bad_client;
pub mod bad_kind;
mod churn;
pub(crate) mod conclude;
pub(crate) mod conduct;
mod connection;
mod control;
mod dispatch;
pub mod embedded;
pub(crate) mod endpoint;
pub mod exchange;
pub mod hot;
mod link;
mod lives;
mod news;
pub mod payload;
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
mod supervise;
mod transport;
mod turns;
