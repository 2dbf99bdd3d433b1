//! The state that one shard of the server owns: a scratch buffer that all its connections read
//! into, and the list of the tasks that a drain has to wake.
//!
//! Only the shard's own thread uses it, in plain cells. A waiting connection holds no buffer. It
//! borrows the scratch buffer between a read and the write that answers it, and never across a
//! suspension point. Tests: `local/tests.rs`, and the drain tests of this package.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use reactor::ShardId;
use slab::Slab;

use crate::config::READ_BUFFER;
use crate::server::Shared;
use crate::stats::Counters;

thread_local! {
    /// This shard's part of the server. It is set before the server accepts anything. A shard
    /// thread serves one server.
    static LOCAL: RefCell<Option<Rc<Local>>> = const { RefCell::new(None) };
}

/// The state that one shard of the server owns.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) shared: Arc<Shared>,
    pub(crate) shard: ShardId,
    /// This shard's entry of `shared.counters`.
    counters: Arc<Counters>,
    pub(crate) scratch: Scratch,
    /// Set once, when the server begins to drain.
    drain: Cell<Option<Drain>>,
    /// The tasks to wake when the drain begins. A task keeps one waker here for as long as it
    /// lives, so a wait neither adds nor removes one.
    listed: RefCell<Slab<Waker>>,
}

/// The schedule of a drain, as one shard sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drain {
    /// A busy connection is served until this time.
    pub(crate) busy_until: Instant,
}

impl Local {
    /// Makes this thread a shard of the server.
    pub(crate) fn install(shared: Arc<Shared>, shard: ShardId) -> Rc<Self> {
        let local = Rc::new(Self {
            counters: Arc::clone(&shared.counters[shard.index()]),
            shared,
            shard,
            scratch: Scratch::new(),
            drain: Cell::new(None),
            listed: RefCell::new(Slab::new()),
        });
        LOCAL.with(|slot| slot.replace(Some(Rc::clone(&local))));
        local
    }

    /// Returns the current shard's part of the server.
    ///
    /// # Panics
    ///
    /// On a thread that is not a shard of a server.
    pub(crate) fn current() -> Rc<Self> {
        LOCAL.with(|slot| {
            let local = slot.borrow();
            Rc::clone(
                local
                    .as_ref()
                    .expect("connections are started on shards of the server only"),
            )
        })
    }

    /// Returns this shard's counters.
    #[inline]
    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Returns the schedule of the drain once it has begun.
    #[inline]
    pub(crate) fn drain(&self) -> Option<Drain> {
        self.drain.get()
    }

    /// Begins the drain on this shard: wakes every listed task, which then finds [`Self::drain`]
    /// set.
    pub(crate) fn begin_drain(&self, allowed: Duration) {
        let now = Instant::now();
        let busy_until = now.checked_add(allowed / 2).unwrap_or(now);
        self.drain.set(Some(Drain { busy_until }));
        // All are cloned before any is woken: a waker may run code that lists or unlists a task.
        let wakers: Vec<Waker> = self
            .listed
            .borrow()
            .iter()
            .map(|(_, waker)| waker.clone())
            .collect();
        for waker in wakers {
            waker.wake();
        }
    }

    /// Adds a task to those that a drain wakes.
    pub(crate) fn list(&self, waker: Waker) -> u32 {
        let key = self.listed.borrow_mut().insert(waker);
        u32::try_from(key).expect("descriptors, and so connections, are numbered by an i32")
    }

    /// Removes a task from the list.
    pub(crate) fn unlist(&self, key: u32) {
        let waker = self.listed.borrow_mut().try_remove(key as usize);
        // The waker is dropped here, after the borrow has ended.
        drop(waker);
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

#[cfg(test)]
mod tests;
