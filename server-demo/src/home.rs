//! The state that the connections of one shard share: the way to learn of a drain, and its
//! schedule.
//!
//! A connection keeps the state of the shard that it was given to, its home, when another shard
//! runs its task for a while. Tests: the drain tests of this package.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use asyncfd::serve::{Bare, Connection, Tcp};

use crate::shared::Shared;
use crate::stats::Counters;

/// The state that the connections of one shard share.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) shared: Arc<Shared>,
    /// This shard's entry of `shared.counters`.
    pub(crate) counters: Arc<Counters>,
    /// The context of the shard's first connection. All connections of the shard learn of the drain
    /// from it, so that each need not hold its own.
    first: Connection<Bare<Tcp>>,
    drain: OnceLock<Drain>,
}

/// The schedule of a drain, as the connections of one shard see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drain {
    /// A busy connection is served until this time.
    pub(crate) busy_until: Instant,
}

impl Home {
    /// Creates the state of a shard from the context of its first connection.
    pub(crate) fn new(shared: &Arc<Shared>, first: Connection<Bare<Tcp>>) -> Self {
        Self {
            shared: Arc::clone(shared),
            counters: Arc::clone(&shared.counters[first.shard().index()]),
            first,
            drain: OnceLock::new(),
        }
    }

    /// Returns the schedule of the drain once it has begun.
    #[inline]
    pub(crate) fn drain(&self) -> Option<Drain> {
        self.first.is_draining().then(|| self.drain_slow())
    }

    #[cold]
    fn drain_slow(&self) -> Drain {
        *self.drain.get_or_init(|| {
            let now = Instant::now();
            let left = self
                .first
                .drain_deadline()
                .map_or(crate::shutdown::QUIET, |end| {
                    end.saturating_duration_since(now)
                });
            Drain {
                busy_until: now + left / 2,
            }
        })
    }
}
