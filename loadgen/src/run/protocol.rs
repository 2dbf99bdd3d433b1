//! What is said on a connection: the bytes of each request, and how its answer is recognised.
//!
//! Each protocol is a pure state machine of one connection in a file of its own: [`echo`], and the
//! [`fixed`] request that is repeated, answered by known bytes or in [`http`].
//! [`Exchange`](crate::run::exchange::Exchange) drives them; none does I/O, reads a clock or keeps
//! a stamp. [`ProtocolSpec`] is what the command line chose.

use std::fmt;
use std::sync::Arc;

use crate::run::sizes::Sizes;

pub mod echo;
pub mod escape;
pub mod fixed;
pub mod http;

/// What a run says, before there are connections.
#[derive(Debug, Clone)]
pub enum ProtocolSpec {
    /// Bytes that are unique, echoed.
    Echo {
        /// Their number.
        sizes: Sizes,
        /// Whether the echo is compared.
        verify: bool,
        /// The CPU time in microseconds that each request asks the server to spend.
        work_us: Option<u32>,
    },
    /// The same request again and again.
    Fixed {
        /// Its bytes.
        request: Arc<[u8]>,
        /// What comes back.
        answer: Answers,
    },
}

/// What answers a fixed request.
#[derive(Debug, Clone)]
pub enum Answers {
    /// A response of HTTP/1.1 to a GET.
    Http,
    /// These bytes.
    Bytes {
        /// All of them.
        expected: Arc<[u8]>,
        /// Whether they are compared, or only counted.
        verify: bool,
    },
}

impl ProtocolSpec {
    /// Bytes of a request on average.
    #[must_use]
    pub fn mean_size(&self) -> usize {
        match self {
            Self::Echo { sizes, .. } => sizes.mean(),
            Self::Fixed { request, .. } => request.len(),
        }
    }

    /// Whether answers are compared with what should come.
    #[must_use]
    pub fn verifies(&self) -> bool {
        match self {
            Self::Echo { verify, .. } => *verify,
            Self::Fixed { answer, .. } => match answer {
                Answers::Http => true,
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
                Answers::Http => "http",
                Answers::Bytes { .. } => "raw",
            },
        }
    }
}

/// The state of one connection's side of a protocol.
pub trait Protocol: fmt::Debug + Sized + 'static {
    /// Whether a peer may end a connection that owes nothing, or by an answer that says so.
    const PEER_MAY_CLOSE: bool;

    /// The state at the beginning of connection number `connection` of the run with this `seed`.
    ///
    /// # Panics
    /// The specification is that of another protocol.
    fn new(protocol: &ProtocolSpec, seed: u64, connection: u64) -> Self;

    /// Bytes of request number `request`; more than zero.
    fn size(&self, request: u64) -> usize;

    /// Writes the bytes of `request` from position `at` into all of `out`, which may end before the
    /// request does.
    fn fill(&self, request: u64, at: usize, out: &mut [u8]);

    /// Takes bytes that came in while `request` was the oldest without an answer. Uses one at
    /// least, and none beyond the end of its answer.
    ///
    /// # Errors
    /// What is wrong with them, in a box: the result of what goes well fits a register. The
    /// conversation cannot go on.
    fn take(&mut self, request: u64, sent: Sent, bytes: &[u8]) -> Result<Taken, Box<Wrong>>;

    /// Whether these bytes, which came while nothing was in flight, say that the peer closes the
    /// connection.
    fn is_farewell(&self, _bytes: &[u8]) -> bool {
        false
    }

    /// The peer sends no more: whether that completes an answer.
    fn end_of_stream(&mut self) -> Option<Verdict>;
}

/// How much of a request went out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// All of it.
    Whole,
    /// This many bytes, fewer than all; perhaps none.
    Part(usize),
}

/// What became of bytes that came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// How many were used.
    pub bytes: usize,
    /// The answer they complete.
    pub answer: Option<Verdict>,
}

/// What an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// The status of a server that did not do what was asked.
    pub refused: Option<u16>,
    /// Whether no further answer comes on this connection.
    pub last: bool,
}

impl Verdict {
    /// What was asked for, with more to come.
    pub const GOOD: Self = Self {
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
        /// What the reply looks like instead, where that can be told.
        looks_like: Option<LooksLike>,
    },
    /// More bytes came than were asked for.
    Unasked {
        /// How many.
        bytes: usize,
    },
    /// The reply does not follow its protocol.
    Malformed {
        /// The request, counted from zero on its connection.
        request: u64,
        /// What is wrong with it.
        why: &'static str,
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
