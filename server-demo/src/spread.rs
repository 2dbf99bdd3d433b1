//! Which shard serves a new connection, and how it gets there.
//!
//! Called by the accept loops. The bare socket is sent: only the shard that serves it registers it, so that connection,
//! slot and task share a shard and no wake ever crosses threads. A connection counts on its shard from the moment it is
//! sent there, so that a burst is spread as well as a trickle. Tests: `spread/tests.rs`, `tests/echo.rs`,
//! `scripts/imbalance.sh`.

use std::net::TcpStream as StdTcpStream;
use std::os::fd::AsRawFd;
use std::rc::Rc;

use reactor::{Handle, spawn_local};

use crate::config::{AcceptPolicy, IoSurface};
use crate::connection::{Permit, serve};
use crate::local::Local;
use crate::server::Shared;
use crate::stats::Counters;
use crate::surface::{Guards, Helpers, Polling, Surface};

/// Chooses a shard for each connection and sends it there.
#[derive(Debug)]
pub(crate) struct Spread {
    local: Rc<Local>,
    handle: Handle,
    turn: usize,
}

impl Spread {
    pub(crate) fn new(local: &Rc<Local>, handle: Handle) -> Self {
        Self {
            local: Rc::clone(local),
            handle,
            turn: 0,
        }
    }

    /// Sends a new connection to its shard, or closes it if it is one too many.
    pub(crate) fn place(&mut self, stream: StdTcpStream) {
        let shared = &self.local.shared;
        let here = self.local.shard.index();
        let chosen = match shared.accept {
            AcceptPolicy::ReusePort => here,
            AcceptPolicy::Hash => self.handle.shard_for(stream.as_raw_fd()).index(),
            AcceptPolicy::RoundRobin => {
                self.turn = (self.turn + 1) % shared.shards.len();
                self.turn
            }
            AcceptPolicy::LeastLoaded => least_loaded(shared).0,
            AcceptPolicy::Hybrid => {
                let (other, least) = least_loaded(shared);
                if is_overloaded(shared.counters[here].live(), least) {
                    Counters::bump(&self.local.counters().handed_on);
                    other
                } else {
                    here
                }
            }
        };
        let Some(permit) = Permit::take(shared, chosen) else {
            Counters::bump(&self.local.counters().over_limit);
            return;
        };
        // A socket whose peer is gone already may refuse; its first read will tell.
        let _ = stream.set_nodelay(true);
        match shared.io {
            IoSurface::Helpers => self.send::<Helpers>(chosen, permit, stream),
            IoSurface::Guards => self.send::<Guards>(chosen, permit, stream),
            IoSurface::Poll => self.send::<Polling>(chosen, permit, stream),
        }
    }

    fn send<S: Surface>(&self, chosen: usize, permit: Permit, stream: StdTcpStream) {
        let target = self.local.shared.shards[chosen];
        if target == self.local.shard {
            drop(spawn_local(serve::<S>(permit, stream)));
        } else {
            drop(
                self.handle
                    .spawn_on(target, move || serve::<S>(permit, stream)),
            );
        }
    }
}

/// The shard with the fewest live connections, the first of several, and how many they are.
fn least_loaded(shared: &Shared) -> (usize, u64) {
    let loads = shared.counters.iter().map(|shard| shard.live()).enumerate();
    loads
        .min_by_key(|(_, live)| *live)
        .expect("a server has at least one shard")
}

/// How far chance alone may put a shard ahead of another, in standard deviations.
const CHANCE: u64 = 3;

/// Whether a shard has so many more connections than the least loaded one that the kernel's hash is not to blame.
///
/// Where a fair hash gives two shards `own + least` connections, the difference is `own - least` with a standard
/// deviation of `sqrt(own + least)` (each connection adds one to it or takes one away). Within three of these a
/// difference is what an even load looks like, and handing on would cost a wake of another thread for nothing; beyond,
/// it happens by chance once in 370 and is a skew. So of two shards with `n` connections between them neither can
/// get beyond `n / 2 + 1.5 * sqrt(n) + 1`: 65 of 100, 548 of 1,000, 50,474 of 100,000. The price of more shards is that
/// the least of many is less by chance, and a few more connections are handed on.
fn is_overloaded(own: u64, least: u64) -> bool {
    let ahead = own.saturating_sub(least);
    ahead.saturating_mul(ahead) > own.saturating_add(least).saturating_mul(CHANCE * CHANCE)
}

#[cfg(test)]
mod tests;
