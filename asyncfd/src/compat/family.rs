//! The types that have the traits of every family, and the methods that the families' files call on
//! them.
//!
//! A family is two macros, one for reading and one for writing. Each receives a type and an
//! expression for the object that does the work. On that object it calls `poll_read`,
//! `poll_read_vectored`, `poll_fill`, `poll_write` and `poll_write_vectored` from `net`, and the
//! methods of [`Written`]. So no family has code for draining, and none for halves.

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

/// Calls the two macros of a family for each type, with: its parameters in brackets, the type, its
/// bounds in brackets, and the object that does the work.
macro_rules! implement_for_all {
    ($reads:ident, $writes:ident) => {
        $reads!([] crate::net::TcpStream [] |this| this);
        $writes!([] crate::net::TcpStream [] |this| this);
        $reads!([] crate::net::tcp::ReadHalf<'_> [] |this| this.as_ref());
        $writes!([] crate::net::tcp::WriteHalf<'_> [] |this| this.as_ref());
        $reads!([] crate::net::tcp::OwnedReadHalf [] |this| this.as_ref());
        $writes!([] crate::net::tcp::OwnedWriteHalf [] |this| this.as_ref());
        $reads!([] crate::net::UnixStream [] |this| this);
        $writes!([] crate::net::UnixStream [] |this| this);
        $reads!([] crate::net::unix::ReadHalf<'_> [] |this| this.as_ref());
        $writes!([] crate::net::unix::WriteHalf<'_> [] |this| this.as_ref());
        $reads!([] crate::net::unix::OwnedReadHalf [] |this| this.as_ref());
        $writes!([] crate::net::unix::OwnedWriteHalf [] |this| this.as_ref());
        $reads!([] crate::net::pipe::Receiver [] |this| this);
        $writes!([] crate::net::pipe::Sender [] |this| this);
        $reads!(
            [T] crate::compat::FdIo<T>
            [T: std::os::fd::AsRawFd, for<'a> &'a T: std::io::Read] |this| this
        );
        $writes!(
            [T] crate::compat::FdIo<T>
            [T: std::os::fd::AsFd + std::os::fd::AsRawFd, for<'a> &'a T: std::io::Write]
            |this| this
        );
    };
}

pub(super) use implement_for_all;
