//! One connection: it sends back everything it receives, until the peer ends the stream, the idle
//! timeout passes, or the server drains.
//!
//! A waiting connection holds its task and its slot in the reactor, and no buffer. It reads into
//! the scratch buffer of the thread that runs it and answers from there. Only if the socket takes
//! less than was read does it copy the rest into a buffer of its own, and it reads nothing more
//! until that is sent. So a peer that never reads costs at most `READ_BUFFER` bytes, and only until
//! the write timeout. Echo needs no framing: bytes are answered in the order in which they arrive.
//! Tests: `connection/tests.rs`, and `tests/echo.rs`, `tests/limits.rs`, `tests/drain.rs` of this
//! package.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{Shutdown, TcpStream as StdTcpStream};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use asyncfd::serve::{Ended, Outcome};
use reactor::{is_shutdown_error, time};

use crate::echo::{Halt, Watch};
use crate::ending::Ending;
use crate::home::{Drain, Home};
use crate::idle::Idle;
use crate::scratch;
use crate::shutdown::QUIET;
use crate::surface::Surface;

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

/// Serves `stream` on the current shard. The call itself registers the socket, and not the first
/// poll of the future.
pub(crate) fn serve<S: Surface>(
    home: Arc<Home>,
    stream: StdTcpStream,
) -> impl Future<Output = AtEnd<S>> + Send + 'static {
    let mut connection = S::open(stream).map(|socket| Connection {
        idle: Idle::new(&home.shared),
        home,
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
            ending.count(&connection.home.counters);
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
    home: Arc<Home>,
    idle: Idle,
    socket: S,
}

impl<S: Surface> Connection<S> {
    /// Runs the surface's echo loop.
    fn echo(&mut self) -> impl Future<Output = Halt> + Send {
        let Self { home, idle, socket } = self;
        socket.echo(Watch { home, idle })
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
        let rest: Box<[u8]> = scratch::with(len, |bytes| Box::from(&bytes[sent..]));
        let mut allowed = self.home.shared.write_timeout.map(time::sleep);
        let mut done = 0;
        while done < rest.len() {
            let sent = {
                let idle = &mut self.idle;
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
                home: &self.home,
                idle: &mut self.idle,
            }
            .sent(sent);
        }
        Ok(())
    }

    /// Ends the connection without cutting a reply. It keeps serving while the connection is busy.
    /// Once everything is answered, it ends the stream, and then reads the remaining input without
    /// answering it. If it closed with unread bytes in the socket, the kernel would send a reset.
    /// The reset can overtake replies that the peer has not read.
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
        let read = self.socket.read();
        time::timeout(patience, read).await.ok()
    }
}

#[cfg(test)]
mod tests;
