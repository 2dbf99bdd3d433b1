//! [`TcpSocket`].

#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;
use std::{fmt, io};

use socket2::{Domain, Protocol, SockRef, Socket};

use crate::net::socket::socket_options;
use crate::net::sys;

/// A TCP socket that is not yet connected or listening, for options that must be set before.
///
/// It is not registered, so it needs no reactor; [`connect`](Self::connect) and
/// [`listen`](Self::listen) register it. Set other options through [`AsFd`], for instance with
/// socket2's `SockRef::from(&socket)`. Convert a socket that was created elsewhere from an
/// [`OwnedFd`].
///
/// Same as tokio's type of this name.
///
/// # Examples
///
/// ```
/// use std::net::{Ipv4Addr, SocketAddr};
///
/// use asyncfd::net::TcpSocket;
/// use socket2::SockRef;
///
/// # fn main() -> std::io::Result<()> {
/// let reactor = reactor::Reactor::builder().shards(1).build()?;
/// reactor.block_on(async {
///     let socket = TcpSocket::new_v4()?;
///     socket.set_reuseport(true)?;
///     SockRef::from(&socket).set_only_v6(false).unwrap_err(); // not an option of IPv4
///     SockRef::from(&socket).set_recv_buffer_size(65_536)?;
///     socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
///     let listener = socket.listen(128)?;
///
///     let socket = TcpSocket::new_v4()?;
///     socket.bind(SocketAddr::from(([127, 0, 0, 2], 0)))?;
///     let client = socket.connect(listener.local_addr()?).await?;
///     assert_eq!(listener.accept().await?.1, client.local_addr()?);
///     Ok(())
/// })
/// # }
/// ```
pub struct TcpSocket {
    pub(super) socket: Socket,
}

impl TcpSocket {
    /// Creates a socket for IPv4.
    ///
    /// # Errors
    ///
    /// Returns the errors of socket(2).
    pub fn new_v4() -> io::Result<Self> {
        Self::new(Domain::IPV4)
    }

    /// Creates a socket for IPv6.
    ///
    /// # Errors
    ///
    /// Returns the errors of socket(2).
    pub fn new_v6() -> io::Result<Self> {
        Self::new(Domain::IPV6)
    }

    /// Creates a socket of `address`'s family.
    pub(super) fn for_address(address: SocketAddr) -> io::Result<Self> {
        Self::new(Domain::for_address(address))
    }

    fn new(domain: Domain) -> io::Result<Self> {
        let socket = sys::stream_socket(domain, Some(Protocol::TCP))?;
        Ok(Self { socket })
    }

    pub(crate) fn from_nonblocking(fd: OwnedFd) -> Self {
        Self { socket: fd.into() }
    }

    /// Takes over a socket that was created elsewhere and is not connected yet, and sets it to
    /// non-blocking mode.
    ///
    /// # Panics
    ///
    /// When the system refuses that mode, which no system does for a socket.
    pub fn from_std_stream(stream: std::net::TcpStream) -> Self {
        Self::try_from(OwnedFd::from(stream)).expect("a socket can be set to non-blocking mode")
    }

    /// Binds to `address`; port 0 takes any free port.
    ///
    /// # Errors
    ///
    /// Returns the errors of bind(2).
    pub fn bind(&self, address: SocketAddr) -> io::Result<()> {
        self.socket.bind(&address.into())
    }

    /// Returns the address this socket is bound to.
    ///
    /// # Errors
    ///
    /// Returns the errors of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        let address = self.socket.local_addr()?;
        address
            .as_socket()
            .ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }

    /// Takes the pending error of this socket (SO_ERROR), if there is one.
    ///
    /// # Errors
    ///
    /// Returns the errors of getsockopt(2).
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket.take_error()
    }

    /// Makes closing send a reset and drop unsent bytes.
    ///
    /// # Errors
    ///
    /// Returns the errors of setsockopt(2).
    pub fn set_zero_linger(&self) -> io::Result<()> {
        self.socket.set_linger(Some(Duration::ZERO))
    }
}

socket_options!(TcpSocket, |this| this.socket, {
    /// Returns SO_REUSEADDR: true if an address may be bound while old connections still linger on
    /// it.
    reuseaddr, set_reuseaddr: bool = reuse_address, set_reuse_address;
    /// Returns SO_REUSEPORT: true if several sockets may listen on one address and share its
    /// connections.
    reuseport, set_reuseport: bool = reuse_port, set_reuse_port;
    /// Returns SO_KEEPALIVE: true if an idle connection is probed.
    keepalive, set_keepalive: bool = keepalive, set_keepalive;
    /// Returns TCP_NODELAY: true if small writes are sent at once.
    nodelay, set_nodelay: bool = tcp_nodelay, set_tcp_nodelay;
    /// Returns SO_LINGER: the time that the system waits after closing for unsent bytes.
    linger, set_linger: Option<Duration> = linger, set_linger;
});

socket_options!(TcpSocket, |this| BufferSizes(&this.socket), {
    /// Returns SO_SNDBUF in bytes. Linux returns twice what was set.
    send_buffer_size, set_send_buffer_size: u32 = send, set_send;
    /// Returns SO_RCVBUF in bytes. Linux returns twice what was set. The receive window follows the
    /// value at the time of connecting.
    recv_buffer_size, set_recv_buffer_size: u32 = recv, set_recv;
});

socket_options!(TcpSocket, |this| SockRef::from(this), {
    /// Returns IP_TOS: the type-of-service byte of the packets that are sent over IPv4.
    tos_v4, set_tos_v4: u32 = tos_v4, set_tos_v4;
    /// Returns IPV6_TCLASS: the traffic-class byte of the packets that are sent over IPv6.
    tclass_v6, set_tclass_v6: u32 = tclass_v6, set_tclass_v6;
});

#[cfg(any(target_os = "linux", target_os = "android"))]
impl TcpSocket {
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

/// The two buffer sizes in 32 bits, as in the system and in tokio's API.
struct BufferSizes<'a>(&'a Socket);

impl BufferSizes<'_> {
    fn send(&self) -> io::Result<u32> {
        Ok(u32::try_from(self.0.send_buffer_size()?).unwrap_or(u32::MAX))
    }

    fn set_send(&self, size: u32) -> io::Result<()> {
        self.0.set_send_buffer_size(size as usize)
    }

    fn recv(&self) -> io::Result<u32> {
        Ok(u32::try_from(self.0.recv_buffer_size()?).unwrap_or(u32::MAX))
    }

    fn set_recv(&self, size: u32) -> io::Result<()> {
        self.0.set_recv_buffer_size(size as usize)
    }
}

impl AsFd for TcpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for TcpSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl fmt::Debug for TcpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TcpSocket").field(&self.as_raw_fd()).finish()
    }
}

impl From<TcpSocket> for OwnedFd {
    fn from(socket: TcpSocket) -> Self {
        socket.socket.into()
    }
}

/// Sets the socket to non-blocking mode. It must be a TCP socket that is not connected yet; this is
/// not checked.
impl TryFrom<OwnedFd> for TcpSocket {
    type Error = io::Error;

    fn try_from(fd: OwnedFd) -> io::Result<Self> {
        let socket = Socket::from(fd);
        socket.set_nonblocking(true)?;
        Ok(Self { socket })
    }
}
