//! [`UnixDatagram`].

#![forbid(unsafe_code)]

use std::fmt;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::task::{Context, Poll};

use reactor::{Interest, Ready, ShardId};
use socket2::Type;

use super::socket::UnixSocket;
use crate::async_fd::AsyncFd;
use crate::net::attach::{READ_WRITE, attach};
use crate::net::buf::recv_buf;
use crate::net::datagram::datagram_io;
use crate::net::forms::three_forms;
use crate::net::operations::{MessageInput, Output};
use crate::net::socket::{descriptor_traits, own_operations, socket_traits, waits_for};
use crate::net::stream::peek_io;
use crate::net::sys;

/// A Unix socket that carries messages, in order and without loss.
///
/// All methods take `&self`, so any number of tasks can use it.
///
/// Same as tokio's type of this name, except that the `poll_` methods take a plain buffer.
///
/// # Platform notes
///
/// A message waits while the receiver's queue is full. Linux wakes a *connected* sender once there
/// is room. A sender that names the receiver in [`send_to`](Self::send_to) gets no such event, so
/// it tries again every millisecond. If several senders share a slow receiver, connect them.
///
/// # Examples
///
/// ```
/// use asyncfd::net::UnixDatagram;
///
/// # fn main() -> std::io::Result<()> {
/// let reactor = reactor::Reactor::builder().shards(1).build()?;
/// reactor.block_on(async {
///     let (a, b) = UnixDatagram::pair()?;
///     a.send(b"one").await?;
///     a.send(b"two").await?;
///     let mut buffer = [0; 16];
///     assert_eq!(b.recv(&mut buffer).await?, 3);
///     assert_eq!(b.recv(&mut buffer).await?, 3);
///     Ok(())
/// })
/// # }
/// ```
pub struct UnixDatagram {
    fd: AsyncFd<std::os::unix::net::UnixDatagram>,
}

impl UnixDatagram {
    /// Creates a socket and binds it to `path`.
    ///
    /// The path stays in the file system when the socket is dropped.
    ///
    /// # Errors
    ///
    /// Returns the errors of socket(2), bind(2) (EADDRINUSE where `path` exists) and of
    /// registering.
    ///
    /// # Panics
    ///
    /// Panics when there is no current reactor.
    #[track_caller]
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::created(std::os::unix::net::UnixDatagram::bind(path)?)
    }

    /// Creates a socket without an address. It can send but receives no answers.
    ///
    /// # Errors
    ///
    /// Returns the errors of socket(2) and of registering.
    ///
    /// # Panics
    ///
    /// Panics when there is no current reactor.
    #[track_caller]
    pub fn unbound() -> io::Result<Self> {
        Self::created(std::os::unix::net::UnixDatagram::unbound()?)
    }

    /// Creates two sockets that are connected to each other.
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
        let (a, b) = std::os::unix::net::UnixDatagram::pair()?;
        Ok((Self::created(a)?, Self::created(b)?))
    }

    /// Registers a new socket, which has room to send.
    #[track_caller]
    pub(super) fn created(socket: std::os::unix::net::UnixDatagram) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Self::attach(socket, Ready::WRITABLE)
    }

    /// Connects this socket: messages go to the socket at `path` and come from there only.
    ///
    /// # Errors
    ///
    /// Returns the errors of connect(2).
    pub fn connect(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.fd.get_ref().connect(path)
    }

    /// Sends a message to the socket at `path`, and returns its length.
    ///
    /// # Errors
    ///
    /// Returns the errors of sendto(2) other than EAGAIN, and the shutdown error.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future sends nothing.
    pub async fn send_to(&self, message: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        let send = Output::new(&self.fd, |socket| socket.send_to(message, &path));
        crate::drain::wait_retrying(send).await
    }

    /// Like [`send_to`](Self::send_to), without waiting.
    ///
    /// # Errors
    ///
    /// Returns [`WouldBlock`](io::ErrorKind::WouldBlock) when [`send_to`](Self::send_to) would
    /// wait; otherwise its errors.
    pub fn try_send_to(&self, message: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        let send = Output::new(&self.fd, |socket| socket.send_to(message, &path));
        crate::drain::attempt(send)
    }

    /// Like [`send_to`](Self::send_to), for code that implements `poll` by hand.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`send_to`](Self::send_to).
    ///
    /// # Wakeups
    ///
    /// The same as for [`poll_send_ready`](Self::poll_send_ready).
    pub fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        message: &[u8],
        path: impl AsRef<Path>,
    ) -> Poll<io::Result<usize>> {
        let send = Output::new(&self.fd, |socket| socket.send_to(message, &path));
        crate::drain::poll_retrying(send, cx)
    }

    /// Shuts down the reading side, the writing side, or both.
    ///
    /// After the reading side was shut down, a receive returns the messages that are left, and then
    /// 0 at once, as a blocking one does.
    ///
    /// # Errors
    ///
    /// Returns the errors of shutdown(2).
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.fd.get_ref().shutdown(how)
    }
}

impl UnixSocket {
    /// Registers a socket for messages.
    ///
    /// # Errors
    ///
    /// Returns an error of kind [`Other`](io::ErrorKind::Other) for a socket for a stream; the
    /// errors of registering.
    ///
    /// # Panics
    ///
    /// Panics when there is no current reactor.
    #[track_caller]
    pub fn datagram(self) -> io::Result<UnixDatagram> {
        self.check("datagram", Type::DGRAM)?;
        UnixDatagram::created(OwnedFd::from(self.socket).into())
    }
}

/// The result of a receive once the socket was shut down for reading.
fn ended() -> io::Result<(usize, SocketAddr)> {
    Ok((0, sys::no_unix_address()?))
}

datagram_io!(
    UnixDatagram,
    std::os::unix::net::UnixDatagram,
    SocketAddr,
    ended
);
recv_buf!(UnixDatagram, SocketAddr, fill_from_unix, ended);
