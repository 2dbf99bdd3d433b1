//! Accept loops.
//!
//! An accept loop runs as a task on one shard. It accepts queued connections in bounded batches and
//! sends each to its shard. It ends when the server drains, and this closes its listener. It never
//! ends on an error and never spins on one.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::AsRawFd;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use reactor::{Handle, Interest, Placement, ShardId, is_shutdown_error, time, yield_now};
use rustix::io::Errno;

use super::connection::{Accepted, Start};
use super::policy::{AcceptPolicy, Load};
use super::state::{Listed, Part, Permit, Shared};
use super::stats::Counters;
use super::transport::Transport;
use crate::async_fd::AsyncFd;

/// The maximum number of connections to accept in a row, before other tasks of the shard run.
const BATCH: usize = 64;

/// A function for messages to the operator.
pub(super) type Notice = Arc<dyn Fn(&str) + Send + Sync>;

/// One listener on one shard.
pub(super) struct Acceptor<T: Transport, S> {
    pub(super) shared: Arc<Shared>,
    /// The index of the shard that this runs on.
    pub(super) here: usize,
    pub(super) policy: AcceptPolicy,
    pub(super) nodelay: bool,
    pub(super) backlog: i32,
    pub(super) notice: Option<Notice>,
    pub(super) start: S,
    pub(super) turn: Cell<usize>,
    pub(super) listener: AsyncFd<T::Listener>,
}

/// Registers a listener on a shard. Any thread may call it, so the start of the server can return
/// its errors.
pub(super) fn register<T: Transport>(
    handle: &Handle,
    shard: ShardId,
    policy: AcceptPolicy,
    listener: T::Listener,
) -> io::Result<AsyncFd<T::Listener>> {
    let registered = AsyncFd::tie(
        handle,
        Placement::Shard(shard),
        listener,
        interest(policy),
        reactor::Ready::EMPTY,
    );
    Ok(registered?)
}

fn interest(policy: AcceptPolicy) -> Interest {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if policy == AcceptPolicy::Exclusive {
        return Interest::READABLE | Interest::EXCLUSIVE;
    }
    let _ = policy;
    Interest::READABLE
}

impl<T: Transport, S: Start<T>> Acceptor<T, S> {
    fn part(&self) -> &Arc<Part> {
        &self.shared.parts[self.here]
    }

    /// Accepts until the server drains.
    pub(super) async fn run(mut self) {
        let _counted = Counted(Arc::clone(&self.shared));
        let mut listed = Listed::new(Arc::clone(self.part()));
        poll_fn(|cx| {
            listed.list(cx);
            Poll::Ready(())
        })
        .await;
        let mut pause = Pause::default();
        loop {
            match until_drain(&listed, self.batch(&mut pause)).await {
                None => break,
                Some(Ok(())) => {}
                Some(Err(error)) if is_shutdown_error(&error) => break,
                Some(Err(error)) => {
                    Counters::bump(&self.part().counters.accept_pauses);
                    let delay = pause.next(&error, self.notice.as_deref());
                    let Some(paused) = self.pause(&listed, delay).await else {
                        return;
                    };
                    self = paused;
                }
            }
            yield_now().await;
        }
        // Closing the listener would reset connections that the kernel has completed already. They
        // are served like the others.
        for _ in 0..self.backlog {
            let Ok((stream, peer)) = T::accept(self.listener.get_ref()) else {
                break;
            };
            self.place(stream, peer);
        }
    }

    /// Waits for a connection and accepts a batch.
    async fn batch(&self, pause: &mut Pause) -> io::Result<()> {
        let mut guard = self.listener.readable().await?;
        // The system reports the rest of a shared listener's queue anew, to any shard.
        let one_by_one = interest(self.policy) != Interest::READABLE;
        let batch = if one_by_one { 1 } else { BATCH };
        for _ in 0..batch {
            Counters::bump(&self.part().counters.accept_calls);
            match guard.try_io(|listener| T::accept(listener.get_ref())) {
                Ok(Ok((stream, peer))) => {
                    pause.over();
                    self.place(stream, peer);
                }
                Ok(Err(error)) if is_of_one_connection(&error) => {}
                Ok(Err(error)) => return Err(error),
                Err(_would_block) => break,
            }
        }
        if one_by_one {
            guard.clear_ready();
        }
        Ok(())
    }

    /// Stops accepting for `delay`, or until the server drains. Returns `None` if this shard can no
    /// longer accept.
    async fn pause(mut self, listed: &Listed, delay: Duration) -> Option<Self> {
        let slept = until_drain(listed, time::sleep(delay));
        if interest(self.policy) == Interest::READABLE {
            slept.await;
            return Some(self);
        }
        // A registration that is level-triggered would keep the shard awake.
        let listener = self.listener.into_inner();
        slept.await;
        let shard = self.shared.parts[self.here].shard;
        // It fails if the reactor has shut down or memory is short.
        self.listener = register::<T>(&self.shared.handle, shard, self.policy, listener).ok()?;
        Some(self)
    }

    /// Sends a new connection to its shard, or closes it if it is over the limit.
    fn place(&self, stream: T::Accepted, peer: T::Address) {
        let chosen = self.choose(&stream);
        let counters = &self.part().counters;
        let Some(permit) = Permit::take(&self.shared, chosen) else {
            Counters::bump(&counters.over_limit);
            return;
        };
        if chosen != self.here && self.policy == AcceptPolicy::Hybrid {
            Counters::bump(&counters.handed_on);
        }
        T::set_up(&stream, self.nodelay);
        let accepted = Accepted::<T> {
            shared: Arc::clone(&self.shared),
            permit,
            stream,
            peer,
        };
        if chosen == self.here {
            self.start.start(&self.shared.handle, accepted);
        } else {
            // Only the shard that serves it registers the socket, so that the connection, its slot
            // and its task share a shard.
            let (start, shard) = (self.start.clone(), self.shared.parts[chosen].shard);
            drop(self.shared.handle.spawn_on(shard, move || {
                let shared = Arc::clone(&accepted.shared);
                start.start(&shared.handle, accepted);
                std::future::ready(())
            }));
        }
    }

    fn choose(&self, stream: &T::Accepted) -> usize {
        match self.policy {
            AcceptPolicy::ReusePort | AcceptPolicy::Exclusive => self.here,
            AcceptPolicy::Hash => self.shared.handle.shard_for(stream.as_raw_fd()).index(),
            AcceptPolicy::RoundRobin => {
                let turn = (self.turn.get() + 1) % self.shared.parts.len();
                self.turn.set(turn);
                turn
            }
            AcceptPolicy::LeastLoaded => self.least_loaded().0,
            AcceptPolicy::Hybrid => {
                let (other, least) = self.least_loaded();
                if self.load(self.here).hands_on_to(least) {
                    other
                } else {
                    self.here
                }
            }
        }
    }

    /// Returns the index of the shard with the least load, the first of several, and its load.
    fn least_loaded(&self) -> (usize, Load) {
        let loads = (0..self.shared.parts.len()).map(|index| (index, self.load(index)));
        loads
            .min_by_key(|(_, load)| *load)
            .expect("a reactor has at least one shard")
    }

    fn load(&self, index: usize) -> Load {
        let part = &self.shared.parts[index];
        let backlog = self.shared.handle.backlog(part.shard);
        Load::new(backlog, part.counters.live())
    }
}

/// A guard that removes an accept loop from the count, however the loop ends.
struct Counted(Arc<Shared>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.stop_accepting();
    }
}

/// Waits for `future`. Returns `None` if the server drains first.
async fn until_drain<T>(listed: &Listed, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        if listed.is_draining() {
            return Poll::Ready(None);
        }
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

/// Returns true if an error of accept(2) concerns one connection only, or nothing, so that the next
/// call may succeed. Linux also passes on errors of the new socket's network as errors of accept.
fn is_of_one_connection(error: &io::Error) -> bool {
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

/// The back-off of a listener that cannot accept, most often because descriptors ran out. The
/// kernel's queue holds the connections that arrive meanwhile.
#[derive(Debug, Default)]
struct Pause {
    last: Option<Duration>,
    noticed: Option<Instant>,
}

impl Pause {
    const FIRST: Duration = Duration::from_millis(10);
    const MAX: Duration = Duration::from_secs(1);
    /// The shortest time between two notices to the operator.
    const NOTICE: Duration = Duration::from_secs(10);

    /// Returns the next pause: twice the last one, within bounds.
    fn next(&mut self, why: &io::Error, notice: Option<&(dyn Fn(&str) + Send + Sync)>) -> Duration {
        let delay = self
            .last
            .map_or(Self::FIRST, |last| (last * 2).min(Self::MAX));
        self.last = Some(delay);
        let now = Instant::now();
        #[cfg(feature = "tracing")]
        tracing::warn!(target: "asyncfd", error = %why, "accepting pauses");
        if let Some(notice) = notice {
            let recent = |noticed| now.duration_since(noticed) < Self::NOTICE;
            if !self.noticed.is_some_and(recent) {
                self.noticed = Some(now);
                notice(&format!("accepting pauses and will be tried again: {why}"));
            }
        }
        delay
    }

    /// Ends the back-off, after a connection was accepted.
    fn over(&mut self) {
        self.last = None;
    }
}

#[cfg(test)]
mod tests;
