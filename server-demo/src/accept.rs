//! Accepting connections.
//!
//! An accept loop runs as a task on one shard. It accepts queued connections in bounded batches and
//! passes each to `spread.rs`. It ends when the server drains, which closes its listener. It never
//! ends on an error, and it never spins on one. Tests: `accept/tests.rs`, `tests/echo.rs`,
//! `tests/limits.rs`.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use asyncfd::net::TcpListener;
use reactor::{Handle, is_shutdown_error, time, yield_now};
use rustix::io::Errno;

use crate::config::BACKLOG;
use crate::local::Local;
use crate::spread::Spread;
use crate::stats::Counters;

/// Connections taken in a row before other tasks of the shard get a turn.
const BATCH: usize = 64;

/// Accepts until the server drains.
pub(crate) async fn run(listener: TcpListener, handle: Handle) {
    let local = Local::current();
    let listed = Listed::new(&local).await;
    let mut spread = Spread::new(&local, handle);
    let mut pause = Pause::default();
    loop {
        // The first connection of a batch is waited for; the rest are taken only if they are there.
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
    // The close would reset connections that the kernel has completed but that are still queued.
    // They are accepted and served like the others.
    for _ in 0..BACKLOG {
        let Ok((stream, _peer)) = listener.try_accept_std() else {
            break;
        };
        spread.place(stream);
    }
    drop(listener);
    drop(listed);
}

/// Returns true if an error of accept(2) concerns only the connection at the head of the queue, so
/// that the next call may succeed. Linux passes errors of the new socket's network on as errors of
/// accept.
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

/// The pause of a listener that cannot accept, most often because descriptors ran out. The kernel's
/// queue holds new connections meanwhile.
#[derive(Debug, Default)]
struct Pause {
    last: Option<Duration>,
    noticed: Option<Instant>,
}

impl Pause {
    const FIRST: Duration = Duration::from_millis(10);
    const MAX: Duration = Duration::from_secs(1);
    /// The minimum time between two notices to the operator.
    const NOTICE: Duration = Duration::from_secs(10);

    /// Returns the next pause: twice the last one, within bounds.
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

    /// Resets the pause after a successful accept.
    fn over(&mut self) {
        self.last = None;
    }
}

/// A task's place in the list of tasks that a drain wakes.
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

/// Waits for `future`, or returns `None` when the server drains.
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
