//! What became of the async waiters that are kept in the slot itself, as one atomic byte each, beside the lock.
//!
//! A waiter that was told is the most common thing to find, so it is found, and its place given up, with a load and a
//! store. Everything else about a waiter is under the lock (`waiters.rs`), and so is every other change of these bytes.

use crate::readiness::list::IN_PLACE;
use crate::sync::{AtomicU8, Ordering};

/// Nobody's. Whoever finds it so under the lock may take it.
const VACANT: u8 = 0;
/// A waiter's, who is to be told. Its waker is in the list.
const WAITING: u8 = 1;
/// A waiter's, who was told and has not looked yet. Only that waiter ends this, by giving the place up.
const NOTIFIED: u8 = 2;

/// Which place.
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

    /// Takes the place if it is vacant. Under the lock.
    #[inline(always)]
    pub(super) fn take(&self, place: InPlace) -> bool {
        // Relaxed: all that a place stands for is under the lock.
        let vacant = self.0[place.0].load(Ordering::Relaxed) == VACANT;
        if vacant {
            self.0[place.0].store(WAITING, Ordering::Relaxed);
        }
        vacant
    }

    /// Notes that a waiter was told. Under the lock, by the publisher, who has taken the waker.
    #[inline(always)]
    pub(super) fn notify(&self, place: InPlace) {
        let order = if crate::sync::mutant("notified_relaxed") {
            Ordering::Relaxed
        } else {
            // ORDERING [waiter-notify], partner [waiter-notified]: a waiter that finds itself told sees the word that the publisher
            // made before, although it has not come to the lock.
            Ordering::Release
        };
        self.0[place.0].store(NOTIFIED, order);
    }

    /// Whether the waiter was told. By the waiter itself, without the lock.
    #[inline(always)]
    pub(super) fn was_notified(&self, place: InPlace) -> bool {
        // ORDERING [waiter-notified], partner [waiter-notify].
        self.0[place.0].load(Ordering::Acquire) == NOTIFIED
    }

    /// Ends a waiter's hold on its place. By the waiter: without the lock once it was told, else under it.
    #[inline(always)]
    pub(super) fn give_up(&self, place: InPlace) {
        // Relaxed: as in `take`. A waiter that was told has no waker in the list, so there is nothing to hand over.
        self.0[place.0].store(VACANT, Ordering::Relaxed);
    }

    /// Makes every place vacant, whoever had it: the slot has no owner any more. Under the lock.
    pub(super) fn reset(&self) {
        for place in &self.0 {
            place.store(VACANT, Ordering::Relaxed);
        }
    }
}
