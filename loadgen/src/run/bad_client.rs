//! Clients that misbehave on purpose, beside the load. They test that a server protects its other
//! clients from them.
//!
//! Each client has its own slot from the beginning of the run, and the pacer fills it like every
//! other slot. It makes one step every `STEP`, even if the socket is not ready, so it needs no
//! events and holds a bare socket. Its requests are in no histogram and no counter of the load;
//! `BadCounts` has their results. A server may cut such a client off: this is no error. An answer
//! with wrong bytes is an error. Tests: at the end of this file, and `tests/bad_clients.rs`.

use std::future::Future;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use reactor::time::sleep;
use socket2::Socket;

use crate::measure::clock::Stamp;
use crate::measure::failure::{ErrorKind, Failure};
use crate::run::bad_kind::{BadCounts, BadKind};
use crate::run::connection_slot::{ConnectionSlot, Directive};
use crate::run::dialogue::Dialogue as _;
use crate::run::exchange::Exchange;
use crate::run::protocol::Protocol;
use crate::run::shard::Shard;
use crate::run::transport::connect_socket;

/// The time between two steps.
const STEP: Duration = Duration::from_millis(10);
/// The number of requests that a slow reader has in flight.
const SLOW_READ_IN_FLIGHT: usize = 64;
/// The receive buffer of clients that do not read. It is small, so that the server soon cannot
/// write.
const RECEIVE_BUFFER: usize = 4_096;

/// Runs one connection of a bad client. The slot then gets another one, until the run is over.
pub(crate) async fn run<P: Protocol>(shard: Rc<Shard>, slot: Rc<ConnectionSlot>, kind: BadKind) {
    let protocol = P::new(&shard.plan.setup.protocol, shard.plan.seed, slot.number());
    let mut visit = Visit {
        exchange: Exchange::new(protocol, 1),
        kind,
        opening: true,
        shard,
        slot,
    };
    visit.make().await;
}

/// One connection of a bad client. Its drop counts its end.
struct Visit<P: Protocol> {
    shard: Rc<Shard>,
    slot: Rc<ConnectionSlot>,
    kind: BadKind,
    exchange: Exchange<P>,
    /// True while it counts as being opened.
    opening: bool,
}

/// The state of a connection after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Stay,
    /// The client completed its behaviour.
    Done,
    /// The server ended the connection.
    Cut,
}

impl<P: Protocol> Visit<P> {
    async fn make(&mut self) {
        let Some(connected) = self.unless_over(self.connect()).await else {
            return;
        };
        self.opening = false;
        self.shard.opened();
        let Ok(socket) = connected else {
            self.count(|counts| counts.refused += 1);
            // The next attempt waits.
            self.unless_over(sleep(STEP)).await;
            return;
        };
        self.count(|counts| counts.connections += 1);
        while self.unless_over(sleep(STEP)).await.is_some() {
            match self.step(&socket) {
                Ok(Step::Stay) => {}
                Ok(Step::Done) => return,
                Ok(Step::Cut) | Err(_) => return self.count(|counts| counts.cut += 1),
            }
        }
    }

    fn connect(&self) -> impl Future<Output = io::Result<Socket>> + use<P> {
        let (shard, kind) = (Rc::clone(&self.shard), self.kind);
        async move {
            let (socket, _) = shard.sources.socket()?;
            if matches!(kind, BadKind::SlowRead | BadKind::NeverRead) {
                socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
            }
            connect_socket(socket, &shard.plan.target).await
        }
    }

    /// Waits for a future; returns `None` if the run ends first.
    async fn unless_over<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        while self.slot.directive() == Directive::Continue {
            if let Some(output) = self.slot.event.unless_notified(future.as_mut()).await {
                return Some(output);
            }
        }
        None
    }

    fn count(&self, count: impl FnOnce(&mut BadCounts)) {
        count(self.shard.bad.borrow_mut().of(self.kind));
    }

    fn step(&mut self, socket: &Socket) -> io::Result<Step> {
        let first = self.exchange.planned() == 0;
        match self.kind {
            BadKind::SlowRead => {
                if self.exchange.in_flight() < SLOW_READ_IN_FLIGHT {
                    self.plan();
                }
                self.write(socket, usize::MAX)?;
                self.read(socket, 1)
            }
            BadKind::NeverRead => {
                if !self.exchange.has_output() {
                    self.plan();
                }
                self.write(socket, usize::MAX)?;
                Ok(Step::Stay)
            }
            BadKind::SlowWrite => {
                if self.exchange.in_flight() == 0 {
                    self.plan();
                }
                self.write(socket, 1)?;
                self.read(socket, usize::MAX)
            }
            BadKind::HalfClose => {
                if first {
                    self.plan();
                }
                let had_output = self.exchange.has_output();
                self.write(socket, usize::MAX)?;
                if had_output && !self.exchange.has_output() {
                    socket.shutdown(Shutdown::Write)?;
                }
                match self.read(socket, usize::MAX)? {
                    Step::Cut if self.exchange.in_flight() == 0 => Ok(Step::Done),
                    step => Ok(step),
                }
            }
            BadKind::Reset if first => {
                self.plan();
                self.write(socket, usize::MAX)?;
                Ok(Step::Stay)
            }
            // The answer is on its way, or is here unread.
            BadKind::Reset => {
                socket.set_linger(Some(Duration::ZERO))?;
                Ok(Step::Done)
            }
        }
    }

    fn plan(&mut self) {
        // Nothing reads this time.
        let (intended, sent) = (0, 0);
        self.exchange.plan(Stamp { intended, sent });
    }

    /// Writes planned requests: as many bytes as the system takes, and at most `most`.
    fn write(&mut self, mut socket: &Socket, most: usize) -> io::Result<()> {
        let mut left = most;
        while left > 0 && self.exchange.has_output() {
            let wrote = self.shard.outgoing.lend(|buffer| {
                let room = buffer.len().min(left);
                let filled = self.exchange.fill(&mut buffer[..room]);
                unless_blocked(socket.write(&buffer[..filled]))
            })?;
            let Some(wrote) = wrote else { return Ok(()) };
            let before = self.exchange.sent();
            self.exchange.wrote(wrote);
            let sent = self.exchange.sent() - before;
            self.count(|counts| counts.requests += sent);
            left -= wrote;
        }
        Ok(())
    }

    /// Reads the available bytes, at most `most`.
    fn read(&mut self, mut socket: &Socket, most: usize) -> io::Result<Step> {
        let mut left = most;
        while left > 0 {
            let mut answers = 0;
            let exchange = &mut self.exchange;
            let read = self.shard.incoming.lend(|buffer| {
                let room = buffer.len().min(left);
                let read = unless_blocked(socket.read(&mut buffer[..room]))?;
                let right =
                    exchange.received(&buffer[..read.unwrap_or(0)], 0, |_, _, _| answers += 1);
                Ok::<_, io::Error>((read, right))
            });
            let (read, right) = read?;
            self.count(|counts| counts.answers += answers);
            if let Err(wrong) = right {
                let detail = format!("a {} client: {wrong}", self.kind.name());
                let failure = Failure::new(ErrorKind::WrongAnswer, detail);
                self.shard
                    .failed(&self.slot, &failure, self.shard.clock.now());
                return Ok(Step::Done);
            }
            match read {
                None => return Ok(Step::Stay),
                Some(0) => {
                    if self.exchange.end_of_stream().is_some() {
                        self.count(|counts| counts.answers += 1);
                    }
                    return Ok(Step::Cut);
                }
                Some(_) if self.exchange.is_over() => return Ok(Step::Done),
                Some(read) => left -= read,
            }
        }
        Ok(Step::Stay)
    }
}

impl<P: Protocol> Drop for Visit<P> {
    fn drop(&mut self) {
        if self.opening {
            self.shard.opened();
        }
        self.shard.replace(&self.slot);
    }
}

/// Returns the result of a call on a non-blocking socket, or `None` if the call would have blocked.
fn unless_blocked(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
        Err(error) => Err(error),
    }
}
