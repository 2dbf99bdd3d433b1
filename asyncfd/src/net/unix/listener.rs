//! [`UnixListener`].

#![forbid(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::task::{Context, Poll, ready};
use std::{fmt, io};

use reactor::{Interest, Ready, ShardId};
use socket2::{Domain, SockAddr};

use super::UnixStream;
use crate::AsyncFd;
use crate::net::operations::AcceptUnix;
use crate::net::stream::socket_traits;
use crate::net::{attach, sys};

/// Accepts connections on a Unix socket.
pub struct UnixListener {
    fd: AsyncFd<std::os::unix::net::UnixListener>,
}

impl UnixListener {
    /// Makes a socket, binds it to `path` and listens, with room for 4,096 waiting connections (or
    /// as many as the system allows).
    ///
    /// The path stays in the file system when the listener is dropped.
    ///
    /// # Errors
    ///
    /// Those of socket(2), bind(2) (EADDRINUSE where `path` exists), listen(2) and of registering.
    ///
    /// # Panics
    ///
    /// When there is no current reactor.
    #[track_caller]
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        let socket = sys::stream_socket(Domain::UNIX, None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        socket.listen(sys::BACKLOG)?;
        Self::attach(OwnedFd::from(socket).into())
    }

    /// Registers a listener that was made elsewhere, and sets it to non-blocking mode.
    ///
    /// # Errors
    ///
    /// Those of registering.
    ///
    /// # Panics
    ///
    /// When there is no current reactor.
    #[track_caller]
    pub fn from_std(listener: std::os::unix::net::UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Self::attach(listener)
    }

    #[track_caller]
    fn attach(listener: std::os::unix::net::UnixListener) -> io::Result<Self> {
        Ok(Self {
            fd: attach(listener, Interest::READABLE, Ready::EMPTY)?,
        })
    }

    /// Waits for a connection and registers it where this runs: on the current shard when there is
    /// one.
    ///
    /// The stream is ready at birth, so its first read is tried without waiting for an event.
    /// Connections that were gone before they could be taken are skipped.
    ///
    /// # Errors
    ///
    /// Those of accept(2) other than EAGAIN, EINTR and ECONNABORTED; those of registering; the
    /// shutdown error. After EMFILE or ENFILE the connection still waits and the readiness is still
    /// cached, so the next call fails at once while descriptors are short: back off in between.
    ///
    /// # Panics
    ///
    /// When there is no current reactor.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes no connection.
    pub async fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let (stream, peer) = self.accept_std().await?;
        Ok((UnixStream::from_accepted(stream)?, peer))
    }

    /// Waits for a connection and returns it in non-blocking mode and not registered, so that it
    /// can be registered on another shard.
    ///
    /// # Errors
    ///
    /// As [`accept`](Self::accept).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes no connection.
    pub fn accept_std(
        &self,
    ) -> impl Future<Output = io::Result<(std::os::unix::net::UnixStream, SocketAddr)>> {
        crate::io::wait(AcceptUnix(&self.fd))
    }

    /// As [`accept_std`](Self::accept_std), without waiting: takes what is there, for accepting in
    /// batches.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when no connection is known to wait; others as
    /// [`accept`](Self::accept).
    pub fn try_accept_std(&self) -> io::Result<(std::os::unix::net::UnixStream, SocketAddr)> {
        crate::io::attempt(AcceptUnix(&self.fd))
    }

    /// As [`accept`](Self::accept), for code that implements `poll` by hand.
    ///
    /// # Errors
    ///
    /// As [`accept`](Self::accept).
    ///
    /// # Panics
    ///
    /// When there is no current reactor.
    ///
    /// # Wakeups
    ///
    /// When pending, the task of `cx` is woken once a connection waits. One task at a time: the
    /// newest waker replaces the one before.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(UnixStream, SocketAddr)>> {
        let (stream, peer) = ready!(crate::io::poll(AcceptUnix(&self.fd), cx))?;
        Poll::Ready(UnixStream::from_accepted(stream).map(|stream| (stream, peer)))
    }

    /// Returns the address this listener is bound to.
    ///
    /// # Errors
    ///
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.fd.get_ref().local_addr()
    }

    /// Returns the shard whose thread polls this socket.
    pub fn shard(&self) -> ShardId {
        self.fd.shard()
    }

    /// Returns the [`AsyncFd`] inside. Readiness is shared with it.
    pub fn as_async_fd(&self) -> &AsyncFd<std::os::unix::net::UnixListener> {
        &self.fd
    }

    /// Ends the registration and returns the socket of the standard library, still in non-blocking
    /// mode.
    ///
    /// # Errors
    ///
    /// None today.
    pub fn into_std(self) -> io::Result<std::os::unix::net::UnixListener> {
        Ok(self.fd.into_inner())
    }
}

socket_traits!(UnixListener, std::os::unix::net::UnixListener);
