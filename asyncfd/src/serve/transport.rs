//! The kinds of listeners: TCP and Unix sockets, and their connections before registration.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::SocketAddr as UnixAddr;
use std::sync::Arc;

use super::state::Part;
use super::timed::TimedStream;
use super::timeouts::Timeouts;
use crate::net::{TcpStream, UnixStream, sys};

/// A kind of connection that a [`Server`](super::Server) serves: [`Tcp`], [`Unix`], or one of these
/// in [`Bare`] or [`Timed`].
pub trait Transport: sealed::Sealed + 'static {
    /// The stream that a handler gets.
    type Stream: 'static;
    /// The address of a peer, and of the listener.
    type Address: fmt::Debug + Clone + Send + Sync + 'static;
    #[doc(hidden)]
    type Listener: AsFd + AsRawFd + Send + Sync + 'static;
    #[doc(hidden)]
    type Accepted: AsFd + AsRawFd + Send + 'static;

    #[doc(hidden)]
    fn accept(listener: &Self::Listener) -> io::Result<(Self::Accepted, Self::Address)>;
    #[doc(hidden)]
    fn local_addr(listener: &Self::Listener) -> io::Result<Self::Address>;
    #[doc(hidden)]
    fn duplicate(listener: &Self::Listener) -> io::Result<Self::Listener>;
    /// Sets options of a new connection. A socket whose peer is gone may refuse them. Its first
    /// read then reports the error.
    #[doc(hidden)]
    fn set_up(accepted: &Self::Accepted, nodelay: bool);
    /// Registers a connection on the current shard.
    #[doc(hidden)]
    fn register(accepted: Self::Accepted, home: &Home<'_>) -> io::Result<Self::Stream>;
}

/// The place of a connection, for its stream.
#[derive(Debug)]
#[expect(unnameable_types, reason = "only this module implements the trait")]
pub struct Home<'a> {
    pub(super) timeouts: Timeouts,
    pub(super) part: &'a Arc<Part>,
}

mod sealed {
    #[expect(unnameable_types, reason = "it seals a trait")]
    pub trait Sealed {}
    impl Sealed for crate::serve::transport::Tcp {}
    impl Sealed for crate::serve::transport::Unix {}
    impl<T: Sealed> Sealed for crate::serve::transport::Bare<T> {}
    impl<T: Sealed> Sealed for crate::serve::transport::Timed<T> {}
}

/// TCP connections: handlers get a [`TcpStream`].
#[derive(Debug)]
pub enum Tcp {}

impl Transport for Tcp {
    type Stream = TcpStream;
    type Address = SocketAddr;
    type Listener = std::net::TcpListener;
    type Accepted = std::net::TcpStream;

    fn accept(listener: &Self::Listener) -> io::Result<(Self::Accepted, SocketAddr)> {
        sys::accept_tcp(listener)
    }

    fn local_addr(listener: &Self::Listener) -> io::Result<SocketAddr> {
        listener.local_addr()
    }

    fn duplicate(listener: &Self::Listener) -> io::Result<Self::Listener> {
        listener.try_clone()
    }

    fn set_up(accepted: &Self::Accepted, nodelay: bool) {
        if nodelay {
            let _ = accepted.set_nodelay(true);
        }
    }

    fn register(accepted: Self::Accepted, _: &Home<'_>) -> io::Result<TcpStream> {
        TcpStream::from_accepted(accepted)
    }
}

/// Connections over Unix sockets: handlers get a [`UnixStream`].
#[derive(Debug)]
pub enum Unix {}

impl Transport for Unix {
    type Stream = UnixStream;
    type Address = UnixAddr;
    type Listener = std::os::unix::net::UnixListener;
    type Accepted = std::os::unix::net::UnixStream;

    fn accept(listener: &Self::Listener) -> io::Result<(Self::Accepted, UnixAddr)> {
        sys::accept_unix(listener)
    }

    fn local_addr(listener: &Self::Listener) -> io::Result<UnixAddr> {
        listener.local_addr()
    }

    fn duplicate(listener: &Self::Listener) -> io::Result<Self::Listener> {
        listener.try_clone()
    }

    fn set_up(_: &Self::Accepted, _nodelay: bool) {}

    fn register(accepted: Self::Accepted, _: &Home<'_>) -> io::Result<UnixStream> {
        UnixStream::from_accepted(accepted)
    }
}

/// Connections that handlers get as the standard library's type, in non-blocking mode and not
/// registered. See [`Server::bare`](super::Server::bare).
#[derive(Debug)]
pub struct Bare<T>(PhantomData<fn() -> T>);

impl<T: Transport> Transport for Bare<T> {
    type Stream = T::Accepted;
    type Address = T::Address;
    type Listener = T::Listener;
    type Accepted = T::Accepted;

    fn accept(listener: &Self::Listener) -> io::Result<(Self::Accepted, Self::Address)> {
        T::accept(listener)
    }

    fn local_addr(listener: &Self::Listener) -> io::Result<Self::Address> {
        T::local_addr(listener)
    }

    fn duplicate(listener: &Self::Listener) -> io::Result<Self::Listener> {
        T::duplicate(listener)
    }

    fn set_up(accepted: &Self::Accepted, nodelay: bool) {
        T::set_up(accepted, nodelay);
    }

    fn register(accepted: Self::Accepted, _: &Home<'_>) -> io::Result<Self::Accepted> {
        Ok(accepted)
    }
}

/// Connections with timeouts: handlers get a [`TimedStream`]. See
/// [`Server::timeouts`](super::Server::timeouts).
#[derive(Debug)]
pub struct Timed<T>(PhantomData<fn() -> T>);

impl<T: Transport> Transport for Timed<T> {
    type Stream = TimedStream<T::Stream>;
    type Address = T::Address;
    type Listener = T::Listener;
    type Accepted = T::Accepted;

    fn accept(listener: &Self::Listener) -> io::Result<(Self::Accepted, Self::Address)> {
        T::accept(listener)
    }

    fn local_addr(listener: &Self::Listener) -> io::Result<Self::Address> {
        T::local_addr(listener)
    }

    fn duplicate(listener: &Self::Listener) -> io::Result<Self::Listener> {
        T::duplicate(listener)
    }

    fn set_up(accepted: &Self::Accepted, nodelay: bool) {
        T::set_up(accepted, nodelay);
    }

    fn register(accepted: Self::Accepted, home: &Home<'_>) -> io::Result<Self::Stream> {
        let stream = T::register(accepted, home)?;
        Ok(TimedStream::new(stream, home.timeouts, home.part))
    }
}
