//! The waiters of one descriptor, as plain data. The lock around it and the rules for using it are in `waiters.rs`.
//!
//! Two poll places (one for each direction), two async waiters in place, and a slab for more. Two in place, because a
//! connection whose halves are read and written by two tasks is common, and then never allocates. Nothing here clones,
//! drops or wakes a waker: each function hands out what it displaced. Tests are in `tests.rs`.

use std::mem;
use std::num::NonZeroU32;
use std::task::Waker;

use slab::Slab;

use crate::Ready;
use crate::panics::caught;

/// Which of the two poll places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Read,
    Write,
}

impl Side {
    /// The states that end a wait on this side.
    #[inline]
    pub(crate) const fn mask(self) -> Ready {
        match self {
            Self::Read => READ_SIDE,
            Self::Write => WRITE_SIDE,
        }
    }
}

const READ_SIDE: Ready = Ready::from_interest(crate::Interest::READABLE);
const WRITE_SIDE: Ready = Ready::from_interest(crate::Interest::WRITABLE);

/// Names a waiter from its insertion to its removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WaiterId(NonZeroU32);

/// Async waiters kept in the list itself.
const IN_PLACE: usize = 2;

/// How many wakers leave the slab at a time.
pub(crate) const BATCH: usize = 8;

#[derive(Debug, Default)]
enum Entry {
    /// No waiter is here.
    #[default]
    Vacant,
    /// A waiter that is to be told of any state in the mask.
    Waiting { waker: Waker, mask: Ready },
    /// A waiter that was told. It completes when it looks, whatever became of the readiness.
    Notified,
}

impl Entry {
    /// Turns a waiter for any of `ready` into a notified one and hands out its waker.
    #[inline]
    fn notify(&mut self, ready: Ready) -> Option<Waker> {
        match self {
            Self::Waiting { mask, .. } if mask.intersects(ready) => {
                match mem::replace(self, Self::Notified) {
                    Self::Waiting { waker, .. } => Some(waker),
                    Self::Vacant | Self::Notified => None,
                }
            }
            _ => None,
        }
    }

    #[inline]
    fn look(&self, waker: &Waker) -> Found {
        match self {
            Self::Waiting { waker: current, .. } if current.will_wake(waker) => Found::Current,
            Self::Waiting { .. } => Found::Outdated,
            Self::Notified => Found::Notified,
            Self::Vacant => unreachable!("a waiter keeps its place until it gives it up"),
        }
    }

    fn into_waker(self) -> Option<Waker> {
        match self {
            Self::Waiting { waker, .. } => Some(waker),
            Self::Vacant | Self::Notified => None,
        }
    }
}

/// What a waiter finds in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Notified,
    /// Still waiting, with a waker that wakes the same task.
    Current,
    /// Still waiting, with another waker.
    Outdated,
}

#[derive(Debug, Default)]
pub(crate) struct WaiterList {
    /// How many wakers there are in all the places below.
    waiting: u32,
    read: Option<Waker>,
    write: Option<Waker>,
    in_place: [Entry; IN_PLACE],
    /// Kept once allocated, until the slot is freed, so that many waiters do not allocate at every wait.
    more: Option<Box<Slab<Entry>>>,
}

impl WaiterList {
    /// Drops everybody's waker. Each is foreign code: one that panics keeps none of the others; returns how many did.
    pub(crate) fn drop_caught(self) -> u32 {
        let sides = [self.read, self.write];
        let entries = self.in_place.into_iter().chain(
            self.more
                .into_iter()
                .flat_map(|more| *more)
                .map(|(_, entry)| entry),
        );
        let wakers = sides
            .into_iter()
            .chain(entries.map(Entry::into_waker))
            .flatten();
        wakers.map(|waker| caught(|| drop(waker)).1).sum()
    }

    /// Takes the waker of somebody who waits for any of `ready`, outside the slab.
    #[inline]
    pub(crate) fn take_one(&mut self, ready: Ready) -> Option<Waker> {
        let [first, second] = &mut self.in_place;
        let waker = if self.read.is_some() && ready.intersects(READ_SIDE) {
            self.read.take()
        } else if let Some(waker) = first.notify(ready) {
            Some(waker)
        } else if self.write.is_some() && ready.intersects(WRITE_SIDE) {
            self.write.take()
        } else {
            second.notify(ready)
        };
        if waker.is_some() {
            self.waiting -= 1;
        }
        waker
    }

    /// Whether nobody waits, for whatever it may be.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Takes the wakers of everybody outside the slab who waits for any of `ready`.
    pub(crate) fn take_first(&mut self, ready: Ready) -> [Option<Waker>; 2 + IN_PLACE] {
        std::array::from_fn(|_| self.take_one(ready))
    }

    /// Where the slab ends. Zero: there is nobody in it.
    pub(crate) fn more_until(&self) -> usize {
        match &self.more {
            Some(more) if !more.is_empty() => more.capacity(),
            _ => 0,
        }
    }

    /// Takes up to [`BATCH`] wakers from the slab, and moves `from` on to where the next call starts, or to `until`.
    ///
    /// A waiter that joins meanwhile is told only if it takes a place in `from..until`, so a waker that waits again as it
    /// is woken cannot keep the caller busy for ever.
    pub(crate) fn take_more(
        &mut self,
        ready: Ready,
        from: &mut usize,
        until: usize,
    ) -> [Option<Waker>; BATCH] {
        let mut wakers = [const { None }; BATCH];
        let Some(more) = &mut self.more else {
            *from = until;
            return wakers;
        };
        let mut free = wakers.iter_mut();
        while *from < until {
            if let Some(waker) = more.get_mut(*from).and_then(|entry| entry.notify(ready)) {
                let Some(place) = free.next() else {
                    unreachable!("the loop ends when the last place is filled")
                };
                *place = Some(waker);
                self.waiting -= 1;
                if free.len() == 0 {
                    *from += 1;
                    break;
                }
            }
            *from += 1;
        }
        wakers
    }

    /// Adds a waiter for any of `mask`.
    pub(crate) fn insert(&mut self, mask: Ready, waker: Waker) -> WaiterId {
        let entry = Entry::Waiting { waker, mask };
        self.waiting += 1;
        for (index, place) in self.in_place.iter_mut().enumerate() {
            if matches!(place, Entry::Vacant) {
                *place = entry;
                return WaiterId::new(index);
            }
        }
        WaiterId::new(IN_PLACE + self.more.get_or_insert_default().insert(entry))
    }

    /// Looks after a waiter. One that was notified has given its place up then; it had no waker left.
    #[inline]
    pub(crate) fn look(&mut self, id: WaiterId, waker: &Waker) -> Found {
        let index = id.index();
        match self.in_place.get_mut(index) {
            Some(place) => {
                let found = place.look(waker);
                if found == Found::Notified {
                    *place = Entry::Vacant;
                }
                found
            }
            None => self.look_further(index - IN_PLACE, waker),
        }
    }

    #[cold]
    fn look_further(&mut self, index: usize, waker: &Waker) -> Found {
        let more = self.more.as_mut().expect("a waiter's slab stays");
        let found = more[index].look(waker);
        if found == Found::Notified {
            more.remove(index);
        }
        found
    }

    /// Exchanges a waiter's waker and hands the older out, or the given one where the waiter was notified meanwhile.
    pub(crate) fn exchange(&mut self, id: WaiterId, new: Waker) -> Result<Waker, Waker> {
        match self.entry_mut(id) {
            Entry::Waiting { waker, .. } => Ok(mem::replace(waker, new)),
            Entry::Notified | Entry::Vacant => Err(new),
        }
    }

    /// Takes a waiter out and hands out its waker, if it still had one.
    pub(crate) fn remove(&mut self, id: WaiterId) -> Option<Waker> {
        let index = id.index();
        let entry = match self.in_place.get_mut(index) {
            Some(place) => mem::take(place),
            None => self
                .more
                .as_mut()
                .and_then(|more| more.try_remove(index - IN_PLACE))?,
        };
        let waker = entry.into_waker();
        if waker.is_some() {
            self.waiting -= 1;
        }
        waker
    }

    /// Leaves a waker in a poll place and hands out the older one.
    pub(crate) fn set_side(&mut self, side: Side, waker: Waker) -> Option<Waker> {
        let older = match side {
            Side::Read => self.read.replace(waker),
            Side::Write => self.write.replace(waker),
        };
        if older.is_none() {
            self.waiting += 1;
        }
        older
    }

    fn entry_mut(&mut self, id: WaiterId) -> &mut Entry {
        let index = id.index();
        match self.in_place.get_mut(index) {
            Some(place) => place,
            None => self
                .more
                .as_mut()
                .and_then(|more| more.get_mut(index - IN_PLACE))
                .expect("a waiter keeps its place until it gives it up"),
        }
    }
}

impl WaiterId {
    fn new(index: usize) -> Self {
        let number = u32::try_from(index + 1).ok().and_then(NonZeroU32::new);
        Self(number.expect("memory ends before 2^32 - 1 waiters of one descriptor"))
    }

    fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}
