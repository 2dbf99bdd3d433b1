//! The lock around the waiters, and the rules that keep foreign code out of it.
//!
//! A waker is foreign code: cloning, waking and dropping it may panic, or may call back into the
//! same descriptor. So wakers are cloned before the lock, moved in and out under it, and woken and
//! dropped after it. A waker that panics when it is woken does not prevent the others from being
//! woken. Tests are in `tests.rs`, the models in `loom/readiness.rs`.

use std::mem;
use std::ops::Deref;
use std::task::{Poll, Waker};

use crate::Ready;
use crate::panics::caught;
use crate::readiness::list::{Found, Side, WaiterId, WaiterList};
use crate::readiness::place::{InPlace, Places};
use crate::readiness::{ReadinessCell, Snapshot};
use crate::sync::Mutex;

#[derive(Debug)]
pub(crate) struct Waiters {
    list: Mutex<WaiterList>,
    /// These bytes are outside the lock, so that a notified waiter does not take it.
    places: Places,
}

impl Waiters {
    pub(crate) fn new() -> Self {
        Self {
            list: Mutex::new(WaiterList::new()),
            places: Places::new(),
        }
    }

    /// Wakes all tasks that wait for any of `ready`. Returns the number of wakers that panicked.
    ///
    /// Almost always one task waits for a descriptor. That task is taken and woken first, and
    /// others are searched for only if there are any.
    #[inline(always)]
    pub(crate) fn wake(&self, ready: Ready) -> u32 {
        if crate::sync::mutant("notified_before_taken") {
            self.places.notify(InPlace::FIRST);
        }
        let mut list = self.list.lock();
        // The usual case has a path of its own, on which the waker stays in registers.
        if let Some(reader) = list.take_reader(ready) {
            return self.wake_first(list, Some(reader), ready);
        }
        let first = list.take_one(ready, &self.places);
        self.wake_first(list, first, ready)
    }

    /// Wakes the first task, which was just taken from the list, and then the others.
    #[inline(always)]
    fn wake_first(
        &self,
        list: impl Deref<Target = WaiterList>,
        first: Option<Waker>,
        ready: Ready,
    ) -> u32 {
        let was_alone = list.is_empty();
        drop(list);
        let panics = first.map_or(0, wake_caught);
        if was_alone {
            panics
        } else {
            panics + self.wake_others_slow(ready)
        }
    }

    #[cold]
    fn wake_others_slow(&self, ready: Ready) -> u32 {
        let (others, more_until) = {
            let mut list = self.list.lock();
            (list.take_first(ready, &self.places), list.more_until())
        };
        let mut panics = 0;
        for waker in others.into_iter().flatten() {
            panics += wake_caught(waker);
        }
        let mut from = 0;
        while from < more_until {
            let batch = self.list.lock().take_more(ready, &mut from, more_until);
            for waker in batch.into_iter().flatten() {
                panics += wake_caught(waker);
            }
        }
        panics
    }

    /// See [`Readiness::wait`](super::Readiness::wait).
    #[inline(always)]
    pub(crate) fn wait(
        &self,
        cell: &ReadinessCell,
        mask: Ready,
        waker: &Waker,
    ) -> Result<WaiterId, Snapshot> {
        let waker = waker.clone();
        let mut list = self.list.lock();
        // A publisher changes the word before it takes the lock. If it already held the lock, the
        // word shows its event. If it takes the lock later, it finds this waiter.
        let seen = cell.load();
        if seen.ends_wait(mask) && !crate::sync::mutant("wait_skips_recheck") {
            drop(list);
            drop_slow(waker);
            return Err(seen);
        }
        Ok(list.insert(mask, waker, &self.places))
    }

    /// Returns true if an inline waiter was notified, without taking the lock. In that case the
    /// waiter has given up its place.
    #[inline(always)]
    pub(crate) fn was_notified(&self, id: WaiterId) -> bool {
        let Some(place) = id.in_place() else {
            return false;
        };
        let notified = self.places.was_notified(place);
        if notified {
            self.places.give_up(place);
        }
        notified
    }

    /// See [`Readiness::poll_wait`](super::Readiness::poll_wait).
    pub(crate) fn poll_wait(&self, id: WaiterId, waker: &Waker) -> Poll<()> {
        let mut list = self.list.lock();
        match list.look(id, waker, &self.places) {
            Found::Current => return Poll::Pending,
            Found::Notified => return Poll::Ready(()),
            Found::Outdated => drop(list),
        }
        let waker = waker.clone();
        let exchanged = self.list.lock().exchange(id, waker);
        match exchanged {
            Ok(older) => {
                drop(older);
                Poll::Pending
            }
            Err(_) if crate::sync::mutant("exchange_misses_notice") => Poll::Pending,
            Err(unused) => {
                // The waiter was notified between the two locked sections. The place is given up
                // last: if the waker's drop panics, the waiter still has its place to give up.
                drop(unused);
                self.list.lock().remove(id, &self.places);
                Poll::Ready(())
            }
        }
    }

    /// See [`Readiness::end_wait`](super::Readiness::end_wait).
    pub(crate) fn end_wait(&self, id: WaiterId) {
        let waker = self.list.lock().remove(id, &self.places);
        drop(waker);
    }

    /// See [`Readiness::poll_side`](super::Readiness::poll_side).
    #[inline(always)]
    pub(crate) fn poll_side<const SIDE: usize>(
        &self,
        cell: &ReadinessCell,
        waker: &Waker,
    ) -> Poll<Snapshot> {
        let waker = waker.clone();
        let mut list = self.list.lock();
        // As in `wait`.
        let seen = cell.load();
        if seen.ends_wait(const { Side::mask(SIDE) }) && !crate::sync::mutant("wait_skips_recheck")
        {
            drop(list);
            drop_slow(waker);
            return Poll::Ready(seen);
        }
        // Almost always the previous waker was woken, and its slot is empty.
        if let Some(older) = list.set_side::<SIDE>(waker) {
            drop(list);
            drop_slow(older);
        }
        Poll::Pending
    }

    /// See [`Readiness::each_waiter`](super::Readiness::each_waiter).
    pub(crate) fn each(&self, visit: impl FnMut(Ready, &Waker)) {
        self.list.lock().each(visit);
    }

    /// Empties the list. The caller drops its contents without holding the lock. The list is almost
    /// always empty. Two checks detect that. Without them, moving an empty list out and dropping it
    /// costs 130 instructions.
    #[must_use]
    pub(crate) fn take_all(&self) -> Option<WaiterList> {
        let mut list = self.list.lock();
        self.places.reset();
        if list.is_bare() {
            return None;
        }
        Some(mem::replace(&mut list, WaiterList::new()))
    }
}

/// Drops an unneeded waker. It is not inlined, which saves registers in every wait.
#[cold]
#[inline(never)]
fn drop_slow(waker: Waker) {
    drop(waker);
}

/// Wakes one task. Returns 1 if the waker panicked.
#[inline]
fn wake_caught(waker: Waker) -> u32 {
    caught(|| waker.wake()).1
}
