//! Protocols: the bytes of each request, and the recognition of its answer.
//!
//! Each protocol whose answers come in order has a file with a pure state machine for one
//! connection: [`echo`], and [`fixed`], which repeats a request that is answered by known bytes or
//! by [`http`]. `http2.rs` and `websocket.rs` have the others.
//! [`Exchange`](crate::run::exchange::Exchange) drives them. None does I/O, reads a clock or keeps
//! a stamp. [`ProtocolSpec`] is the choice of the command line.

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
    /// Unique bytes, which the server echoes.
    Echo {
        /// The sizes of requests.
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
    /// Unique messages, which the server echoes over a WebSocket.
    WebSocket {
        /// The sizes of messages.
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
    /// Header fields in addition to the usual ones.
    pub fields: Vec<(String, String)>,
}

/// The answer to a fixed request.
#[derive(Debug, Clone)]
pub enum Answers {
    /// A response of HTTP/1.1.
    Http {
        /// True if responses have no body, as after HEAD.
        bodiless: bool,
    },
    /// A response of HTTP/2, on a stream of its own.
    Http2 {
        /// True if the connection is encrypted.
        secure: bool,
    },
    /// Known bytes.
    Bytes {
        /// The expected bytes.
        expected: Arc<[u8]>,
        /// True if answers are compared with them; otherwise only their length counts.
        verify: bool,
    },
}

impl ProtocolSpec {
    /// Returns the average size of a request in bytes.
    #[must_use]
    pub fn mean_size(&self) -> usize {
        match self {
            Self::Echo { sizes, .. } | Self::WebSocket { sizes, .. } => sizes.mean(),
            Self::Fixed { request, .. } => request.mean_size(),
        }
    }

    /// Returns true if answers are compared with the expected bytes.
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

    /// Returns its name on the command line.
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
    /// True if a peer may end a connection while it owes nothing, or with an answer that announces
    /// the end.
    const PEER_MAY_CLOSE: bool;

    /// True if the time to the first byte of an answer is recorded.
    const TIMES_FIRST_BYTE: bool;

    /// Makes the initial state of connection number `connection` of the run with this `seed`.
    ///
    /// # Panics
    /// The specification is for another protocol.
    fn new(protocol: &ProtocolSpec, seed: u64, connection: u64) -> Self;

    /// Returns the size of request number `request`, which is above zero.
    fn size(&self, request: u64) -> usize;

    /// True if requests contain their intended time.
    const WRITES_INTENDED: bool = false;

    /// Fills `out` with the bytes of `request` from position `at`. `out` may be shorter than the
    /// rest of the request. `intended` is the intended time, or zero if [`Self::WRITES_INTENDED`]
    /// is false.
    fn fill(&self, request: u64, intended: Nanos, at: usize, out: &mut [u8]);

    /// Handles received bytes while `request` is the oldest one without an answer. Uses at least
    /// one byte, and none beyond the end of the answer.
    ///
    /// # Errors
    /// The bytes are wrong, and the conversation cannot go on. The error is boxed, so that a good
    /// result fits into a register.
    fn take(&mut self, request: u64, sent: Sent, bytes: &[u8]) -> Result<Taken, Box<Wrong>>;

    /// Returns true if these bytes, which came while nothing was in flight, announce that the peer
    /// closes the connection.
    fn is_farewell(&self, _bytes: &[u8]) -> bool {
        false
    }

    /// Handles the end of the peer's stream. Returns true if it completes an answer.
    fn end_of_stream(&mut self) -> Option<Verdict>;
}

/// The status of a request that the server gave up without a response.
pub const STREAM_RESET: u16 = 0;

/// Returns true if the status means success. 304 does: it answers a conditional request and is no
/// redirect.
#[must_use]
pub fn is_good(status: u16) -> bool {
    (200..300).contains(&status) || status == 304
}

/// The part of a request that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// All of it.
    Whole,
    /// This many bytes, fewer than all, and perhaps none.
    Part(usize),
}

/// The result of handling received bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// The number of bytes used.
    pub bytes: usize,
    /// The answer that they complete.
    pub answer: Option<Verdict>,
}

/// The verdict on an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// The status of the response; zero in a protocol without one.
    pub status: u16,
    /// The status of a refusal.
    pub refused: Option<u16>,
    /// True if no further answer comes on this connection.
    pub last: bool,
}

impl Verdict {
    /// A good answer, after which the connection goes on.
    pub const GOOD: Self = Self {
        status: 0,
        refused: None,
        last: false,
    };
}

/// A wrong answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// A byte differs.
    Byte {
        /// The request, counted from zero on its connection.
        request: u64,
        /// The position in its answer.
        at: usize,
        /// The expected byte.
        expected: u8,
        /// The received byte.
        got: u8,
        /// The origin of the reply, if it is recognised.
        looks_like: Option<LooksLike>,
    },
    /// More bytes came than expected.
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

/// The origin of a wrong reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LooksLike {
    /// The reply to another request of this connection.
    ReplyTo(u64),
    /// The right reply, but this many bytes before it are missing.
    Shifted(usize),
}

impl Wrong {
    /// Unexpected bytes.
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
