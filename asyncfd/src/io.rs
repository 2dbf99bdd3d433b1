//! The three ways to run an operation against cached readiness (wait, poll, try), and the rule by
//! which a transfer tells that there is nothing left.
//!
//! Used by the socket types of `net`; `AsyncFd` itself never guesses. The rule has a test per kind
//! of descriptor in `tests/draining.rs`, and what happens during a
//! call is tested in `io/tests.rs`.

#![forbid(unsafe_code)]

use std::io;
use std::task::{Context, Poll, ready};

use reactor::{Direction, Interest, ReadyEvent, Registration};

#[cfg(test)]
mod tests;

/// The most that Linux moves in one call, on the largest page size it has (`MAX_RW_COUNT` is
/// `INT_MAX` cut down to a page). A transfer as long as this may have been cut by the system, so it
/// says nothing.
const CALL_BYTES_MAX: usize = 0x7fff_0000;

/// What a transfer that moved less than it could have says about the descriptor.
///
/// Edge-triggered epoll gives no new edge for what was left behind, so readiness cleared after a
/// short transfer that left something hangs, and readiness kept after one that left nothing costs a
/// call that finds EAGAIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShortTransfer {
    /// The socket buffer is empty, or full: the next change gives a new edge.
    Drained,
    /// Nothing. Messages, marks and passed descriptors end transfers early too; only EAGAIN is
    /// proof.
    SaysNothing,
}

impl ShortTransfer {
    /// Whether a transfer of `n` bytes out of `len` proves that the next one would block.
    pub(crate) fn is_proof(self, n: usize, len: usize) -> bool {
        self == Self::Drained && 0 < n && n < len.min(CALL_BYTES_MAX)
    }
}

/// What is next after one call of an operation.
enum Next<R> {
    Return(io::Result<R>),
    WaitAgain,
}

/// Clears what one call has shown to be over. `event` was loaded before the call, so that a change
/// the call did not see keeps its readiness.
#[inline]
fn settle<R>(
    registration: &Registration,
    event: ReadyEvent,
    result: io::Result<R>,
    drained: impl Fn(&R) -> bool,
) -> Next<R> {
    match result {
        Ok(value) => {
            if drained(&value) {
                registration.clear(event);
            }
            Next::Return(Ok(value))
        }
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock => {
                registration.clear_blocked(event, &error);
                Next::WaitAgain
            }
            io::ErrorKind::Interrupted => Next::WaitAgain,
            _ => Next::Return(Err(error)),
        },
    }
}

/// Waits for `interest` and runs `call`, until it does something other than block.
///
/// The system is not called while nothing is cached as ready.
#[inline]
pub(crate) async fn wait<R>(
    registration: &Registration,
    interest: Interest,
    mut call: impl FnMut() -> io::Result<R>,
    drained: impl Fn(&R) -> bool,
) -> io::Result<R> {
    loop {
        let event = registration.ready(interest).await?;
        if event.ready().is_empty() {
            continue;
        }
        if let Next::Return(result) = settle(registration, event, call(), &drained) {
            return result;
        }
    }
}

/// As [`wait`], through the poll slot of `direction`.
#[inline]
pub(crate) fn poll<R>(
    registration: &Registration,
    cx: &mut Context<'_>,
    direction: Direction,
    mut call: impl FnMut() -> io::Result<R>,
    drained: impl Fn(&R) -> bool,
) -> Poll<io::Result<R>> {
    loop {
        let event = ready!(registration.poll_ready(cx, direction))?;
        if let Next::Return(result) = settle(registration, event, call(), &drained) {
            return Poll::Ready(result);
        }
    }
}

/// As [`wait`], but ends with `WouldBlock` where that one would wait.
#[inline]
pub(crate) fn attempt<R>(
    registration: &Registration,
    interest: Interest,
    mut call: impl FnMut() -> io::Result<R>,
    drained: impl Fn(&R) -> bool,
) -> io::Result<R> {
    loop {
        let event = registration.try_ready(interest)?;
        if event.ready().is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if let Next::Return(result) = settle(registration, event, call(), &drained) {
            return result;
        }
    }
}
