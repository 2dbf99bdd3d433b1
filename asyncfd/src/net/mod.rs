//! Sockets that detect when they are drained: the standard library's types on an [`AsyncFd`], with
//! the usual operations.
//!
//! They cost one system call less per message than a loop of guards. After a transfer that proves
//! the socket buffer empty or full, they clear the readiness themselves, so no call fails with
//! EAGAIN. Only some transfers are such a proof:
//!
//! | readiness is cleared after | for |
//! |---|---|
//! | a transfer of `0 < n < len` bytes | TCP reads and writes, Unix-stream writes, pipe writes |
//! | EAGAIN only | datagrams, `peek`, `accept`, Unix-stream reads (a message that carries descriptors ends a read early), pipe reads (so does a packet) |
//!
//! Urgent data and kernel TLS end TCP reads early too; see [`TcpStream::set_short_read_drains`].
//!
//! A socket registers on the current shard if there is one, so it shares a thread with the task
//! that created it. Off the shards, the current reactor's placement chooses the shard. A stream
//! from [`accept`](TcpListener::accept) is tried before its first event, and a new socket is ready
//! to send.
//!
//! # Names
//!
//! Functions that connect or bind take a [`ToSocketAddrs`]: an address, or a name. A name is looked
//! up on a blocking thread, so a slow resolver delays no shard. [`lookup_host`] and
//! [`UdpSocket::send_to`] do the same.
//!
//! # Options
//!
//! The most common options have methods. All others are set from outside: every type here has
//! [`AsFd`], which socket2's `SockRef` needs. A socket that must be set up before it binds,
//! connects or listens is converted with `from_std`, or from an [`OwnedFd`]. No type of socket2 is
//! part of this interface, so any version of it works.
//!
//! ```
//! use std::net::{Ipv4Addr, SocketAddr};
//! use std::time::Duration;
//!
//! use asyncfd::net::{TcpListener, TcpStream, UdpSocket};
//! use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};
//!
//! # fn main() -> std::io::Result<()> {
//! let reactor = reactor::Reactor::builder().shards(1).build()?;
//! reactor.block_on(async {
//!     // On a socket that is in use:
//!     let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
//!     let stream = TcpStream::connect(listener.local_addr()?).await?;
//!     let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(60));
//!     SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
//!
//!     // Before it is bound:
//!     let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
//!     socket.set_reuse_address(true)?;
//!     socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
//!     let udp = UdpSocket::from_std(socket.into())?;
//!     udp.send_to(b"hello", udp.local_addr()?).await?;
//!     Ok(())
//! })
//! # }
//! ```
//!
//! [`TcpSocket`] and [`UnixSocket`] are sockets before they are bound, connected or listen, without
//! socket2.
//!
//! # Other libraries
//!
//! With features, the streams have the traits of futures-io, tokio and hyper; see
//! [`compat`](crate::compat).
//!
//! # The `AsyncFd` inside
//!
//! `as_async_fd` returns the [`AsyncFd`] inside, and `into_std` returns the standard library's
//! socket. Your own system calls go through `try_io` and `async_io`.

#![forbid(unsafe_code)]

mod attach;
mod buf;
mod datagram;
mod forms;
mod listener;
pub(crate) mod operations;
pub mod pipe;
mod resolve;
mod socket;
mod split;
mod stream;
pub(crate) mod sys;
pub mod tcp;
mod udp;
pub mod unix;

#[cfg(doc)]
use std::os::fd::{AsFd, OwnedFd};

#[cfg(doc)]
use crate::AsyncFd;

pub use resolve::{ToSocketAddrs, lookup_host};
pub use tcp::{TcpListener, TcpSocket, TcpStream};
pub use udp::UdpSocket;
pub use unix::{UnixDatagram, UnixListener, UnixSocket, UnixStream};
