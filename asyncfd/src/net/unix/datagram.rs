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

use crate::AsyncFd;
use crate::net::datagram::datagram_io;
use crate::net::forms::three_forms;
use crate::net::operations::{Input, Output};
use crate::net::socket::{descriptor_traits, own_operations, socket_traits, waits_for};
use crate::net::stream::peek_io;
use crate::net::{READ_WRITE, attach, sys};

/// A Unix socket that carries messages, in order and without loss.
///
/// All methods take `&self`, so that any number of tasks can use it.
///
/// Same as tokio's type of the name, but that the `poll_` methods take a plain buffer.
///
/// # Platform notes
///
/// A message to a receiver whose queue is full has to wait. On Linux a *connected* sender is told
/// once there is room; one that names the receiver in [`send_to`](Self::send_to) is told only when
/// a message of its own was taken. Connect, where several senders share a slow receiver.
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
    /// Makes a socket and binds it to `path`.
    ///
    /// The path stays in the file system when the socket is dropped.
    ///
    /// # Errors
    ///
    /// Those of socket(2), bind(2) (EADDRINUSE where `path` exists) and of registering.
    ///
    /// # Panics
    ///
    /// When there is no current reactor.
    #[track_caller]
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::made(std::os::unix::net::UnixDatagram::bind(path)?)
    }

    /// Makes a socket without an address, which can send and receives no answers.
    ///
    /// # Errors
    ///
    /// Those of socket(2) and of registering.
    ///
    /// # Panics
    ///
    /// When there is no current reactor.
    #[track_caller]
    pub fn unbound() -> io::Result<Self> {
        Self::made(std::os::unix::net::UnixDatagram::unbound()?)
    }

    /// Makes two sockets that are connected with each other.
    ///
    /// # Errors
    ///
    /// Those of socketpair(2) and of registering.
    ///
    /// # Panics
    ///
    /// When there is no current reactor.
    #[track_caller]
    pub fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = std::os::unix::net::UnixDatagram::pair()?;
        Ok((Self::made(a)?, Self::made(b)?))
    }

    /// Registers a socket that was just made, so that there is room for what it sends.
    #[track_caller]
    fn made(socket: std::os::unix::net::UnixDatagram) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Self::attach(socket, Ready::WRITABLE)
    }

    /// Connects this socket: messages go to the socket at `path` and come from there only.
    ///
    /// # Errors
    ///
    /// Those of connect(2).
    pub fn connect(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.fd.get_ref().connect(path)
    }

    /// Sends a message to the socket at `path`, and returns its length.
    ///
    /// # Errors
    ///
    /// Those of sendto(2) other than EAGAIN, and the shutdown error.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future sends nothing.
    pub async fn send_to(&self, message: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        let send = Output::new(&self.fd, |socket| socket.send_to(message, &path));
        crate::io::wait(send).await
    }

    /// As [`send_to`](Self::send_to), without waiting.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) where [`send_to`](Self::send_to) would wait;
    /// others as there.
    pub fn try_send_to(&self, message: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        let send = Output::new(&self.fd, |socket| socket.send_to(message, &path));
        crate::io::attempt(send)
    }

    /// As [`send_to`](Self::send_to), for code that implements `poll` by hand.
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to).
    ///
    /// # Wakeups
    ///
    /// As [`poll_send_ready`](Self::poll_send_ready).
    pub fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        message: &[u8],
        path: impl AsRef<Path>,
    ) -> Poll<io::Result<usize>> {
        let send = Output::new(&self.fd, |socket| socket.send_to(message, &path));
        crate::io::poll(send, cx)
    }

    /// Shuts down the reading side, the writing side, or both.
    ///
    /// Do not receive after the reading side: Linux then says at once that the socket is readable
    /// and that there is nothing to read, again and again.
    ///
    /// # Errors
    ///
    /// Those of shutdown(2).
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.fd.get_ref().shutdown(how)
    }
}

datagram_io!(UnixDatagram, std::os::unix::net::UnixDatagram, SocketAddr);
