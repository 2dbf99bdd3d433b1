//! The waiters of one descriptor, as plain data. The lock around them and the rules of its use are
//! in `waiters.rs`.
//!
//! The list has two poll slots (one for each direction), two inline async waiters, and a slab for
//! more. Two inline waiters suffice for a connection that is read and written by two tasks, which
//! is common and therefore never allocates. Nothing here clones, drops or wakes a waker: each
//! function returns the waker that it displaced. Tests are in `tests.rs`.

use std::mem;
use std::num::NonZeroU32;
use std::task::Waker;

use slab::Slab;

use crate::Ready;
use crate::panics::caught;
use crate::readiness::place::{InPlace, Places};

/// The two poll slots, as constants. A const parameter saves a tenth of a wait's instructions.
pub(crate) struct Side;

impl Side {
    pub(crate) const READ: usize = 0;
    pub(crate) const WRITE: usize = 1;

    /// Returns the states that end a wait on this side.
    #[inline]
    pub(crate) const fn mask(side: usize) -> Ready {
        match side {
            Self::READ => READ_SIDE,
            _ => WRITE_SIDE,
        }
    }
}

const READ_SIDE: Ready = Ready::from_interest(crate::Interest::READABLE);
const WRITE_SIDE: Ready = Ready::from_interest(crate::Interest::WRITABLE);

/// An identifier of a waiter, from its insertion to its removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WaiterId(NonZeroU32);

/// The number of async waiters that are stored in the list itself.
pub(super) const IN_PLACE: usize = 2;

/// The number of poll slots, which come before the inline waiters.
const SIDES: usize = 2;

/// The maximum number of wakers that leave the slab at a time.
pub(crate) const BATCH: usize = 8;

/// A waiter in the slab.
#[derive(Debug)]
enum Entry {
    /// A waiter that will be notified of any state in the mask.
    Waiting { waker: Waker, mask: Ready },
    /// A notified waiter. It completes at its next poll, whatever the readiness is by then.
    Notified,
}

impl Entry {
    /// Turns a waiter for any of `ready` into a notified one and returns its waker.
    fn notify(&mut self, ready: Ready) -> Option<Waker> {
        match self {
            Self::Waiting { mask, .. } if mask.intersects(ready) => {
                mem::replace(self, Self::Notified).into_waker()
            }
            _ => None,
        }
    }

    fn into_waker(self) -> Option<Waker> {
        match self {
            Self::Waiting { waker, .. } => Some(waker),
            Self::Notified => None,
        }
    }
}

/// The state in which a waiter finds its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Notified,
    /// Still waiting, with a waker that wakes the same task.
    Current,
    /// Still waiting, with another waker.
    Outdated,
}

impl Found {
    fn waiting(current: &Waker, asking: &Waker) -> Self {
        if current.will_wake(asking) {
            Self::Current
        } else {
            Self::Outdated
        }
    }
}

#[derive(Debug)]
pub(crate) struct WaiterList {
    /// The presence of wakers: one bit for each of `wakers`, and [`FURTHER`].
    armed: u8,
    /// The states that the inline async waiters wait for.
    masks: [Ready; IN_PLACE],
    /// The two poll slots, then the inline async waiters.
    wakers: [Option<Waker>; SIDES + IN_PLACE],
    /// The number of wakers in the slab.
    further: u32,
    /// Kept once allocated, until the slot is freed, so that a descriptor with many waiters does
    /// not allocate at every wait.
    more: Option<Box<Slab<Entry>>>,
}

/// The bit of `armed` that says that the slab has a waker.
const FURTHER: u8 = 1 << (SIDES + IN_PLACE);

impl WaiterList {
    pub(super) fn new() -> Self {
        Self {
            armed: 0,
            masks: [Ready::EMPTY; IN_PLACE],
            wakers: [const { None }; SIDES + IN_PLACE],
            further: 0,
            more: None,
        }
    }

    /// Visits each waker, and the states that end its wait.
    pub(super) fn each(&self, mut visit: impl FnMut(Ready, &Waker)) {
        let masks = [READ_SIDE, WRITE_SIDE, self.masks[0], self.masks[1]];
        for (mask, waker) in masks.into_iter().zip(&self.wakers) {
            if let Some(waker) = waker {
                visit(mask, waker);
            }
        }
        for (_, entry) in self.more.iter().flat_map(|more| more.iter()) {
            if let Entry::Waiting { waker, mask } = entry {
                visit(*mask, waker);
            }
        }
    }

    /// Drops all wakers. Each drop is foreign code: one that panics does not prevent the others.
    /// Returns the number of panics.
    pub(crate) fn drop_caught(self) -> u32 {
        let further = self
            .more
            .into_iter()
            .flat_map(|more| *more)
            .filter_map(|(_, entry)| entry.into_waker());
        let wakers = self.wakers.into_iter().flatten().chain(further);
        wakers.map(|waker| caught(|| drop(waker)).1).sum()
    }

    /// Takes one waker outside the slab that waits for any of `ready`.
    ///
    /// Each slot is tested by itself, with a constant index: a scan of the bits costs 12 more
    /// instructions.
    #[inline(always)]
    pub(super) fn take_one(&mut self, ready: Ready, places: &Places) -> Option<Waker> {
        if let Some(reader) = self.take_reader(ready) {
            Some(reader)
        } else if self.waits_at(2) && self.masks[0].intersects(ready) {
            places.notify(InPlace::FIRST);
            self.take_at(2)
        } else if self.waits_at(1) && WRITE_SIDE.intersects(ready) {
            self.take_at(1)
        } else if self.waits_at(3) && self.masks[1].intersects(ready) {
            places.notify(InPlace::SECOND);
            self.take_at(3)
        } else {
            None
        }
    }

    /// Takes the waker of the reading poll slot if it waits for any of `ready`.
    #[inline(always)]
    pub(super) fn take_reader(&mut self, ready: Ready) -> Option<Waker> {
        if self.waits_at(0) && READ_SIDE.intersects(ready) {
            self.take_at(0)
        } else {
            None
        }
    }

    #[inline(always)]
    fn waits_at(&self, index: usize) -> bool {
        self.armed & (1 << index) != 0
    }

    #[inline(always)]
    fn take_at(&mut self, index: usize) -> Option<Waker> {
        self.armed &= !(1 << index);
        self.wakers[index].take()
    }

    /// Returns true if no task waits for any state.
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.armed == 0
    }

    /// Returns true if no task waits and nothing is allocated.
    #[inline]
    pub(crate) fn is_bare(&self) -> bool {
        self.is_empty() && self.more.is_none()
    }

    /// Takes all wakers outside the slab that wait for any of `ready`.
    pub(super) fn take_first(
        &mut self,
        ready: Ready,
        places: &Places,
    ) -> [Option<Waker>; SIDES + IN_PLACE] {
        std::array::from_fn(|_| self.take_one(ready, places))
    }

    /// Returns the end of the slab, or zero if no task in it waits.
    pub(crate) fn more_until(&self) -> usize {
        match &self.more {
            Some(more) if self.further > 0 => more.capacity(),
            _ => 0,
        }
    }

    /// Takes up to [`BATCH`] wakers from the slab. Advances `from` to the index at which the next
    /// call starts, or to `until`.
    ///
    /// A waiter that joins meanwhile is notified only if its entry is in `from..until`. A waker
    /// that waits again when it is woken therefore cannot keep the caller busy without end.
    pub(crate) fn take_more(
        &mut self,
        ready: Ready,
        from: &mut usize,
        until: usize,
    ) -> [Option<Waker>; BATCH] {
        let mut wakers = [const { None }; BATCH];
        let mut free = wakers.iter_mut();
        while *from < until && free.len() > 0 {
            let entry = self.more.as_mut().and_then(|more| more.get_mut(*from));
            if let Some(waker) = entry.and_then(|entry| entry.notify(ready)) {
                self.count_further(-1);
                let place = free.next().expect("the loop ends when the last is filled");
                *place = Some(waker);
            }
            *from += 1;
        }
        wakers
    }

    /// Adds a waiter for any of `mask`.
    #[inline(always)]
    pub(super) fn insert(&mut self, mask: Ready, waker: Waker, places: &Places) -> WaiterId {
        if places.take(InPlace::FIRST) {
            self.fill(InPlace::FIRST, mask, waker)
        } else {
            self.insert_next_slow(mask, waker, places)
        }
    }

    #[inline(always)]
    fn fill(&mut self, place: InPlace, mask: Ready, waker: Waker) -> WaiterId {
        let index = SIDES + place.index();
        self.masks[place.index()] = mask;
        self.armed |= 1 << index;
        let older = self.wakers[index].replace(waker);
        debug_assert!(older.is_none(), "a vacant place has no waker");
        // The old value is forgotten and not dropped: a drop would check once more if it holds a
        // waker.
        mem::forget(older);
        WaiterId::new(place.index())
    }

    #[inline(never)]
    fn insert_next_slow(&mut self, mask: Ready, waker: Waker, places: &Places) -> WaiterId {
        if places.take(InPlace::SECOND) {
            return self.fill(InPlace::SECOND, mask, waker);
        }
        self.count_further(1);
        let more = self.more.get_or_insert_default();
        WaiterId::new(IN_PLACE + more.insert(Entry::Waiting { waker, mask }))
    }

    /// Checks a waiter's entry. A notified waiter gives up its entry here. Its waker is already
    /// gone.
    pub(super) fn look(&mut self, id: WaiterId, waker: &Waker, places: &Places) -> Found {
        let Some(place) = id.in_place() else {
            return self.look_further(id.index() - IN_PLACE, waker);
        };
        match &self.wakers[SIDES + place.index()] {
            Some(current) => Found::waiting(current, waker),
            None => {
                places.give_up(place);
                Found::Notified
            }
        }
    }

    fn look_further(&mut self, index: usize, waker: &Waker) -> Found {
        let more = self.more.as_mut().expect("a waiter's slab stays");
        match &more[index] {
            Entry::Waiting { waker: current, .. } => Found::waiting(current, waker),
            Entry::Notified => {
                more.remove(index);
                Found::Notified
            }
        }
    }

    /// Replaces a waiter's waker and returns the old one, or the new one if the waiter was notified
    /// meanwhile.
    pub(crate) fn exchange(&mut self, id: WaiterId, new: Waker) -> Result<Waker, Waker> {
        let current = match id.in_place() {
            Some(place) => self.wakers[SIDES + place.index()].as_mut(),
            None => match self.entry_mut(id) {
                Some(Entry::Waiting { waker, .. }) => Some(waker),
                Some(Entry::Notified) | None => None,
            },
        };
        match current {
            Some(waker) => Ok(mem::replace(waker, new)),
            None => Err(new),
        }
    }

    /// Removes a waiter and returns its waker, if it still had one.
    pub(super) fn remove(&mut self, id: WaiterId, places: &Places) -> Option<Waker> {
        let Some(place) = id.in_place() else {
            let more = self.more.as_mut()?;
            let waker = more.try_remove(id.index() - IN_PLACE)?.into_waker();
            if waker.is_some() {
                self.count_further(-1);
            }
            return waker;
        };
        let index = SIDES + place.index();
        self.armed &= !(1 << index);
        let waker = self.wakers[index].take();
        places.give_up(place);
        waker
    }

    /// Stores a waker in a poll slot and returns the old one.
    #[inline(always)]
    pub(crate) fn set_side<const SIDE: usize>(&mut self, waker: Waker) -> Option<Waker> {
        const { assert!(SIDE < SIDES) };
        self.armed |= 1 << SIDE;
        self.wakers[SIDE].replace(waker)
    }

    fn entry_mut(&mut self, id: WaiterId) -> Option<&mut Entry> {
        self.more.as_mut()?.get_mut(id.index() - IN_PLACE)
    }

    fn count_further(&mut self, change: i32) {
        self.further = self.further.wrapping_add_signed(change);
        if self.further == 0 {
            self.armed &= !FURTHER;
        } else {
            self.armed |= FURTHER;
        }
    }
}

impl WaiterId {
    #[inline(always)]
    fn new(index: usize) -> Self {
        let number = u32::try_from(index + 1).ok().and_then(NonZeroU32::new);
        Self(number.expect("memory ends before 2^32 - 1 waiters of one descriptor"))
    }

    #[inline(always)]
    fn index(self) -> usize {
        self.0.get() as usize - 1
    }

    /// Returns the place of an inline waiter.
    #[inline(always)]
    pub(super) fn in_place(self) -> Option<InPlace> {
        InPlace::new(self.index())
    }
}
