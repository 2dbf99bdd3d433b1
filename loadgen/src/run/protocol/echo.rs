//! Echo: every request has unique bytes, and the same bytes come back in the same order.
//!
//! No buffer is kept, since [`Payload`] can produce and check any position. Tests:
//! `exchange/tests.rs`.

use super::{LooksLike, Protocol, ProtocolSpec, Sent, Taken, Verdict, Wrong};
use crate::measure::clock::Nanos;
use crate::run::payload::Payload;

/// The minimum number of equal bytes in a row by which a reply is recognised.
const RECOGNISE_MIN: usize = 8;
/// The number of requests before and after the expected one whose replies are recognised.
const RECOGNISE_REQUESTS: u64 = 1_024;

/// One connection of the echo protocol.
#[derive(Debug)]
pub struct Echo {
    payload: Payload,
    verify: bool,
    /// The position in the oldest incomplete answer.
    at: usize,
}

impl Echo {
    /// Makes a connection with these payloads. With `verify`, it compares the echo.
    #[must_use]
    pub fn of(payload: Payload, verify: bool) -> Self {
        Self {
            payload,
            verify,
            at: 0,
        }
    }

    /// Describes the difference at position `wrong` of `reply`, which continues the answer to
    /// `request`.
    #[cold]
    fn explain_slow(&self, request: u64, reply: &[u8], wrong: usize) -> Box<Wrong> {
        let at = self.at + wrong;
        let rest = &reply[wrong..];
        let matches = |request: u64, at: usize| {
            let len = rest
                .len()
                .min(self.payload.size(request).saturating_sub(at));
            len >= RECOGNISE_MIN && self.payload.verify(request, at, &rest[..len]).is_ok()
        };
        let nearby = request.saturating_sub(RECOGNISE_REQUESTS)..request + RECOGNISE_REQUESTS;
        let looks_like = nearby
            .filter(|&other| other != request)
            .find(|&other| matches(other, at))
            .map(LooksLike::ReplyTo)
            .or_else(|| {
                (at + 1..self.payload.size(request))
                    .find(|&other| matches(request, other))
                    .map(|other| LooksLike::Shifted(other - at))
            });
        Box::new(Wrong::Byte {
            request,
            at,
            expected: self.payload.byte(request, at),
            got: rest[0],
            looks_like,
        })
    }
}

impl Protocol for Echo {
    /// Only this side knows when an echo connection is over.
    const PEER_MAY_CLOSE: bool = false;
    const TIMES_FIRST_BYTE: bool = false;

    fn new(protocol: &ProtocolSpec, seed: u64, connection: u64) -> Self {
        let ProtocolSpec::Echo {
            sizes,
            verify,
            work_us,
        } = protocol
        else {
            panic!("{} is not an echo", protocol.name())
        };
        let mut payload = Payload::new(seed, connection, sizes);
        if let Some(work_us) = work_us {
            payload = payload.asking_for(*work_us);
        }
        Self::of(payload, *verify)
    }

    #[inline]
    fn size(&self, request: u64) -> usize {
        self.payload.size(request)
    }

    #[inline]
    fn fill(&self, request: u64, _intended: Nanos, at: usize, out: &mut [u8]) {
        self.payload.fill(request, at, out);
    }

    // Otherwise the compiler makes a call of it, and every answer runs this code.
    #[inline(always)]
    fn take(&mut self, request: u64, sent: Sent, bytes: &[u8]) -> Result<Taken, Box<Wrong>> {
        let size = self.payload.size(request);
        let awaited = match sent {
            Sent::Whole => size - self.at,
            Sent::Part(sent) => sent - self.at,
        };
        if awaited == 0 {
            return Err(Wrong::unasked(bytes));
        }
        let now = &bytes[..awaited.min(bytes.len())];
        if self.verify
            && let Err(wrong) = self.payload.verify(request, self.at, now)
        {
            return Err(self.explain_slow(request, now, wrong));
        }
        self.at += now.len();
        let complete = self.at == size;
        if complete {
            self.at = 0;
        }
        Ok(Taken {
            bytes: now.len(),
            answer: complete.then_some(Verdict::GOOD),
        })
    }

    fn end_of_stream(&mut self) -> Option<Verdict> {
        None
    }
}
