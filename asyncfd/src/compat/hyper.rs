//! hyper's traits: reading and writing, timers, and the executor for its HTTP/2 tasks.

#![forbid(unsafe_code)]

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ::hyper::rt::{Executor, Read, ReadBufCursor, Sleep, Timer, Write};
use reactor::{Handle, time};

use super::family::{implement_for_all, implement_write};
use super::written::Written;

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
    ($($of:tt)*) => { implement_write!("hyper" Write poll_shutdown vectored, $($of)*); };
}

implement_for_all!(reads, writes);

/// A timer for hyper that uses the reactor's time: [`reactor::time::sleep`].
///
/// Pass it to every connection's builder: hyper's timeouts panic without a timer, and some are on
/// by default. The shard that polls a sleep keeps its timer. Moving the deadline, as hyper does
/// between requests, creates no new sleep.
///
/// # Panics
///
/// Its sleeps panic when they are created off a shard and without a current reactor.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct ShardTimer;

impl ShardTimer {
    /// Creates a timer. It has no state.
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
            // The sleep came from another timer.
            None => *sleep = self.sleep_until(new_deadline),
        }
    }
}

/// The reactor's sleep. It is `Send` and `Sync`, as hyper requires, although its timer belongs to a
/// shard.
struct ShardSleep(time::Sleep);

impl Future for ShardSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl Sleep for ShardSleep {}

/// An executor for hyper that spawns on the current shard: [`reactor::spawn_local`].
///
/// Tasks that hyper spawns for a connection, above all its HTTP/2 streams, stay on the connection's
/// shard and need not be `Send`.
///
/// # Panics
///
/// `execute` panics off a shard.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct ShardExecutor;

impl ShardExecutor {
    /// Creates an executor. It has no state.
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
        // The task continues without its handle.
        drop(reactor::spawn_local(future));
    }
}

/// An executor for hyper that spawns `Send` tasks on the current reactor: [`Handle::spawn`].
///
/// On a shard, a task starts there, and a reactor with work stealing may move it.
///
/// # Panics
///
/// `execute` panics where there is no current reactor.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct MobileExecutor;

impl MobileExecutor {
    /// Creates an executor. It has no state.
    pub const fn new() -> Self {
        Self
    }
}

impl<F> Executor<F> for MobileExecutor
where
    F: Future<Output: Send> + Send + 'static,
{
    #[track_caller]
    fn execute(&self, future: F) {
        // The task continues without its handle.
        drop(Handle::current().spawn(future));
    }
}
