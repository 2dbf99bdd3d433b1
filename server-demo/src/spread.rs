//! Chooses the shard that serves a new connection, and sends it there.
//!
//! The accept loops call it. It sends the bare socket: only the shard that serves a socket
//! registers it, so connection, slot and task share a shard and no wake crosses threads. A
//! connection counts on its shard from the moment it is sent, so a burst is spread as well as a
//! trickle. Tests: `spread/tests.rs`, `tests/echo.rs`, `scripts/imbalance.sh`.

use std::net::TcpStream as StdTcpStream;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::sync::Arc;

use reactor::{Handle, spawn_local};

use crate::config::{AcceptPolicy, IoSurface, Service};
use crate::connection::{Permit, serve};
use crate::local::Local;
use crate::server::Shared;
use crate::stats::Counters;
use crate::surface::{Guards, Helpers, Polling, Surface};
use crate::work::{self, Work};

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

    /// Sends a new connection to its shard, or closes it if it is over the limit.
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
        // This may fail if the peer is gone already. The first read reports that.
        let _ = stream.set_nodelay(true);
        if let Service::Work(work) = shared.service {
            return self.send_work(chosen, permit, stream, work);
        }
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

    fn send_work(&self, chosen: usize, permit: Permit, stream: StdTcpStream, work: Work) {
        let (shared, handle) = (Arc::clone(&self.local.shared), self.handle.clone());
        let target = shared.shards[chosen];
        let connection = {
            let handle = handle.clone();
            move || work::serve(shared, permit, stream, handle, work.size)
        };
        match (work.local, target == self.local.shard) {
            (true, true) => drop(spawn_local(connection())),
            (true, false) => drop(handle.spawn_on(target, connection)),
            (false, true) => drop(handle.spawn(connection())),
            // A task that may move is spawned on the shard where it shall start.
            (false, false) => {
                let spawner = handle.clone();
                drop(handle.spawn_on(target, move || async move {
                    drop(spawner.spawn(connection()));
                }));
            }
        }
    }
}

/// Returns the shard with the fewest live connections (the first of several), and their number.
fn least_loaded(shared: &Shared) -> (usize, u64) {
    let loads = shared.counters.iter().map(|shard| shard.live()).enumerate();
    loads
        .min_by_key(|(_, live)| *live)
        .expect("a server has at least one shard")
}

/// The lead over another shard that chance alone may give, in standard deviations.
const CHANCE: u64 = 3;

/// Returns true if a shard leads the least loaded one by more than the kernel's hash would give it
/// by chance.
///
/// With a fair hash, two shards that hold `own + least` connections differ by `own - least`, with a
/// standard deviation of `sqrt(own + least)` (each connection adds one or takes one away). A
/// difference within three deviations is normal for an even load, and handing on would only cost a
/// wake of another thread. A larger one happens by chance once in 370, so it counts as a skew. As a
/// result, with `n` connections on two shards, neither can hold more than `n / 2 + 1.5 * sqrt(n) +
/// 1`: 65 of 100, 548 of 1,000, 50,474 of 100,000. With more shards the least of them is lower by
/// chance, so a few more connections are handed on.
fn is_overloaded(own: u64, least: u64) -> bool {
    let ahead = own.saturating_sub(least);
    ahead.saturating_mul(ahead) > own.saturating_add(least).saturating_mul(CHANCE * CHANCE)
}

#[cfg(test)]
mod tests;
