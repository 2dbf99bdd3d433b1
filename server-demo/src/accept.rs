//! Accepting connections and spreading them over the shards.
//!
//! An accept loop runs as a task on one shard. It takes what is queued in bounded batches, decides for each connection
//! which shard serves it, and sends the bare socket there: only the serving shard registers it, so that connection,
//! slot and task share a shard. It ends when the server drains, which closes its listener. It never ends on an error,
//! and it never spins on one. Tests: `accept/tests.rs`, `tests/echo.rs`, `tests/limits.rs`.

use std::future::{Future, poll_fn};
use std::io;
use std::net::TcpStream as StdTcpStream;
use std::os::fd::AsRawFd;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use asyncfd::net::TcpListener;
use reactor::{Handle, is_shutdown_error, spawn_local, time, yield_now};
use rustix::io::Errno;

use crate::config::{AcceptPolicy, BACKLOG, IoSurface};
use crate::connection::{Permit, serve};
use crate::local::Local;
use crate::server::Shared;
use crate::stats::Counters;
use crate::surface::{Guards, Helpers, Polling, Surface};

/// Connections taken in a row before other tasks of the shard get a turn.
const BATCH: usize = 64;

/// Accepts until the server drains.
pub(crate) async fn run(listener: TcpListener, handle: Handle) {
    let local = Local::current();
    let listed = Listed::new(&local).await;
    let mut spread = Spread::new(&local, handle);
    let mut pause = Pause::default();
    loop {
        // The first of a batch is waited for, the rest only taken.
        let Some(mut accepted) = until_drain(&local, listener.accept_std()).await else {
            break;
        };
        for _ in 1..BATCH {
            let Ok((stream, _peer)) = accepted else { break };
            pause.over();
            spread.place(stream);
            accepted = listener.try_accept_std();
        }
        match accepted {
            Ok((stream, _peer)) => spread.place(stream),
            Err(error) if is_shutdown_error(&error) => break,
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                let delay = pause.next(&error, local.shared.notice);
                Counters::bump(&local.counters().accept_pauses);
                if until_drain(&local, time::sleep(delay)).await.is_none() {
                    break;
                }
            }
        }
        yield_now().await;
    }
    // Whoever the kernel has connected already would be reset by the close; they are served like the others.
    for _ in 0..BACKLOG {
        let Ok((stream, _peer)) = listener.try_accept_std() else {
            break;
        };
        spread.place(stream);
    }
    drop(listener);
    drop(listed);
}

/// Whether an error of accept(2) says something of the connection at the head of the queue, or of nothing at all, and
/// not that the next call will fail too. Linux passes errors of the new socket's network on as errors of accept.
fn is_of_one_connection(error: &io::Error) -> bool {
    if error.kind() == io::ErrorKind::WouldBlock {
        return true;
    }
    let Some(errno) = Errno::from_io_error(error) else {
        return false;
    };
    matches!(
        errno,
        Errno::CONNABORTED
            | Errno::CONNRESET
            | Errno::INTR
            | Errno::PROTO
            | Errno::NETDOWN
            | Errno::NETUNREACH
            | Errno::NOPROTOOPT
            | Errno::HOSTUNREACH
            | Errno::OPNOTSUPP
            | Errno::TIMEDOUT
    )
}

/// How long to leave a listener alone that cannot accept, most often because descriptors ran out. The queue of the
/// kernel holds who comes meanwhile.
#[derive(Debug, Default)]
struct Pause {
    last: Option<Duration>,
    noticed: Option<Instant>,
}

impl Pause {
    const FIRST: Duration = Duration::from_millis(10);
    const MAX: Duration = Duration::from_secs(1);
    /// Between two notices to the operator.
    const NOTICE: Duration = Duration::from_secs(10);

    /// The next pause: twice the last one, within bounds.
    fn next(&mut self, why: &io::Error, notice: fn(&str)) -> Duration {
        let delay = self
            .last
            .map_or(Self::FIRST, |last| (last * 2).min(Self::MAX));
        self.last = Some(delay);
        let now = Instant::now();
        if self
            .noticed
            .is_none_or(|noticed| now.duration_since(noticed) >= Self::NOTICE)
        {
            self.noticed = Some(now);
            notice(&format!("accepting pauses and will be tried again: {why}"));
        }
        delay
    }

    /// A connection was accepted.
    fn over(&mut self) {
        self.last = None;
    }
}

/// Chooses a shard for each connection and sends it there.
#[derive(Debug)]
struct Spread {
    local: Rc<Local>,
    handle: Handle,
    turn: usize,
}

impl Spread {
    fn new(local: &Rc<Local>, handle: Handle) -> Self {
        Self {
            local: Rc::clone(local),
            handle,
            turn: 0,
        }
    }

    /// Sends a new connection to its shard, or closes it if it is one too many.
    fn place(&mut self, stream: StdTcpStream) {
        let shared = &self.local.shared;
        let chosen = match shared.accept {
            AcceptPolicy::ReusePort => self.local.shard.index(),
            AcceptPolicy::Hash => self.handle.shard_for(stream.as_raw_fd()).index(),
            AcceptPolicy::RoundRobin => {
                self.turn = (self.turn + 1) % shared.shards.len();
                self.turn
            }
            AcceptPolicy::LeastLoaded => least_loaded(shared),
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

/// The shard with the fewest live connections, the first of several.
fn least_loaded(shared: &Shared) -> usize {
    let loads = shared.counters.iter().map(Counters::live).enumerate();
    loads
        .min_by_key(|(_, live)| *live)
        .map_or(0, |(index, _)| index)
}

/// A task's place among those that a drain wakes.
#[derive(Debug)]
struct Listed {
    local: Rc<Local>,
    key: u32,
}

impl Listed {
    async fn new(local: &Rc<Local>) -> Self {
        let key = poll_fn(|cx| Poll::Ready(local.list(cx.waker().clone()))).await;
        Self {
            local: Rc::clone(local),
            key,
        }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.local.unlist(self.key);
    }
}

/// Waits for `future`, or for the server to drain: then `None`.
async fn until_drain<T>(local: &Local, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        if local.drain().is_some() {
            return Poll::Ready(None);
        }
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

#[cfg(test)]
mod tests;
