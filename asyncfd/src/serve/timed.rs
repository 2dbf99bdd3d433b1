//! The timeouts of an HTTP connection's stream: idle, and a write that the peer does not take.
//!
//! A timer is looked at only when the stream would wait, and bytes that move only store a new
//! deadline. Tests: `tests/serve_http.rs` of this crate.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use reactor::time::{self, Sleep};

use super::state::Part;
use super::stats::Counters;

/// A stream that fails with [`TimedOut`](io::ErrorKind::TimedOut) when one of its timeouts passes.
pub(super) struct Timed<S> {
    stream: S,
    /// Passes when no byte has moved in either direction.
    idle: Option<Timer>,
    /// Passes when the peer has not taken a byte since a write began to wait.
    write: Option<Timer>,
    writes_wait: bool,
    part: Arc<Part>,
}

impl<S> Timed<S> {
    pub(super) fn new(
        stream: S,
        idle: Option<Duration>,
        write: Option<Duration>,
        part: &Arc<Part>,
    ) -> Self {
        Self {
            stream,
            idle: idle.map(Timer::new),
            write: write.map(Timer::new),
            writes_wait: false,
            part: Arc::clone(part),
        }
    }

    /// Notes that bytes moved.
    fn moved(&mut self) {
        if let Some(idle) = &mut self.idle {
            idle.restart();
        }
    }

    /// Looks at the idle timeout, in an operation that would wait.
    fn poll_idle<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let passed = self.idle.as_mut().is_some_and(|idle| idle.poll(cx));
        if passed {
            Poll::Ready(Err(self.timed_out("idle timeout")))
        } else {
            Poll::Pending
        }
    }

    /// Looks at the timeouts after an attempt to write.
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
    fn timed_out(&self, which: &'static str) -> io::Error {
        Counters::bump(&self.part.counters.timed_out);
        io::Error::new(io::ErrorKind::TimedOut, which)
    }
}

impl<S: Read + Unpin> Read for Timed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Ready(read) => {
                self.moved();
                Poll::Ready(read)
            }
            Poll::Pending => self.poll_idle(cx),
        }
    }
}

impl<S: Write + Unpin> Write for Timed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(cx, wrote)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        // A flush with nothing to send moves no byte.
        match flushed {
            Poll::Ready(_) => flushed,
            Poll::Pending => self.wrote(cx, flushed),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.wrote(cx, ended)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.wrote(cx, wrote)
    }
}

/// A time limit that starts again and again.
struct Timer {
    limit: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl Timer {
    fn new(limit: Duration) -> Self {
        Self {
            limit,
            sleep: Box::pin(time::sleep(limit)),
        }
    }

    fn restart(&mut self) {
        // A limit beyond the end of time needs no deadline.
        if let Some(due) = time::coarse_now().checked_add(self.limit) {
            self.sleep.as_mut().reset(due);
        }
    }

    /// Returns true if the time has passed.
    fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        self.sleep.as_mut().poll(cx).is_ready()
    }
}
