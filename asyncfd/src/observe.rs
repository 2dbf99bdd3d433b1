//! An HTTP endpoint that shows the inside of a running reactor: metrics for Prometheus, and its
//! shards and tasks as JSON.
//!
//! | path | answer |
//! |---|---|
//! | `/metrics` | every metric, in the text format of Prometheus |
//! | `/shards` | the same metrics as JSON, by shard, with quantiles of the histograms |
//! | `/tasks` | the live tasks as JSON, the busiest first; `?limit=N` changes the limit of 1,000 |
//! | `/healthz` | 200 if every shard runs a new task within a second, otherwise 503 and their names |
//!
//! The endpoint has a thread of its own, so it answers while shards are stuck. It has no
//! authentication: listen on a loopback address, or on a Unix socket in a directory that only the
//! right users can enter.
//!
//! ```
//! use std::io::{Read, Write};
//!
//! use asyncfd::observe::Observe;
//!
//! # fn main() -> std::io::Result<()> {
//! let reactor = reactor::Reactor::builder().shards(2).histograms(true).build()?;
//! let observed = Observe::new(reactor.handle()).listen(&"127.0.0.1:0".parse()?)?;
//!
//! let mut client = std::net::TcpStream::connect(observed.tcp_addr().expect("it is TCP"))?;
//! client.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
//! let mut answer = String::new();
//! client.read_to_string(&mut answer)?;
//! assert!(answer.contains("\nreactor_tasks{shard=\"1\"} 0\n"), "{answer}");
//! # Ok(()) }
//! ```

mod address;
mod json;
mod service;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use reactor::{Handle, Metric, Pinning, Reactor};

use crate::serve::http::Http;
use crate::serve::{Running, Server, Tcp, Unix};
use service::{Endpoint, Source};

pub use address::{Address, InvalidAddress};

/// The settings of an endpoint that does not listen yet.
#[must_use = "an endpoint does nothing until it listens"]
pub struct Observe {
    watched: Handle,
    sources: Vec<Source>,
}

impl Observe {
    /// Creates the endpoint of a reactor.
    pub fn new(reactor: &Handle) -> Self {
        Self {
            watched: reactor.clone(),
            sources: Vec::new(),
        }
    }

    /// Adds a program's own metrics to those of the reactor. The function is called for each
    /// request, on the endpoint's thread. All values of a metric have to follow each other.
    pub fn metrics(mut self, source: impl Fn() -> Vec<Metric> + Send + Sync + 'static) -> Self {
        self.sources.push(Arc::new(source));
        self
    }

    /// Starts the endpoint's thread and listens. The socket file of a Unix address is removed when
    /// the endpoint ends. A file that an earlier process left behind is replaced.
    ///
    /// # Errors
    ///
    /// Returns the errors of binding the address and of starting the thread.
    ///
    /// # Panics
    ///
    /// Panics on a shard.
    pub fn listen(self, address: &Address) -> io::Result<Observed> {
        let reactor = Reactor::builder()
            .shards(1)
            .pinning(Pinning::None)
            .thread_name("observe")
            .build()?;
        let endpoint = Endpoint::new(self.watched, self.sources);
        let http = Http::new().http1_only();
        let running = match address {
            Address::Tcp(address) => {
                let server = Server::bind(address)?;
                Listening::Tcp(server.start(reactor.handle(), http.serve(endpoint))?)
            }
            Address::Unix(path) => {
                address::remove_abandoned(path)?;
                let server = Server::bind_unix(path);
                Listening::Unix(server.start(reactor.handle(), http.serve(endpoint))?)
            }
        };
        let address = match &running {
            Listening::Tcp(running) => Address::Tcp(running.local_addr()),
            Listening::Unix(_) => address.clone(),
        };
        Ok(Observed {
            address,
            _running: running,
            _reactor: reactor,
        })
    }
}

impl fmt::Debug for Observe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observe")
            .field("watched", &self.watched)
            .field("sources", &self.sources.len())
            .finish()
    }
}

#[derive(Debug)]
enum Listening {
    Tcp(Running<Tcp>),
    Unix(#[expect(dead_code, reason = "it is kept")] Running<Unix>),
}

/// An endpoint that listens, until this is dropped.
#[derive(Debug)]
#[must_use = "the endpoint ends when this is dropped"]
pub struct Observed {
    address: Address,
    _running: Listening,
    _reactor: Reactor,
}

impl Observed {
    /// Returns the address, with the real port if port 0 was requested.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Returns the address if it is a TCP address.
    pub fn tcp_addr(&self) -> Option<SocketAddr> {
        match &self.address {
            Address::Tcp(address) => Some(*address),
            Address::Unix(_) => None,
        }
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        if let Address::Unix(path) = &self.address {
            let _ = std::fs::remove_file(path);
        }
    }
}
