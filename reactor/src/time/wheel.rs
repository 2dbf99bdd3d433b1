//! The shard's timer store: a hierarchical timing wheel of wakers.
//!
//! It is a plain data structure. It has no clock: times are ticks since the shard's epoch, by
//! default milliseconds, and `advance` receives the current time. It starts no thread and never
//! runs a waker's code. Wakers are passed in and returned by value, so that the shard can wake,
//! clone and drop them outside every borrow. The shard's turn calls `advance` and `next_expiry`;
//! `Sleep` calls the rest. Tests are in `tests.rs`, against the model in `model.rs`.
//!
//! # Shape
//!
//! The wheel has six levels of 64 slots. A slot of level 0 is one tick wide. A slot of each further
//! level is as wide as the whole level below it. An entry is filed at the level of the highest
//! six-bit digit in which its time differs from `elapsed`. Everything on one level is therefore due
//! before anything on the next, and one 64-bit map per level finds the earliest occupied slot. When
//! `elapsed` reaches a slot above level 0, its entries are filed again, each on a lower level.
//!
//! # Re-arming is one store
//!
//! An idle timeout is moved later with every request and rarely fires. So `reset` to a later time
//! only writes the deadline and leaves the entry where it is *filed*. When that slot comes due, the
//! entry moves on to its deadline. Only a time before the filed one relinks the entry, in constant
//! time. Only `insert` allocates, and it reuses entries of timers that fired or were removed.

use std::task::Waker;

#[cfg(any(test, fuzzing))]
pub(crate) mod model;
#[cfg(test)]
mod tests;

const LEVEL_BITS: usize = 6;
const SLOTS: usize = 1 << LEVEL_BITS;
const SLOT_MASK: u64 = SLOTS as u64 - 1;
const LEVELS: usize = 6;
/// The farthest time ahead at which an entry can be filed, about two years of milliseconds. An
/// entry that is due later is filed there and moves on. The reach is one slot less than a full
/// rotation. Otherwise an entry could land in the slot that `elapsed` is in and appear due one
/// rotation too early.
const REACH: u64 = SLOT_MASK << level_shift(LEVELS - 1);

/// The end of a list. No entry has this index.
const NIL: u32 = u32::MAX;

/// An identifier of one armed timer. It becomes stale for good when the timer fires or is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerKey {
    index: u32,
    generation: u32,
}

#[derive(Debug)]
struct Entry {
    /// Present while the timer is armed. A free entry has none.
    waker: Option<Waker>,
    deadline: u64,
    /// The time under which the entry is filed. It is never after the deadline, unless the deadline
    /// had passed already: then it is the `elapsed` of that moment.
    filed: u64,
    /// Neighbours in the slot's list. A free entry uses `next` for the free list.
    prev: u32,
    next: u32,
    /// Counts the timers that used this entry. Keys of earlier timers no longer match.
    generation: u32,
    level: u8,
    slot: u8,
}

// A table that doubles is at least half full, so entries of 48 bytes take at most 96 bytes for each
// armed timer.
const _: () = assert!(size_of::<Entry>() <= 48);

/// The earliest occupied slot.
#[derive(Clone, Copy, Debug)]
struct Due {
    level: usize,
    slot: usize,
    start: u64,
}

/// The timers of one shard.
#[derive(Debug)]
pub(crate) struct Wheel {
    /// All times up to this one have been processed.
    elapsed: u64,
    /// One bit per slot that is not empty.
    occupied: [u64; LEVELS],
    heads: [[u32; SLOTS]; LEVELS],
    entries: Vec<Entry>,
    free: u32,
    armed: usize,
}

impl Wheel {
    /// Creates an empty wheel at time 0. Allocates nothing.
    pub(crate) const fn new() -> Self {
        Self {
            elapsed: 0,
            occupied: [0; LEVELS],
            heads: [[NIL; SLOTS]; LEVELS],
            entries: Vec::new(),
            free: NIL,
            armed: 0,
        }
    }

    /// Returns the number of armed timers.
    pub(crate) const fn len(&self) -> usize {
        self.armed
    }

    /// Returns the deadlines and wakers of all armed timers, in no order.
    pub(crate) fn armed(&self) -> impl Iterator<Item = (u64, &Waker)> {
        let entries = self.entries.iter();
        entries.filter_map(|entry| Some((entry.deadline, entry.waker.as_ref()?)))
    }

    /// Arms a timer. A deadline that has passed fires at the next `advance`.
    ///
    /// # Panics
    ///
    /// Panics with 2^32 - 1 timers; memory runs out first.
    pub(crate) fn insert(&mut self, deadline: u64, waker: Waker) -> TimerKey {
        let index = self.take_free();
        let entry = self.entry_mut(index);
        entry.waker = Some(waker);
        entry.deadline = deadline;
        let key = TimerKey {
            index,
            generation: entry.generation,
        };
        self.armed += 1;
        self.file(index);
        key
    }

    /// Changes an armed timer's deadline to a later or earlier time, in constant time and without
    /// allocating. Returns false and does nothing if the timer has fired or was removed.
    pub(crate) fn reset(&mut self, key: TimerKey, deadline: u64) -> bool {
        let Some(entry) = self.armed_mut(key) else {
            return false;
        };
        entry.deadline = deadline;
        if deadline < entry.filed {
            self.unlink(key.index);
            self.file(key.index);
        }
        true
    }

    /// Moves an armed timer's deadline earlier. Does nothing if `deadline` is not earlier.
    pub(crate) fn move_up(&mut self, key: TimerKey, deadline: u64) {
        let armed = self.armed_mut(key);
        if armed.is_some_and(|entry| deadline < entry.deadline) {
            self.reset(key, deadline);
        }
    }

    /// Returns true if the timer has neither fired nor been removed.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn is_armed(&self, key: TimerKey) -> bool {
        self.waker(key).is_some()
    }

    /// Returns the waker of an armed timer, to be compared with a new one before that is cloned.
    #[inline]
    pub(crate) fn waker(&self, key: TimerKey) -> Option<&Waker> {
        let entry = self.entries.get(key.index as usize)?;
        entry
            .waker
            .as_ref()
            .filter(|_| entry.generation == key.generation)
    }

    /// Replaces the waker of an armed timer and returns the old one, to be dropped outside every
    /// borrow.
    ///
    /// # Errors
    ///
    /// Returns the new waker if the timer has fired or was removed.
    pub(crate) fn replace_waker(&mut self, key: TimerKey, waker: Waker) -> Result<Waker, Waker> {
        match self.armed_mut(key).and_then(|entry| entry.waker.as_mut()) {
            Some(place) => Ok(std::mem::replace(place, waker)),
            None => Err(waker),
        }
    }

    /// Disarms a timer and returns its waker, to be dropped outside every borrow. Returns `None` if
    /// the timer has fired or was removed before.
    pub(crate) fn remove(&mut self, key: TimerKey) -> Option<Waker> {
        self.armed_mut(key)?;
        self.unlink(key.index);
        self.release(key.index)
    }

    /// Disarms every timer whose deadline is `now` or earlier. Pushes the wakers to `expired`,
    /// earlier deadlines first, to be woken outside every borrow. A time before an earlier call's
    /// time counts as that call's time.
    pub(crate) fn advance(&mut self, now: u64, expired: &mut Vec<Waker>) {
        let now = now.max(self.elapsed);
        while let Some(due) = self.earliest().filter(|due| due.start <= now) {
            self.elapsed = due.start;
            let mut index = self.detach(due);
            while index != NIL {
                let entry = self.entry_mut(index);
                let next = entry.next;
                if entry.deadline <= due.start {
                    expired.extend(self.release(index));
                } else {
                    // The deadline is later than this slot's start: the entry came from a wider
                    // slot, was reset, or was out of reach. It is filed again even if it is already
                    // due, so that timers fire in the order of their deadlines however late the
                    // call is. With `elapsed` at the slot's start, it cannot land in this slot
                    // again.
                    self.file(index);
                }
                index = next;
            }
        }
        self.elapsed = now;
    }

    /// Returns the time of the next `advance`. It is never after the earliest deadline that is
    /// still to come. It is before that deadline if timers have to be filed again. Returns `None`
    /// without timers.
    pub(crate) fn next_expiry(&self) -> Option<u64> {
        let due = self.earliest()?;
        let first = self.entry(self.heads[due.level][due.slot]);
        // A timer alone in its slot needs no filing on the way. This saves a wake-up of the shard
        // per level.
        Some(if first.next == NIL {
            first.filed
        } else {
            due.start
        })
    }

    /// Disarms every timer and pushes the wakers to `wakers`, to be woken or dropped outside every
    /// borrow.
    pub(crate) fn take_all(&mut self, wakers: &mut Vec<Waker>) {
        while let Some(due) = self.earliest() {
            let mut index = self.detach(due);
            while index != NIL {
                let next = self.entry(index).next;
                wakers.extend(self.release(index));
                index = next;
            }
        }
    }

    /// Returns the first occupied slot at or after `elapsed`. Lower levels are due before higher
    /// ones.
    fn earliest(&self) -> Option<Due> {
        let level = self.occupied.iter().position(|&map| map != 0)?;
        let shift = level_shift(level);
        let current = self.elapsed >> shift;
        // Slots wrap around. After a rotation that makes the current slot bit 0, the lowest set bit
        // is the distance.
        let turn = u32::try_from(current & SLOT_MASK).expect("six bits");
        let ahead = self.occupied[level].rotate_right(turn).trailing_zeros();
        let position = current + u64::from(ahead);
        Some(Due {
            level,
            slot: slot_of(position),
            start: position << shift,
        })
    }

    /// Puts an entry into the slot of its deadline, or of the farthest time within reach.
    fn file(&mut self, index: u32) {
        let elapsed = self.elapsed;
        let entry = self.entry(index);
        let filed = entry.deadline.clamp(elapsed, elapsed.saturating_add(REACH));
        let level = level_of(elapsed, filed);
        let slot = slot_of(filed >> level_shift(level));

        let next = std::mem::replace(&mut self.heads[level][slot], index);
        self.occupied[level] |= 1 << slot;
        if next != NIL {
            self.entry_mut(next).prev = index;
        }
        let entry = self.entry_mut(index);
        entry.filed = filed;
        entry.prev = NIL;
        entry.next = next;
        entry.level = u8::try_from(level).expect("six levels");
        entry.slot = u8::try_from(slot).expect("64 slots");
    }

    /// Removes an entry from its slot.
    fn unlink(&mut self, index: u32) {
        let &Entry {
            prev,
            next,
            level,
            slot,
            ..
        } = self.entry(index);
        if next != NIL {
            self.entry_mut(next).prev = prev;
        }
        if prev != NIL {
            self.entry_mut(prev).next = next;
            return;
        }
        let (level, slot) = (usize::from(level), usize::from(slot));
        self.heads[level][slot] = next;
        if next == NIL {
            self.occupied[level] &= !(1 << slot);
        }
    }

    /// Empties a slot and returns the first entry of its list.
    fn detach(&mut self, due: Due) -> u32 {
        self.occupied[due.level] &= !(1 << due.slot);
        std::mem::replace(&mut self.heads[due.level][due.slot], NIL)
    }

    fn take_free(&mut self) -> u32 {
        if self.free != NIL {
            let index = self.free;
            self.free = self.entry(index).next;
            return index;
        }
        let index = u32::try_from(self.entries.len())
            .ok()
            .filter(|&index| index != NIL);
        let index = index.expect("fewer than 2^32 - 1 timers are armed on one shard");
        self.entries.push(Entry {
            waker: None,
            deadline: 0,
            filed: 0,
            prev: NIL,
            next: NIL,
            generation: 0,
            level: 0,
            slot: 0,
        });
        index
    }

    /// Frees an entry that is no longer in a list. It is reused unless its generations are used up.
    /// In that case it stays empty for good (48 bytes for four billion timers), so that no old key
    /// can match.
    fn release(&mut self, index: u32) -> Option<Waker> {
        self.armed -= 1;
        let free = self.free;
        let entry = self.entry_mut(index);
        let waker = entry.waker.take();
        if let Some(generation) = entry.generation.checked_add(1) {
            entry.generation = generation;
            entry.next = free;
            self.free = index;
        }
        waker
    }

    fn armed_mut(&mut self, key: TimerKey) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(key.index as usize)?;
        (entry.generation == key.generation && entry.waker.is_some()).then_some(entry)
    }

    fn entry(&self, index: u32) -> &Entry {
        &self.entries[index as usize]
    }

    fn entry_mut(&mut self, index: u32) -> &mut Entry {
        &mut self.entries[index as usize]
    }
}

/// Returns the level of the highest digit in which two times differ.
const fn level_of(elapsed: u64, time: u64) -> usize {
    let highest_bit = ((elapsed ^ time) | SLOT_MASK).ilog2() as usize;
    let digit = highest_bit / LEVEL_BITS;
    // Above the top level only a carry can differ, since nothing is filed farther ahead than that
    // level reaches.
    if digit < LEVELS { digit } else { LEVELS - 1 }
}

const fn level_shift(level: usize) -> usize {
    LEVEL_BITS * level
}

const fn slot_of(position: u64) -> usize {
    (position & SLOT_MASK) as usize
}
