//! The state that one shard of the server owns: a scratch buffer that all its connections read
//! into, and the schedule of the drain.
//!
//! Only the shard's own thread uses it, in plain cells. A waiting connection holds no buffer. It
//! borrows the scratch buffer between a read and the write that answers it, and never across a
//! suspension point. Tests: `connection/tests.rs`, and the drain tests of this package.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use asyncfd::serve::{Bare, Connection, Tcp};
use reactor::ShardId;

use crate::config::READ_BUFFER;
use crate::shared::Shared;
use crate::stats::Counters;

/// The state that one shard of the server owns.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) shared: Arc<Shared>,
    /// This shard's entry of `shared.counters`.
    counters: Arc<Counters>,
    pub(crate) scratch: Scratch,
    /// The shard's first connection, by which all of them learn of the drain: each would hold as
    /// much.
    first: OnceCell<Connection<Bare<Tcp>>>,
    drain: Cell<Option<Drain>>,
}

/// The schedule of a drain, as one shard sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drain {
    /// A busy connection is served until this time.
    pub(crate) busy_until: Instant,
}

impl Local {
    /// Makes the state of the current shard.
    ///
    /// # Panics
    ///
    /// On a thread that is not a shard.
    pub(crate) fn new(shared: &Arc<Shared>) -> Rc<Self> {
        let shard = ShardId::current().expect("connections are served on shards");
        Rc::new(Self {
            counters: Arc::clone(&shared.counters[shard.index()]),
            shared: Arc::clone(shared),
            scratch: Scratch::new(),
            first: OnceCell::new(),
            drain: Cell::new(None),
        })
    }

    /// Notes a connection of this shard.
    pub(crate) fn serves(&self, connection: Connection<Bare<Tcp>>) {
        // The first one stays.
        let _ = self.first.set(connection);
    }

    /// Returns this shard's counters.
    #[inline]
    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Returns the schedule of the drain once it has begun.
    #[inline]
    pub(crate) fn drain(&self) -> Option<Drain> {
        match self.first.get() {
            Some(connection) if connection.is_draining() => Some(self.drain_slow(connection)),
            _ => None,
        }
    }

    #[cold]
    fn drain_slow(&self, connection: &Connection<Bare<Tcp>>) -> Drain {
        self.drain.get().unwrap_or_else(|| {
            let now = Instant::now();
            let left = connection
                .drain_deadline()
                .map_or(crate::shutdown::QUIET, |end| {
                    end.saturating_duration_since(now)
                });
            let drain = Drain {
                busy_until: now + left / 2,
            };
            self.drain.set(Some(drain));
            drain
        })
    }
}

/// The buffer that all connections of a shard read into.
#[derive(Debug)]
pub(crate) struct Scratch(RefCell<Box<[u8]>>);

impl Scratch {
    fn new() -> Self {
        Self(RefCell::new(vec![0; READ_BUFFER].into_boxed_slice()))
    }

    /// Lends the whole buffer, to be filled.
    #[inline(always)]
    pub(crate) fn fill<R>(&self, read: impl FnOnce(&mut [u8]) -> R) -> R {
        read(&mut self.0.borrow_mut())
    }

    /// Lends the first `len` bytes.
    #[inline(always)]
    pub(crate) fn with<R>(&self, len: usize, write: impl FnOnce(&[u8]) -> R) -> R {
        // The mutable borrow is cheaper, and nobody else holds one.
        write(&self.0.borrow_mut()[..len])
    }
}
