//! [`TcpStream`].

#![forbid(unsafe_code)]

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use reactor::{Interest, Ready, ShardId};
use socket2::SockRef;

use super::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, TcpSocket, WriteHalf};
use crate::AsyncFd;
use crate::io::ShortTransfer;
use crate::net::forms::three_forms;
use crate::net::operations::{Input, Receive, ReceiveVectored, Transmit, TransmitVectored};
use crate::net::resolve::{self, ToSocketAddrs};
use crate::net::socket::{
    descriptor_traits, own_operations, socket_options, socket_traits, waits_for,
};
use crate::net::stream::{peek_io, read_io, stream_io, write_io};
use crate::net::{READ_WRITE, attach, ready_at_birth, sys};

/// A TCP connection.
///
/// All methods take `&self`, so that any number of tasks can use it. Two tasks that read take bytes
/// from each other.
pub struct TcpStream {
    fd: AsyncFd<std::net::TcpStream>,
    short_read: ShortTransfer,
}

impl TcpStream {
    /// Connects to `address`: to the first that answers, where there are several, or where it is a
    /// name with several.
    ///
    /// For options that have to be set before, set up a [`TcpSocket`].
    ///
    /// # Errors
    ///
    /// Those of looking the name up, of socket(2), of connecting (ECONNREFUSED, ETIMEDOUT) and of
    /// registering; the shutdown error. Of several addresses, what came of the last.
    ///
    /// # Panics
    ///
    /// When there is no current reactor.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the socket, which gives the attempt up.
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

    /// Says whether a read of fewer bytes than asked for proves that nothing is left to read
    /// (`true` unless changed).
    ///
    /// It does on plain TCP, and saves a system call per message. Set it to `false` where reads end
    /// early for another reason, or a wait hangs in front of bytes that are there: when the peer
    /// sends urgent data (a read stops at the mark), and with kernel TLS (a read stops at the end
    /// of a record).
    pub fn set_short_read_drains(&mut self, drains: bool) {
        self.short_read = if drains {
            ShortTransfer::Drained
        } else {
            ShortTransfer::SaysNothing
        };
    }

    /// Has closing send a reset, and drop what was not sent yet.
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2).
    pub fn set_zero_linger(&self) -> io::Result<()> {
        self.set_linger(Some(Duration::ZERO))
    }
}

socket_options!(TcpStream, |this| this.fd.get_ref(), {
    /// Returns TCP_NODELAY: whether small writes go out at once.
    nodelay, set_nodelay: bool = nodelay, set_nodelay;
    /// Returns IP_TTL: how many hops a packet may take.
    ttl, set_ttl: u32 = ttl, set_ttl;
});

socket_options!(TcpStream, |this| SockRef::from(this), {
    /// Returns SO_LINGER: how long the system waits, after closing, for what was not sent yet.
    ///
    /// With any wait but none and zero, closing blocks the shard; zero sends a reset.
    linger, set_linger: Option<Duration> = linger, set_linger;
});

#[cfg(target_os = "linux")]
socket_options!(TcpStream, |this| SockRef::from(this), {
    /// Returns TCP_QUICKACK: whether what comes in is acknowledged at once. The system changes it
    /// back by itself.
    quickack, set_quickack: bool = tcp_quickack, set_tcp_quickack;
});

stream_io!(TcpStream, std::net::TcpStream, SocketAddr);
