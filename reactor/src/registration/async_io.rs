//! [`Registration::async_io`], and the pauses that bound it where readiness proves nothing.
//!
//! A descriptor can be reported as ready again and again while every operation would block. Without
//! a pause, such a caller would use a whole CPU. Tests are in `tests/pauses.rs`.

use std::future::poll_fn;
use std::io;
use std::task::{Poll, Waker};
use std::time::Duration;

use super::Registration;
use crate::Interest;
use crate::Ready;
use crate::error::two_directions_error;

/// The number of attempts in a row that may find nothing before `async_io` pauses. Several tasks
/// that wait for one descriptor lose most of their attempts, so it is not small.
const FRUITLESS_MAX: u32 = 64;

/// The weight of an attempt that would block on a descriptor with a closed half. The first one asks
/// the system again; the second one shows that the answer proves nothing.
const FRUITLESS_CLOSED: u32 = FRUITLESS_MAX / 2;

/// The pause before each further attempt, which is the default resolution of timers.
const PAUSE: Duration = Duration::from_millis(1);

impl Registration {
    /// Waits for `interest` and calls `operation`, and repeats both until the operation does not
    /// block.
    ///
    /// If many attempts in a row find nothing, it pauses for a millisecond before each further one.
    /// This happens when the descriptor is reported as ready and the operation still blocks, such
    /// as one that returns a `WouldBlock` of its own after the peer has closed.
    ///
    /// # Errors
    ///
    /// Returns `InvalidInput` for an interest that is both readable and writable. One operation
    /// does only one of them, and waiting for both would clear the other's readiness, or would not
    /// sleep. Otherwise returns the shutdown error, or any error of `operation` except
    /// `WouldBlock`.
    ///
    /// # Cancel safety
    ///
    /// It waits only after an operation that did nothing, so dropping the future loses nothing.
    ///
    /// # Wakeups
    ///
    /// As [`ready`](Self::ready).
    pub async fn async_io<R>(
        &self,
        interest: Interest,
        mut operation: impl FnMut() -> io::Result<R>,
    ) -> io::Result<R> {
        if interest.is_readable() && interest.is_writable() {
            return Err(two_directions_error());
        }
        let mut fruitless = 0;
        loop {
            let event = self.wait_for(Ready::from_interest(interest)).await?;
            if event.ready().is_empty() {
                continue;
            }
            match self.io_seeing(event, &mut operation) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let weight = if event.ready().intersects(Ready::CLOSED) {
                        FRUITLESS_CLOSED
                    } else {
                        1
                    };
                    fruitless = FRUITLESS_MAX.min(fruitless + weight);
                    if fruitless == FRUITLESS_MAX {
                        self.pause(PAUSE).await;
                    }
                }
                done => return done,
            }
        }
    }

    /// Waits for about `delay`, by a timer of the registration's shard. Works on any executor.
    ///
    /// Use it for a descriptor that gives no event when an operation may succeed again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Wakeups
    ///
    /// The task is woken once, as by [`wake_after`](Self::wake_after), even if the future is
    /// dropped.
    pub async fn pause(&self, delay: Duration) {
        let mut is_armed = false;
        poll_fn(|cx| {
            if is_armed {
                return Poll::Ready(());
            }
            is_armed = true;
            self.wake_after(delay, cx.waker());
            Poll::Pending
        })
        .await;
    }

    /// Wakes a task once `delay` has passed, or at once if the reactor has shut down.
    ///
    /// The timer is kept by the registration's shard. It cannot be disarmed, so `delay` should be
    /// short.
    pub fn wake_after(&self, delay: Duration, waker: &Waker) {
        self.slot.io().wake_after(delay, waker.clone());
    }
}
