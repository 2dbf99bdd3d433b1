//! Clients that misbehave on purpose, beside the load: what they do to a server must not reach the others.
//!
//! Each takes a place of its own from the beginning of the run and goes through the door like everyone else. It makes one step
//! every `STEP`, whatever the socket is ready for, so it needs no events and holds a bare socket. Its requests are in no
//! histogram and no counter of the load; `BadCounts` says what came of them. A server may cut such a client off, which is no
//! error; an answer with wrong bytes is. Tests: at the end of this file, and `tests/bad_clients.rs`.

use std::fmt;
use std::future::Future;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::pin::pin;
use std::rc::Rc;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use reactor::time::sleep;
use socket2::Socket;

use crate::measure::failure::{ErrorKind, Failure};
use crate::run::exchange::{Exchange, Stamp};
use crate::run::link::{Link, Order};
use crate::run::protocol::Protocol;
use crate::run::shard::Shard;
use crate::run::transport::connect_socket;

/// From one step to the next.
const STEP: Duration = Duration::from_millis(10);
/// Requests a slow reader has in flight.
const SLOW_READ_DUE: usize = 64;
/// Receive buffer of those who do not read, so that the server feels it soon.
const RECEIVE_BUFFER: usize = 4_096;

/// A way to misbehave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BadKind {
    /// Sends requests and reads one byte of the answers at a time
    SlowRead,
    /// Sends one byte of a request at a time
    SlowWrite,
    /// Sends requests and reads nothing
    NeverRead,
    /// Sends a request, closes its half of the connection, and reads to the end; again and again
    HalfClose,
    /// Sends a request and resets the connection; again and again
    Reset,
}

impl BadKind {
    const ALL: [Self; 5] = [
        Self::SlowRead,
        Self::SlowWrite,
        Self::NeverRead,
        Self::HalfClose,
        Self::Reset,
    ];

    /// Its word on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SlowRead => "slow-read",
            Self::SlowWrite => "slow-write",
            Self::NeverRead => "never-read",
            Self::HalfClose => "half-close",
            Self::Reset => "reset",
        }
    }
}

/// A way to misbehave, and what part of the connections does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BadShare {
    kind: BadKind,
    /// More than zero, less than one.
    share: f64,
}

impl BadShare {
    /// The way.
    #[must_use]
    pub fn kind(self) -> BadKind {
        self.kind
    }

    /// How many of so many connections: one at the least.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a u32"
    )]
    pub fn of(self, connections: u32) -> u32 {
        ((self.share * f64::from(connections)).round() as u32).max(1)
    }
}

/// `KIND:SHARE`, the share as `5%` or `0.05`.
impl FromStr for BadShare {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((kind, share)) = text.split_once(':') else {
            return Err("write KIND:SHARE, as in slow-read:5%".to_owned());
        };
        let kind = BadKind::from_str(kind, false).map_err(|_| {
            let names = BadKind::ALL.map(BadKind::name).join(", ");
            format!("{kind:?} is not one of {names}")
        })?;
        let (number, whole) = match share.strip_suffix('%') {
            Some(percent) => (percent, 100.0),
            None => (share, 1.0),
        };
        let number: f64 = number.parse().unwrap_or(f64::NAN);
        let share = number / whole;
        if 0.0 < share && share < 1.0 {
            Ok(Self { kind, share })
        } else {
            Err("the share is a part of the connections, as in 5% or 0.05".to_owned())
        }
    }
}

/// What came of the clients of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct BadCounts {
    /// Connections they made.
    pub(crate) connections: u64,
    /// Connections that could not be made.
    pub(crate) refused: u64,
    /// Requests that went out whole.
    pub(crate) requests: u64,
    /// Answers that came whole.
    pub(crate) answers: u64,
    /// Connections that the server ended before they were done.
    pub(crate) cut: u64,
}

/// The counts of every kind, in the order of [`BadKind`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct BadTally([BadCounts; BadKind::ALL.len()]);

impl BadTally {
    pub(crate) fn of(&mut self, kind: BadKind) -> &mut BadCounts {
        &mut self.0[kind as usize]
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            mine.connections += theirs.connections;
            mine.refused += theirs.refused;
            mine.requests += theirs.requests;
            mine.answers += theirs.answers;
            mine.cut += theirs.cut;
        }
    }
}

/// The task of one connection of a bad client. Another follows until the run is over.
pub(crate) async fn run<P: Protocol>(shard: Rc<Shard>, link: Rc<Link>, kind: BadKind) {
    let protocol = P::new(&shard.plan.speech, shard.plan.seed, link.number());
    let mut visit = Visit {
        exchange: Exchange::new(protocol, 1),
        kind,
        opening: true,
        shard,
        link,
    };
    visit.make().await;
}

/// One connection of a bad client. Its end is accounted for when it is dropped, however that comes about.
struct Visit<P: Protocol> {
    shard: Rc<Shard>,
    link: Rc<Link>,
    kind: BadKind,
    exchange: Exchange<P>,
    /// Whether it still counts among those that are being opened.
    opening: bool,
}

/// How a step leaves a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Stay,
    /// It did what it came for.
    Done,
    /// The server ended it.
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
            // Not again at once.
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
        let (shard, kind, number) = (Rc::clone(&self.shard), self.kind, self.link.number());
        async move {
            let socket = shard.sources.socket(number, 0)?;
            if matches!(kind, BadKind::SlowRead | BadKind::NeverRead) {
                socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
            }
            connect_socket(socket, &shard.plan.target).await
        }
    }

    /// Waits for a future; `None` when the run is over before.
    async fn unless_over<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        while self.link.order() == Order::GoOn {
            if let Some(output) = self.link.news.unless_told(future.as_mut()).await {
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
                if self.exchange.due() < SLOW_READ_DUE {
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
                if self.exchange.due() == 0 {
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
                    Step::Cut if self.exchange.due() == 0 => Ok(Step::Done),
                    step => Ok(step),
                }
            }
            BadKind::Reset if first => {
                self.plan();
                self.write(socket, usize::MAX)?;
                Ok(Step::Stay)
            }
            // With the answer in the air, or come and not read.
            BadKind::Reset => {
                socket.set_linger(Some(Duration::ZERO))?;
                Ok(Step::Done)
            }
        }
    }

    fn plan(&mut self) {
        // Nobody looks at when it was.
        let (intended, sent) = (0, 0);
        self.exchange.plan(Stamp { intended, sent });
    }

    /// Writes what is planned: as much as the system takes, and `most` bytes at most.
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

    /// Reads what is there, `most` bytes at most.
    fn read(&mut self, mut socket: &Socket, most: usize) -> io::Result<Step> {
        let mut left = most;
        while left > 0 {
            let mut answers = 0;
            let exchange = &mut self.exchange;
            let read = self.shard.incoming.lend(|buffer| {
                let room = buffer.len().min(left);
                let read = unless_blocked(socket.read(&mut buffer[..room]))?;
                let right = exchange.received(&buffer[..read.unwrap_or(0)], |_, _| answers += 1);
                Ok::<_, io::Error>((read, right))
            });
            let (read, right) = read?;
            self.count(|counts| counts.answers += answers);
            if let Err(wrong) = right {
                let detail = format!("a {} client: {wrong}", self.kind.name());
                let failure = Failure::new(ErrorKind::WrongAnswer, detail);
                self.shard.failed(&self.link, &failure);
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
        self.shard.replace(&self.link);
    }
}

/// The result of a call on a non-blocking socket; `None` where it would have blocked.
fn unless_blocked(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
        Err(error) => Err(error),
    }
}

impl fmt::Display for BadKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_percents_or_fractions() {
        for (text, kind, of_1000) in [
            ("slow-read:5%", BadKind::SlowRead, 50),
            ("slow-write:0.05", BadKind::SlowWrite, 50),
            ("reset:0.25%", BadKind::Reset, 3),
            ("half-close:0.0001", BadKind::HalfClose, 1),
            ("never-read:99.9%", BadKind::NeverRead, 999),
        ] {
            let share: BadShare = text.parse().expect(text);
            assert_eq!((share.kind(), share.of(1_000)), (kind, of_1000), "{text}");
        }
        for kind in BadKind::ALL {
            assert_eq!(BadKind::from_str(kind.name(), false), Ok(kind));
        }
    }

    #[test]
    fn what_is_none_is_refused_with_a_hint() {
        for (text, words) in [
            ("reset", "KIND:SHARE"),
            ("rude:5%", "slow-read, slow-write"),
            ("reset:5", "5% or 0.05"),
            ("reset:0", "5% or 0.05"),
            ("reset:100%", "5% or 0.05"),
            ("reset:x", "5% or 0.05"),
            ("reset:-1%", "5% or 0.05"),
        ] {
            let message = text.parse::<BadShare>().expect_err(text);
            assert!(message.contains(words), "{text}: {message}");
        }
    }
}
