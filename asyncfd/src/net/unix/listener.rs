//! [`UnixListener`].

#![forbid(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::{fmt, io};

use futures_core::Stream;
use reactor::{Interest, Ready, ShardId};
use socket2::{Domain, SockAddr, Type};

use super::socket::UnixSocket;
use super::stream::UnixStream;
use crate::async_fd::AsyncFd;
use crate::net::attach::attach;
use crate::net::forms::three_forms;
use crate::net::listener::listener_io;
use crate::net::operations::Input;
use crate::net::socket::{descriptor_traits, socket_traits};
use crate::net::sys;

/// A listener on a Unix socket.
pub struct UnixListener {
    fd: AsyncFd<std::os::unix::net::UnixListener>,
}

impl UnixListener {
    /// Creates a socket, binds it to `path` and listens, with a backlog of 4,096 connections (or as
    /// many as the system allows).
    ///
    /// The path stays in the file system when the listener is dropped.
    ///
    /// # Errors
    ///
    /// Returns the errors of socket(2), bind(2) (EADDRINUSE where `path` exists), listen(2) and of
    /// registering.
    ///
    /// # Panics
    ///
    /// Panics when there is no current reactor.
    #[track_caller]
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::bind_to(&SockAddr::unix(path)?)
    }

    /// Like [`bind`](Self::bind), to an address that need not be a path: on Linux it may be an
    /// abstract name.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`bind`](Self::bind).
    ///
    /// # Panics
    ///
    /// Panics when there is no current reactor.
    #[track_caller]
    pub fn bind_addr(address: &SocketAddr) -> io::Result<Self> {
        Self::bind_to(&sys::unix_address(address)?)
    }

    #[track_caller]
    fn bind_to(address: &SockAddr) -> io::Result<Self> {
        let socket = sys::stream_socket(Domain::UNIX, None)?;
        socket.bind(address)?;
        socket.listen(sys::BACKLOG)?;
        Self::attach(OwnedFd::from(socket).into())
    }
}

impl UnixSocket {
    /// Listens, with a queue of `backlog` waiting connections or the system's maximum, and
    /// registers the listener.
    ///
    /// # Errors
    ///
    /// Returns an error of kind [`Other`](io::ErrorKind::Other) for a socket for messages; the
    /// errors of listen(2) and of registering.
    ///
    /// # Panics
    ///
    /// Panics when there is no current reactor.
    #[track_caller]
    pub fn listen(self, backlog: u32) -> io::Result<UnixListener> {
        self.check("listen", Type::STREAM)?;
        self.socket
            .listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        UnixListener::attach(OwnedFd::from(self.socket).into())
    }
}

listener_io!(
    UnixListener,
    std::os::unix::net::UnixListener,
    UnixStream,
    std::os::unix::net::UnixStream,
    SocketAddr,
    sys::accept_unix
);
