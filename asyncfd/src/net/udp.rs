//! [`UdpSocket`].

#![forbid(unsafe_code)]

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::task::{Context, Poll};

use reactor::{Interest, Ready, ShardId};

use super::datagram::datagram_io;
use super::forms::three_forms;
use super::operations::{Input, Output};
use super::resolve::{self, ToSocketAddrs};
use super::socket::{descriptor_traits, own_operations, socket_options, socket_traits, waits_for};
use super::stream::peek_io;
use super::{READ_WRITE, attach, sys};
use crate::AsyncFd;

/// A UDP socket.
///
/// It sends to and receives from anybody, or after [`connect`](Self::connect) one peer only. All
/// methods take `&self`, so that any number of tasks can use it.
///
/// Same as tokio's type of the name, but that the `poll_` methods take a plain buffer.
///
/// # Examples
///
/// ```
/// use asyncfd::net::UdpSocket;
///
/// # fn main() -> std::io::Result<()> {
/// let reactor = reactor::Reactor::builder().shards(1).build()?;
/// reactor.block_on(async {
///     let server = UdpSocket::bind("127.0.0.1:0").await?;
///     let client = UdpSocket::bind("127.0.0.1:0").await?;
///     client.connect(server.local_addr()?).await?;
///     client.send(b"hello").await?;
///
///     let mut buffer = [0; 1500];
///     let (n, peer) = server.recv_from(&mut buffer).await?;
///     server.send_to(&buffer[..n], peer).await?;
///     assert_eq!(client.recv(&mut buffer).await?, 5);
///     Ok(())
/// })
/// # }
/// ```
pub struct UdpSocket {
    fd: AsyncFd<std::net::UdpSocket>,
}

impl UdpSocket {
    /// Makes a socket and binds it to `address`: to the first that works, where it is a name with
    /// several.
    ///
    /// For options that have to be set before binding set up a [`std::net::UdpSocket`], with
    /// socket2 for instance, and use [`from_std`](Self::from_std).
    ///
    /// # Errors
    ///
    /// Those of looking the name up, of socket(2), bind(2) and of registering.
    ///
    /// # Panics
    ///
    /// When there is no current reactor.
    ///
    /// # Cancel safety
    ///
    /// It waits for a name to be looked up, and for nothing else; dropping it loses nothing.
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        resolve::each(address, async |address| {
            let socket = std::net::UdpSocket::bind(address)?;
            socket.set_nonblocking(true)?;
            Self::attach(socket, Ready::WRITABLE)
        })
        .await
    }

    /// Connects this socket: messages go to `address` and come from there only.
    ///
    /// Nothing is sent by it.
    ///
    /// # Errors
    ///
    /// Those of looking the name up, and of connect(2).
    ///
    /// # Panics
    ///
    /// When a name is to be looked up and there is no current reactor.
    ///
    /// # Cancel safety
    ///
    /// It waits for a name to be looked up, and for nothing else; dropping it loses nothing.
    pub async fn connect(&self, address: impl ToSocketAddrs) -> io::Result<()> {
        resolve::each(address, async |address| self.fd.get_ref().connect(address)).await
    }

    /// Sends a message to `target` (the first address, where it is a name with several), and
    /// returns its length.
    ///
    /// # Errors
    ///
    /// Those of looking the name up, of sendto(2) other than EAGAIN, and the shutdown error.
    ///
    /// # Panics
    ///
    /// When a name is to be looked up and there is no current reactor.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future sends nothing.
    pub async fn send_to(&self, message: &[u8], target: impl ToSocketAddrs) -> io::Result<usize> {
        let target = resolve::first(target).await?;
        crate::io::wait(Output::new(&self.fd, move |socket| {
            socket.send_to(message, target)
        }))
        .await
    }

    /// As [`send_to`](Self::send_to), without waiting.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) where [`send_to`](Self::send_to) would wait;
    /// others as there.
    pub fn try_send_to(&self, message: &[u8], target: SocketAddr) -> io::Result<usize> {
        crate::io::attempt(Output::new(&self.fd, move |socket| {
            socket.send_to(message, target)
        }))
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
        target: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        let send = Output::new(&self.fd, |socket| socket.send_to(message, target));
        crate::io::poll(send, cx)
    }

    /// Joins a multicast group on the interface with the given address (the system's choice, where
    /// that is 0.0.0.0).
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2).
    pub fn join_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.fd.get_ref().join_multicast_v4(&group, &interface)
    }

    /// Leaves a multicast group that [`join_multicast_v4`](Self::join_multicast_v4) joined.
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2).
    pub fn leave_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.fd.get_ref().leave_multicast_v4(&group, &interface)
    }

    /// Joins a multicast group on the interface of the given index (the system's choice, where that
    /// is 0).
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2).
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.fd.get_ref().join_multicast_v6(group, interface)
    }

    /// Leaves a multicast group that [`join_multicast_v6`](Self::join_multicast_v6) joined.
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2).
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.fd.get_ref().leave_multicast_v6(group, interface)
    }
}

socket_options!(UdpSocket, |this| this.fd.get_ref(), {
    /// Returns SO_BROADCAST: whether messages may go to a broadcast address.
    broadcast, set_broadcast: bool = broadcast, set_broadcast;
    /// Returns IP_TTL: how many hops a message may take.
    ttl, set_ttl: u32 = ttl, set_ttl;
    /// Returns IP_MULTICAST_LOOP: whether this host hears the messages it sends to a group.
    multicast_loop_v4, set_multicast_loop_v4: bool = multicast_loop_v4, set_multicast_loop_v4;
    /// Returns IP_MULTICAST_TTL: how many hops a message to a group may take.
    multicast_ttl_v4, set_multicast_ttl_v4: u32 = multicast_ttl_v4, set_multicast_ttl_v4;
    /// Returns IPV6_MULTICAST_LOOP: whether this host hears the messages it sends to a group.
    multicast_loop_v6, set_multicast_loop_v6: bool = multicast_loop_v6, set_multicast_loop_v6;
});

three_forms!(UdpSocket, |this| {
    /// As [`recv_from`](Self::recv_from), and leaves the message where it is.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from).
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost in any case.
    peek_from, try_peek_from, poll_peek_from(buffer: &mut [u8]) -> (usize, SocketAddr) =
        Input::new(&this.fd, move |socket| socket.peek_from(buffer));
    /// Waits for a message, leaves it where it is, and returns who sent it.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from).
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost in any case.
    peek_sender, try_peek_sender, poll_peek_sender() -> SocketAddr =
        Input::new(&this.fd, |socket| Ok(socket.peek_from(&mut [])?.1));
});

datagram_io!(UdpSocket, std::net::UdpSocket, SocketAddr);
