//! One shard's slots, in pages that never move, and the quarantine that freed slots pass before they are used again.
//!
//! Any thread allocates and frees; the shard alone releases the quarantine, between a batch of events and its next wait.
//! Why a freed slot has to wait there is in `QUARANTINE.md`; the models are in `loom/quarantine.rs`, the other tests in
//! `tests.rs`. The table never speaks to the system: `owners.rs` does.
//!
#![doc = include_str!("QUARANTINE.md")]
#![expect(
    unsafe_code,
    reason = "a registration reaches its slot without a walk through the directory"
)]

use std::fmt;
use std::io;
use std::os::fd::RawFd;
use std::ptr::NonNull;
use std::sync::Arc;

use once_cell::race::OnceBox;

use crate::Ready;
use crate::error::{shutdown_error, table_full_error};
use crate::io::ShardIo;
use crate::readiness::Readiness;
use crate::sync::{AtomicI32, AtomicU32, Mutex, Ordering};
use crate::token::{SLOTS_MAX, SlotId, Token};

#[cfg(all(test, not(reactor_loom)))]
mod tests;

/// Slots in one page: 128 KiB, large enough to be mapped on its own, small enough not to show in the memory of a shard
/// with few registrations.
const PAGE_SLOTS: usize = if cfg!(reactor_loom) { 2 } else { 1024 };
const PAGES_MAX: usize = if cfg!(reactor_loom) {
    2
} else {
    SLOTS_MAX / PAGE_SLOTS
};

/// No slot: the end of a chain.
const NONE: u32 = u32::MAX;

/// What one registration shares between its shard and its users. Two cache lines, which is what x86 fetches at a time, so
/// that neighbours never share.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Slot {
    readiness: Readiness,
    /// Which registration this is, of all that had the slot. Written by the shard thread, as it releases the slot from
    /// quarantine; read by it for every event, and by who allocates, under the free list's lock.
    generation: AtomicU32,
    /// The descriptor's number. Written at birth; read by the shard where an event alone does not say enough.
    fd: AtomicI32,
    /// The next slot of the chain this one is in. Belongs to who owns the chain.
    next: AtomicU32,
}

#[cfg(not(reactor_loom))]
const _: () = assert!(size_of::<Slot>() == 128);

impl Slot {
    fn new() -> Self {
        Self {
            readiness: Readiness::new(),
            generation: AtomicU32::new(1),
            fd: AtomicI32::new(-1),
            next: AtomicU32::new(NONE),
        }
    }

    #[inline(always)]
    pub(crate) fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    pub(crate) fn fd(&self) -> RawFd {
        // Relaxed: written before the ADD without which no event would name this slot.
        self.fd.load(Ordering::Relaxed)
    }
}

type Page = [Slot; PAGE_SLOTS];

/// Slots linked through their `next`.
#[derive(Debug)]
struct Chain {
    head: u32,
    len: u32,
}

impl Chain {
    const EMPTY: Self = Self { head: NONE, len: 0 };

    fn push(&mut self, slot: &Slot, index: u32) {
        // Relaxed: the chain's lock orders it.
        slot.next.store(self.head, Ordering::Relaxed);
        self.head = index;
        self.len += 1;
    }
}

#[derive(Debug)]
struct Free {
    chain: Chain,
    /// Slots that were ever allocated: those below this number.
    high_water: u32,
    closed: bool,
}

/// How many slots wait in quarantine, as [`SlotTable::free`] saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quarantined(pub(crate) u32);

pub(crate) struct SlotTable {
    index: usize,
    /// A page is made when its first slot is, and lives as long as the table. Every event reads its entry, which std's
    /// `OnceLock` would do in two loads.
    pages: Box<[OnceBox<Page>; PAGES_MAX]>,
    free: Mutex<Free>,
    quarantine: Mutex<Chain>,
    /// The quarantine's length, for the shard to see every turn that it is zero without taking the lock. Written under
    /// the lock; a length seen late is seen next turn.
    quarantined: AtomicU32,
}

impl SlotTable {
    pub(crate) fn new(index: usize) -> Self {
        Self {
            index,
            pages: boxed_array(OnceBox::new),
            free: Mutex::new(Free {
                chain: Chain::EMPTY,
                high_water: 0,
                closed: false,
            }),
            quarantine: Mutex::new(Chain::EMPTY),
            quarantined: AtomicU32::new(0),
        }
    }

    /// Takes a slot for a new registration of `fd`. Called from any thread.
    ///
    /// # Errors
    ///
    /// The shutdown error after [`SlotTable::shut_down`], another one when all slots are taken.
    fn take(&self, fd: RawFd, initial: Ready) -> io::Result<(Token, &Slot)> {
        let mut free = self.free.lock();
        if free.closed {
            return Err(shutdown_error());
        }
        let (index, slot) = match free.chain.head {
            NONE => {
                if free.high_water as usize == PAGE_SLOTS * PAGES_MAX {
                    return Err(table_full_error());
                }
                free.high_water += 1;
                let index = free.high_water - 1;
                let page = self.page(index).get_or_init(|| boxed_array(Slot::new));
                (index, &page[index as usize % PAGE_SLOTS])
            }
            index => {
                let slot = self.slot_at(index);
                free.chain.head = slot.next.load(Ordering::Relaxed);
                free.chain.len -= 1;
                (index, slot)
            }
        };
        if crate::sync::mutant("reset_outside_lock") {
            drop(free);
            return Ok((self.birth(index, slot, fd, initial), slot));
        }
        // Inside the lock: a shutdown comes either before, and this is not reached, or after, and closes the new word.
        Ok((self.birth(index, slot, fd, initial), slot))
    }

    fn birth(&self, index: u32, slot: &Slot, fd: RawFd, initial: Ready) -> Token {
        slot.readiness.reset(initial);
        slot.fd.store(fd, Ordering::Relaxed);
        Token::new(
            SlotId::new(self.index, index),
            slot.generation.load(Ordering::Relaxed),
        )
    }

    /// Puts a slot, which is the one that `id` names, into quarantine. Called from any thread, once for each
    /// [`SlotRef::allocate`], after the system was told to forget the token.
    pub(crate) fn free(&self, slot: &Slot, id: SlotId) -> Quarantined {
        let index = id.slot();
        debug_assert!(
            std::ptr::eq(slot, self.slot_at(index)),
            "a slot is freed under its own name"
        );
        if crate::sync::mutant("free_skips_quarantine") {
            let mut free = self.free.lock();
            slot.generation.fetch_add(1, Ordering::Relaxed);
            free.chain.push(slot, index);
            return Quarantined(0);
        }
        let mut quarantine = self.quarantine.lock();
        quarantine.push(slot, index);
        self.quarantined.store(quarantine.len, Ordering::Relaxed);
        Quarantined(quarantine.len)
    }

    /// Lets the slots in quarantine be used again, each under its next generation. Called by the shard thread only, when
    /// it has dispatched every event that it fetched, and before it fetches more.
    #[inline]
    pub(crate) fn release_quarantine(&self) {
        if self.quarantined.load(Ordering::Relaxed) > 0 {
            self.release_slow();
        }
    }

    #[cold]
    fn release_slow(&self) {
        let chain = {
            let mut quarantine = self.quarantine.lock();
            self.quarantined.store(0, Ordering::Relaxed);
            std::mem::replace(&mut *quarantine, Chain::EMPTY)
        };
        let mut released = Chain::EMPTY;
        let mut last = NONE;
        let mut index = chain.head;
        while index != NONE {
            let slot = self.slot_at(index);
            let next = slot.next.load(Ordering::Relaxed);
            let generation = slot.generation.load(Ordering::Relaxed);
            let generation = if crate::sync::mutant("release_keeps_generation") {
                generation
            } else {
                generation.wrapping_add(1)
            };
            // A slot whose generations have all been used is never used again. Generation 0 is nobody's, so its late
            // tokens find nobody.
            slot.generation.store(generation, Ordering::Relaxed);
            if generation != 0 {
                if last == NONE {
                    last = index;
                }
                released.push(slot, index);
            }
            index = next;
        }
        if last != NONE {
            let mut free = self.free.lock();
            if !crate::sync::mutant("release_drops_free_list") {
                let slot = self.slot_at(last);
                slot.next.store(free.chain.head, Ordering::Relaxed);
            }
            free.chain.head = released.head;
            free.chain.len += released.len;
        }
    }

    /// The slot that a token means, if the registration it was made for still has it. Called by the shard thread.
    #[inline]
    pub(crate) fn resolve(&self, token: Token) -> Option<&Slot> {
        debug_assert_eq!(
            token.id().table(),
            self.index,
            "an event went to another table"
        );
        let index = token.id().slot() as usize;
        let slot = &self.pages.get(index / PAGE_SLOTS)?.get()?[index % PAGE_SLOTS];
        // Relaxed: this thread wrote it.
        (slot.generation.load(Ordering::Relaxed) == token.generation()).then_some(slot)
    }

    /// Refuses registrations from now on, and ends every wait on those there are. Returns how many wakers panicked.
    pub(crate) fn shut_down(&self) -> u32 {
        let high_water = {
            let mut free = self.free.lock();
            free.closed = true;
            free.high_water
        };
        (0..high_water)
            .map(|index| self.slot_at(index).readiness.close())
            .sum()
    }

    fn slot_at(&self, index: u32) -> &Slot {
        let page = self
            .page(index)
            .get()
            .expect("a slot that was allocated has its page");
        &page[index as usize % PAGE_SLOTS]
    }

    fn page(&self, index: u32) -> &OnceBox<Page> {
        &self.pages[index as usize / PAGE_SLOTS]
    }
}

impl fmt::Debug for SlotTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlotTable")
            .field("index", &self.index)
            .field("free", &*self.free.lock())
            .field("quarantine", &*self.quarantine.lock())
            .finish_non_exhaustive()
    }
}

/// An array on the heap, without passing over the stack.
fn boxed_array<T, const N: usize>(make: impl Fn() -> T) -> Box<[T; N]> {
    let items: Box<[T]> = (0..N).map(|_| make()).collect();
    items
        .try_into()
        .unwrap_or_else(|_| unreachable!("as many were made as there are places"))
}

/// Models and tests name slots by their tokens.
#[cfg(test)]
impl SlotTable {
    pub(crate) fn allocate(&self, fd: RawFd, initial: Ready) -> io::Result<Token> {
        self.take(fd, initial).map(|(token, _)| token)
    }

    pub(crate) fn free_id(&self, id: SlotId) -> Quarantined {
        self.free(self.slot(id), id)
    }

    pub(crate) fn slot(&self, id: SlotId) -> &Slot {
        self.slot_at(id.slot())
    }
}

/// A registration's way to its slot: a pointer that stays good because it keeps the table.
///
/// Through the directory the way is four dependent loads, at every look, clear and wait; measured against an echo of a
/// few hundred instructions that is not nothing.
pub(crate) struct SlotRef {
    io: Arc<ShardIo>,
    slot: NonNull<Slot>,
}

impl SlotRef {
    /// Takes a slot of a shard's table for a new registration of `fd`. Called from any thread.
    ///
    /// # Errors
    ///
    /// The shutdown error after [`SlotTable::shut_down`], another one when all slots are taken.
    #[inline]
    pub(crate) fn allocate(
        io: &Arc<ShardIo>,
        fd: RawFd,
        initial: Ready,
    ) -> io::Result<(Self, Token)> {
        let (token, slot) = io.table().take(fd, initial)?;
        let slot = NonNull::from(slot);
        let io = Arc::clone(io);
        Ok((Self { io, slot }, token))
    }

    #[inline(always)]
    pub(crate) fn slot(&self) -> &Slot {
        // SAFETY: `slot` was a reference into a page of `io`'s table. The table is a field of what `io` keeps alive and in
        // place; a page is boxed, and neither replaced nor dropped before its table; nobody ever has `&mut` to a slot.
        unsafe { self.slot.as_ref() }
    }

    #[inline(always)]
    pub(crate) fn io(&self) -> &Arc<ShardIo> {
        &self.io
    }
}

impl fmt::Debug for SlotRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.slot().fmt(f)
    }
}

// SAFETY: `io` is `Send + Sync` by itself; `slot` is a shared reference in disguise, and `Slot` is `Sync`.
unsafe impl Send for SlotRef {}
// SAFETY: as above.
unsafe impl Sync for SlotRef {}

const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Slot>();
    shared::<Arc<ShardIo>>();
};
