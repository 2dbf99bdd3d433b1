//! A connected socket, seen through one of the three surfaces of `asyncfd`.
//!
//! The same conversation runs over each, so that all of them meet heavy concurrency at this end too. Waiting holds no buffer
//! (see `scratch.rs`). Called by `connection.rs` alone; knows nothing of payloads, time-outs or counters. Tests: every test
//! in `tests/surfaces.rs` runs on each.

use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::task::{Poll, ready};

use asyncfd::AsyncFd;
use asyncfd::net::{TcpSocket, TcpStream};
use reactor::{Handle, Placement};
use socket2::Socket;

use crate::scratch::Scratch;

/// What a connection needs of its socket. One task owns it.
pub(crate) trait Transport: Sized + 'static {
    /// Connects, and registers on the current shard.
    fn connect(socket: Socket, target: SocketAddr) -> impl Future<Output = io::Result<Self>>;

    /// Waits until bytes can be read and reads them to the front of `scratch`; 0 is the end of what the peer sends.
    fn read(&self, scratch: &Scratch) -> impl Future<Output = io::Result<usize>>;

    /// Waits until bytes can be written, has them produced by `fill` at the front of `scratch`, and writes some.
    ///
    /// `fill` may be called several times and gives the same bytes each time; it returns how many, more than zero.
    fn write(
        &self,
        scratch: &Scratch,
        fill: impl Fn(&mut [u8]) -> usize,
    ) -> impl Future<Output = io::Result<usize>>;
}

/// Whether a call is to be made again without telling anyone.
fn again(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Runs `write` on the bytes that `fill` produces.
#[inline]
fn produce(
    scratch: &Scratch,
    fill: impl Fn(&mut [u8]) -> usize,
    write: impl FnOnce(&[u8]) -> io::Result<usize>,
) -> io::Result<usize> {
    scratch.lend(|buffer| {
        let filled = fill(buffer);
        write(&buffer[..filled])
    })
}

/// Connects a socket that is set up, and registers it on the current shard.
async fn connect(socket: Socket, target: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::try_from(OwnedFd::from(socket))?;
    socket.connect(target).await
}

/// `asyncfd::net::TcpStream`, which knows from a short transfer that a socket is drained.
#[derive(Debug)]
pub(crate) struct Helpers(TcpStream);

impl Transport for Helpers {
    async fn connect(socket: Socket, target: SocketAddr) -> io::Result<Self> {
        connect(socket, target).await.map(Self)
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

    fn write(
        &self,
        scratch: &Scratch,
        fill: impl Fn(&mut [u8]) -> usize,
    ) -> impl Future<Output = io::Result<usize>> {
        poll_fn(move |cx| {
            loop {
                // A socket that takes what it is given is the rule: try before waiting.
                match produce(scratch, &fill, |bytes| self.0.try_write(bytes)) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    result => return Poll::Ready(result),
                }
                ready!(self.0.poll_write_ready(cx))?;
            }
        })
    }
}

/// Registers a connected socket bare, for the two surfaces that are `AsyncFd` itself.
async fn connect_bare(
    socket: Socket,
    target: SocketAddr,
) -> io::Result<AsyncFd<std::net::TcpStream>> {
    let stream = connect(socket, target).await?.into_std()?;
    Ok(AsyncFd::new_on(
        &Handle::current(),
        Placement::Current,
        stream,
    )?)
}

/// The loop of `AsyncFd`'s documentation: await a guard, try, and let `WouldBlock` clear it.
#[derive(Debug)]
pub(crate) struct Guards(AsyncFd<std::net::TcpStream>);

impl Transport for Guards {
    async fn connect(socket: Socket, target: SocketAddr) -> io::Result<Self> {
        connect_bare(socket, target).await.map(Self)
    }

    async fn read(&self, scratch: &Scratch) -> io::Result<usize> {
        loop {
            let mut guard = self.0.readable().await?;
            match guard.try_io(|socket| scratch.lend(|buffer| socket.get_ref().read(buffer))) {
                Ok(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
                Ok(result) => return result,
                Err(_would_block) => {}
            }
        }
    }

    async fn write(
        &self,
        scratch: &Scratch,
        fill: impl Fn(&mut [u8]) -> usize,
    ) -> io::Result<usize> {
        loop {
            let mut guard = self.0.writable().await?;
            match guard
                .try_io(|socket| produce(scratch, &fill, |bytes| socket.get_ref().write(bytes)))
            {
                Ok(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
                Ok(result) => return result,
                Err(_would_block) => {}
            }
        }
    }
}

/// `AsyncFd` as a hand-written future uses it: `poll_*_ready`, and a guard cleared by the caller where a short transfer of a
/// TCP socket shows that nothing is left.
#[derive(Debug)]
pub(crate) struct Polling(AsyncFd<std::net::TcpStream>);

impl Transport for Polling {
    async fn connect(socket: Socket, target: SocketAddr) -> io::Result<Self> {
        connect_bare(socket, target).await.map(Self)
    }

    fn read(&self, scratch: &Scratch) -> impl Future<Output = io::Result<usize>> {
        poll_fn(|cx| {
            loop {
                let mut guard = ready!(self.0.poll_read_ready(cx))?;
                let mut room = 0;
                let result = guard.try_io(|socket| {
                    scratch.lend(|buffer| {
                        room = buffer.len();
                        socket.get_ref().read(buffer)
                    })
                });
                match result {
                    Ok(Ok(read)) => {
                        if 0 < read && read < room {
                            guard.clear_ready();
                        }
                        return Poll::Ready(Ok(read));
                    }
                    Ok(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
                    Ok(result) => return Poll::Ready(result),
                    Err(_would_block) => {}
                }
            }
        })
    }

    fn write(
        &self,
        scratch: &Scratch,
        fill: impl Fn(&mut [u8]) -> usize,
    ) -> impl Future<Output = io::Result<usize>> {
        poll_fn(move |cx| {
            loop {
                let mut guard = ready!(self.0.poll_write_ready(cx))?;
                let mut offered = 0;
                let result = guard.try_io(|socket| {
                    produce(scratch, &fill, |bytes| {
                        offered = bytes.len();
                        socket.get_ref().write(bytes)
                    })
                });
                match result {
                    Ok(Ok(written)) => {
                        if 0 < written && written < offered {
                            guard.clear_ready();
                        }
                        return Poll::Ready(Ok(written));
                    }
                    Ok(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
                    Ok(result) => return Poll::Ready(result),
                    Err(_would_block) => {}
                }
            }
        })
    }
}
