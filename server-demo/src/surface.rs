//! The three surfaces of `AsyncFd` that can serve a connection: the socket helpers, guards, and
//! polling.
//!
//! Each surface has the whole echo loop in its own style, as a server written on that surface would
//! have it. It leaves the rare cases to `connection.rs`: an answer that does not fit the socket,
//! the end of the stream, an error, a drain. Each reads into the thread's scratch buffer only once
//! there is something to read, so a wait costs no memory. Tests: every integration test of this
//! package runs on each surface.

use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::net::TcpStream as StdTcpStream;
use std::os::fd::AsFd;
use std::task::{Context, Poll, ready};

use asyncfd::AsyncFd;
use asyncfd::net::TcpStream;
use reactor::{Handle, Interest, Placement};
use rustix::net::{RecvFlags, SendFlags};
use socket2::SockRef;

use crate::echo::{Halt, Watch, try_again};
use crate::scratch;

/// A connected socket, used through one surface of `AsyncFd`.
pub(crate) trait Surface: Sized + Send + 'static {
    /// Registers the socket on the current shard.
    fn open(stream: StdTcpStream) -> io::Result<Self>;

    /// Echoes until the loop has to stop for another reason. Idle connections wait in this future,
    /// so each idle connection holds everything that it captures.
    fn echo(&mut self, watch: Watch<'_>) -> impl Future<Output = Halt> + Send;

    /// Waits until bytes can be read, and reads them to the front of the scratch buffer; 0 is the
    /// end of the stream. The bytes stay valid until the caller suspends.
    fn read(&mut self) -> impl Future<Output = io::Result<usize>> + Send;

    /// Waits until bytes can be written and writes some.
    fn write(&mut self, bytes: &[u8]) -> impl Future<Output = io::Result<usize>> + Send;

    /// Returns the socket itself, for operations that are the same on every surface.
    fn socket(&self) -> SockRef<'_>;
}

/// Calls recv(2) as a direct system call. The C library's wrapper is a cancellation point, which
/// costs 60 instructions a call in a process with several threads. Every server that reads through
/// the standard library pays them.
#[inline(always)]
fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    let (len, _) = rustix::net::recv(socket, buffer, RecvFlags::empty()).map_err(failed)?;
    Ok(len)
}

/// The flags of send(2), so that a send to a closed peer raises no signal. On Apple's systems, a
/// socket option does that instead.
#[cfg(not(target_vendor = "apple"))]
const SEND_FLAGS: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
const SEND_FLAGS: SendFlags = SendFlags::empty();

/// Calls send(2), in the same way.
#[inline(always)]
fn send(socket: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    rustix::net::send(socket, bytes, SEND_FLAGS).map_err(failed_slow)
}

/// Converts an error. It is cold because the compiler otherwise builds the error before it checks
/// for one.
#[cold]
fn failed(error: rustix::io::Errno) -> io::Error {
    error.into()
}

/// Like `failed`, but never inlined: a failed send is rare, and every second read of a guard loop
/// fails with EAGAIN.
#[cold]
#[inline(never)]
fn failed_slow(error: rustix::io::Errno) -> io::Error {
    error.into()
}

/// `asyncfd::net::TcpStream`: after a short transfer it knows that the socket is drained, and it
/// does not ask the kernel again.
#[derive(Debug)]
pub(crate) struct Helpers(TcpStream);

impl Helpers {
    #[inline(always)]
    fn poll_read(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match scratch::fill(|buffer| self.0.try_read(buffer)) {
                Err(error) if try_again(&error) => {}
                result => return Poll::Ready(result),
            }
        }
    }
}

impl Surface for Helpers {
    fn open(stream: StdTcpStream) -> io::Result<Self> {
        TcpStream::from_accepted(stream).map(Self)
    }

    fn echo(&mut self, mut watch: Watch<'_>) -> impl Future<Output = Halt> + Send {
        poll_fn(move |cx| {
            loop {
                match self.0.poll_read_ready(cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Halt::failed(error)),
                    Poll::Pending => return watch.poll(cx),
                }
                // The closure stores its result here. A result that it returns would be copied
                // several times.
                let mut halt = None;
                scratch::fill(|buffer| {
                    halt = match self.0.try_read(buffer) {
                        Ok(0) => Some(Halt::FINISHED),
                        Ok(len) => watch.answered(self.0.try_write(&buffer[..len]), len),
                        Err(error) if try_again(&error) => None,
                        Err(error) => Some(Halt::failed(error)),
                    };
                });
                if let Some(halt) = halt {
                    return Poll::Ready(halt);
                }
            }
        })
    }

    fn read(&mut self) -> impl Future<Output = io::Result<usize>> + Send {
        poll_fn(|cx| self.poll_read(cx))
    }

    fn write(&mut self, bytes: &[u8]) -> impl Future<Output = io::Result<usize>> + Send {
        self.0.write(bytes)
    }

    fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.0)
    }
}

/// The loop from the documentation of `AsyncFd`: wait for a guard, try the operation, and let
/// `WouldBlock` clear the readiness.
#[derive(Debug)]
pub(crate) struct Guards(AsyncFd<StdTcpStream>);

impl Guards {
    async fn echo_on(&self, mut watch: Watch<'_>) -> Halt {
        loop {
            let mut guard = match watch.until(self.0.readable()).await {
                Ok(Ok(guard)) => guard,
                Ok(Err(error)) => return Halt::failed(error),
                Err(halt) => return halt,
            };
            let len = match guard.try_io(|socket| scratch::fill(|buffer| receive(socket, buffer))) {
                Ok(Ok(0)) => return Halt::FINISHED,
                Ok(Ok(len)) => len,
                Ok(Err(error)) if error.kind() == ErrorKind::Interrupted => continue,
                Ok(Err(error)) => return Halt::failed(error),
                Err(_would_block) => continue,
            };
            // The socket almost always takes the answer at once. If not, the rest waits for a
            // guard, in a buffer of its own.
            let sent = self.0.try_io(Interest::WRITABLE, |socket| {
                scratch::with(len, |bytes| send(socket, bytes))
            });
            if let Some(halt) = watch.answered(sent, len) {
                return halt;
            }
        }
    }
}

impl Surface for Guards {
    fn open(stream: StdTcpStream) -> io::Result<Self> {
        Ok(Self(AsyncFd::new_on(
            &Handle::current(),
            Placement::Current,
            stream,
        )?))
    }

    fn echo(&mut self, watch: Watch<'_>) -> impl Future<Output = Halt> + Send {
        self.echo_on(watch)
    }

    async fn read(&mut self) -> io::Result<usize> {
        loop {
            let mut guard = self.0.readable().await?;
            match guard.try_io(|socket| scratch::fill(|buffer| receive(socket, buffer))) {
                Ok(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
                Ok(result) => return result,
                Err(_would_block) => {}
            }
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let mut guard = self.0.writable().await?;
            match guard.try_io(|socket| send(socket, bytes)) {
                Ok(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
                Ok(result) => return result,
                Err(_would_block) => {}
            }
        }
    }

    fn socket(&self) -> SockRef<'_> {
        SockRef::from(self.0.get_ref())
    }
}

/// `AsyncFd` as a hand-written future uses it: `poll_*_ready_mut`, and a guard that the caller
/// clears after a short transfer of a TCP socket, which proves that nothing is left.
#[derive(Debug)]
pub(crate) struct Polling(AsyncFd<StdTcpStream>);

impl Polling {
    #[inline(always)]
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready_mut(cx))?;
            let mut room = 0;
            let result = guard.try_io(|socket| {
                scratch::fill(|buffer| {
                    room = buffer.len();
                    receive(socket, buffer)
                })
            });
            match result {
                Ok(Ok(len)) => {
                    if 0 < len && len < room {
                        guard.clear_ready();
                    }
                    return Poll::Ready(Ok(len));
                }
                Ok(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
                Ok(failed) => return Poll::Ready(failed),
                Err(_would_block) => {}
            }
        }
    }

    #[inline(always)]
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.0.poll_write_ready_mut(cx))?;
            match guard.try_io(|socket| send(socket, bytes)) {
                Ok(Ok(sent)) => {
                    if 0 < sent && sent < bytes.len() {
                        guard.clear_ready();
                    }
                    return Poll::Ready(Ok(sent));
                }
                Ok(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
                Ok(failed) => return Poll::Ready(failed),
                Err(_would_block) => {}
            }
        }
    }
}

impl Surface for Polling {
    fn open(stream: StdTcpStream) -> io::Result<Self> {
        Ok(Self(AsyncFd::new_on(
            &Handle::current(),
            Placement::Current,
            stream,
        )?))
    }

    fn echo(&mut self, mut watch: Watch<'_>) -> impl Future<Output = Halt> + Send {
        poll_fn(move |cx| {
            loop {
                let len = match self.poll_read(cx) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Halt::FINISHED),
                    Poll::Ready(Ok(len)) => len,
                    Poll::Ready(Err(error)) => return Poll::Ready(Halt::failed(error)),
                    Poll::Pending => return watch.poll(cx),
                };
                let sent = match scratch::with(len, |bytes| self.poll_write(cx, bytes)) {
                    Poll::Ready(sent) => sent,
                    Poll::Pending => Ok(0),
                };
                if let Some(halt) = watch.answered(sent, len) {
                    return Poll::Ready(halt);
                }
            }
        })
    }

    fn read(&mut self) -> impl Future<Output = io::Result<usize>> + Send {
        poll_fn(|cx| self.poll_read(cx))
    }

    fn write(&mut self, bytes: &[u8]) -> impl Future<Output = io::Result<usize>> + Send {
        poll_fn(|cx| self.poll_write(cx, bytes))
    }

    fn socket(&self) -> SockRef<'_> {
        SockRef::from(self.0.get_ref())
    }
}
