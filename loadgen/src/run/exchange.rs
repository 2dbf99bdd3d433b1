//! The exchange of one connection, without its socket: the bytes to send next, the expected bytes,
//! and the requests in flight.
//!
//! Requests are sent back to back and answered in order. The [`Protocol`] makes their bytes.
//! `dialogue.rs` describes when each function is called. This file does no I/O and reads no clock.
//! Tests: `exchange/tests.rs`.

use std::collections::VecDeque;

use crate::measure::clock::{Nanos, Stamp};
use crate::run::dialogue::Dialogue;
use crate::run::protocol::{Protocol, ProtocolSpec, Sent, Verdict, Wrong};

/// A position in the stream of requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Position {
    request: u64,
    at: usize,
}

impl Position {
    #[inline(always)]
    fn advance(&mut self, bytes: usize, protocol: &impl Protocol) {
        let size = protocol.size(self.request);
        let total = self.at + bytes;
        // A transfer usually ends in the request in which it began.
        if total < size {
            self.at = total;
        } else {
            self.request += 1;
            self.at = 0;
            if total > size {
                self.advance_on(total - size, protocol);
            }
        }
    }

    fn advance_on(&mut self, mut bytes: usize, protocol: &impl Protocol) {
        loop {
            let size = protocol.size(self.request);
            if bytes < size {
                self.at = bytes;
                return;
            }
            bytes -= size;
            self.request += 1;
        }
    }
}

/// The state of one exchange.
#[derive(Debug)]
pub struct Exchange<P> {
    protocol: P,
    /// The number of requests planned so far, which is the number of the next one.
    planned: u64,
    /// The next byte to send.
    outgoing: Position,
    /// The number of requests answered so far, which is the number of the oldest one without an
    /// answer.
    answered: u64,
    /// True after the last answer.
    over: bool,
    /// True if an answer has begun and is not complete.
    partial: bool,
    /// The number of received bytes, counted from the start of the wrong answer.
    refuted: usize,
    /// The planned requests without an answer, oldest first.
    in_flight: VecDeque<Stamp>,
}

impl<P: Protocol> Exchange<P> {
    /// Makes an exchange without a request. It has room for `pipeline` requests in flight, and
    /// grows for more.
    #[must_use]
    pub fn new(protocol: P, pipeline: usize) -> Self {
        Self {
            protocol,
            planned: 0,
            outgoing: Position::default(),
            answered: 0,
            over: false,
            partial: false,
            refuted: 0,
            in_flight: VecDeque::with_capacity(pipeline),
        }
    }

    /// Returns the number of requests that were sent completely.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.outgoing.request
    }

    /// Returns the intended time of a planned request without an answer.
    fn intended(&self, request: u64) -> Nanos {
        let at = usize::try_from(request - self.answered).ok();
        let stamp = at.and_then(|at| self.in_flight.get(at));
        stamp.map_or(0, |stamp| stamp.intended)
    }

    #[inline]
    fn complete(&mut self, verdict: Verdict) -> Stamp {
        self.answered += 1;
        self.over = verdict.last;
        self.in_flight
            .pop_front()
            .expect("a request that was sent is due until it is answered")
    }
}

impl<P: Protocol> Dialogue for Exchange<P> {
    const PEER_MAY_CLOSE: bool = P::PEER_MAY_CLOSE;
    const TIMES_FIRST_BYTE: bool = P::TIMES_FIRST_BYTE;
    const PLANS_ANY_TIME: bool = false;

    fn begin(protocol: &ProtocolSpec, seed: u64, connection: u64, pipeline: usize) -> Self {
        Self::new(P::new(protocol, seed, connection), pipeline)
    }

    #[inline]
    fn plan(&mut self, stamp: Stamp) {
        self.planned += 1;
        self.in_flight.push_back(stamp);
    }

    #[inline]
    fn planned(&self) -> u64 {
        self.planned
    }

    #[inline]
    fn has_output(&self) -> bool {
        self.outgoing.request < self.planned
    }

    #[inline]
    fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    fn answered(&self) -> u64 {
        self.answered
    }

    #[inline]
    fn is_over(&self) -> bool {
        P::PEER_MAY_CLOSE && self.over
    }

    fn is_farewell(&self, bytes: &[u8]) -> bool {
        self.in_flight.is_empty() && self.protocol.is_farewell(bytes)
    }

    #[inline]
    fn is_partial(&self) -> bool {
        self.partial
    }

    fn refuted(&self) -> usize {
        self.refuted
    }

    fn oldest_in_flight(&self) -> Option<Stamp> {
        self.in_flight.front().copied()
    }

    fn take_in_flight(&mut self) -> impl Iterator<Item = Stamp> {
        self.in_flight.drain(..)
    }

    // Otherwise the compiler makes a call of it, which costs tens of instructions per request.
    #[inline(always)]
    fn fill(&self, out: &mut [u8]) -> usize {
        let mut position = self.outgoing;
        let mut filled = 0;
        while position.request < self.planned && filled < out.len() {
            let left = self.protocol.size(position.request) - position.at;
            let take = left.min(out.len() - filled);
            let intended = if P::WRITES_INTENDED {
                self.intended(position.request)
            } else {
                0
            };
            self.protocol.fill(
                position.request,
                intended,
                position.at,
                &mut out[filled..filled + take],
            );
            filled += take;
            position.advance(take, &self.protocol);
        }
        filled
    }

    #[inline(always)]
    fn wrote(&mut self, bytes: usize) {
        self.outgoing.advance(bytes, &self.protocol);
        debug_assert!(self.outgoing.request <= self.planned);
    }

    #[inline(always)]
    fn received(
        &mut self,
        mut bytes: &[u8],
        _now: Nanos,
        mut answered: impl FnMut(Stamp, Verdict, Nanos),
    ) -> Result<(), Box<Wrong>> {
        while !bytes.is_empty() {
            let sent = if self.answered < self.outgoing.request {
                Sent::Whole
            } else {
                Sent::Part(self.outgoing.at)
            };
            if self.is_over() {
                self.refuted = bytes.len();
                return Err(Wrong::unasked(bytes));
            }
            let taken = match self.protocol.take(self.answered, sent, bytes) {
                Ok(taken) => taken,
                Err(wrong) => {
                    self.refuted = bytes.len();
                    return Err(wrong);
                }
            };
            self.partial = taken.answer.is_none();
            if let Some(verdict) = taken.answer {
                answered(self.complete(verdict), verdict, 0);
            }
            bytes = &bytes[taken.bytes..];
        }
        Ok(())
    }

    fn end_of_stream(&mut self) -> Option<(Stamp, Verdict)> {
        let verdict = self.protocol.end_of_stream()?;
        Some((self.complete(verdict), verdict))
    }
}

#[cfg(test)]
mod tests;
