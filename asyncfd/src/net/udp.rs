//! [`UdpSocket`].

#![forbid(unsafe_code)]

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::task::{Context, Poll};

use reactor::{Interest, Ready, ShardId};
use socket2::SockRef;

use super::attach::{READ_WRITE, attach};
use super::buf::recv_buf;
use super::datagram::datagram_io;
use super::forms::three_forms;
use super::operations::{MessageInput, Output};
use super::resolve::{self, ToSocketAddrs};
use super::socket::{descriptor_traits, own_operations, socket_options, socket_traits, waits_for};
use super::stream::peek_io;
use super::sys;
use crate::async_fd::AsyncFd;

/// A UDP socket.
///
/// It sends to and receives from any address, or only one peer after [`connect`](Self::connect).
/// All methods take `&self`, so any number of tasks can use it.
///
/// Same as tokio's type of this name, except that the `poll_` methods take a plain buffer.
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
    /// Creates a socket and binds it to `address`. If that is a name with several addresses, it
    /// takes the first that works.
    ///
    /// To set options before binding, create a [`std::net::UdpSocket`], for instance with socket2,
    /// and use [`from_std`](Self::from_std).
    ///
    /// # Errors
    ///
    /// Returns the errors of the name lookup, of socket(2), bind(2) and of registering.
    ///
    /// # Panics
    ///
    /// Panics when there is no current reactor.
    ///
    /// # Cancel safety
    ///
    /// It waits only for a name lookup; dropping it loses nothing.
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
    /// It sends nothing.
    ///
    /// # Errors
    ///
    /// Returns the errors of the name lookup, and of connect(2).
    ///
    /// # Panics
    ///
    /// When `address` is a name and there is no current reactor.
    ///
    /// # Cancel safety
    ///
    /// It waits only for a name lookup; dropping it loses nothing.
    pub async fn connect(&self, address: impl ToSocketAddrs) -> io::Result<()> {
        resolve::each(address, async |address| self.fd.get_ref().connect(address)).await
    }

    /// Sends a message to `target` and returns its length. If `target` is a name with several
    /// addresses, it takes the first.
    ///
    /// # Errors
    ///
    /// Returns the errors of the name lookup, of sendto(2) other than EAGAIN, and the shutdown
    /// error.
    ///
    /// # Panics
    ///
    /// When `target` is a name and there is no current reactor.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future sends nothing.
    pub async fn send_to(&self, message: &[u8], target: impl ToSocketAddrs) -> io::Result<usize> {
        let target = resolve::first(target).await?;
        crate::drain::wait(Output::new(&self.fd, move |socket| {
            socket.send_to(message, target)
        }))
        .await
    }

    /// Like [`send_to`](Self::send_to), without waiting.
    ///
    /// # Errors
    ///
    /// Returns [`WouldBlock`](io::ErrorKind::WouldBlock) when [`send_to`](Self::send_to) would
    /// wait; otherwise its errors.
    pub fn try_send_to(&self, message: &[u8], target: SocketAddr) -> io::Result<usize> {
        crate::drain::attempt(Output::new(&self.fd, move |socket| {
            socket.send_to(message, target)
        }))
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
        target: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        let send = Output::new(&self.fd, |socket| socket.send_to(message, target));
        crate::drain::poll(send, cx)
    }

    /// Joins a multicast group on the interface with the given address; 0.0.0.0 leaves the choice
    /// to the system.
    ///
    /// # Errors
    ///
    /// Returns the errors of setsockopt(2).
    pub fn join_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.fd.get_ref().join_multicast_v4(&group, &interface)
    }

    /// Leaves a multicast group that [`join_multicast_v4`](Self::join_multicast_v4) joined.
    ///
    /// # Errors
    ///
    /// Returns the errors of setsockopt(2).
    pub fn leave_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.fd.get_ref().leave_multicast_v4(&group, &interface)
    }

    /// Joins a multicast group on the interface with the given index; 0 leaves the choice to the
    /// system.
    ///
    /// # Errors
    ///
    /// Returns the errors of setsockopt(2).
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.fd.get_ref().join_multicast_v6(group, interface)
    }

    /// Leaves a multicast group that [`join_multicast_v6`](Self::join_multicast_v6) joined.
    ///
    /// # Errors
    ///
    /// Returns the errors of setsockopt(2).
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.fd.get_ref().leave_multicast_v6(group, interface)
    }
}

socket_options!(UdpSocket, |this| this.fd.get_ref(), {
    /// Returns SO_BROADCAST: true if messages may go to a broadcast address.
    broadcast, set_broadcast: bool = broadcast, set_broadcast;
    /// Returns IP_TTL: the number of hops a message may take.
    ttl, set_ttl: u32 = ttl, set_ttl;
    /// Returns IP_MULTICAST_LOOP: true if this host receives the messages it sends to a group.
    multicast_loop_v4, set_multicast_loop_v4: bool = multicast_loop_v4, set_multicast_loop_v4;
    /// Returns IP_MULTICAST_TTL: the number of hops a message to a group may take.
    multicast_ttl_v4, set_multicast_ttl_v4: u32 = multicast_ttl_v4, set_multicast_ttl_v4;
    /// Returns IPV6_MULTICAST_LOOP: true if this host receives the messages it sends to a group.
    multicast_loop_v6, set_multicast_loop_v6: bool = multicast_loop_v6, set_multicast_loop_v6;
});

three_forms!(UdpSocket, |this| {
    /// Like [`recv_from`](Self::recv_from), but leaves the message in the queue.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`recv_from`](Self::recv_from).
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost in any case.
    peek_from, try_peek_from, poll_peek_from(buffer: &mut [u8]) -> (usize, SocketAddr) =
        MessageInput::new(&this.fd, move |socket| socket.peek_from(buffer), ended);
    /// Waits for a message, leaves it in the queue, and returns its sender.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`recv_from`](Self::recv_from).
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost in any case.
    peek_sender, try_peek_sender, poll_peek_sender() -> SocketAddr =
        MessageInput::new(&this.fd, |socket| Ok(socket.peek_from(&mut [])?.1), || Err(sys::shut_for_reading()));
});

socket_options!(UdpSocket, |this| SockRef::from(this), {
    /// Returns IP_TOS: the type-of-service byte of the packets that are sent over IPv4.
    tos_v4, set_tos_v4: u32 = tos_v4, set_tos_v4;
    /// Returns IPV6_TCLASS: the traffic-class byte of the packets that are sent over IPv6.
    tclass_v6, set_tclass_v6: u32 = tclass_v6, set_tclass_v6;
});

#[cfg(any(target_os = "linux", target_os = "android"))]
impl UdpSocket {
    /// Returns SO_BINDTODEVICE: the network interface that the socket is bound to.
    ///
    /// # Errors
    ///
    /// Returns the errors of getsockopt(2).
    pub fn device(&self) -> io::Result<Option<Vec<u8>>> {
        SockRef::from(self).device()
    }

    /// Binds the socket to a network interface, so that it only sends and receives there. `None`
    /// removes the binding.
    ///
    /// # Errors
    ///
    /// Returns the errors of setsockopt(2).
    pub fn bind_device(&self, interface: Option<&[u8]>) -> io::Result<()> {
        SockRef::from(self).bind_device(interface)
    }
}

/// The result of a receive once the socket was shut down for reading. There is no address to
/// return.
fn ended() -> io::Result<(usize, SocketAddr)> {
    Err(sys::shut_for_reading())
}

datagram_io!(UdpSocket, std::net::UdpSocket, SocketAddr, ended);
recv_buf!(UdpSocket, SocketAddr, fill_from_udp, ended);
