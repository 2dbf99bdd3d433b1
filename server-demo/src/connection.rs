//! One connection: it sends back everything it receives, until the peer ends, the idle timeout
//! passes, or the server drains.
//!
//! A waiting connection holds its task and its slot in the reactor, and no buffer. It reads into
//! its shard's scratch buffer and answers from there. Only if the socket takes less than was read
//! does it copy the rest into a buffer of its own, and it reads nothing more until that is sent. So
//! a peer that never reads costs at most `READ_BUFFER` bytes, and only until the write timeout.
//! Echo needs no framing: bytes are answered in the order in which they arrive. Tests:
//! `connection/tests.rs`, and `tests/echo.rs`, `tests/limits.rs`, `tests/drain.rs` of this package.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{Shutdown, TcpStream as StdTcpStream};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use asyncfd::serve::{Ended, Outcome};
use reactor::is_shutdown_error;
use reactor::time::{self, Sleep};

use crate::local::{Drain, Local, Scratch};
use crate::server::Shared;
use crate::shutdown::QUIET;
use crate::stats::Counters;
use crate::surface::{Surface, try_again};

/// The reason a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The peer ended the stream, and everything before that was answered.
    Finished,
    /// No byte moved within the idle timeout.
    Idle,
    /// The peer did not take an answer within the write timeout.
    Unread,
    /// A drain closed it after everything that it had received was answered.
    Drained,
    /// The socket failed, usually by a reset from the peer.
    Failed,
    /// The reactor shut down, or the task was dropped, before the connection was done.
    CutOff,
}

impl Ending {
    pub(crate) fn of(error: io::Error) -> Self {
        Self::of_ref(&error)
    }

    fn of_ref(error: &io::Error) -> Self {
        if is_shutdown_error(error) {
            Self::CutOff
        } else {
            Self::Failed
        }
    }

    fn count(self, counters: &Counters) {
        match self {
            Self::Idle => Counters::bump(&counters.idle_closed),
            Self::Unread => Counters::bump(&counters.unread_closed),
            _ => {}
        }
    }
}

impl Outcome for Ending {
    fn ended(&self) -> Ended {
        match self {
            Self::Failed => Ended::Failed,
            Self::CutOff => Ended::CutOff,
            _ => Ended::Finished,
        }
    }
}

/// A connection at its end. Its socket closes when this is dropped.
#[derive(Debug)]
pub(crate) struct AtEnd<S> {
    ending: Ending,
    _connection: Option<Connection<S>>,
}

impl<S> Outcome for AtEnd<S> {
    fn ended(&self) -> Ended {
        self.ending.ended()
    }
}

/// Serves `stream` on the current shard. This call registers the socket, not the first poll of the
/// future.
pub(crate) fn serve<S: Surface>(
    local: Rc<Local>,
    stream: StdTcpStream,
) -> impl Future<Output = AtEnd<S>> + 'static {
    let mut connection = S::open(stream).map(|socket| Connection {
        idle: Idle::new(&local.shared),
        local,
        socket,
    });
    // Every idle connection holds all that this future holds while the echo loop waits. So the
    // connection is used in place, where it is captured: moved into a local variable or into an
    // `async fn`, it would take its space twice. Rare state is in a box.
    async move {
        let ending = match &mut connection {
            Err(error) => Ending::of_ref(error),
            Ok(connection) => loop {
                let halt = connection.echo().await;
                if let Halt::Ended(ending) = halt {
                    break ending;
                }
                if let Err(ending) = Box::pin(connection.settle(halt)).await {
                    break ending;
                }
            },
        };
        let connection = connection.ok();
        if let Some(connection) = &connection {
            ending.count(connection.local.counters());
        }
        AtEnd {
            ending,
            _connection: connection,
        }
    }
}

/// A connection being served.
#[derive(Debug)]
struct Connection<S> {
    local: Rc<Local>,
    idle: Idle,
    socket: S,
}

/// The reason a surface's echo loop stopped.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Halt {
    /// The connection has ended.
    Ended(Ending),
    /// The socket took only the first `sent` of the `len` bytes in the scratch buffer.
    Unsent { sent: usize, len: usize },
    /// The server is draining.
    Drain(Drain),
}

impl Halt {
    /// The peer ended the stream, and everything before that was answered.
    pub(crate) const FINISHED: Self = Self::Ended(Ending::Finished);

    /// A call on the socket failed.
    #[cold]
    pub(crate) fn failed(error: io::Error) -> Self {
        Self::Ended(Ending::of(error))
    }
}

/// The state of an echo loop, besides its socket: the shard's buffer and counters, the idle
/// timeout, a drain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watch<'a> {
    local: &'a Local,
    idle: &'a Idle,
}

impl<'a> Watch<'a> {
    #[inline]
    pub(crate) fn scratch(self) -> &'a Scratch {
        &self.local.scratch
    }

    /// Polled when there is nothing to read.
    #[inline(always)]
    pub(crate) fn poll(self, cx: &mut Context<'_>) -> Poll<Halt> {
        match self.local.drain() {
            Some(drain) => Poll::Ready(Halt::Drain(drain)),
            None => self.idle.poll(cx).map(|()| Halt::Ended(Ending::Idle)),
        }
    }

    /// Evaluates a write of `len` bytes of the scratch buffer. Returns `None` if it sent all of
    /// them.
    #[inline(always)]
    pub(crate) fn answered(self, sent: io::Result<usize>, len: usize) -> Option<Halt> {
        let sent = match sent {
            Ok(sent) => sent,
            Err(error) => match refused_slow(error) {
                Some(halt) => return Some(halt),
                None => 0,
            },
        };
        self.sent(sent);
        (sent < len).then_some(Halt::Unsent { sent, len })
    }

    /// Records that bytes were sent.
    #[inline(always)]
    fn sent(self, bytes: usize) {
        self.local.counters().add_bytes(bytes as u64);
        self.idle.touch(&self.local.shared);
    }
}

/// Converts a failed write into a halt, or `None` if the write should be repeated. It takes
/// ownership of the error so that the callers need not drop it.
#[cold]
#[inline(never)]
fn refused_slow(error: io::Error) -> Option<Halt> {
    (!try_again(&error)).then(|| Halt::failed(error))
}

impl<S: Surface> Connection<S> {
    /// Runs the surface's echo loop.
    fn echo(&mut self) -> impl Future<Output = Halt> {
        let (local, idle) = (&*self.local, &self.idle);
        self.socket.echo(Watch { local, idle })
    }

    /// Handles the reason an echo loop stopped. The loop may then go on, or the connection has
    /// ended.
    async fn settle(&mut self, halt: Halt) -> Result<(), Ending> {
        match halt {
            Halt::Ended(ending) => Err(ending),
            Halt::Unsent { sent, len } => self.send_rest(sent, len).await,
            Halt::Drain(drain) => Err(self.finish(drain).await.unwrap_or_else(Ending::of)),
        }
    }

    /// Sends the rest of the first `len` bytes of the scratch buffer, however long the peer takes
    /// to read them. The bytes are copied before the first wait and kept until they are sent.
    ///
    /// The write timeout covers all of them together, not each byte, so a peer cannot hold them by
    /// reading one byte now and then.
    async fn send_rest(&mut self, sent: usize, len: usize) -> Result<(), Ending> {
        let rest: Box<[u8]> = self
            .local
            .scratch
            .with(len, |bytes| Box::from(&bytes[sent..]));
        let mut allowed = self.local.shared.write_timeout.map(time::sleep);
        let mut done = 0;
        while done < rest.len() {
            let sent = {
                let idle = &self.idle;
                let mut write = pin!(self.socket.write(&rest[done..]));
                poll_fn(|cx| {
                    if let Poll::Ready(sent) = write.as_mut().poll(cx) {
                        return Poll::Ready(sent.map_err(Ending::of));
                    }
                    if idle.poll(cx).is_ready() {
                        return Poll::Ready(Err(Ending::Idle));
                    }
                    match &mut allowed {
                        Some(allowed) => Pin::new(allowed).poll(cx).map(|()| Err(Ending::Unread)),
                        None => Poll::Pending,
                    }
                })
                .await
            };
            if let Err(Ending::Idle | Ending::Unread) = sent {
                // The kernel holds more of the answer, up to megabytes, and would keep it for a
                // peer that does not read. With this option, closing drops all of it and sends a
                // reset.
                let _ = self.socket.socket().set_linger(Some(Duration::ZERO));
            }
            let sent = sent?;
            if sent == 0 {
                return Err(Ending::Failed);
            }
            done += sent;
            Watch {
                local: &self.local,
                idle: &self.idle,
            }
            .sent(sent);
        }
        Ok(())
    }

    /// Ends the connection without cutting a reply. It serves on while the connection is busy, ends
    /// the stream once everything is answered, and then reads the remaining input without answering
    /// it. If it closed with unread bytes in the socket, the kernel would send a reset, which can
    /// overtake replies that the peer has not read.
    async fn finish(&mut self, drain: Drain) -> io::Result<Ending> {
        loop {
            let patience = drain
                .busy_until
                .saturating_duration_since(Instant::now())
                .min(QUIET);
            let len = match self.read_within(patience).await {
                Some(Ok(0)) => return Ok(Ending::Finished),
                Some(len) => len?,
                None => break,
            };
            if let Err(ending) = self.send_rest(0, len).await {
                return Ok(ending);
            }
        }
        self.socket.socket().shutdown(Shutdown::Write)?;
        loop {
            match self.read_within(QUIET).await {
                Some(Ok(0)) | None => return Ok(Ending::Drained),
                Some(Ok(_unanswered)) => {}
                Some(Err(error)) if is_shutdown_error(&error) => return Err(error),
                // The peer answers the end of the stream with a reset: it expected no more replies.
                Some(Err(_)) => return Ok(Ending::Drained),
            }
        }
    }

    /// Reads into the scratch buffer if bytes arrive in time; bytes that are already there count.
    async fn read_within(&mut self, patience: Duration) -> Option<io::Result<usize>> {
        let read = self.socket.read(&self.local.scratch);
        time::timeout(patience, read).await.ok()
    }
}

/// The idle timeout of a connection: a timer that every byte moves. It counts from the time of the
/// turn, so a byte costs no clock read. Moving the deadline later only stores it.
///
/// It is in a box, since most servers have none. It is in a cell because the echo loop records
/// bytes while the code around the loop watches the time.
#[derive(Debug)]
struct Idle(Option<Box<RefCell<Sleep>>>);

impl Idle {
    fn new(shared: &Shared) -> Self {
        let limit = shared.idle_timeout;
        Self(limit.map(|limit| Box::new(RefCell::new(time::sleep(limit)))))
    }

    #[inline(always)]
    fn touch(&self, shared: &Shared) {
        if let (Some(timer), Some(limit)) = (&self.0, shared.idle_timeout) {
            // A limit beyond the end of time needs no update.
            if let Some(due) = time::coarse_now().checked_add(limit) {
                Pin::new(&mut *timer.borrow_mut()).reset(due);
            }
        }
    }

    /// Completes when no byte has moved within the limit.
    #[inline(always)]
    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.0 {
            Some(timer) => Pin::new(&mut *timer.borrow_mut()).poll(cx),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests;
