//! Shutdown of a server, for all the examples: a signal begins the shutdown, and tasks that accept
//! or wait for the next request then stop. Requests in progress have until the deadline. This
//! module is part of every example, and as free to copy.
#![allow(dead_code, reason = "each example uses its part")]

use std::future::poll_fn;
use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use asyncfd::net::UnixStream;
use reactor::{Handle, Reactor, ShutdownError, time};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

/// The time that connections get to finish.
const DEADLINE: Duration = Duration::from_secs(5);

/// Handlers for SIGINT and SIGTERM: they write to one end of a socket pair, and the other end is a
/// descriptor like any other.
pub(crate) struct Signals(UnixStream);

impl Signals {
    pub(crate) fn catch(handle: &Handle) -> io::Result<Self> {
        let (here, there) = StdUnixStream::pair()?;
        for signal in [SIGINT, SIGTERM] {
            pipe::register(signal, there.try_clone()?)?;
        }
        let _context = handle.enter();
        Ok(Self(UnixStream::from_std(here)?))
    }

    /// Waits for a signal, then shuts down the reactor and all its tasks.
    pub(crate) fn shut_down(self, reactor: Reactor) -> Result<(), ShutdownError> {
        let _ = reactor.block_on(self.0.read(&mut [0]));
        reactor.shutdown(DEADLINE).map(drop)
    }
}

/// Pauses a listener after an error. Most often descriptors have run out, and new connections can
/// wait in the kernel meanwhile. Ending here would end the server, and retrying at once would keep
/// a CPU busy with errors.
pub(crate) async fn pause(error: io::Error) {
    eprintln!("accept: {error}");
    time::sleep(Duration::from_millis(100)).await;
}

/// A task's way to wait while its server serves: each wait returns `None` once the shutdown has
/// begun.
pub(crate) struct Serving {
    handle: Handle,
    ends: Pin<Box<dyn Future<Output = ()>>>,
    listed: bool,
}

impl Serving {
    /// Creates one for the current reactor. Each task needs its own.
    pub(crate) fn new() -> Self {
        let handle = Handle::current();
        Self {
            ends: Box::pin(handle.shutdown_requested()),
            handle,
            listed: false,
        }
    }

    /// Waits for `future`, unless the shutdown has begun.
    ///
    /// On its first wait, the task joins the list of those that the shutdown wakes, and stays
    /// there. Joining takes a lock of the whole reactor, which a connection can do once but not for
    /// each request.
    pub(crate) async fn wait<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            let ended = if self.listed {
                self.handle.is_shutting_down()
            } else {
                self.listed = true;
                self.ends.as_mut().poll(cx).is_ready()
            };
            if ended {
                return Poll::Ready(None);
            }
            future.as_mut().poll(cx).map(Some)
        })
        .await
    }
}
