//! [`TcpStream`].

#![forbid(unsafe_code)]

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::task::{Context, Poll};
use std::time::Duration;

use reactor::{Interest, Ready, ShardId};
use socket2::SockRef;

use super::socket::TcpSocket;
use crate::async_fd::AsyncFd;
use crate::drain::ShortTransfer;
use crate::net::attach::{READ_WRITE, attach, ready_at_birth};
use crate::net::forms::three_forms;
use crate::net::operations::{Input, Receive, ReceiveVectored, Transmit, TransmitVectored};
use crate::net::resolve::{self, ToSocketAddrs};
use crate::net::socket::{
    descriptor_traits, own_operations, socket_options, socket_traits, waits_for,
};
use crate::net::stream::{peek_io, read_io, stream_io, write_io};
use crate::net::sys;

/// A TCP connection.
///
/// All methods take `&self`, so any number of tasks can use it. If two tasks read, each gets a part
/// of the bytes.
pub struct TcpStream {
    fd: AsyncFd<std::net::TcpStream>,
    short_read: ShortTransfer,
}

impl TcpStream {
    /// Connects to `address`. If there are several addresses, it takes the first that answers.
    ///
    /// To set options before connecting, use a [`TcpSocket`].
    ///
    /// # Errors
    ///
    /// Returns the errors of the name lookup, of socket(2), of connecting (ECONNREFUSED, ETIMEDOUT)
    /// and of registering; the shutdown error. If several addresses fail, the error of the last.
    ///
    /// # Panics
    ///
    /// Panics when there is no current reactor.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the socket, which cancels the attempt.
    pub async fn connect(address: impl ToSocketAddrs) -> io::Result<Self> {
        resolve::each(address, async |address| {
            TcpSocket::for_address(address)?.connect(address).await
        })
        .await
    }

    #[track_caller]
    fn attach(stream: std::net::TcpStream, initial: Ready) -> io::Result<Self> {
        let fd = attach(stream, READ_WRITE, initial)?;
        Ok(Self {
            fd,
            short_read: ShortTransfer::Drained,
        })
    }

    fn short_read(&self) -> ShortTransfer {
        self.short_read
    }

    /// Sets whether a read of fewer bytes than requested proves that nothing is left to read
    /// (default: `true`).
    ///
    /// On plain TCP it is a proof, and saves a system call per message. Set this to `false` if
    /// reads can end early for another reason. Otherwise a wait hangs while bytes are there. Such
    /// reasons are urgent data from the peer (a read stops at the mark) and kernel TLS (a read
    /// stops at the end of a record).
    pub fn set_short_read_drains(&mut self, drains: bool) {
        self.short_read = if drains {
            ShortTransfer::Drained
        } else {
            ShortTransfer::SaysNothing
        };
    }

    /// Makes the close of the socket send a reset and discard unsent bytes.
    ///
    /// # Errors
    ///
    /// Returns the errors of setsockopt(2).
    pub fn set_zero_linger(&self) -> io::Result<()> {
        self.set_linger(Some(Duration::ZERO))
    }
}

impl TcpSocket {
    /// Connects and registers the stream.
    ///
    /// # Errors
    ///
    /// Returns the errors of connecting (ECONNREFUSED, ETIMEDOUT) and of registering; the shutdown
    /// error.
    ///
    /// # Panics
    ///
    /// Panics when there is no current reactor.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the socket, which cancels the attempt.
    pub async fn connect(self, address: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect_from(self.socket, &address.into()).await
    }
}

socket_options!(TcpStream, |this| this.fd.get_ref(), {
    /// Returns TCP_NODELAY: true if small writes are sent at once.
    nodelay, set_nodelay: bool = nodelay, set_nodelay;
    /// Returns IP_TTL: the number of hops a packet may take.
    ttl, set_ttl: u32 = ttl, set_ttl;
});

socket_options!(TcpStream, |this| SockRef::from(this), {
    /// Returns SO_LINGER: the time that the system waits after closing for unsent bytes.
    ///
    /// A time other than zero makes closing block the shard; zero sends a reset.
    linger, set_linger: Option<Duration> = linger, set_linger;
});

#[cfg(target_os = "linux")]
socket_options!(TcpStream, |this| SockRef::from(this), {
    /// Returns TCP_QUICKACK: true if received bytes are acknowledged at once. The system resets it
    /// by itself.
    quickack, set_quickack: bool = tcp_quickack, set_tcp_quickack;
});

stream_io!(TcpStream, std::net::TcpStream, SocketAddr);
