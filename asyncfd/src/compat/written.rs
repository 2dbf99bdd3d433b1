//! The methods of the writing traits beside the transfers: flushing, and the end of the stream.

#![forbid(unsafe_code)]

use std::io;
use std::net::Shutdown;
use std::task::{Context, Poll};

use crate::net::{TcpStream, UnixStream, pipe, sys};

/// The methods of the writing traits that transfer nothing. The defaults are for an object that
/// buffers nothing.
pub(super) trait Written {
    fn poll_flush(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ends the stream, so that the peer reads its end.
    fn poll_end(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Returns true if a vectored write costs one system call.
    #[cfg(any(feature = "tokio-io", feature = "hyper"))]
    fn is_vectored(&self) -> bool {
        true
    }
}

impl Written for TcpStream {
    fn poll_end(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(sys::unless_gone(self.shutdown_std(Shutdown::Write)))
    }
}

impl Written for UnixStream {
    fn poll_end(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(sys::unless_gone(self.shutdown_std(Shutdown::Write)))
    }
}

impl Written for pipe::Sender {
    /// Does nothing: the end of a pipe comes only when its sender is dropped.
    fn poll_end(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
