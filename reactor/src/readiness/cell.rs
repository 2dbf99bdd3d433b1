//! The readiness word as an atomic, and its few transitions.
//!
//! A cell is part of a slot and is shared by the shard that publishes, by any number of tasks that look, wait and clear on
//! any thread, and by the shutdown. Every change after birth is one atomic read-modify-write, so none erases another; what
//! the word becomes is decided in `snapshot.rs`. The models are in `loom/readiness.rs`.

use crate::Ready;
use crate::readiness::Snapshot;
use crate::sync::{AtomicU64, Ordering};

/// The readiness of one descriptor.
#[derive(Debug)]
pub(crate) struct ReadinessCell {
    /// Written by the publishing shard, by clears and by the shutdown; read by every wait. It publishes nothing but
    /// itself: the orderings are about system calls (see [`ReadinessCell::load`]).
    word: AtomicU64,
}

impl ReadinessCell {
    pub(crate) fn new() -> Self {
        Self {
            word: AtomicU64::new(Snapshot::new(Ready::EMPTY).to_bits()),
        }
    }

    /// What there is now.
    #[inline(always)]
    pub(crate) fn load(&self) -> Snapshot {
        // ORDERING [ready-look], partner [ready-publish].
        // A caller looks, then reads the descriptor, then clears what the look saw. Were the look allowed to sink below
        // the system call, it could see the tick of an event that the call came too early for, and the clear would
        // erase that event. Acquire keeps what follows behind it. It costs nothing on x86. Model: `publish_vs_clear`.
        let order = if crate::sync::mutant("look_relaxed") {
            Ordering::Relaxed
        } else {
            Ordering::Acquire
        };
        Snapshot::from_bits(self.word.load(order))
    }

    /// Adds what an event carried. Called by the shard that polls the descriptor.
    #[inline]
    pub(crate) fn publish(&self, event: Ready) {
        if crate::sync::mutant("publish_overwrites") {
            let after = self.load().published(event);
            self.word.store(after.to_bits(), Ordering::Relaxed);
            return;
        }
        // ORDERING [ready-publish], partner [ready-look].
        // The event was fetched before it is published, so whoever sees it and then reads the descriptor, does so after
        // the kernel had something to report. Model: `publish_vs_clear`.
        let order = if crate::sync::mutant("publish_relaxed") {
            Ordering::Relaxed
        } else {
            Ordering::Release
        };
        // Not `update`: a tick always moves, so there is always something to write.
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

    /// Removes `states` in those directions that had no event since `seen`; returns the words before and after.
    #[inline]
    pub(crate) fn clear_if_fresh(&self, seen: Snapshot, states: Ready) -> (Snapshot, Snapshot) {
        if crate::sync::mutant("clear_overwrites") {
            let before = self.load();
            let after = before.cleared(seen, states);
            self.word.store(after.to_bits(), Ordering::Relaxed);
            return (before, after);
        }
        // Relaxed: a clear publishes nothing. A later event is later in the order of the word itself.
        self.update(Ordering::Relaxed, |word| word.cleared(seen, states))
    }

    /// Removes the closed states, however fresh: a caller that re-arms the descriptor next asks for it.
    pub(crate) fn forget_closed(&self) {
        self.update(Ordering::Relaxed, |word| word.cleared(word, Ready::CLOSED));
    }

    /// Sets the shutdown bit, which nothing removes before the slot is born again.
    pub(crate) fn close(&self) {
        // Relaxed: waiters are told under their lock, and everybody else may learn it late.
        self.update(Ordering::Relaxed, Snapshot::closed);
    }

    /// The word at birth. The caller owns the slot and nobody else looks at it: it was just taken from the free list.
    pub(crate) fn reset(&self, initial: Ready) {
        // Relaxed: the list's lock orders it before the next owner, and the kernel's before the first event.
        self.word
            .store(Snapshot::new(initial).to_bits(), Ordering::Relaxed);
    }

    /// Applies `change` with one read-modify-write, none where it changes nothing.
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
