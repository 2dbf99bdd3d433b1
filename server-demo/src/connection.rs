//! One connection: what arrives is sent back, until the peer ends, the idle timeout passes, or the server drains.
//!
//! A connection that waits holds its task and its slot in the reactor, and no buffer. It reads into its shard's scratch
//! buffer and answers from there; only where the socket takes less than was read does it keep the rest, in a buffer of
//! its own, and it reads no more until that is sent, so that a peer that never reads costs `READ_BUFFER` bytes at most.
//! Echo needs no framing: bytes are answered in the order in which they come. Tests: `connection/tests.rs`, and
//! `tests/echo.rs`, `tests/limits.rs`, `tests/drain.rs` of this package.

use std::future::{Future, poll_fn};
use std::io;
use std::net::TcpStream as StdTcpStream;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use reactor::is_shutdown_error;
use reactor::time::{self, Sleep};

use crate::local::{Drain, Local};
use crate::server::Shared;
use crate::shutdown::QUIET;
use crate::stats::Counters;
use crate::surface::Surface;

/// The right to one connection under the server's limit, on its way from the shard that accepted it to the one that
/// will serve it. Dropped on the way, it counts as a connection that was cut off.
#[derive(Debug)]
pub(crate) struct Permit {
    shared: Option<Arc<Shared>>,
    shard: usize,
}

impl Permit {
    /// Takes a place for a connection on `shard`, if the limit leaves one.
    pub(crate) fn take(shared: &Arc<Shared>, shard: usize) -> Option<Self> {
        if !shared.open_one(shard) {
            return None;
        }
        Some(Self {
            shared: Some(Arc::clone(shared)),
            shard,
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.take() {
            Counters::bump(&shared.counters[self.shard].cut_off);
            shared.close_one(self.shard);
        }
    }
}

/// How a connection came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// The peer sent its end, and everything before it was answered.
    Finished,
    /// No byte moved for as long as is allowed.
    Idle,
    /// A drain closed it when everything that had come was answered.
    Drained,
    /// The socket failed, a reset by the peer being the usual way.
    Failed,
    /// The reactor shut down, or the task was dropped, before the connection was done.
    CutOff,
}

impl Ending {
    fn of(error: &io::Error) -> Self {
        if is_shutdown_error(error) {
            Self::CutOff
        } else {
            Self::Failed
        }
    }
}

/// Serves `stream` on the current shard. The socket is registered by this call, not by the future's first poll.
pub(crate) fn serve<S: Surface>(
    mut permit: Permit,
    stream: StdTcpStream,
) -> impl Future<Output = ()> + 'static {
    let local = Local::current();
    // The place counts the connection's end from here on.
    permit.shared = None;
    let mut place = Place {
        local,
        key: None,
        ending: Ending::CutOff,
    };
    let mut connection = match S::open(stream) {
        Ok(socket) => Some(Connection {
            idle: Idle::new(&place.local.shared),
            place,
            socket,
        }),
        Err(error) => {
            place.ending = Ending::of(&error);
            None
        }
    };
    // Used where it is captured: moved into a local variable it would be in the future twice.
    async move {
        if let Some(connection) = &mut connection {
            connection.run().await;
        }
    }
}

/// A connection's place on its shard: counted, and listed among the tasks that a drain wakes.
#[derive(Debug)]
struct Place {
    local: Rc<Local>,
    key: Option<u32>,
    ending: Ending,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.local.unlist(key);
        }
        let counters = self.local.counters();
        match self.ending {
            Ending::Finished | Ending::Drained => {}
            Ending::Idle => Counters::bump(&counters.idle_closed),
            Ending::Failed => Counters::bump(&counters.failed),
            Ending::CutOff => Counters::bump(&counters.cut_off),
        }
        self.local.shared.close_one(self.local.shard.index());
    }
}

/// A connection being served.
#[derive(Debug)]
struct Connection<S> {
    // Fields drop in this order: the place is given back before the socket closes, so that a peer that sees the close
    // and comes again is not over the limit because of itself.
    place: Place,
    idle: Idle,
    socket: S,
}

/// What a wait came to.
enum Watched<T> {
    Done(T),
    Idle,
    Drain(Drain),
}

impl<S: Surface> Connection<S> {
    async fn run(&mut self) {
        // Once for the task's life; see `Local::listed`.
        poll_fn(|cx| {
            self.place.key = Some(self.place.local.list(cx.waker()));
            Poll::Ready(())
        })
        .await;
        self.place.ending = match self.echo().await {
            Ok(ending) => ending,
            Err(error) => Ending::of(&error),
        };
    }

    async fn echo(&mut self) -> io::Result<Ending> {
        loop {
            let local = &*self.place.local;
            let len = match watch(
                local,
                &mut self.idle,
                true,
                self.socket.read(&local.scratch),
            )
            .await
            {
                Watched::Done(len) => len?,
                Watched::Idle => return Ok(Ending::Idle),
                // In a box, so that a connection is not the larger for it all its life.
                Watched::Drain(drain) => return Box::pin(self.finish(drain)).await,
            };
            if len == 0 {
                return Ok(Ending::Finished);
            }
            if let Some(ending) = self.answer(len).await? {
                return Ok(ending);
            }
        }
    }

    /// Sends the first `len` bytes of the scratch buffer back, however long it takes the peer to read them.
    async fn answer(&mut self, len: usize) -> io::Result<Option<Ending>> {
        let local = &*self.place.local;
        let sent = self.socket.write_now(&local.scratch, len).await?;
        local.counters().add_bytes(sent as u64);
        self.idle.touch(&local.shared);
        if sent == len {
            return Ok(None);
        }
        let rest: Box<[u8]> = local.scratch.with(len, |bytes| Box::from(&bytes[sent..]));
        let mut done = 0;
        while done < rest.len() {
            match watch(
                local,
                &mut self.idle,
                false,
                self.socket.write(&rest[done..]),
            )
            .await
            {
                Watched::Done(sent) => {
                    let sent = sent?;
                    if sent == 0 {
                        return Err(io::ErrorKind::WriteZero.into());
                    }
                    done += sent;
                    local.counters().add_bytes(sent as u64);
                    self.idle.touch(&local.shared);
                }
                Watched::Idle => return Ok(Some(Ending::Idle)),
                Watched::Drain(_) => unreachable!("a write is not interrupted by a drain"),
            }
        }
        Ok(None)
    }

    /// Ends the connection without cutting a reply: serves on while it is busy, sends the end of the stream once
    /// everything is answered, and then takes what still comes without answering it. Closing with unread bytes in the
    /// socket would make the kernel send a reset, which can overtake replies that the peer has not read.
    async fn finish(&mut self, drain: Drain) -> io::Result<Ending> {
        loop {
            let patience = drain
                .busy_until
                .saturating_duration_since(Instant::now())
                .min(QUIET);
            let read = self.socket.read(&self.place.local.scratch);
            match time::timeout(patience, read).await {
                Ok(Ok(0)) => return Ok(Ending::Finished),
                Ok(len) => {
                    if let Some(ending) = self.answer(len?).await? {
                        return Ok(ending);
                    }
                }
                Err(_quiet) => break,
            }
        }
        self.socket.shutdown_write()?;
        loop {
            match time::timeout(QUIET, self.socket.read(&self.place.local.scratch)).await {
                Ok(Ok(0)) | Err(_) => return Ok(Ending::Drained),
                Ok(Ok(_unanswered)) => {}
                Ok(Err(error)) if is_shutdown_error(&error) => return Ok(Ending::CutOff),
                // The peer answered the end of the stream by a reset: nothing was owed to it.
                Ok(Err(_)) => return Ok(Ending::Drained),
            }
        }
    }
}

/// Waits for `future`, or for the idle timeout, or, where asked to, for the server to drain.
async fn watch<T>(
    local: &Local,
    idle: &mut Idle,
    drainable: bool,
    future: impl Future<Output = T>,
) -> Watched<T> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        if let Poll::Ready(value) = future.as_mut().poll(cx) {
            return Poll::Ready(Watched::Done(value));
        }
        if drainable && let Some(drain) = local.drain() {
            return Poll::Ready(Watched::Drain(drain));
        }
        idle.poll(cx, &local.shared).map(|()| Watched::Idle)
    })
    .await
}

/// The idle timeout of a connection. Moving bytes only notes the time; the timer finds out when it fires that it has
/// to be set again, so that a busy connection touches the timer store once per timeout and not once per message.
#[derive(Debug)]
struct Idle {
    /// Absent where there is no timeout, and in a box since most servers have none.
    sleep: Option<Box<Sleep>>,
    /// When a byte last moved, in nanoseconds since the server started.
    touched_ns: u64,
}

impl Idle {
    fn new(shared: &Shared) -> Self {
        Self {
            sleep: shared
                .idle_timeout
                .map(|limit| Box::new(time::sleep(limit))),
            touched_ns: shared.age_ns(),
        }
    }

    fn touch(&mut self, shared: &Shared) {
        if self.sleep.is_some() {
            self.touched_ns = shared.age_ns();
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, shared: &Shared) -> Poll<()> {
        let (Some(sleep), Some(limit)) = (&mut self.sleep, shared.idle_timeout) else {
            return Poll::Pending;
        };
        ready!(Pin::new(&mut **sleep).poll(cx));
        let due = shared.started + Duration::from_nanos(self.touched_ns) + limit;
        if due <= Instant::now() {
            return Poll::Ready(());
        }
        Pin::new(&mut **sleep).reset(due);
        // Ready again at once only when the reactor has ended, and the connection with it.
        Pin::new(&mut **sleep).poll(cx)
    }
}

#[cfg(test)]
mod tests;
