//! Cooperation for leaf futures of other libraries, with the names of `tokio::task::coop`.
//!
//! A shard gives each poll of a task a budget
//! ([`Builder::task_budget`](crate::Builder::task_budget)). The reactor's own waits charge it.
//! Futures of other libraries do not, so a loop over a channel that always has a message keeps its
//! shard from everything else. Wrap such a leaf future in [`cooperative`], or call [`poll_proceed`]
//! in a `poll` function of your own:
//!
//! ```
//! use reactor::coop::cooperative;
//!
//! # let reactor = reactor::Reactor::builder().shards(1).build()?;
//! # let task = reactor.handle().spawn(async {
//! for _ in 0..1_000 {
//!     // Yields to the shard after every 128 iterations.
//!     cooperative(std::future::ready(())).await;
//! }
//! # });
//! # reactor.block_on(task)?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! The budget exists only while a shard polls a task. Elsewhere nothing is counted and everything
//! proceeds. Tests: `tests/coop.rs`.

use std::cell::Cell;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::budget;

/// Returns true if the current task may do more in this poll. Off a shard it is always true. Same
/// as tokio's.
#[must_use]
pub fn has_budget_remaining() -> bool {
    budget::is_left()
}

/// Charges one unit of the task's budget, or yields if none is left. A task that yields is polled
/// again later.
///
/// The unit is given back when the guard is dropped, unless
/// [`made_progress`](RestoreOnPending::made_progress) was called. Same as tokio's.
///
/// # Wakeups
///
/// If the result is `Pending`, the shard wakes the current task after the next poll of the OS.
///
/// # Examples
///
/// ```
/// use std::task::{Context, Poll, ready};
///
/// fn poll_next<T>(
///     queue: &mut impl FnMut(&mut Context<'_>) -> Poll<T>,
///     cx: &mut Context<'_>,
/// ) -> Poll<T> {
///     let coop = ready!(reactor::coop::poll_proceed(cx));
///     let next = ready!(queue(cx));
///     coop.made_progress();
///     Poll::Ready(next)
/// }
/// # let mut queue = |_: &mut Context<'_>| Poll::Ready(1);
/// # let mut cx = Context::from_waker(std::task::Waker::noop());
/// # assert_eq!(poll_next(&mut queue, &mut cx), Poll::Ready(1));
/// ```
pub fn poll_proceed(cx: &mut Context<'_>) -> Poll<RestoreOnPending> {
    ready!(budget::poll_budget(cx));
    budget::charge();
    Poll::Ready(RestoreOnPending {
        restores: Cell::new(true),
        thread: PhantomData,
    })
}

/// A guard that gives a unit of budget back when it is dropped; returned by [`poll_proceed`].
#[derive(Debug)]
#[must_use = "dropped at once, it gives the unit back"]
pub struct RestoreOnPending {
    restores: Cell<bool>,
    /// The budget is the thread's.
    thread: PhantomData<*mut ()>,
}

impl RestoreOnPending {
    /// Keeps the unit charged.
    pub fn made_progress(&self) {
        self.restores.set(false);
    }
}

impl Drop for RestoreOnPending {
    fn drop(&mut self) {
        if self.restores.get() {
            budget::refund();
        }
    }
}

/// Makes a leaf future cooperate: it charges the task's budget when it completes, and yields before
/// its poll if none is left.
///
/// Wrap the future that a loop awaits, and not the loop itself: the budget has no effect inside a
/// poll that never returns. Same as tokio's `cooperative`.
///
/// # Cancel safety
///
/// The same as that of `future`.
pub fn cooperative<F: Future>(future: F) -> Coop<F> {
    Coop { future }
}

pin_project! {
    /// A future that charges the task's budget; made by [`cooperative`].
    #[derive(Debug)]
    #[must_use = "a future does nothing unless it is awaited"]
    pub struct Coop<F> {
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Coop<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let coop = ready!(poll_proceed(cx));
        let output = ready!(self.project().future.poll(cx));
        coop.made_progress();
        Poll::Ready(output)
    }
}
