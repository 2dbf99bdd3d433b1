//! hyper's traits: reading and writing, time, and the executor that its HTTP/2 side spawns on.

#![forbid(unsafe_code)]

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ::hyper::rt::{Executor, Read, ReadBufCursor, Sleep, Timer, Write};
use reactor::time;

use super::family::{Written, implement_for_all};

macro_rules! reads {
    ([$($parameter:ident)?] $type:ty [$($bounds:tt)*] |$this:ident| $object:expr) => {
        #[cfg_attr(docsrs, doc(cfg(feature = "hyper")))]
        impl$(<$parameter>)? Read for $type where $($bounds)* {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                mut buffer: ReadBufCursor<'_>,
            ) -> Poll<io::Result<()>> {
                let $this = &*self;
                $object.poll_fill(cx, &mut buffer).map_ok(drop)
            }
        }
    };
}

macro_rules! writes {
    ([$($parameter:ident)?] $type:ty [$($bounds:tt)*] |$this:ident| $object:expr) => {
        #[cfg_attr(docsrs, doc(cfg(feature = "hyper")))]
        impl$(<$parameter>)? Write for $type where $($bounds)* {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                let $this = &*self;
                $object.poll_write(cx, bytes)
            }

            fn is_write_vectored(&self) -> bool {
                let $this = self;
                $object.is_vectored()
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                slices: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let $this = &*self;
                $object.poll_write_vectored(cx, slices)
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let $this = &*self;
                Written::poll_flush($object, cx)
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let $this = &*self;
                $object.poll_end(cx)
            }
        }
    };
}

implement_for_all!(reads, writes);

/// hyper's timer on the reactor's time: [`reactor::time::sleep`].
///
/// Give it to every connection's builder: hyper's timeouts panic where there is no timer, and some
/// are set unless they are turned off. A sleep is kept by the shard that polls it, and moving its
/// deadline, as hyper does between requests, makes no new one.
///
/// # Panics
///
/// Its sleeps panic where they are made off a shard and with no reactor current.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct ShardTimer;

impl ShardTimer {
    /// Makes one. It holds nothing.
    pub const fn new() -> Self {
        Self
    }
}

impl Timer for ShardTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(ShardSleep(time::sleep(duration)))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(ShardSleep(time::sleep_until(deadline)))
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, new_deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<ShardSleep>() {
            Some(mut sleep) => Pin::new(&mut sleep.0).reset(new_deadline),
            // Made by another timer.
            None => *sleep = self.sleep_until(new_deadline),
        }
    }
}

/// The reactor's sleep, which is `Send` and `Sync` as hyper asks, though its timer is a shard's.
struct ShardSleep(time::Sleep);

impl Future for ShardSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl Sleep for ShardSleep {}

/// hyper's executor that spawns on the current shard: [`reactor::spawn_local`].
///
/// So what a connection has hyper spawn, its HTTP/2 streams above all, stays with the connection, and
/// need not be `Send`.
///
/// # Panics
///
/// Executing panics off a shard.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct ShardExecutor;

impl ShardExecutor {
    /// Makes one. It holds nothing.
    pub const fn new() -> Self {
        Self
    }
}

impl<F> Executor<F> for ShardExecutor
where
    F: Future<Output: 'static> + 'static,
{
    #[track_caller]
    fn execute(&self, future: F) {
        // Dropping the handle lets it run.
        drop(reactor::spawn_local(future));
    }
}
