//! One observation of a registration's readiness.

use std::fmt;
use std::io;

use crate::Ready;
use crate::error::shutdown_error;
use crate::readiness::Snapshot;

/// The readiness that one check of a registration observed, with its freshness.
///
/// Clearing with it removes nothing that was reported after the check.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ReadyEvent(pub(super) Snapshot);

/// One of the two poll slots of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Waits for readable and read-closed.
    Read,
    /// Waits for writable and write-closed.
    Write,
}

impl ReadyEvent {
    /// Returns the observed readiness.
    #[inline]
    #[must_use]
    pub const fn ready(self) -> Ready {
        self.0.ready()
    }

    /// Returns the same observation, restricted to these states.
    #[inline]
    #[must_use]
    pub const fn restricted_to(self, states: Ready) -> Self {
        Self(self.0.restricted_to(states))
    }

    /// Returns the part of `seen` that a caller interested in `mask` gets.
    #[inline]
    pub(super) fn new(seen: Snapshot, mask: Ready) -> io::Result<Self> {
        if seen.is_shutdown() {
            return Err(shutdown_error());
        }
        Ok(Self(seen.restricted_to(mask)))
    }
}

impl fmt::Debug for ReadyEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadyEvent")
            .field("ready", &self.ready())
            .finish_non_exhaustive()
    }
}
