#![doc = include_str!("README.md")]

pub(crate) mod cell;
pub(crate) mod list;
#[cfg(all(any(test, fuzzing), not(reactor_loom)))]
pub(crate) mod model;
mod place;
pub(crate) mod snapshot;
#[cfg(all(test, not(reactor_loom)))]
mod tests;
pub(crate) mod waiters;

use std::task::{Poll, Waker};

use crate::Ready;

pub(crate) use cell::ReadinessCell;
pub(crate) use list::{Side, WaiterId, WaiterList};
pub(crate) use snapshot::Snapshot;
pub(crate) use waiters::Waiters;

/// The result of checking the closed bits again after the kernel returned EAGAIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClosedStates {
    /// They were removed.
    Removed,
    /// They were reported again since, or are already gone.
    Kept,
}

/// The readiness of one descriptor and the waiters for it: the two halves of the protocol,
/// combined.
#[derive(Debug)]
pub(crate) struct Readiness {
    cell: ReadinessCell,
    waiters: Waiters,
}

impl Readiness {
    pub(crate) fn new() -> Self {
        Self {
            cell: ReadinessCell::new(),
            waiters: Waiters::new(),
        }
    }

    /// Returns the current readiness.
    #[inline(always)]
    pub(crate) fn load(&self) -> Snapshot {
        self.cell.load()
    }

    /// Adds the states of an event and wakes the tasks that waited for them. Returns the number of
    /// wakers that panicked.
    #[inline]
    pub(crate) fn publish(&self, event: Ready) -> u32 {
        if crate::sync::mutant("publish_wakes_first") {
            let panics = self.waiters.wake(event);
            self.cell.publish(event);
            return panics;
        }
        // The word changes first and the waiters are notified afterwards. A waiter that takes the
        // lock too late to be woken sees the word.
        self.cell.publish(event);
        self.waiters.wake(event)
    }

    /// Removes the states that `seen` shows, in directions that had no event since. Keeps the
    /// closed states.
    #[inline]
    pub(crate) fn clear(&self, seen: Snapshot) {
        self.cell.clear_if_fresh(seen, seen.ready() - Ready::CLOSED);
    }

    /// Removes states like [`Readiness::clear`], including the closed states. If the result is
    /// `Removed`, the caller re-arms the descriptor.
    pub(crate) fn clear_with_closed(&self, seen: Snapshot) -> ClosedStates {
        let (before, after) = self.cell.clear_if_fresh(seen, seen.ready());
        if before.ready() & Ready::CLOSED == after.ready() & Ready::CLOSED {
            ClosedStates::Kept
        } else {
            ClosedStates::Removed
        }
    }

    /// Removes the closed states. The caller re-arms the descriptor next.
    pub(crate) fn forget_closed(&self) {
        self.cell.forget_closed();
    }

    /// Ends every current and later wait. Returns the number of wakers that panicked.
    pub(crate) fn close(&self) -> u32 {
        self.cell.close();
        self.waiters.wake(Ready::ALL)
    }

    /// Initialises the word for the slot's next owner.
    pub(crate) fn reset(&self, initial: Ready) {
        self.cell.reset(initial);
    }

    /// Visits the waker of every wait, and the states that end the wait. `visit` runs no foreign
    /// code.
    pub(crate) fn each_waiter(&self, visit: impl FnMut(Ready, &Waker)) {
        self.waiters.each(visit);
    }

    /// Takes out all remaining waiters, which leaked waits leave behind. The caller drops them
    /// without holding a lock.
    #[must_use]
    pub(crate) fn take_waiters(&self) -> Option<WaiterList> {
        self.waiters.take_all()
    }

    /// Starts a wait for any of `mask`, unless the wait is already over.
    ///
    /// # Errors
    ///
    /// Returns the word that ends the wait before it begins.
    #[inline(always)]
    pub(crate) fn wait(&self, mask: Ready, waker: &Waker) -> Result<WaiterId, Snapshot> {
        self.waiters.wait(&self.cell, mask, waker)
    }

    /// Ends a wait that [`Readiness::wait`] began, if its waiter was notified and is stored in the
    /// slot itself. It does not take the lock. Almost always, a task is polled because it was
    /// notified.
    #[inline(always)]
    pub(crate) fn end_notified(&self, id: WaiterId) -> Option<Snapshot> {
        self.waiters.was_notified(id).then(|| self.cell.load())
    }

    /// Polls a wait that [`Readiness::wait`] began. After `Ready` the wait is over and its id is
    /// invalid.
    #[inline(never)]
    pub(crate) fn poll_wait(&self, id: WaiterId, waker: &Waker) -> Poll<Snapshot> {
        if let Some(seen) = self.end_notified(id) {
            return Poll::Ready(seen);
        }
        match self.waiters.poll_wait(id, waker) {
            Poll::Ready(()) => Poll::Ready(self.cell.load()),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Ends a wait early.
    pub(crate) fn end_wait(&self, id: WaiterId) {
        self.waiters.end_wait(id);
    }

    /// Stores a waker in one of the two poll slots, unless the wait is already over. An older waker
    /// in the slot is dropped without a wake.
    #[inline(always)]
    pub(crate) fn poll_side<const SIDE: usize>(&self, waker: &Waker) -> Poll<Snapshot> {
        self.waiters.poll_side::<SIDE>(&self.cell, waker)
    }
}

#[cfg(all(any(test, fuzzing), not(reactor_loom)))]
impl Readiness {
    /// Initialises the word with these ticks. Tests use it because reaching a wrap takes too many
    /// events.
    fn reset_to(&self, initial: Ready, ticks: [u64; 3]) {
        self.cell.set(Snapshot::new(initial).with_ticks(ticks));
    }
}
