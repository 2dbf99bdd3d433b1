//! Moves a registration from one shard's epoll to another's, and frees the slot of a moved one.
//!
//! A wait whose task runs on another shard calls it (`registration/wait.rs`), and so does the end
//! of a registration. The slot stays in the table of its first shard; only its membership in an
//! epoll instance changes. A registration keeps the [`ShardIo`] of its first shard alive, which has
//! weak references to its peers. If a peer is gone, its epoll is gone too, and there is nothing to
//! delete. Tests are in `moving/tests.rs`, and in `tests/moving.rs` of the crate.

use std::io;
use std::os::fd::RawFd;
use std::sync::{Arc, OnceLock, Weak};

use crate::error::forked_error;
use crate::io::{QUARANTINE_WAKES, ShardIo};
use crate::panics::caught;
use crate::sync::{AtomicU32, Mutex, Ordering, mutant};
use crate::table::{Slot, SlotRef};
use crate::token::{SlotId, Token};
use crate::trace;
use crate::{Interest, Ready, ShardId};

#[cfg(all(test, not(any(reactor_loom, reactor_sim))))]
mod tests;

/// The other shards' epolls, and the slots of other tables that are in quarantine here.
#[derive(Debug)]
pub(super) struct Peers {
    all: OnceLock<Box<[Weak<ShardIo>]>>,
    visitors: Mutex<Vec<Visitor>>,
    /// The number of visitors. The shard reads it each turn, and takes the lock only if there are
    /// visitors.
    visiting: AtomicU32,
}

/// A freed slot of another table for which this shard may still have events.
#[derive(Debug)]
struct Visitor {
    birth: Weak<ShardIo>,
    id: SlotId,
}

impl Peers {
    pub(super) fn new() -> Self {
        Self {
            all: OnceLock::new(),
            visitors: Mutex::new(Vec::new()),
            visiting: AtomicU32::new(0),
        }
    }
}

impl ShardIo {
    /// Makes the epolls of a reactor known to each other.
    pub(crate) fn introduce(all: &[Arc<Self>]) {
        for io in all {
            let peers = all.iter().map(Arc::downgrade).collect();
            io.peers.all.get_or_init(|| peers);
        }
    }

    fn peer(&self, index: usize) -> Option<Arc<Self>> {
        self.peers.all.get()?.get(index)?.upgrade()
    }

    /// Returns the shard that polls a registration's descriptor.
    pub(crate) fn seat_of(slot: &SlotRef) -> ShardId {
        ShardId::from_index(slot.slot().seat().shard())
    }

    /// Moves a registration to the epoll `to`. Called by the thread that runs a waiting task.
    ///
    /// # Errors
    ///
    /// Returns the system's error, or an error if the registration lost its number or this is a
    /// forked child. On an error, the registration stays on its shard.
    pub(crate) fn relocate(
        slot: &SlotRef,
        to: &Self,
        fd: RawFd,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        let birth = slot.io();
        if birth.is_forked() {
            return Err(forked_error());
        }
        let seat = slot.slot().seat();
        let from = seat.shard();
        // Another task of the descriptor may have moved it here meanwhile.
        let Some(from) = birth.peer(from).filter(|from| from.shard != to.shard) else {
            return Ok(());
        };
        let is_birth = Arc::ptr_eq(&from, birth);
        let take_seat = || {
            if mutant("move_resets_readiness") {
                slot.slot().readiness().reset(Ready::EMPTY);
            }
            seat.take(to.shard.index());
        };
        from.owners
            .move_to(&to.owners, is_birth, fd, token, interest, take_seat)?;
        from.live.fetch_sub(1, Ordering::Relaxed);
        to.live.fetch_add(1, Ordering::Relaxed);
        from.moved_out.add_shared(1);
        caught(|| trace::moved(from.shard, to.shard, fd));
        Ok(())
    }

    /// Removes a moved registration from the epoll that polls it. It cannot move meanwhile, because
    /// its owner is dropping it.
    #[cold]
    pub(super) fn delete_moved(&self, slot: &Slot, fd: RawFd, id: SlotId) -> io::Result<()> {
        let deleted = match self.peer(slot.seat().shard()) {
            Some(seat) => {
                seat.live.fetch_sub(1, Ordering::Relaxed);
                seat.owners.delete(fd, id)
            }
            None => Ok(()),
        };
        self.owners.unmark(fd, id);
        deleted
    }

    /// Changes the interest at the epoll that polls a registration.
    pub(super) fn rearm_at_seat(
        &self,
        slot: &Slot,
        fd: RawFd,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        loop {
            let index = slot.seat().shard();
            let done = if index == self.shard.index() {
                self.owners.modify(fd, token, interest)
            } else {
                match self.peer(index) {
                    Some(seat) => seat.owners.modify(fd, token, interest),
                    None => return Ok(()),
                }
            };
            // The registration may have moved between the read of its seat and the call.
            if done.is_ok() || slot.seat().shard() == index {
                return done;
            }
        }
    }

    /// Checks that the moved registration `id` still has the descriptor that `fd` refers to now. If
    /// not, its mark is removed.
    ///
    /// # Errors
    ///
    /// Returns `AlreadyExists` if it still has the descriptor; otherwise the system's error.
    #[cold]
    pub(super) fn check_mark(
        &self,
        fd: RawFd,
        id: SlotId,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        let seat = self.table.slot(id).seat();
        let index = seat.shard();
        if let Some(at) = self.peer(index) {
            at.owners.evict_stale(fd, id, token, interest)?;
        }
        // If it has moved again meanwhile, the caller finds its mark again, and the new seat.
        if seat.shard() == index {
            self.owners.unmark(fd, id);
        }
        Ok(())
    }

    /// Frees the slot of a moved registration. It first passes through the quarantine of every
    /// other shard, one after the other, since each may have polled it.
    #[cold]
    pub(super) fn free_moved(this: &Arc<Self>, id: SlotId) {
        Self::pass_on(this, id, this.shard.index());
    }

    fn pass_on(birth: &Arc<Self>, id: SlotId, after: usize) {
        let mut shards = birth.peers.all.get().map_or(0, |all| all.len());
        if mutant("moved_slot_skips_quarantines") {
            shards = 1;
        }
        let rest = (1..shards)
            .map(|step| (after + step) % shards)
            .take_while(|index| *index != birth.shard.index());
        for index in rest {
            if let Some(peer) = birth.peer(index) {
                peer.receive(Visitor {
                    birth: Arc::downgrade(birth),
                    id,
                });
                return;
            }
        }
        birth.free(birth.table.slot(id), id);
    }

    fn receive(&self, visitor: Visitor) {
        let mut visitors = self.peers.visitors.lock();
        visitors.push(visitor);
        let waiting = u32::try_from(visitors.len()).unwrap_or(u32::MAX);
        self.peers.visiting.store(waiting, Ordering::Relaxed);
        drop(visitors);
        if waiting % QUARANTINE_WAKES == 0 {
            self.parker.unpark();
        }
    }

    /// Returns true if slots of other tables are in quarantine here.
    #[inline]
    pub(super) fn has_visitors(&self) -> bool {
        self.peers.visiting.load(Ordering::Relaxed) > 0
    }

    /// Passes the slots of other tables to the next shard, or frees them.
    #[cold]
    pub(super) fn release_visitors(&self) {
        let visitors = {
            let mut visitors = self.peers.visitors.lock();
            self.peers.visiting.store(0, Ordering::Relaxed);
            std::mem::take(&mut *visitors)
        };
        for Visitor { birth, id } in visitors {
            if let Some(birth) = birth.upgrade() {
                Self::pass_on(&birth, id, self.shard.index());
            }
        }
    }
}
