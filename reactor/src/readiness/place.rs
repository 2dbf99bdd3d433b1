//! The state of the inline async waiters: one atomic byte each, beside the lock.
//!
//! A waiter is usually notified when it is polled. That case needs only a load and a store, which
//! also give up the place. Everything else about a waiter is under the lock (`waiters.rs`), and so
//! is every other change of these bytes.

use crate::readiness::list::IN_PLACE;
use crate::sync::{AtomicU8, Ordering};

/// The place is free. A thread that finds it so under the lock may take it.
const VACANT: u8 = 0;
/// The place belongs to a waiter that has not been notified. Its waker is in the list.
const WAITING: u8 = 1;
/// The place belongs to a notified waiter that has not been polled since. Only that waiter ends
/// this state, by giving up the place.
const NOTIFIED: u8 = 2;

/// The index of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InPlace(usize);

impl InPlace {
    pub(super) const FIRST: Self = Self(0);
    pub(super) const SECOND: Self = Self(1);

    #[inline(always)]
    pub(super) fn new(index: usize) -> Option<Self> {
        (index < IN_PLACE).then_some(Self(index))
    }

    #[inline(always)]
    pub(super) fn index(self) -> usize {
        self.0
    }
}

#[derive(Debug)]
pub(super) struct Places([AtomicU8; IN_PLACE]);

impl Places {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicU8::new(VACANT)))
    }

    /// Takes the place if it is vacant. Called under the lock.
    #[inline(always)]
    pub(super) fn take(&self, place: InPlace) -> bool {
        // Relaxed: everything that a place stands for is under the lock.
        let vacant = self.0[place.0].load(Ordering::Relaxed) == VACANT;
        if vacant {
            self.0[place.0].store(WAITING, Ordering::Relaxed);
        }
        vacant
    }

    /// Records that a waiter was notified. Called under the lock by the publisher, which has taken
    /// the waker.
    #[inline(always)]
    pub(super) fn notify(&self, place: InPlace) {
        let order = if crate::sync::mutant("notified_relaxed") {
            Ordering::Relaxed
        } else {
            // ORDERING [waiter-notify], partner [waiter-notified]: a waiter that sees that it was
            // notified also sees the word that the publisher wrote before, although it has not
            // taken the lock.
            Ordering::Release
        };
        self.0[place.0].store(NOTIFIED, order);
    }

    /// Returns true if the waiter was notified. Called by the waiter itself, without the lock.
    #[inline(always)]
    pub(super) fn was_notified(&self, place: InPlace) -> bool {
        // ORDERING [waiter-notified], partner [waiter-notify].
        self.0[place.0].load(Ordering::Acquire) == NOTIFIED
    }

    /// Gives up a waiter's place. Called by the waiter: without the lock once it was notified,
    /// otherwise under the lock.
    #[inline(always)]
    pub(super) fn give_up(&self, place: InPlace) {
        // Relaxed: as in `take`. A notified waiter has no waker in the list, so there is nothing to
        // hand over.
        self.0[place.0].store(VACANT, Ordering::Relaxed);
    }

    /// Makes every place vacant, since the slot no longer has an owner. Called under the lock.
    pub(super) fn reset(&self) {
        for place in &self.0 {
            place.store(VACANT, Ordering::Relaxed);
        }
    }
}
