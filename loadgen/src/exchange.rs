//! One connection's conversation without its socket: which bytes go out next, which must come back, and what is due.
//!
//! The echo protocol in its whole: requests of a fixed size go out back to back, and the same bytes come back in the same
//! order. No buffer is kept, since [`Payload`] can produce and check any position. The connection's task calls
//! [`plan`](Exchange::plan) for each request it means to send, then [`fill`](Exchange::fill) and
//! [`wrote`](Exchange::wrote) around each write and [`received`](Exchange::received) after each read. Does no I/O and reads no
//! clock. Tests: `exchange/tests.rs`.

use std::collections::VecDeque;
use std::fmt;

use crate::clock::Nanos;
use crate::payload::Payload;

/// When a request was meant to go out, and when it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The schedule's time; in a closed loop the same as `sent`.
    pub intended: Nanos,
    /// The time just before its first byte was handed to the system.
    pub sent: Nanos,
}

/// A position in the stream of requests or replies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Position {
    request: u64,
    at: usize,
}

impl Position {
    fn advance(&mut self, bytes: usize, size: usize) {
        let total = self.at + bytes;
        // The usual transfer is one whole request: no division.
        if total < size {
            self.at = total;
        } else if total == size {
            self.request += 1;
            self.at = 0;
        } else {
            self.request += (total / size) as u64;
            self.at = total % size;
        }
    }
}

/// The state of one conversation.
#[derive(Debug)]
pub struct Exchange {
    payload: Payload,
    verify: bool,
    /// Requests planned so far; the number of the next.
    planned: u64,
    /// The next byte to send.
    outgoing: Position,
    /// The next byte to come back.
    incoming: Position,
    /// Requests planned and not answered, the oldest first.
    due: VecDeque<Stamp>,
}

/// An answer that is not what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// A byte differs.
    Byte {
        /// The request, counted from zero on its connection.
        request: u64,
        /// The position in it.
        at: usize,
        /// The byte that was sent.
        expected: u8,
        /// The byte that came back.
        got: u8,
        /// What the reply looks like instead, where that can be told.
        looks_like: Option<LooksLike>,
    },
    /// More bytes came than were sent.
    Unasked {
        /// How many.
        bytes: usize,
    },
}

/// What a wrong reply was recognised as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LooksLike {
    /// The reply to another request of this connection.
    ReplyTo(u64),
    /// The right reply, with this many bytes missing before it.
    Shifted(usize),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Byte {
                request,
                at,
                expected,
                got,
                looks_like,
            } => {
                write!(
                    f,
                    "request {request}: byte {at} of the reply is {got:#04x}, sent was {expected:#04x}"
                )?;
                match looks_like {
                    Some(LooksLike::ReplyTo(other)) => {
                        write!(f, " (this is the reply to request {other})")
                    }
                    Some(LooksLike::Shifted(missing)) => {
                        write!(f, " ({missing} bytes are missing)")
                    }
                    None => Ok(()),
                }
            }
            Self::Unasked { bytes } => write!(f, "{bytes} bytes came that no request asked for"),
        }
    }
}

/// Fewer equal bytes than this in a row recognise nothing.
const RECOGNISE_MIN: usize = 8;
/// How far around a request the reply to another one is looked for.
const RECOGNISE_REQUESTS: u64 = 1_024;

impl Exchange {
    /// A conversation in which nothing was said yet. `pipeline` requests are expected to be due at once (more may be).
    #[must_use]
    pub fn new(payload: Payload, verify: bool, pipeline: usize) -> Self {
        Self {
            payload,
            verify,
            planned: 0,
            outgoing: Position::default(),
            incoming: Position::default(),
            due: VecDeque::with_capacity(pipeline),
        }
    }

    /// Adds a request to what goes out.
    #[inline]
    pub fn plan(&mut self, stamp: Stamp) {
        self.planned += 1;
        self.due.push_back(stamp);
    }

    /// Whether planned bytes wait to be written.
    #[must_use]
    #[inline]
    pub fn has_output(&self) -> bool {
        self.outgoing.request < self.planned
    }

    /// Requests planned and not answered.
    #[must_use]
    #[inline]
    pub fn due(&self) -> usize {
        self.due.len()
    }

    /// Requests answered so far.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.incoming.request
    }

    /// Takes the stamps of all requests that were never answered, the oldest first.
    pub fn take_due(&mut self) -> impl Iterator<Item = Stamp> {
        self.due.drain(..)
    }

    /// Writes the next bytes to send into `out`, as many as fit, and returns how many. Calling it again gives the same bytes
    /// until [`wrote`](Self::wrote) moves on.
    #[inline]
    pub fn fill(&self, out: &mut [u8]) -> usize {
        let mut position = self.outgoing;
        let mut filled = 0;
        while position.request < self.planned && filled < out.len() {
            let take = (self.payload.size() - position.at).min(out.len() - filled);
            self.payload.fill(
                position.request,
                position.at,
                &mut out[filled..filled + take],
            );
            filled += take;
            position.advance(take, self.payload.size());
        }
        filled
    }

    /// Notes that `bytes` of what [`fill`](Self::fill) gave went out.
    #[inline]
    pub fn wrote(&mut self, bytes: usize) {
        self.outgoing.advance(bytes, self.payload.size());
        debug_assert!(self.outgoing.request <= self.planned);
    }

    /// Checks bytes that came in and calls `answered` for each request they complete, in order.
    ///
    /// # Errors
    /// The first thing wrong with them; what came before it was counted. The conversation cannot go on.
    #[inline]
    pub fn received(
        &mut self,
        mut bytes: &[u8],
        mut answered: impl FnMut(Stamp),
    ) -> Result<(), Wrong> {
        let size = self.payload.size();
        while !bytes.is_empty() {
            let awaited = if self.incoming.request < self.outgoing.request {
                size - self.incoming.at
            } else {
                self.outgoing.at - self.incoming.at
            };
            if awaited == 0 {
                return Err(Wrong::Unasked { bytes: bytes.len() });
            }
            let (now, later) = bytes.split_at(awaited.min(bytes.len()));
            let Position { request, at } = self.incoming;
            if self.verify
                && let Err(wrong) = self.payload.verify(request, at, now)
            {
                return Err(self.explain_slow(now, wrong));
            }
            self.incoming.at += now.len();
            if self.incoming.at == size {
                self.incoming = Position {
                    request: self.incoming.request + 1,
                    at: 0,
                };
                answered(
                    self.due
                        .pop_front()
                        .expect("a request that was sent is due until it is answered"),
                );
            }
            bytes = later;
        }
        Ok(())
    }

    /// Describes a difference at `wrong` in `reply`, the next bytes that came in.
    #[cold]
    fn explain_slow(&self, reply: &[u8], wrong: usize) -> Wrong {
        let Position { request, at } = self.incoming;
        let at = at + wrong;
        let rest = &reply[wrong..];
        let matches = |request: u64, at: usize| {
            let len = rest.len().min(self.payload.size() - at);
            len >= RECOGNISE_MIN && self.payload.verify(request, at, &rest[..len]).is_ok()
        };
        let nearby = request.saturating_sub(RECOGNISE_REQUESTS)
            ..(request + RECOGNISE_REQUESTS).min(self.planned);
        let looks_like = nearby
            .filter(|&other| other != request)
            .find(|&other| matches(other, at))
            .map(LooksLike::ReplyTo)
            .or_else(|| {
                (at + 1..self.payload.size())
                    .find(|&other| matches(request, other))
                    .map(|other| LooksLike::Shifted(other - at))
            });
        Wrong::Byte {
            request,
            at,
            expected: self.payload.byte(request, at),
            got: rest[0],
            looks_like,
        }
    }
}

#[cfg(test)]
mod tests;
