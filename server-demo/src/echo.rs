//! The parts of an echo loop that are the same on every surface: its state besides the socket, and
//! the reasons for which it stops.
//!
//! The surfaces (`surface.rs`) run their loops with it, and `connection.rs` handles the reasons.
//! Tests: every integration test of this package runs on each surface.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::ending::Ending;
use crate::home::{Drain, Home};
use crate::idle::Idle;

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

    /// Returns the halt for a failed call on the socket.
    #[cold]
    pub(crate) fn failed(error: io::Error) -> Self {
        Self::Ended(Ending::of(error))
    }
}

/// The state of an echo loop, besides its socket: the counters, the idle timeout, a drain.
#[derive(Debug)]
pub(crate) struct Watch<'a> {
    pub(crate) home: &'a Home,
    pub(crate) idle: &'a mut Idle,
}

impl<'a> Watch<'a> {
    /// Waits for the socket with `wait`. Returns the reason to stop if one comes first.
    #[inline(always)]
    pub(crate) fn until<W: Future>(&mut self, wait: W) -> Watched<'_, 'a, W> {
        Watched { wait, watch: self }
    }

    /// Polls for a reason to stop. Called when there is nothing to read.
    #[inline(always)]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Halt> {
        match self.home.drain() {
            Some(drain) => Poll::Ready(Halt::Drain(drain)),
            None => self.idle.poll(cx).map(|()| Halt::Ended(Ending::Idle)),
        }
    }

    /// Evaluates a write of `len` bytes of the scratch buffer. Returns `None` if it sent all of
    /// them.
    #[inline(always)]
    pub(crate) fn answered(&mut self, sent: io::Result<usize>, len: usize) -> Option<Halt> {
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
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.home.counters.add_bytes(bytes as u64);
        self.idle.touch();
    }
}

pin_project! {
    /// A wait for the socket, which a reason to stop also ends; made by [`Watch::until`].
    pub(crate) struct Watched<'w, 'a, W> {
        #[pin]
        wait: W,
        watch: &'w mut Watch<'a>,
    }
}

impl<W: Future> Future for Watched<'_, '_, W> {
    type Output = Result<W::Output, Halt>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.wait.poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => this.watch.poll(cx).map(Err),
        }
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
