//! The three surfaces of `AsyncFd` that a connection can be written on: the socket helpers, guards, and polling.
//!
//! Each reads into the shard's scratch buffer only once there is something to read, so that waiting costs no memory.
//! Called by `connection.rs` alone; knows nothing of drains, limits or timeouts. Tests: every integration test of this
//! package runs on each surface.

use std::future::{Future, poll_fn, ready};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream as StdTcpStream};
use std::pin::pin;
use std::task::{Context, Poll};

use asyncfd::AsyncFd;
use asyncfd::net::TcpStream;
use reactor::{Handle, Placement};

use crate::local::Scratch;

/// How a wait for a socket ended.
#[derive(Debug)]
pub(crate) enum Waited<T> {
    /// The call was made, with this result.
    Done(io::Result<usize>),
    /// Something else came first.
    Instead(T),
}

/// A connected socket, seen through one surface of `AsyncFd`.
pub(crate) trait Surface: Sized + 'static {
    /// Registers the socket on the current shard.
    fn open(stream: StdTcpStream) -> io::Result<Self>;

    /// Waits until bytes can be read and reads them to the front of `scratch`; 0 is the end of what the peer sends.
    /// The bytes are there until the caller suspends.
    ///
    /// Whenever there is nothing to read, `meanwhile` is polled, and ends the wait if it is ready. It is an argument
    /// rather than a future around this one, because nested futures would double the memory of an idle connection.
    fn read<T>(
        &mut self,
        scratch: &Scratch,
        meanwhile: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> impl Future<Output = Waited<T>>;

    /// Writes what the socket takes at once of the first `len` bytes of `scratch`, possibly nothing. Never suspends.
    fn write_now(
        &mut self,
        scratch: &Scratch,
        len: usize,
    ) -> impl Future<Output = io::Result<usize>>;

    /// Waits until bytes can be written and writes some.
    fn write(&mut self, bytes: &[u8]) -> impl Future<Output = io::Result<usize>>;

    /// Sends the end of the stream; the peer may still send.
    fn shutdown_write(&self) -> io::Result<()>;
}

/// Whether a call is to be made again without telling anyone.
fn try_again(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// `asyncfd::net::TcpStream`: after a short transfer it knows that the socket is drained and asks the kernel no more.
#[derive(Debug)]
pub(crate) struct Helpers(TcpStream);

impl Surface for Helpers {
    fn open(stream: StdTcpStream) -> io::Result<Self> {
        TcpStream::from_accepted(stream).map(Self)
    }

    fn read<T>(
        &mut self,
        scratch: &Scratch,
        mut meanwhile: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> impl Future<Output = Waited<T>> {
        poll_fn(move |cx| {
            loop {
                match self.0.poll_read_ready(cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Waited::Done(Err(error))),
                    Poll::Pending => return meanwhile(cx).map(Waited::Instead),
                }
                match scratch.fill(|buffer| self.0.try_read(buffer)) {
                    Err(error) if try_again(&error) => {}
                    result => return Poll::Ready(Waited::Done(result)),
                }
            }
        })
    }

    fn write_now(
        &mut self,
        scratch: &Scratch,
        len: usize,
    ) -> impl Future<Output = io::Result<usize>> {
        ready(match scratch.with(len, |bytes| self.0.try_write(bytes)) {
            Err(error) if try_again(&error) => Ok(0),
            result => result,
        })
    }

    fn write(&mut self, bytes: &[u8]) -> impl Future<Output = io::Result<usize>> {
        self.0.write(bytes)
    }

    fn shutdown_write(&self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }
}

/// The loop that `AsyncFd`'s documentation shows: wait for a guard, try, and let `WouldBlock` clear it.
#[derive(Debug)]
pub(crate) struct Guards(AsyncFd<StdTcpStream>);

impl Surface for Guards {
    fn open(stream: StdTcpStream) -> io::Result<Self> {
        Ok(Self(AsyncFd::new_on(
            &Handle::current(),
            Placement::Current,
            stream,
        )?))
    }

    async fn read<T>(
        &mut self,
        scratch: &Scratch,
        mut meanwhile: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Waited<T> {
        loop {
            let mut readable = pin!(self.0.readable());
            let guard = poll_fn(|cx| match readable.as_mut().poll(cx) {
                Poll::Ready(guard) => Poll::Ready(Ok(guard)),
                Poll::Pending => meanwhile(cx).map(Err),
            });
            let mut guard = match guard.await {
                Ok(Ok(guard)) => guard,
                Ok(Err(error)) => return Waited::Done(Err(error)),
                Err(instead) => return Waited::Instead(instead),
            };
            match guard.try_io(|socket| scratch.fill(|buffer| socket.get_ref().read(buffer))) {
                Ok(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
                Ok(result) => return Waited::Done(result),
                Err(_would_block) => {}
            }
        }
    }

    async fn write_now(&mut self, scratch: &Scratch, len: usize) -> io::Result<usize> {
        let mut writable = pin!(self.0.writable());
        // One look: a guard if there is one now, else the caller waits with a buffer of its own.
        let Some(guard) = poll_fn(|cx| match writable.as_mut().poll(cx) {
            Poll::Ready(guard) => Poll::Ready(Some(guard)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
        else {
            return Ok(0);
        };
        match guard?.try_io(|socket| scratch.with(len, |bytes| socket.get_ref().write(bytes))) {
            Ok(Err(error)) if error.kind() == ErrorKind::Interrupted => Ok(0),
            Ok(result) => result,
            Err(_would_block) => Ok(0),
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let mut guard = self.0.writable().await?;
            match guard.try_io(|socket| socket.get_ref().write(bytes)) {
                Ok(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
                Ok(result) => return result,
                Err(_would_block) => {}
            }
        }
    }

    fn shutdown_write(&self) -> io::Result<()> {
        self.0.get_ref().shutdown(Shutdown::Write)
    }
}

/// `AsyncFd` as a hand-written future uses it: `poll_*_ready_mut`, and a guard that is cleared by the caller where a
/// short transfer of a TCP socket shows that nothing is left.
#[derive(Debug)]
pub(crate) struct Polling(AsyncFd<StdTcpStream>);

impl Surface for Polling {
    fn open(stream: StdTcpStream) -> io::Result<Self> {
        Ok(Self(AsyncFd::new_on(
            &Handle::current(),
            Placement::Current,
            stream,
        )?))
    }

    fn read<T>(
        &mut self,
        scratch: &Scratch,
        mut meanwhile: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> impl Future<Output = Waited<T>> {
        poll_fn(move |cx| {
            loop {
                let mut guard = match self.0.poll_read_ready_mut(cx) {
                    Poll::Ready(Ok(guard)) => guard,
                    Poll::Ready(Err(error)) => return Poll::Ready(Waited::Done(Err(error))),
                    Poll::Pending => return meanwhile(cx).map(Waited::Instead),
                };
                let mut room = 0;
                let result = guard.try_io(|socket| {
                    scratch.fill(|buffer| {
                        room = buffer.len();
                        socket.get_mut().read(buffer)
                    })
                });
                match result {
                    Ok(Ok(len)) => {
                        if 0 < len && len < room {
                            guard.clear_ready();
                        }
                        return Poll::Ready(Waited::Done(Ok(len)));
                    }
                    Ok(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
                    Ok(result) => return Poll::Ready(Waited::Done(result)),
                    Err(_would_block) => {}
                }
            }
        })
    }

    async fn write_now(&mut self, scratch: &Scratch, len: usize) -> io::Result<usize> {
        poll_fn(|cx| {
            let mut guard = match self.0.poll_write_ready_mut(cx) {
                Poll::Ready(guard) => guard?,
                Poll::Pending => return Poll::Ready(Ok(0)),
            };
            let result =
                guard.try_io(|socket| scratch.with(len, |bytes| socket.get_mut().write(bytes)));
            Poll::Ready(match result {
                Ok(Ok(written)) => {
                    if 0 < written && written < len {
                        guard.clear_ready();
                    }
                    Ok(written)
                }
                Ok(Err(error)) if error.kind() == ErrorKind::Interrupted => Ok(0),
                Ok(result) => result,
                Err(_would_block) => Ok(0),
            })
        })
        .await
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        poll_fn(|cx| {
            loop {
                let mut guard = std::task::ready!(self.0.poll_write_ready_mut(cx))?;
                match guard.try_io(|socket| socket.get_mut().write(bytes)) {
                    Ok(Ok(written)) => {
                        if 0 < written && written < bytes.len() {
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
        .await
    }

    fn shutdown_write(&self) -> io::Result<()> {
        self.0.get_ref().shutdown(Shutdown::Write)
    }
}
