//! Cooperation: how much a task may do in one poll before it lets others run.
//!
//! The budget exists only while a shard polls a task. Waits, `poll_*` and `async_io` ask for it and charge it when they make
//! progress; anywhere else (other executors, `block_on`, a synchronous `try_io`) nothing is counted. Tests: `tests.rs` of the
//! shard.

use std::cell::Cell;
use std::future::poll_fn;
use std::task::{Context, Poll};

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
    cx.waker().wake_by_ref();
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
/// On a shard the task goes to the end of its shard's queue; descriptors and timers are looked at in between as after any
/// `event_interval` polls. On other executors it wakes itself and is pending once. Same as tokio's.
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
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Charges the task's budget for work that the reactor does not see, and yields where it is used up.
///
/// For loops that are always ready, such as parsing out of a buffer. Off a shard it returns at once. Same as tokio's.
///
/// # Cancel safety
///
/// Nothing is lost when it is dropped.
pub async fn consume_budget() {
    poll_fn(poll_budget).await;
    charge();
}
