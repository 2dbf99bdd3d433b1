//! The three ways to run an operation against cached readiness (wait, poll, try), and the rule of
//! draining: the transfers that prove that nothing is left.
//!
//! The socket types of `net` use it. `AsyncFd` itself never relies on that proof.
//! `tests/draining.rs` tests the rule for each kind of descriptor, and `drain/tests.rs` tests
//! changes during a call.

#![forbid(unsafe_code)]

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use reactor::{Direction, Interest, ReadyEvent, Registration};

#[cfg(test)]
mod tests;

/// The most bytes that Linux moves in one call, on its largest page size (`MAX_RW_COUNT` is
/// `INT_MAX` rounded down to a page). The system may have cut a transfer of this length, so it
/// proves nothing.
const CALL_BYTES_MAX: usize = 0x7fff_0000;

/// The conclusion from a transfer that moved fewer bytes than it could have.
///
/// Edge-triggered epoll gives no new edge for bytes that were left behind. If readiness is cleared
/// after a short transfer that left bytes behind, a wait hangs. If readiness is kept after a short
/// transfer that left nothing, the price is one call that fails with EAGAIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShortTransfer {
    /// The socket buffer is empty, or full: the next change gives a new edge.
    Drained,
    /// The transfer proves nothing. Messages, marks and passed descriptors also end transfers
    /// early. Only EAGAIN is proof.
    SaysNothing,
}

impl ShortTransfer {
    /// Returns true if a transfer of `n` bytes out of `len` proves that the next one would block.
    pub(crate) fn is_proof(self, n: usize, len: usize) -> bool {
        // A complete transfer, the usual end of a write, is recognised by one compare.
        n < len && 0 < n && n < CALL_BYTES_MAX && self == Self::Drained
    }
}

/// One kind of operation on a registered descriptor, which can be tried any number of times.
///
/// It is a trait and not a closure with parameters: the compiler knows the constants, and a future
/// holds only the operation itself.
pub(crate) trait Operation {
    /// The result of the operation.
    type Output;
    /// The readiness that the operation needs.
    const INTEREST: Interest;
    /// The poll slot that the operation waits in.
    const DIRECTION: Direction;

    fn registration(&self) -> &Registration;

    /// Performs the operation once.
    fn call(&mut self) -> io::Result<Self::Output>;

    /// Called when the call would block, although the reading half is reported as closed. Returns
    /// the operation's result if it can never succeed again.
    fn ended(&mut self) -> Option<io::Result<Self::Output>> {
        None
    }

    /// Returns true if this outcome proves that the next call would block.
    #[inline(always)]
    fn drains(&self, _: &Self::Output) -> bool {
        false
    }
}

/// The next step after one call of an operation.
enum Next<R> {
    Return(io::Result<R>),
    WaitAgain,
}

/// Calls the operation, and clears the readiness if the call shows that it is over. `event` was
/// loaded before the call, so a change that the call did not see stays ready.
#[inline(always)]
fn step<O: Operation>(operation: &mut O, event: ReadyEvent) -> Next<O::Output> {
    match operation.call() {
        Ok(output) => {
            if operation.drains(&output) {
                operation.registration().clear(event);
            }
            Next::Return(Ok(output))
        }
        Err(error) => {
            if event.ready().is_read_closed() && error.kind() == io::ErrorKind::WouldBlock {
                if let Some(result) = operation.ended() {
                    return Next::Return(result);
                }
            }
            match settle_error(operation.registration(), event, error) {
                Some(error) => Next::Return(Err(error)),
                None => Next::WaitAgain,
            }
        }
    }
}

/// Clears readiness after an error that shows it is over, and returns any error that the caller has
/// to see. It is not inlined, so that a successful call costs its caller one compare.
#[inline(never)]
fn settle_error(
    registration: &Registration,
    event: ReadyEvent,
    error: io::Error,
) -> Option<io::Error> {
    match error.kind() {
        io::ErrorKind::WouldBlock => {
            registration.clear_blocked(event, &error);
            None
        }
        io::ErrorKind::Interrupted => None,
        _ => Some(error),
    }
}

/// Waits for an operation's interest and calls it, until a call does not block.
///
/// It makes no system call while no readiness is cached.
#[inline]
pub(crate) async fn wait<O: Operation>(mut operation: O) -> io::Result<O::Output> {
    loop {
        let event = operation.registration().ready(O::INTEREST).await?;
        if event.ready().is_empty() {
            continue;
        }
        if let Next::Return(result) = step(&mut operation, event) {
            return result;
        }
    }
}

/// Like [`wait`], through the poll slot of the operation's direction.
#[inline]
pub(crate) fn poll<O: Operation>(
    mut operation: O,
    cx: &mut Context<'_>,
) -> Poll<io::Result<O::Output>> {
    loop {
        let event = ready!(operation.registration().poll_ready(cx, O::DIRECTION))?;
        if event.ready().is_empty() {
            continue;
        }
        if let Next::Return(result) = step(&mut operation, event) {
            return Poll::Ready(result);
        }
    }
}

/// The time between two attempts of an operation whose next success gives no event.
const RETRY: Duration = Duration::from_millis(1);

/// Like [`wait`], for an operation that can block although the descriptor is ready. It is attempted
/// again and again, with a pause before each attempt.
pub(crate) async fn wait_retrying<O: Operation>(mut operation: O) -> io::Result<O::Output> {
    let mut event = operation.registration().ready(O::INTEREST).await?;
    loop {
        if let Next::Return(result) = step(&mut operation, event) {
            return result;
        }
        operation.registration().pause(RETRY).await;
        event = operation.registration().try_ready(O::INTEREST)?;
    }
}

/// Like [`wait_retrying`], through the poll slot of the operation's direction.
pub(crate) fn poll_retrying<O: Operation>(
    mut operation: O,
    cx: &mut Context<'_>,
) -> Poll<io::Result<O::Output>> {
    let event = ready!(operation.registration().poll_ready(cx, O::DIRECTION))?;
    match step(&mut operation, event) {
        Next::Return(result) => Poll::Ready(result),
        Next::WaitAgain => {
            operation.registration().wake_after(RETRY, cx.waker());
            Poll::Pending
        }
    }
}

/// Like [`wait`], but returns `WouldBlock` instead of waiting.
#[inline(always)]
pub(crate) fn attempt<O: Operation>(mut operation: O) -> io::Result<O::Output> {
    loop {
        let event = operation.registration().try_ready(O::INTEREST)?;
        if event.ready().is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if let Next::Return(result) = step(&mut operation, event) {
            return result;
        }
    }
}
