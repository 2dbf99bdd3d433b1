//! The timeouts of a connection's stream: idle, and a write that the peer does not take.
//!
//! A timer is checked only when the stream would wait. Bytes that move only store a new deadline.
//! The traits of other libraries are in `timed/families.rs`. Tests: `tests/serve_timed.rs` and
//! `tests/serve_http.rs` of this crate.

mod families;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use reactor::time::{self, Sleep};
use rustix::event::{PollFd, PollFlags, Timespec};

use super::state::Part;
use super::stats::Counters;
use super::timeouts::Timeouts;
use crate::io::{ReadBytes, Sealed, WriteBytes};
use crate::net::{TcpStream, UnixStream};

/// A connection's stream with timeouts; a server with [`Timeouts`] gives it to its handlers.
///
/// It reads and writes like the stream inside, and has the same traits of other libraries.
pub struct TimedStream<S> {
    stream: S,
    /// Passes when no byte has moved in either direction.
    idle: Option<Timer>,
    /// Passes when the peer has not taken a byte since a write began to wait.
    write: Option<Timer>,
    writes_wait: bool,
    has_timed_out: bool,
    part: Arc<Part>,
}

impl<S> TimedStream<S> {
    pub(super) fn new(stream: S, timeouts: Timeouts, part: &Arc<Part>) -> Self {
        Self {
            stream,
            idle: timeouts.idle.map(Timer::new),
            write: timeouts.write.map(Timer::new),
            writes_wait: false,
            has_timed_out: false,
            part: Arc::clone(part),
        }
    }

    /// Returns the stream inside. Its reads and writes have no timeouts.
    pub const fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Returns the stream inside, without timeouts.
    pub fn into_inner(self) -> S {
        self.stream
    }

    /// Restarts the idle timeout, because bytes moved.
    fn moved(&mut self) {
        if let Some(idle) = &mut self.idle {
            idle.restart();
        }
    }

    /// Returns true if the idle timeout has passed. Otherwise it wakes the task then.
    fn has_been_idle(&mut self, cx: &mut Context<'_>) -> bool {
        self.idle.as_mut().is_some_and(|idle| idle.poll(cx))
    }

    /// Checks the idle timeout, in a write that would wait.
    fn poll_idle<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if self.has_been_idle(cx) {
            Poll::Ready(Err(self.timed_out("idle timeout")))
        } else {
            Poll::Pending
        }
    }

    /// Checks the timeouts after an attempt to read.
    fn has_read<T>(
        &mut self,
        cx: &mut Context<'_>,
        read: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>>
    where
        S: AsFd,
    {
        if read.is_ready() {
            self.moved();
            return read;
        }
        if !self.has_been_idle(cx) {
            return Poll::Pending;
        }
        if !has_input(self.stream.as_fd()) {
            return Poll::Ready(Err(self.timed_out("idle timeout")));
        }
        self.moved();
        // The timeout counts from the start of the turn, which may be longer ago than it lasts.
        if self.has_been_idle(cx) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Checks the timeouts after an attempt to write.
    fn wrote<T>(
        &mut self,
        cx: &mut Context<'_>,
        wrote: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if wrote.is_ready() {
            self.writes_wait = false;
            self.moved();
            return wrote;
        }
        if let Some(write) = &mut self.write {
            if !self.writes_wait {
                self.writes_wait = true;
                write.restart();
            }
            if write.poll(cx) {
                return Poll::Ready(Err(self.timed_out("write timeout")));
            }
        }
        self.poll_idle(cx)
    }

    #[cold]
    fn timed_out(&mut self, which: &'static str) -> io::Error {
        // A handler may try again. The connection counts once.
        if !std::mem::replace(&mut self.has_timed_out, true) {
            Counters::bump(&self.part.counters.timed_out);
        }
        io::Error::new(io::ErrorKind::TimedOut, which)
    }
}

/// Returns true if the kernel has input that no read has seen. A shard that is late fires a timer
/// before it fetches the event: it fetches a limited number of events at once.
#[cold]
fn has_input(descriptor: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
    rustix::event::poll(&mut polled, Some(&Timespec::default())).is_ok_and(|ready| ready != 0)
}

macro_rules! methods {
    ($stream:ty) => {
        impl TimedStream<$stream> {
            /// Reads into `buffer` once something can be read; returns 0 at the end of the stream.
            ///
            /// # Errors
            ///
            /// Returns the errors of the stream's `read`, and
            /// [`TimedOut`](io::ErrorKind::TimedOut).
            ///
            /// # Cancel safety
            ///
            /// Dropping the future reads nothing.
            pub async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                poll_fn(|cx| {
                    let read = self.stream.poll_read(cx, buffer);
                    self.has_read(cx, read)
                })
                .await
            }

            /// Reads until `buffer` is full, and returns its length.
            ///
            /// # Errors
            ///
            /// Returns the errors of [`read`](Self::read), and
            /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) if the stream ends before.
            ///
            /// # Cancel safety
            ///
            /// Not cancel safe: dropping the future loses the count of the bytes it has read.
            pub async fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let mut filled = 0;
                while filled < buffer.len() {
                    match self.read(&mut buffer[filled..]).await? {
                        0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                        n => filled += n,
                    }
                }
                Ok(filled)
            }

            /// Writes from `bytes` once something can be written, and returns the number of bytes
            /// written.
            ///
            /// # Errors
            ///
            /// Returns the errors of the stream's `write`, and
            /// [`TimedOut`](io::ErrorKind::TimedOut).
            ///
            /// # Cancel safety
            ///
            /// Dropping the future writes nothing.
            pub async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                poll_fn(|cx| {
                    let wrote = self.stream.poll_write(cx, bytes);
                    self.wrote(cx, wrote)
                })
                .await
            }

            /// Writes all of `bytes`.
            ///
            /// # Errors
            ///
            /// Returns the errors of [`write`](Self::write), and
            /// [`WriteZero`](io::ErrorKind::WriteZero) when the system takes no bytes.
            ///
            /// # Cancel safety
            ///
            /// Not cancel safe: after dropping the future, the number of bytes written is unknown.
            pub async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
                while !bytes.is_empty() {
                    let n = self.write(bytes).await?;
                    if n == 0 {
                        return Err(io::ErrorKind::WriteZero.into());
                    }
                    bytes = &bytes[n..];
                }
                Ok(())
            }

            /// Ends the writing side, so that the peer reads the end of the stream.
            ///
            /// # Errors
            ///
            /// Returns the errors of the stream's `shutdown`.
            pub async fn shutdown(&mut self) -> io::Result<()> {
                self.stream.shutdown().await
            }
        }

        impl Sealed for TimedStream<$stream> {}

        impl ReadBytes for TimedStream<$stream> {
            fn read_bytes(
                &mut self,
                buffer: &mut [u8],
            ) -> impl Future<Output = io::Result<usize>> + Send {
                self.read(buffer)
            }
        }

        impl WriteBytes for TimedStream<$stream> {
            fn write_bytes(&mut self, bytes: &[u8]) -> impl Future<Output = io::Result<()>> + Send {
                self.write_all(bytes)
            }
        }
    };
}

methods!(TcpStream);
methods!(UnixStream);

impl<S: AsFd> AsFd for TimedStream<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl<S: fmt::Debug> fmt::Debug for TimedStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimedStream")
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}

/// A time limit that can be restarted.
pub(super) struct Timer {
    limit: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl Timer {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit,
            sleep: Box::pin(time::sleep(limit)),
        }
    }

    pub(super) fn restart(&mut self) {
        // A limit that the clock cannot represent needs no new deadline.
        if let Some(due) = time::coarse_now().checked_add(self.limit) {
            self.sleep.as_mut().reset(due);
        }
    }

    /// Returns true if the time has passed.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        self.sleep.as_mut().poll(cx).is_ready()
    }
}
