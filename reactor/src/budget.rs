//! Cooperative scheduling: the number of operations a task may do in one poll before it lets others
//! run.
//!
//! The budget exists only while a shard polls a task. Waits, `poll_*` and `async_io` check it, and
//! charge it when they make progress. Nothing is counted elsewhere: on other executors, in
//! `block_on`, and in a synchronous `try_io`. Tests are in `tests.rs` of the shard.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::shard::current;

/// The budget while no shard polls a task on this thread. It is so large that charges, which
/// nothing then resets, never use it up. Therefore a charge need not check for a shard.
const UNLIMITED: i64 = i64::MAX;

thread_local! {
    static LEFT: Cell<i64> = const { Cell::new(UNLIMITED) };
}

/// Sets the budget of the task that is about to be polled. Called by the shard only.
#[inline]
pub(crate) fn begin(budget: u32) {
    LEFT.set(i64::from(budget));
}

/// Ends the budget of the task that was polled. Called by the shard only.
#[inline]
pub(crate) fn end() {
    LEFT.set(UNLIMITED);
}

/// Returns `Ready` while the task may continue. Otherwise defers the task's wake until its next
/// turn and returns `Pending`.
#[inline]
pub(crate) fn poll_budget(cx: &mut Context<'_>) -> Poll<()> {
    if LEFT.get() > 0 {
        return Poll::Ready(());
    }
    yield_slow(cx)
}

#[cold]
fn yield_slow(cx: &Context<'_>) -> Poll<()> {
    current::defer(cx.waker());
    Poll::Pending
}

/// Returns true if the task may continue.
#[inline]
pub(crate) fn is_left() -> bool {
    LEFT.get() > 0
}

/// Charges one unit of progress.
#[inline]
pub(crate) fn charge() {
    // The value is negative if a poll charges more than it checked for. That is the same as zero.
    LEFT.set(LEFT.get().wrapping_sub(1));
}

/// Gives back one unit that was charged in this poll.
pub(crate) fn refund() {
    let left = LEFT.get();
    if left < UNLIMITED {
        LEFT.set(left + 1);
    }
}

/// Lets every other ready task run first, then continues.
///
/// On a shard, the task is woken after the shard has polled its descriptors and timers, and runs
/// behind the tasks that this made ready. On other executors it wakes itself and is pending once.
/// Same as tokio's.
///
/// # Cancel safety
///
/// Dropping the future loses nothing.
///
/// # Examples
///
/// ```
/// # let reactor = reactor::Reactor::builder().shards(1).build()?;
/// # reactor.block_on(async {
/// for _chunk in 0..10 {
///     // ... a bounded piece of work ...
///     reactor::yield_now().await;
/// }
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        yield_slow(cx)
    })
    .await;
}

/// Charges the task's budget for work that the reactor does not see, and yields if it is used up.
///
/// Use it in loops that are always ready, such as parsing from a buffer. A task that yields
/// continues as after [`yield_now`]. Off a shard it returns at once. Same as tokio's.
///
/// # Cancel safety
///
/// Dropping the future loses nothing.
pub async fn consume_budget() {
    poll_fn(poll_budget).await;
    charge();
}

/// Runs a future without the task's budget: it never yields because of the amount of its work.
///
/// Use it for work that must not be interrupted, or that has a bound of its own. A future that is
/// always ready then blocks its whole shard. Off a shard it changes nothing. Same as tokio's.
///
/// # Examples
///
/// ```
/// # let reactor = reactor::Reactor::builder().shards(1).build()?;
/// # reactor.block_on(async {
/// reactor::unconstrained(async {
///     for _ in 0..1_000 {
///         reactor::consume_budget().await;
///     }
/// })
/// .await;
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn unconstrained<F>(future: F) -> Unconstrained<F> {
    Unconstrained { future }
}

pin_project! {
    /// A future that no budget limits. Returned by [`unconstrained`].
    ///
    /// # Cancel safety
    ///
    /// Same as the inner future's.
    #[derive(Debug)]
    #[must_use = "a future does nothing unless it is awaited"]
    pub struct Unconstrained<F> {
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Unconstrained<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let _restore = Restore(LEFT.replace(UNLIMITED));
        self.project().future.poll(cx)
    }
}

/// Restores the budget for the rest of the task, even if the future panics and the task catches
/// that.
struct Restore(i64);

impl Drop for Restore {
    fn drop(&mut self) {
        LEFT.set(self.0);
    }
}
