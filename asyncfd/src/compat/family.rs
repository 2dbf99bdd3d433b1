//! Which types have the traits of every family, and what the families' files call on them.
//!
//! A family is two macros, one for what is read and one for what is written. Each is given a type
//! and the way to the object that does the work. On that object it calls `poll_read`,
//! `poll_read_vectored`, `poll_fill`, `poll_write` and `poll_write_vectored`, which are those of
//! `net`, and what [`Written`] adds. So no family has a line about draining, and none about halves.

#![forbid(unsafe_code)]

use std::io;
use std::net::Shutdown;
use std::task::{Context, Poll};

use crate::net::{TcpStream, UnixStream, pipe};

/// What the traits of writing ask for that is no transfer. The defaults are those of an object that
/// keeps nothing back.
pub(super) trait Written {
    fn poll_flush(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Has the peer read the end.
    fn poll_end(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Whether a vectored write costs one system call.
    #[cfg(any(feature = "tokio-io", feature = "hyper"))]
    fn is_vectored(&self) -> bool {
        true
    }
}

impl Written for TcpStream {
    fn poll_end(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(unless_gone(self.shutdown(Shutdown::Write)))
    }
}

impl Written for UnixStream {
    fn poll_end(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(unless_gone(self.shutdown(Shutdown::Write)))
    }
}

impl Written for pipe::Sender {
    /// The end comes when the sender is dropped: a pipe has no other.
    fn poll_end(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The result of a shutdown(2). Whoever was to read the end may have gone away first.
pub(super) fn unless_gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
        result => result,
    }
}

/// Calls the two macros of a family for each type: its parameters in brackets, itself, its bounds in
/// brackets, and what does the work.
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
