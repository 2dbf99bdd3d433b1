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
        // A whole transfer, the usual end of a write, is told by one compare.
        n < len && 0 < n && n < CALL_BYTES_MAX && self == Self::Drained
    }
}

/// One kind of operation on a registered descriptor, ready to be tried any number of times.
///
/// A type rather than a closure and its parameters: what never varies is known to the compiler, and
/// a future holds no more than the operation itself.
pub(crate) trait Operation {
    /// What it returns.
    type Output;
    /// What has to be ready for it.
    const INTEREST: Interest;
    /// The poll slot it waits in.
    const DIRECTION: Direction;

    fn registration(&self) -> &Registration;

    /// Does it once.
    fn call(&mut self) -> io::Result<Self::Output>;

    /// Whether this outcome proves that the next call would block.
    #[inline(always)]
    fn drains(&self, _: &Self::Output) -> bool {
        false
    }
}

/// What is next after one call of an operation.
enum Next<R> {
    Return(io::Result<R>),
    WaitAgain,
}

/// Calls, and clears what the call has shown to be over. `event` was loaded before, so that a
/// change which the call did not see keeps its readiness.
#[inline(always)]
fn step<O: Operation>(operation: &mut O, event: ReadyEvent) -> Next<O::Output> {
    match operation.call() {
        Ok(output) => {
            if operation.drains(&output) {
                operation.registration().clear(event);
            }
            Next::Return(Ok(output))
        }
        Err(error) => match settle_error(operation.registration(), event, error) {
            Some(error) => Next::Return(Err(error)),
            None => Next::WaitAgain,
        },
    }
}

/// Clears what an error has shown to be over; gives the error back where it is one for the caller.
/// Out of line, so that a call that succeeds costs its caller a compare.
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

/// Waits for an operation's interest and calls it, until it does something other than block.
///
/// The system is not called while nothing is cached as ready.
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

/// As [`wait`], through the poll slot of the operation's direction.
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

/// As [`wait`], but ends with `WouldBlock` where that one would wait.
#[inline]
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
