//! The parts of an echo loop that are the same on every surface: its state besides the socket, and
//! the reasons for which it stops.
//!
//! The surfaces (`surface.rs`) run their loops with it, and `connection.rs` handles the reasons.
//! Tests: every integration test of this package runs on each surface.

use std::io::{self, ErrorKind};
use std::task::{Context, Poll};

use crate::ending::Ending;
use crate::idle::Idle;
use crate::local::{Drain, Local, Scratch};

/// The reason a surface's echo loop stopped.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Halt {
    /// The connection has ended.
    Ended(Ending),
    /// The socket took only the first `sent` of the `len` bytes in the scratch buffer.
    Unsent { sent: usize, len: usize },
    /// The server is draining.
    Drain(Drain),
}

impl Halt {
    /// The peer ended the stream, and everything before that was answered.
    pub(crate) const FINISHED: Self = Self::Ended(Ending::Finished);

    /// A call on the socket failed.
    #[cold]
    pub(crate) fn failed(error: io::Error) -> Self {
        Self::Ended(Ending::of(error))
    }
}

/// The state of an echo loop, besides its socket: the shard's buffer and counters, the idle
/// timeout, a drain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watch<'a> {
    pub(crate) local: &'a Local,
    pub(crate) idle: &'a Idle,
}

impl<'a> Watch<'a> {
    #[inline]
    pub(crate) fn scratch(self) -> &'a Scratch {
        &self.local.scratch
    }

    /// Polled when there is nothing to read.
    #[inline(always)]
    pub(crate) fn poll(self, cx: &mut Context<'_>) -> Poll<Halt> {
        match self.local.drain() {
            Some(drain) => Poll::Ready(Halt::Drain(drain)),
            None => self.idle.poll(cx).map(|()| Halt::Ended(Ending::Idle)),
        }
    }

    /// Evaluates a write of `len` bytes of the scratch buffer. Returns `None` if it sent all of
    /// them.
    #[inline(always)]
    pub(crate) fn answered(self, sent: io::Result<usize>, len: usize) -> Option<Halt> {
        let sent = match sent {
            Ok(sent) => sent,
            Err(error) => match refused_slow(error) {
                Some(halt) => return Some(halt),
                None => 0,
            },
        };
        self.sent(sent);
        (sent < len).then_some(Halt::Unsent { sent, len })
    }

    /// Records that bytes were sent.
    #[inline(always)]
    pub(crate) fn sent(self, bytes: usize) {
        self.local.counters().add_bytes(bytes as u64);
        self.idle.touch(&self.local.shared);
    }
}

/// Converts a failed write into a halt, or `None` if the write should be repeated. It takes
/// ownership of the error so that the callers need not drop it.
#[cold]
#[inline(never)]
fn refused_slow(error: io::Error) -> Option<Halt> {
    (!try_again(&error)).then(|| Halt::failed(error))
}

/// Returns true if the call should simply be repeated.
pub(crate) fn try_again(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
