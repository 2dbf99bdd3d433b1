//! Requests of one template, answered by known bytes or by HTTP.
//!
//! Tests: at the end of this file; those of HTTP are in `http/tests.rs`.

use std::sync::Arc;

use super::http::Http;
use super::{Answers, Protocol, ProtocolSpec, Sent, Taken, Verdict, Wrong};
use crate::measure::clock::Nanos;
use crate::run::template::Requests;

/// One connection that repeats a request.
#[derive(Debug)]
pub struct Fixed {
    requests: Requests,
    answer: Answer,
}

#[derive(Debug)]
enum Answer {
    Http(Http),
    Bytes {
        expected: Arc<[u8]>,
        verify: bool,
        /// Position in the oldest answer that is not complete.
        at: usize,
    },
}

impl Protocol for Fixed {
    /// HTTP announces the end of a connection. Known bytes cannot announce it, but a server that
    /// closes after each exchange, as many do, owes nothing at that time.
    const PEER_MAY_CLOSE: bool = true;
    const TIMES_FIRST_BYTE: bool = true;
    const WRITES_INTENDED: bool = true;

    fn new(protocol: &ProtocolSpec, seed: u64, connection: u64) -> Self {
        let ProtocolSpec::Fixed { request, answer } = protocol else {
            panic!("{} is not a fixed request", protocol.name())
        };
        Self {
            requests: request.of(seed, connection),
            answer: match answer {
                Answers::Http { bodiless } => Answer::Http(Http::new(*bodiless)),
                Answers::Http2 { .. } => panic!("HTTP/2 answers on streams"),
                Answers::Bytes { expected, verify } => Answer::Bytes {
                    expected: Arc::clone(expected),
                    verify: *verify,
                    at: 0,
                },
            },
        }
    }

    fn size(&self, request: u64) -> usize {
        self.requests.size(request)
    }

    fn fill(&self, request: u64, intended: Nanos, at: usize, out: &mut [u8]) {
        self.requests.fill(request, intended, at, out);
    }

    fn take(&mut self, request: u64, sent: Sent, bytes: &[u8]) -> Result<Taken, Box<Wrong>> {
        if sent != Sent::Whole {
            return Err(Wrong::unasked(bytes));
        }
        match &mut self.answer {
            Answer::Http(http) => http.take(bytes).map_err(|why| {
                Box::new(Wrong::Malformed {
                    request,
                    why: why.into(),
                })
            }),
            Answer::Bytes {
                expected,
                verify,
                at,
            } => {
                let rest = &expected[*at..];
                let now = &bytes[..rest.len().min(bytes.len())];
                if *verify && let Some(wrong) = now.iter().zip(rest).position(|(a, b)| a != b) {
                    return Err(Box::new(Wrong::Byte {
                        request,
                        at: *at + wrong,
                        expected: rest[wrong],
                        got: now[wrong],
                        looks_like: None,
                    }));
                }
                *at += now.len();
                let complete = *at == expected.len();
                if complete {
                    *at = 0;
                }
                Ok(Taken {
                    bytes: now.len(),
                    answer: complete.then_some(Verdict::GOOD),
                })
            }
        }
    }

    /// A proxy that closes an idle connection sends 408 or another response first.
    fn is_farewell(&self, bytes: &[u8]) -> bool {
        matches!(self.answer, Answer::Http(_)) && bytes.starts_with(b"HTTP/1.")
    }

    fn end_of_stream(&mut self) -> Option<Verdict> {
        match &mut self.answer {
            Answer::Http(http) => http.end_of_stream(),
            Answer::Bytes { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::template::Template;

    fn ping(verify: bool) -> Fixed {
        let protocol = ProtocolSpec::Fixed {
            request: Template::plain(b"PING\r\n"),
            answer: Answers::Bytes {
                expected: Arc::from(*b"+PONG\r\n"),
                verify,
            },
        };
        Fixed::new(&protocol, 0, 0)
    }

    fn take(fixed: &mut Fixed, bytes: &[u8]) -> Result<(usize, bool), Wrong> {
        let taken = fixed.take(3, Sent::Whole, bytes).map_err(|wrong| *wrong)?;
        Ok((taken.bytes, taken.answer.is_some()))
    }

    #[test]
    fn known_bytes_are_taken_in_any_pieces() {
        let mut fixed = ping(true);
        assert_eq!(take(&mut fixed, b"+PONG\r\n+PONG"), Ok((7, true)));
        assert_eq!(take(&mut fixed, b"+PONG"), Ok((5, false)));
        assert_eq!(take(&mut fixed, b"\r\n"), Ok((2, true)));
        let mut part = [0; 3];
        fixed.fill(9, 0, 2, &mut part);
        assert_eq!((&part, fixed.size(9)), (b"NG\r", 6));
    }

    #[test]
    fn a_byte_that_differs_is_named_unless_only_counted() {
        let mut fixed = ping(true);
        assert_eq!(take(&mut fixed, b"+P"), Ok((2, false)));
        assert_eq!(
            take(&mut fixed, b"INK\r\n"),
            Err(Wrong::Byte {
                request: 3,
                at: 2,
                expected: b'O',
                got: b'I',
                looks_like: None
            })
        );
        assert_eq!(take(&mut ping(false), b"-ERR..."), Ok((7, true)));
    }

    #[test]
    fn nothing_answers_a_request_that_is_not_out() {
        let answer = ping(true).take(0, Sent::Part(5), b"+PONG\r\n");
        assert_eq!(answer, Err(Box::new(Wrong::Unasked { bytes: 7 })));
    }
}
