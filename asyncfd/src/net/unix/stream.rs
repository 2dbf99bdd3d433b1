//! [`UnixStream`].

#![forbid(unsafe_code)]

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::task::{Context, Poll};

use reactor::{Interest, Ready, ShardId};
use socket2::{Domain, SockAddr, Type};

use super::socket::UnixSocket;
use crate::async_fd::AsyncFd;
use crate::drain::ShortTransfer;
use crate::net::attach::{READ_WRITE, attach, ready_at_birth};
use crate::net::forms::three_forms;
use crate::net::operations::{Input, Receive, ReceiveVectored, Transmit, TransmitVectored};
use crate::net::socket::{descriptor_traits, own_operations, socket_traits, waits_for};
use crate::net::stream::{peek_io, read_io, stream_io, write_io};
use crate::net::sys;

/// A connection between two processes, or two parts of one.
///
/// All methods take `&self`, so any number of tasks can use it. If two tasks read, each gets a part
/// of the bytes.
///
/// A read of fewer bytes than requested proves nothing here: a message with descriptors ends a read
/// early. So a reader detects a drained stream by EAGAIN.
pub struct UnixStream {
    fd: AsyncFd<std::os::unix::net::UnixStream>,
}

impl UnixStream {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    ///
    /// Returns the errors of socket(2), connect(2) and of registering. Among them is
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when the listener's queue is full. The system has
    /// no event for that, so try again later.
    ///
    /// # Panics
    ///
    /// Panics when there is no current reactor.
    ///
    /// # Cancel safety
    ///
    /// It never waits on current systems.
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        let socket = sys::stream_socket(Domain::UNIX, None)?;
        Self::connect_from(socket, &SockAddr::unix(path)?).await
    }

    /// Like [`connect`](Self::connect), to an address that need not be a path: on Linux it may be
    /// an abstract name.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`connect`](Self::connect).
    ///
    /// # Panics
    ///
    /// Panics when there is no current reactor.
    ///
    /// # Cancel safety
    ///
    /// It never waits on current systems.
    pub async fn connect_addr(address: &SocketAddr) -> io::Result<Self> {
        let socket = sys::stream_socket(Domain::UNIX, None)?;
        Self::connect_from(socket, &sys::unix_address(address)?).await
    }

    /// Creates two streams that are connected to each other and start as ready for writing.
    ///
    /// # Errors
    ///
    /// Returns the errors of socketpair(2) and of registering.
    ///
    /// # Panics
    ///
    /// Panics when there is no current reactor.
    #[track_caller]
    pub fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = std::os::unix::net::UnixStream::pair()?;
        a.set_nonblocking(true)?;
        b.set_nonblocking(true)?;
        Ok((
            Self::attach(a, Ready::WRITABLE)?,
            Self::attach(b, Ready::WRITABLE)?,
        ))
    }

    #[track_caller]
    fn attach(stream: std::os::unix::net::UnixStream, initial: Ready) -> io::Result<Self> {
        Ok(Self {
            fd: attach(stream, READ_WRITE, initial)?,
        })
    }

    fn short_read(&self) -> ShortTransfer {
        ShortTransfer::SaysNothing
    }
}

impl UnixSocket {
    /// Connects to the socket at `path`, and registers the stream.
    ///
    /// # Errors
    ///
    /// Returns an error of kind [`Other`](io::ErrorKind::Other) for a socket for messages; the
    /// errors of [`UnixStream::connect`].
    ///
    /// # Panics
    ///
    /// Panics when there is no current reactor.
    ///
    /// # Cancel safety
    ///
    /// It never waits on current systems.
    pub async fn connect(self, path: impl AsRef<Path>) -> io::Result<UnixStream> {
        self.check("connect", Type::STREAM)?;
        UnixStream::connect_from(self.socket, &SockAddr::unix(path)?).await
    }
}

stream_io!(UnixStream, std::os::unix::net::UnixStream, SocketAddr);
