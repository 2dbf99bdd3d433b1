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

/// What became of closed states that a kernel's EAGAIN speaks against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClosedStates {
    /// They were removed.
    Removed,
    /// They were reported again since, or are gone already.
    Kept,
}

/// The readiness of one descriptor and everybody who waits for it: the two halves of the protocol, put together.
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

    /// What there is now.
    #[inline(always)]
    pub(crate) fn load(&self) -> Snapshot {
        self.cell.load()
    }

    /// Adds what an event carried and wakes who waited for it; returns how many wakers panicked.
    #[inline]
    pub(crate) fn publish(&self, event: Ready) -> u32 {
        if crate::sync::mutant("publish_wakes_first") {
            let panics = self.waiters.wake(event);
            self.cell.publish(event);
            return panics;
        }
        // The word first, the waiters after: whoever comes to the lock too late to be woken sees the word.
        self.cell.publish(event);
        self.waiters.wake(event)
    }

    /// Removes those of the states `seen` shows that had no event since.
    #[inline]
    pub(crate) fn clear(&self, seen: Snapshot) {
        self.cell.clear_if_fresh(seen, seen.ready() - Ready::CLOSED);
    }

    /// As [`Readiness::clear`], the closed states included; says whether one of those went. Then the caller re-arms.
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

    /// Ends every wait, now and later; returns how many wakers panicked.
    pub(crate) fn close(&self) -> u32 {
        self.cell.close();
        self.waiters.wake(Ready::ALL)
    }

    /// Makes the word new for the slot's next owner.
    pub(crate) fn reset(&self, initial: Ready) {
        self.cell.reset(initial);
    }

    /// Takes out whatever waiter is left (a leaked wait leaves its own). The caller drops them, holding nothing.
    #[must_use]
    pub(crate) fn take_waiters(&self) -> Option<WaiterList> {
        self.waiters.take_all()
    }

    /// Starts a wait for any of `mask`, unless there is no need to.
    ///
    /// # Errors
    ///
    /// The word that ends the wait before it began.
    #[inline(always)]
    pub(crate) fn wait(&self, mask: Ready, waker: &Waker) -> Result<WaiterId, Snapshot> {
        self.waiters.wait(&self.cell, mask, waker)
    }

    /// Looks after a wait that [`Readiness::wait`] began. After `Ready` the wait is over and its id means nothing.
    #[inline(always)]
    pub(crate) fn poll_wait(&self, id: WaiterId, waker: &Waker) -> Poll<Snapshot> {
        // A task is polled because its waiter was told, nearly always: that much without the lock.
        if self.waiters.was_notified(id) {
            return Poll::Ready(self.cell.load());
        }
        self.poll_wait_slow(id, waker)
    }

    #[inline(never)]
    fn poll_wait_slow(&self, id: WaiterId, waker: &Waker) -> Poll<Snapshot> {
        match self.waiters.poll_wait(id, waker) {
            Poll::Ready(()) => Poll::Ready(self.cell.load()),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Gives a wait up.
    pub(crate) fn end_wait(&self, id: WaiterId) {
        self.waiters.end_wait(id);
    }

    /// Leaves a waker in one of the two poll places, unless there is no need to; an older one there is dropped unwoken.
    #[inline(never)]
    pub(crate) fn poll_side<const SIDE: usize>(&self, waker: &Waker) -> Poll<Snapshot> {
        self.waiters.poll_side::<SIDE>(&self.cell, waker)
    }
}

#[cfg(all(any(test, fuzzing), not(reactor_loom)))]
impl Readiness {
    /// As [`Readiness::reset`], with these ticks: where they wrap is too far to go there.
    fn reset_to(&self, initial: Ready, ticks: [u64; 3]) {
        self.cell.set(Snapshot::new(initial).with_ticks(ticks));
    }
}
