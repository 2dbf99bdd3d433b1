//! The settings of `timed.rs`: a server's timeouts.

use std::time::Duration;

/// The timeouts of a server's connections, for [`Server::timeouts`](super::Server::timeouts).
/// There are none by default.
///
/// An operation fails with [`TimedOut`](std::io::ErrorKind::TimedOut) when a timeout passes while
/// the operation waits. A handler that waits for something else keeps running.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "settings do nothing until a server has them"]
pub struct Timeouts {
    pub(super) idle: Option<Duration>,
    pub(super) write: Option<Duration>,
}

impl Timeouts {
    /// Creates settings without timeouts.
    pub const fn new() -> Self {
        Self {
            idle: None,
            write: None,
        }
    }

    /// Ends a read or a write when no byte has moved for `time`, in either direction. If bytes of
    /// the peer have arrived that a busy shard has not seen yet, the read goes on.
    pub const fn idle(mut self, time: Duration) -> Self {
        self.idle = Some(time);
        self
    }

    /// Ends a write when the peer takes no byte for `time`, counted from the moment at which the
    /// socket refuses more. A peer that reads slowly, but keeps reading, is served.
    pub const fn write(mut self, time: Duration) -> Self {
        self.write = Some(time);
        self
    }
}
