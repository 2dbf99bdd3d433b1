//! One connection's side of the run's protocol, as a state machine without a socket.
//!
//! The task of a connection (`connection.rs`) moves bytes between its socket and a [`Dialogue`],
//! tells it which requests to send, and learns which were answered. Where answers come in the order
//! of the requests it is an `Exchange`; `http2.rs` and `websocket.rs` have the others.

use std::fmt;

use crate::measure::clock::{Nanos, Stamp};
use crate::run::protocol::{ProtocolSpec, Verdict, Wrong};

/// The state of one connection's conversation.
pub(crate) trait Dialogue: fmt::Debug + Sized + 'static {
    /// True if a peer may end a connection that owes nothing, or by an answer that says so.
    const PEER_MAY_CLOSE: bool;

    /// True if the time to the first byte of an answer is recorded.
    const TIMES_FIRST_BYTE: bool;

    /// True if the last bytes of the protocol are written when a conversation is over.
    const SAYS_GOODBYE: bool = false;

    /// True if requests may be planned while earlier bytes wait to be written. Bytes of the
    /// protocol itself would otherwise hold back requests that nothing else brings up again.
    const PLANS_ANY_TIME: bool;

    /// A conversation in which nothing was said yet, on connection number `connection` of the run
    /// with this `seed`. `pipeline` requests are expected to be due at once.
    fn begin(protocol: &ProtocolSpec, seed: u64, connection: u64, pipeline: usize) -> Self;

    /// Adds a request to what goes out.
    fn plan(&mut self, stamp: Stamp);

    /// Requests planned so far.
    fn planned(&self) -> u64;

    /// Returns true if bytes wait to be written.
    fn has_output(&self) -> bool;

    /// Requests planned and not answered.
    fn in_flight(&self) -> usize;

    /// Requests answered so far.
    fn answered(&self) -> u64;

    /// Returns true if no further answer comes on this connection.
    fn is_over(&self) -> bool;

    /// Returns true if bytes that came while nothing was in flight say that the peer closes the
    /// connection.
    fn is_farewell(&self, _bytes: &[u8]) -> bool {
        false
    }

    /// Returns true if an answer has begun and is not complete.
    fn is_partial(&self) -> bool {
        false
    }

    /// Returns how many bytes at the end of those last received are from the wrong answer on.
    fn refuted(&self) -> usize;

    /// Returns the stamp of the oldest request without an answer.
    fn oldest_in_flight(&self) -> Option<Stamp>;

    /// Takes the stamps of all requests that were never answered, the oldest first.
    fn take_in_flight(&mut self) -> impl Iterator<Item = Stamp>;

    /// Writes the next bytes to send into `out`, as many as fit, and returns how many. Calling it
    /// again gives the same bytes until [`wrote`](Self::wrote) moves on.
    fn fill(&self, out: &mut [u8]) -> usize;

    /// Notes that `bytes` of what [`fill`](Self::fill) gave went out.
    fn wrote(&mut self, bytes: usize);

    /// Takes bytes that came in at `now` and calls `answered` for each request they complete, with
    /// the time of the first byte of its answer, or zero where the connection knows it.
    ///
    /// # Errors
    /// The first thing wrong with them. The conversation cannot go on.
    fn received(
        &mut self,
        bytes: &[u8],
        now: Nanos,
        answered: impl FnMut(Stamp, Verdict, Nanos),
    ) -> Result<(), Box<Wrong>>;

    /// The peer sends no more: the request that this answers, if any.
    fn end_of_stream(&mut self) -> Option<(Stamp, Verdict)> {
        None
    }
}
