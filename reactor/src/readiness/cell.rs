//! The readiness word as an atomic, and its transitions.
//!
//! A cell is part of a slot. It is shared by the shard that publishes events, by any number of
//! tasks that load, wait and clear on any thread, and by the shutdown. Every change after
//! initialisation is one atomic read-modify-write, so no change overwrites another. `snapshot.rs`
//! computes the new value of the word. The models are in `loom/readiness.rs`.

use crate::Ready;
use crate::readiness::Snapshot;
use crate::sync::{AtomicU64, Ordering};

/// The readiness of one descriptor.
#[derive(Debug)]
pub(crate) struct ReadinessCell {
    /// Written by the publishing shard, by clears and by the shutdown; read by every wait. It
    /// publishes nothing but itself: the orderings are about system calls (see
    /// [`ReadinessCell::load`]).
    word: AtomicU64,
}

impl ReadinessCell {
    pub(crate) fn new() -> Self {
        Self {
            word: AtomicU64::new(Snapshot::new(Ready::EMPTY).to_bits()),
        }
    }

    /// Returns the current readiness.
    #[inline(always)]
    pub(crate) fn load(&self) -> Snapshot {
        // ORDERING [ready-look], partner [ready-publish]. A caller loads the word, then reads the
        // descriptor, then clears the states that the load saw. If the load could move below the
        // system call, it could see the tick of an event that arrived after the call. The clear
        // would then erase that event. Acquire keeps later operations behind the load. It costs
        // nothing on x86. Model: `publish_vs_clear`.
        let order = if crate::sync::mutant("look_relaxed") {
            Ordering::Relaxed
        } else {
            Ordering::Acquire
        };
        Snapshot::from_bits(self.word.load(order))
    }

    /// Adds the states of an event. Called by the shard that polls the descriptor.
    #[inline]
    pub(crate) fn publish(&self, event: Ready) {
        if crate::sync::mutant("publish_overwrites") {
            let after = self.load().published(event);
            self.word.store(after.to_bits(), Ordering::Relaxed);
            return;
        }
        // ORDERING [ready-publish], partner [ready-look]. The event was fetched before it is
        // published. Code that sees it and then reads the descriptor does so after the kernel had
        // something to report. Model: `publish_vs_clear`.
        let order = if crate::sync::mutant("publish_relaxed") {
            Ordering::Relaxed
        } else {
            Ordering::Release
        };
        // This does not use `update`: a tick always changes, so there is always something to write.
        let mut word = self.word.load(Ordering::Relaxed);
        while let Err(now) = self.word.compare_exchange_weak(
            word,
            Snapshot::from_bits(word).published(event).to_bits(),
            order,
            Ordering::Relaxed,
        ) {
            word = now;
        }
    }

    /// Removes `states` in the directions that had no event since `seen`. Returns the words before
    /// and after.
    #[inline]
    pub(crate) fn clear_if_fresh(&self, seen: Snapshot, states: Ready) -> (Snapshot, Snapshot) {
        if crate::sync::mutant("clear_overwrites") {
            let before = self.load();
            let after = before.cleared(seen, states);
            self.word.store(after.to_bits(), Ordering::Relaxed);
            return (before, after);
        }
        // Relaxed: a clear publishes nothing. A later event comes later in the modification order
        // of the word itself.
        self.update(Ordering::Relaxed, |word| word.cleared(seen, states))
    }

    /// Removes the closed states, however fresh they are. The caller re-arms the descriptor next.
    pub(crate) fn forget_closed(&self) {
        self.update(Ordering::Relaxed, |word| word.cleared(word, Ready::CLOSED));
    }

    /// Sets the shutdown bit. Only initialising the slot again removes it.
    pub(crate) fn close(&self) {
        // Relaxed: waiters are notified under their lock, and other code may see the bit late.
        self.update(Ordering::Relaxed, Snapshot::closed);
    }

    /// Initialises the word. The caller owns the slot, which was just taken from the free list, and
    /// no other thread accesses it.
    pub(crate) fn reset(&self, initial: Ready) {
        // Relaxed: the list's lock orders this before the next owner, and the kernel's lock before
        // the first event.
        self.word
            .store(Snapshot::new(initial).to_bits(), Ordering::Relaxed);
    }

    /// Applies `change` with one read-modify-write, or with none if it changes nothing.
    #[inline(always)]
    fn update(
        &self,
        success: Ordering,
        change: impl Fn(Snapshot) -> Snapshot,
    ) -> (Snapshot, Snapshot) {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let before = Snapshot::from_bits(word);
            let after = change(before);
            if after == before {
                return (before, after);
            }
            match self
                .word
                .compare_exchange_weak(word, after.to_bits(), success, Ordering::Relaxed)
            {
                Ok(_) => return (before, after),
                Err(now) => word = now,
            }
        }
    }
}

#[cfg(all(any(test, fuzzing), not(reactor_loom)))]
impl ReadinessCell {
    pub(super) fn set(&self, word: Snapshot) {
        self.word.store(word.to_bits(), Ordering::Relaxed);
    }
}
