//! The demo TCP server on the sharded reactor: a service that a test, a benchmark or another
//! program can start in its own process.
//!
//! ```
//! use std::io::{Read, Write};
//! use std::time::Duration;
//! use server_demo::{Config, Server};
//!
//! let listen = "127.0.0.1:0".parse()?;
//! let server = Server::start(Config { listen, shards: Some(1), ..Config::default() })?;
//!
//! let mut client = std::net::TcpStream::connect(server.local_addr())?;
//! client.write_all(b"hello")?;
//! let mut answer = [0; 5];
//! client.read_exact(&mut answer)?;
//! assert_eq!(&answer, b"hello");
//!
//! drop(client);
//! let summary = server.shutdown(Duration::from_secs(1));
//! assert_eq!(summary.stats.total().accepted, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | contents |
//! |---|---|
//! | `config` | the configuration of a server, checked once |
//! | `server` | start and stop: listeners, the reactor, the state of each shard |
//! | `home` | the state that the connections of a shard share, and the schedule of the drain |
//! | [`scratch`] | the buffer of a thread that all connections read into |
//! | `shared` | the state that all shards share |
//! | `connection`, `surface` | one connection, written on three surfaces of `AsyncFd` |
//! | `echo`, `idle`, `ending` | the common part of the echo loops, the idle timeout, the ends |
//! | `http` | the web service, behind the feature `http` |
//! | `work` | the service that spends CPU time for each request |
//! | `shutdown` | signals, and the pace of a drain |
//! | `stats` | counters per shard |
//! | [`units`], [`limits`] | durations, counts and sizes as typed; the descriptor limit |

#![forbid(unsafe_code)]

mod config;
mod connection;
mod echo;
mod ending;
mod home;
#[cfg(feature = "http")]
pub mod http;
mod idle;
pub mod limits;
pub mod scratch;
mod server;
mod shared;
pub mod shutdown;
mod stats;
mod surface;
pub mod units;
mod work;

pub use asyncfd::serve::AcceptPolicy;
pub use config::{BACKLOG, Config, IoSurface, READ_BUFFER, Service, parse_pinning, pinning_text};
pub use server::{Server, Summary};
pub use stats::{ShardStats, Stats};
pub use work::spend;

/// The example in the README of the workspace compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
