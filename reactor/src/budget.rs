//! Cooperation: how much a task may do in one poll before it lets others run.
//!
//! The budget exists only while a shard polls a task. Waits, `poll_*` and `async_io` ask for it and charge it when they make
//! progress; anywhere else (other executors, `block_on`, a synchronous `try_io`) nothing is counted. Tests: `tests.rs` of the
//! shard.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::shard::current;

/// What the budget is while no shard polls a task on this thread: so much that charging it, which nothing then resets, never
/// uses it up. So a charge need not ask where it is.
const UNLIMITED: i64 = i64::MAX;

thread_local! {
    static LEFT: Cell<i64> = const { Cell::new(UNLIMITED) };
}

/// Gives the task that is about to be polled its budget. The shard only.
#[inline]
pub(crate) fn begin(budget: u32) {
    LEFT.set(i64::from(budget));
}

/// Ends the budget of the task that was polled. The shard only.
#[inline]
pub(crate) fn end() {
    LEFT.set(UNLIMITED);
}

/// Ready while the task may go on; else it is woken, to be polled again in its turn, and this is `Pending`.
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

/// Whether the task may go on.
#[inline]
pub(crate) fn is_left() -> bool {
    LEFT.get() > 0
}

/// Charges one unit of progress.
#[inline]
pub(crate) fn charge() {
    // It goes below zero where a poll charges more than it asked for; that is as good as zero.
    LEFT.set(LEFT.get().wrapping_sub(1));
}

/// Lets every other task that is ready run first, then goes on.
///
/// On a shard the task is woken after the shard has looked at its descriptors and timers, and runs behind the tasks that this made
/// ready. On other executors it wakes itself and is pending once. Same as tokio's.
///
/// # Cancel safety
///
/// Nothing is lost when it is dropped.
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

/// Charges the task's budget for work that the reactor does not see, and yields where it is used up.
///
/// For loops that are always ready, such as parsing out of a buffer. A task that yields goes on as after [`yield_now`]. Off a shard it
/// returns at once. Same as tokio's.
///
/// # Cancel safety
///
/// Nothing is lost when it is dropped.
pub async fn consume_budget() {
    poll_fn(poll_budget).await;
    charge();
}

/// Lets a future go on without the task's budget: whatever is ready in it is taken, and it never yields for having done much.
///
/// For work that must not be interrupted, or that has a bound of its own. A future that is always ready then keeps its whole shard from
/// running anything else. Off a shard it changes nothing. Same as tokio's.
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
    /// A future that no budget bounds. From [`unconstrained`].
    ///
    /// # Cancel safety
    ///
    /// That of the future in it.
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

/// Gives the rest of the task its budget back, also where the future panics and the task catches that.
struct Restore(i64);

impl Drop for Restore {
    fn drop(&mut self) {
        LEFT.set(self.0);
    }
}
