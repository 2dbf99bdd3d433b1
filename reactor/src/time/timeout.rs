//! [`timeout`]: a future with a deadline.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use pin_project_lite::pin_project;

use crate::budget;
use crate::time::{Sleep, sleep, sleep_until};

/// Gives a future so much time. Same as tokio's: the future is polled first, and a result that is there beats the deadline.
///
/// # Errors
///
/// [`Elapsed`] where the deadline came first; the future is dropped with the `Timeout`.
///
/// # Panics
///
/// Panics off a shard where there is no current reactor: see [`Handle::enter`](crate::Handle::enter).
///
/// # Cancel safety
///
/// As the future's own: dropping the `Timeout` drops it.
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

/// Gives a future until a point in time. Otherwise as [`timeout`].
///
/// # Errors
///
/// [`Elapsed`] where the deadline came first.
///
/// # Panics
///
/// Panics off a shard where there is no current reactor.
///
/// # Cancel safety
///
/// As the future's own.
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
    /// The future under the deadline.
    pub fn get_ref(&self) -> &F {
        &self.future
    }

    /// Takes the future back, with the deadline dropped.
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
            // The future used the budget up: it must not put its own deadline off by that.
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
