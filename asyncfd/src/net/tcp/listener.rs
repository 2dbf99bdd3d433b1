//! [`TcpListener`].

#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::{fmt, io};

use futures_core::Stream;
use reactor::{Interest, Ready, ShardId};

use super::socket::TcpSocket;
use super::stream::TcpStream;
use crate::async_fd::AsyncFd;
use crate::net::attach::attach;
use crate::net::forms::three_forms;
use crate::net::listener::listener_io;
use crate::net::operations::Input;
use crate::net::resolve::{self, ToSocketAddrs};
use crate::net::socket::{descriptor_traits, socket_options, socket_traits};
use crate::net::sys;

/// A TCP listener.
///
/// # Examples
///
/// ```
/// use asyncfd::net::{TcpListener, TcpStream};
///
/// # fn main() -> std::io::Result<()> {
/// let reactor = reactor::Reactor::builder().shards(1).build()?;
/// reactor.block_on(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let client = TcpStream::connect(listener.local_addr()?).await?;
///     let (server, _) = listener.accept().await?;
///     client.write_all(b"hello").await?;
///     let mut buffer = [0; 16];
///     assert_eq!(server.read(&mut buffer).await?, 5);
///     Ok(())
/// })
/// # }
/// ```
pub struct TcpListener {
    fd: AsyncFd<std::net::TcpListener>,
}

impl TcpListener {
    /// Creates a socket, binds it to `address` (the first that works, if there are several) and
    /// listens. It sets SO_REUSEADDR, and a backlog of 4,096 connections (or as many as the system
    /// allows).
    ///
    /// For other options, use a [`TcpSocket`], or a [`std::net::TcpListener`] with
    /// [`from_std`](Self::from_std).
    ///
    /// # Errors
    ///
    /// Returns the errors of the name lookup, of socket(2), bind(2), listen(2) and of registering.
    ///
    /// # Panics
    ///
    /// Panics when there is no current reactor.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        resolve::each(address, async |address| {
            let socket = TcpSocket::for_address(address)?;
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            socket.listen(sys::BACKLOG.unsigned_abs())
        })
        .await
    }
}

impl TcpSocket {
    /// Listens with a queue of `backlog` connections (or as many as the system allows), and
    /// registers the listener.
    ///
    /// # Errors
    ///
    /// Returns the errors of listen(2) and of registering.
    ///
    /// # Panics
    ///
    /// Panics when there is no current reactor.
    #[track_caller]
    pub fn listen(self, backlog: u32) -> io::Result<TcpListener> {
        self.socket
            .listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        TcpListener::attach(OwnedFd::from(self.socket).into())
    }
}

listener_io!(
    TcpListener,
    std::net::TcpListener,
    TcpStream,
    std::net::TcpStream,
    SocketAddr,
    sys::accept_tcp
);

socket_options!(TcpListener, |this| this.fd.get_ref(), {
    /// Returns IP_TTL: the number of hops a packet may take.
    ttl, set_ttl: u32 = ttl, set_ttl;
});
