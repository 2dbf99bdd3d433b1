//! Protocols: the bytes of each request, and the recognition of its answer.
//!
//! Each protocol whose answers come in order is a pure state machine of one connection in a file of
//! its own: [`echo`], and the [`fixed`] request that is repeated, answered by known bytes or in
//! [`http`]. `http2.rs` and `websocket.rs` have the others.
//! [`Exchange`](crate::run::exchange::Exchange) drives them; none does I/O, reads a clock or keeps
//! a stamp. [`ProtocolSpec`] is what the command line chose.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::measure::clock::Nanos;
use crate::run::sizes::Sizes;
use crate::run::template::Template;

pub mod echo;
pub mod escape;
pub mod fixed;
pub mod http;

/// The protocol of a run with its parameters.
#[derive(Debug, Clone)]
pub enum ProtocolSpec {
    /// Bytes that are unique, echoed.
    Echo {
        /// Their number.
        sizes: Sizes,
        /// True if the echo is compared.
        verify: bool,
        /// The CPU time in microseconds that each request asks the server to spend.
        work_us: Option<u32>,
    },
    /// Requests of one template.
    Fixed {
        /// The requests.
        request: Template,
        /// The answer.
        answer: Answers,
    },
    /// Messages that are unique, echoed over a WebSocket.
    WebSocket {
        /// Their bytes.
        sizes: Sizes,
        /// True if the echo is compared.
        verify: bool,
        /// The request that opens the WebSocket.
        upgrade: Upgrade,
    },
}

/// The request that opens a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgrade {
    /// Its address.
    pub url: String,
    /// Header fields beside the usual ones.
    pub fields: Vec<(String, String)>,
}

/// The answer to a fixed request.
#[derive(Debug, Clone)]
pub enum Answers {
    /// A response of HTTP/1.1.
    Http {
        /// True if responses have no body, as those to HEAD.
        bodiless: bool,
    },
    /// A response of HTTP/2, on a stream of its own.
    Http2 {
        /// True if the connection is encrypted.
        secure: bool,
    },
    /// These bytes.
    Bytes {
        /// All of them.
        expected: Arc<[u8]>,
        /// True if they are compared, or only counted.
        verify: bool,
    },
}

impl ProtocolSpec {
    /// Bytes of a request on average.
    #[must_use]
    pub fn mean_size(&self) -> usize {
        match self {
            Self::Echo { sizes, .. } | Self::WebSocket { sizes, .. } => sizes.mean(),
            Self::Fixed { request, .. } => request.mean_size(),
        }
    }

    /// Returns true if answers are compared with what should come.
    #[must_use]
    pub fn verifies(&self) -> bool {
        match self {
            Self::Echo { verify, .. } | Self::WebSocket { verify, .. } => *verify,
            Self::Fixed { answer, .. } => match answer {
                Answers::Http { .. } | Answers::Http2 { .. } => true,
                Answers::Bytes { verify, .. } => *verify,
            },
        }
    }

    /// Its word on the command line.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Echo { .. } => "echo",
            Self::Fixed { answer, .. } => match answer {
                Answers::Http { .. } => "http",
                Answers::Http2 { .. } => "http2",
                Answers::Bytes { .. } => "raw",
            },
            Self::WebSocket { .. } => "websocket",
        }
    }
}

/// The state of one connection's side of a protocol.
pub trait Protocol: fmt::Debug + Sized + 'static {
    /// True if a peer may end a connection that owes nothing, or by an answer that says so.
    const PEER_MAY_CLOSE: bool;

    /// True if the time to the first byte of an answer is recorded.
    const TIMES_FIRST_BYTE: bool;

    /// The state at the beginning of connection number `connection` of the run with this `seed`.
    ///
    /// # Panics
    /// The specification is that of another protocol.
    fn new(protocol: &ProtocolSpec, seed: u64, connection: u64) -> Self;

    /// Bytes of request number `request`; more than zero.
    fn size(&self, request: u64) -> usize;

    /// True if requests contain their intended time.
    const WRITES_INTENDED: bool = false;

    /// Writes the bytes of `request` from position `at` into all of `out`, which may end before the
    /// request does. `intended` is its intended time, or zero if [`Self::WRITES_INTENDED`] is
    /// false.
    fn fill(&self, request: u64, intended: Nanos, at: usize, out: &mut [u8]);

    /// Takes bytes that came in while `request` was the oldest without an answer. Uses one at
    /// least, and none beyond the end of its answer.
    ///
    /// # Errors
    /// The bytes are wrong. The error is boxed, so that a good result fits a register. The
    /// conversation cannot go on.
    fn take(&mut self, request: u64, sent: Sent, bytes: &[u8]) -> Result<Taken, Box<Wrong>>;

    /// Returns true if these bytes, which came while nothing was in flight, say that the peer
    /// closes the connection.
    fn is_farewell(&self, _bytes: &[u8]) -> bool {
        false
    }

    /// The peer sends no more: whether that completes an answer.
    fn end_of_stream(&mut self) -> Option<Verdict>;
}

/// The status in place of one where the server gave up a single request without a response.
pub const STREAM_RESET: u16 = 0;

/// Returns true if a status says that the server did what it was asked. 304 answers a conditional
/// request, and redirects nobody.
#[must_use]
pub fn is_good(status: u16) -> bool {
    (200..300).contains(&status) || status == 304
}

/// The part of a request that went out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// All of it.
    Whole,
    /// This many bytes, fewer than all; perhaps none.
    Part(usize),
}

/// The use made of bytes that came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// The number of bytes used.
    pub bytes: usize,
    /// The answer they complete.
    pub answer: Option<Verdict>,
}

/// The verdict on an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// The status of the response; zero in a protocol without one.
    pub status: u16,
    /// The status of a server that did not do what was asked.
    pub refused: Option<u16>,
    /// True if no further answer comes on this connection.
    pub last: bool,
}

impl Verdict {
    /// A good answer, with more to come.
    pub const GOOD: Self = Self {
        status: 0,
        refused: None,
        last: false,
    };
}

/// An answer that is not what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// A byte differs.
    Byte {
        /// The request, counted from zero on its connection.
        request: u64,
        /// The position in its answer.
        at: usize,
        /// The byte that should have come.
        expected: u8,
        /// The byte that came.
        got: u8,
        /// The content of the reply, where it is recognised.
        looks_like: Option<LooksLike>,
    },
    /// More bytes came than were asked for.
    Unasked {
        /// The number of them.
        bytes: usize,
    },
    /// The reply does not follow its protocol.
    Malformed {
        /// The request, counted from zero on its connection.
        request: u64,
        /// The fault.
        why: Cow<'static, str>,
    },
}

/// The content of a wrong reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LooksLike {
    /// The reply to another request of this connection.
    ReplyTo(u64),
    /// The right reply, with this many bytes missing before it.
    Shifted(usize),
}

impl Wrong {
    /// These bytes came unasked.
    #[cold]
    pub(crate) fn unasked(bytes: &[u8]) -> Box<Self> {
        Box::new(Self::Unasked { bytes: bytes.len() })
    }
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
                    "request {request}: byte {at} of the reply is {got:#04x}, expected was {expected:#04x}"
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
            Self::Malformed { request, why } => write!(f, "request {request}: {why}"),
        }
    }
}
