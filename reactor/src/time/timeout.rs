//! [`timeout`]: a future with a deadline.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use pin_project_lite::pin_project;

use crate::budget;
use crate::time::{Sleep, sleep, sleep_until};

/// Runs a future with a time limit. Same as tokio's: the future is polled first, and its result
/// takes precedence over the deadline.
///
/// # Errors
///
/// Returns [`Elapsed`] if the deadline came first. The future is dropped with the `Timeout`.
///
/// # Panics
///
/// Panics off a shard if there is no current reactor: see [`Handle::enter`](crate::Handle::enter).
///
/// # Cancel safety
///
/// Same as the future's own: dropping the `Timeout` drops the future.
///
/// # Examples
///
/// ```
/// use std::{future, time::Duration};
/// use reactor::time::timeout;
///
/// let reactor = reactor::Reactor::builder().shards(1).build()?;
/// reactor.block_on(async {
///     assert_eq!(timeout(Duration::from_secs(9), async { 1 }).await, Ok(1));
///     assert!(timeout(Duration::from_millis(1), future::pending::<()>()).await.is_err());
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn timeout<F: IntoFuture>(duration: Duration, future: F) -> Timeout<F::IntoFuture> {
    Timeout {
        future: future.into_future(),
        deadline: sleep(duration),
    }
}

/// Runs a future until a point in time. Otherwise the same as [`timeout`].
///
/// # Errors
///
/// Returns [`Elapsed`] if the deadline came first.
///
/// # Panics
///
/// Panics off a shard if there is no current reactor.
///
/// # Cancel safety
///
/// Same as the future's own.
#[track_caller]
pub fn timeout_at<F: IntoFuture>(deadline: Instant, future: F) -> Timeout<F::IntoFuture> {
    Timeout {
        future: future.into_future(),
        deadline: sleep_until(deadline),
    }
}

pin_project! {
    /// A future with a deadline, from [`timeout`].
    #[derive(Debug)]
    #[must_use = "a timeout does nothing unless it is awaited"]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        deadline: Sleep,
    }
}

impl<F> Timeout<F> {
    /// Returns a reference to the future.
    pub fn get_ref(&self) -> &F {
        &self.future
    }

    /// Returns a mutable reference to the future.
    pub fn get_mut(&mut self) -> &mut F {
        &mut self.future
    }

    /// Returns the future and drops the deadline.
    pub fn into_inner(self) -> F {
        self.future
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let had_budget = budget::is_left();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        let elapsed = if had_budget && !budget::is_left() {
            // The future used up the budget. This must not postpone its deadline.
            this.deadline.poll_deadline(cx)
        } else {
            Pin::new(this.deadline).poll(cx)
        };
        elapsed.map(|()| Err(Elapsed(())))
    }
}

/// The error of a [`timeout`] whose deadline came first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elapsed(());

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the deadline has passed")
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> Self {
        Self::new(io::ErrorKind::TimedOut, elapsed)
    }
}
