//! One connection's side of the run's protocol, as a state machine without a socket.
//!
//! The task of a connection (`connection.rs`) moves bytes between its socket and a [`Dialogue`],
//! tells it the requests to send, and learns which ones were answered. If answers come in the order
//! of the requests, the dialogue is an `Exchange`. `http2.rs` and `websocket.rs` have the others.

use std::fmt;

use crate::measure::clock::{Nanos, Stamp};
use crate::run::protocol::{ProtocolSpec, Verdict, Wrong};

/// The state of one connection's conversation.
pub(crate) trait Dialogue: fmt::Debug + Sized + 'static {
    /// True if a peer may end a connection while it owes nothing, or with an answer that announces
    /// the end.
    const PEER_MAY_CLOSE: bool;

    /// True if the time to the first byte of an answer is recorded.
    const TIMES_FIRST_BYTE: bool;

    /// True if a conversation ends with last bytes of the protocol, which have to be written.
    const SAYS_GOODBYE: bool = false;

    /// True if requests may be planned while earlier bytes wait to be written. If they could not,
    /// waiting bytes of the protocol itself would hold back requests, and no later event would plan
    /// them.
    const PLANS_ANY_TIME: bool;

    /// Starts a conversation on connection number `connection` of the run with this `seed`. About
    /// `pipeline` requests will be in flight at once.
    fn begin(protocol: &ProtocolSpec, seed: u64, connection: u64, pipeline: usize) -> Self;

    /// Plans a request.
    fn plan(&mut self, stamp: Stamp);

    /// Returns the number of requests planned so far.
    fn planned(&self) -> u64;

    /// Returns true if bytes wait to be written.
    fn has_output(&self) -> bool;

    /// Returns the number of planned requests without an answer.
    fn in_flight(&self) -> usize;

    /// Returns the number of requests answered so far.
    fn answered(&self) -> u64;

    /// Returns true if no further answer comes on this connection.
    fn is_over(&self) -> bool;

    /// Returns true if the bytes that came while nothing was in flight announce that the peer
    /// closes the connection.
    fn is_farewell(&self, _bytes: &[u8]) -> bool {
        false
    }

    /// Returns true if an answer has begun and is not complete.
    fn is_partial(&self) -> bool {
        false
    }

    /// Returns the number of the last received bytes, counted from the start of the wrong answer.
    fn refuted(&self) -> usize;

    /// Returns the stamp of the oldest request without an answer.
    fn oldest_in_flight(&self) -> Option<Stamp>;

    /// Takes the stamps of all unanswered requests, oldest first.
    fn take_in_flight(&mut self) -> impl Iterator<Item = Stamp>;

    /// Writes the next bytes to send into `out`, as many as fit, and returns their number. Further
    /// calls give the same bytes until [`wrote`](Self::wrote) is called.
    fn fill(&self, out: &mut [u8]) -> usize;

    /// Records that `bytes` of the bytes from [`fill`](Self::fill) were sent.
    fn wrote(&mut self, bytes: usize);

    /// Handles bytes that arrived at `now`. Calls `answered` for each request that they answer
    /// completely, with the time of the first byte of the answer, or zero if the connection knows
    /// that time.
    ///
    /// # Errors
    /// Returns the first fault in the bytes. The conversation cannot go on.
    fn received(
        &mut self,
        bytes: &[u8],
        now: Nanos,
        answered: impl FnMut(Stamp, Verdict, Nanos),
    ) -> Result<(), Box<Wrong>>;

    /// Handles the end of the peer's stream. Returns the request that it answers, if any.
    fn end_of_stream(&mut self) -> Option<(Stamp, Verdict)> {
        None
    }
}
