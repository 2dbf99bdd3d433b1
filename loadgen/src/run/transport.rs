//! A connected socket, seen through one of the three surfaces of `asyncfd`.
//!
//! The same exchange runs over each, so a load also tests all three as a client. A wait holds no
//! buffer (see `scratch.rs`). Only the tasks of connections call it. It knows no payloads, timeouts
//! or counters. It does not share code with the surfaces of server-demo: each of those has a whole
//! echo loop in one future, because an idle connection costs the size of that future. Tests:
//! `every_surface_and_loop_is_served` in `tests/embedded.rs` runs on each, `tests/protocols.rs`
//! over Unix sockets too.

use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use asyncfd::net::{TcpSocket, TcpStream, UnixStream};
use asyncfd::{AsyncFd, AsyncFdReadyGuard, Interest};
use reactor::{Handle, Placement};
use socket2::Socket;

use crate::run::plan::Plan;
use crate::run::scratch::Scratch;
use crate::run::sources::Address;

/// The operations of a connection on its socket. One task owns it.
pub(crate) trait Transport: Sized + 'static {
    /// Connects, and registers on the current shard.
    fn connect(socket: Socket, plan: &Plan) -> impl Future<Output = io::Result<Self>>;

    /// Returns the duration of the TLS handshake, if there was one.
    fn handshake(&self) -> Option<Duration> {
        None
    }

    /// Waits until bytes can be read, and reads them to the front of `scratch`. Returns 0 at the
    /// end of the peer's stream.
    fn read(&self, scratch: &Scratch) -> impl Future<Output = io::Result<usize>>;

    /// Writes like [`write`](Self::write), but without a wait. Returns `None` if the socket takes
    /// no bytes now, or if the surface has no such call.
    #[inline]
    fn try_write(
        &self,
        _scratch: &Scratch,
        _fill: impl Fn(&mut [u8]) -> usize,
    ) -> Option<io::Result<usize>> {
        None
    }

    /// Waits until bytes can be written, lets `fill` produce them at the front of `scratch`, and
    /// writes some of them.
    ///
    /// `fill` may be called several times, and gives the same bytes each time. It returns their
    /// number, which is above zero.
    fn write(
        &self,
        scratch: &Scratch,
        fill: impl Fn(&mut [u8]) -> usize,
    ) -> impl Future<Output = io::Result<usize>>;
}

/// Returns true if the caller should try again: the call would have blocked, or a signal
/// interrupted it.
fn again(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Calls `write` with the bytes that `fill` produces.
#[inline]
fn produce<R>(
    scratch: &Scratch,
    fill: impl Fn(&mut [u8]) -> usize,
    write: impl FnOnce(&[u8]) -> R,
) -> R {
    scratch.lend(|buffer| {
        let filled = fill(buffer);
        write(&buffer[..filled])
    })
}

/// The common methods of the stream sockets of `asyncfd::net`.
pub(crate) trait Stream: Sized + 'static {
    fn connect(socket: Socket, target: &Address) -> impl Future<Output = io::Result<Self>>;
    fn into_socket(self) -> io::Result<Socket>;
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize>;
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;
}

macro_rules! stream {
    ($stream:ident, |$socket:ident, $target:ident| $connect:expr) => {
        impl Stream for $stream {
            async fn connect($socket: Socket, $target: &Address) -> io::Result<Self> {
                $connect
            }

            fn into_socket(self) -> io::Result<Socket> {
                Ok(self.into_std()?.into())
            }

            #[inline]
            fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.poll_read_ready(cx)
            }

            #[inline]
            fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.poll_write_ready(cx)
            }

            #[inline]
            fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
                self.try_read(buffer)
            }

            #[inline]
            fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
                self.try_write(bytes)
            }
        }
    };
}

stream!(TcpStream, |socket, target| match target {
    Address::Tcp(address) => {
        let stream = TcpSocket::try_from(OwnedFd::from(socket))?
            .connect(*address)
            .await?;
        // If nothing listens at the target, and `connect` chooses the same port, a socket connects
        // to itself.
        if stream.local_addr()? == *address {
            return Err(ErrorKind::ConnectionRefused.into());
        }
        Ok(stream)
    }
    Address::Unix(_) => unreachable!("the caller chose the stream by its target"),
});
stream!(UnixStream, |socket, target| {
    // A Unix socket connects at once, or not at all.
    socket.connect(&target.to_sock_addr()?)?;
    Self::from_std(socket.into())
});

/// A socket of `asyncfd::net`, which detects from a short transfer that it is drained.
#[derive(Debug)]
pub(crate) struct Helpers<S>(S);

impl<S: Stream> Transport for Helpers<S> {
    async fn connect(socket: Socket, plan: &Plan) -> io::Result<Self> {
        S::connect(socket, &plan.target).await.map(Self)
    }

    fn read(&self, scratch: &Scratch) -> impl Future<Output = io::Result<usize>> {
        poll_fn(|cx| {
            loop {
                ready!(self.0.poll_read_ready(cx))?;
                match scratch.lend(|buffer| self.0.try_read(buffer)) {
                    Err(error) if again(&error) => {}
                    result => return Poll::Ready(result),
                }
            }
        })
    }

    #[inline]
    fn try_write(
        &self,
        scratch: &Scratch,
        fill: impl Fn(&mut [u8]) -> usize,
    ) -> Option<io::Result<usize>> {
        match produce(scratch, fill, |bytes| self.0.try_write(bytes)) {
            Err(error) if again(&error) => None,
            result => Some(result),
        }
    }

    fn write(
        &self,
        scratch: &Scratch,
        fill: impl Fn(&mut [u8]) -> usize,
    ) -> impl Future<Output = io::Result<usize>> {
        poll_fn(move |cx| {
            loop {
                ready!(self.0.poll_write_ready(cx))?;
                if let Some(result) = self.try_write(scratch, &fill) {
                    return Poll::Ready(result);
                }
            }
        })
    }
}

/// Connects a socket for the surfaces that do not use `asyncfd::net`.
pub(crate) async fn connect_socket(socket: Socket, target: &Address) -> io::Result<Socket> {
    match target {
        Address::Tcp(_) => <TcpStream as Stream>::connect(socket, target)
            .await?
            .into_socket(),
        Address::Unix(_) => <UnixStream as Stream>::connect(socket, target)
            .await?
            .into_socket(),
    }
}

/// Registers a connected socket as a plain `AsyncFd`, for the other two surfaces.
async fn connect_bare(socket: Socket, target: &Address) -> io::Result<AsyncFd<Socket>> {
    let socket = connect_socket(socket, target).await?;
    Ok(AsyncFd::new_on(
        &Handle::current(),
        Placement::Current,
        socket,
    )?)
}

/// The loop of `AsyncFd`'s documentation: await a guard, try the operation, and let `WouldBlock`
/// clear the readiness.
#[derive(Debug)]
pub(crate) struct Guards(AsyncFd<Socket>);

impl Guards {
    async fn transfer(
        &self,
        interest: Interest,
        mut call: impl FnMut(&Socket) -> io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            let mut guard = self.0.ready(interest).await?;
            match guard.try_io(|socket| call(socket.get_ref())) {
                Ok(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
                Ok(result) => return result,
                Err(_would_block) => {}
            }
        }
    }
}

impl Transport for Guards {
    async fn connect(socket: Socket, plan: &Plan) -> io::Result<Self> {
        connect_bare(socket, &plan.target).await.map(Self)
    }

    async fn read(&self, scratch: &Scratch) -> io::Result<usize> {
        let read = |mut socket: &Socket| scratch.lend(|buffer| socket.read(buffer));
        self.transfer(Interest::READABLE, read).await
    }

    async fn write(
        &self,
        scratch: &Scratch,
        fill: impl Fn(&mut [u8]) -> usize,
    ) -> io::Result<usize> {
        let write = |mut socket: &Socket| produce(scratch, &fill, |bytes| socket.write(bytes));
        self.transfer(Interest::WRITABLE, write).await
    }
}

/// `AsyncFd` in a hand-written future: `poll_*_ready`, and a guard that the caller clears if a
/// short transfer of a TCP socket shows that nothing is left.
#[derive(Debug)]
pub(crate) struct Polling {
    socket: AsyncFd<Socket>,
    short_drains: bool,
}

/// The number of bytes that a call moved, and the number that it could have moved.
struct Transfer {
    moved: usize,
    offered: usize,
}

impl Polling {
    /// Tries an operation under a guard. Returns `None` if it has to be repeated.
    fn attempt(
        &self,
        mut guard: AsyncFdReadyGuard<'_, Socket>,
        call: impl FnOnce(&Socket) -> io::Result<Transfer>,
    ) -> Option<io::Result<usize>> {
        match guard.try_io(|socket| call(socket.get_ref())) {
            Ok(Ok(Transfer { moved, offered })) => {
                if self.short_drains && 0 < moved && moved < offered {
                    guard.clear_ready();
                }
                Some(Ok(moved))
            }
            Ok(Err(error)) if error.kind() == ErrorKind::Interrupted => None,
            Ok(Err(error)) => Some(Err(error)),
            Err(_would_block) => None,
        }
    }
}

impl Transport for Polling {
    async fn connect(socket: Socket, plan: &Plan) -> io::Result<Self> {
        Ok(Self {
            socket: connect_bare(socket, &plan.target).await?,
            short_drains: matches!(plan.target, Address::Tcp(_)),
        })
    }

    fn read(&self, scratch: &Scratch) -> impl Future<Output = io::Result<usize>> {
        let read = |mut socket: &Socket| {
            scratch.lend(|buffer| {
                let offered = buffer.len();
                let moved = socket.read(buffer)?;
                Ok(Transfer { moved, offered })
            })
        };
        poll_fn(move |cx| {
            loop {
                let guard = ready!(self.socket.poll_read_ready(cx))?;
                if let Some(result) = self.attempt(guard, read) {
                    return Poll::Ready(result);
                }
            }
        })
    }

    fn write(
        &self,
        scratch: &Scratch,
        fill: impl Fn(&mut [u8]) -> usize,
    ) -> impl Future<Output = io::Result<usize>> {
        let write = move |mut socket: &Socket| {
            produce(scratch, &fill, |bytes| {
                let moved = socket.write(bytes)?;
                Ok(Transfer {
                    moved,
                    offered: bytes.len(),
                })
            })
        };
        poll_fn(move |cx| {
            loop {
                let guard = ready!(self.socket.poll_write_ready(cx))?;
                if let Some(result) = self.attempt(guard, &write) {
                    return Poll::Ready(result);
                }
            }
        })
    }
}
