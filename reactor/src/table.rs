//! One shard's slots, in pages that never move, and the quarantine that freed slots pass through
//! before they are reused.
//!
//! Any thread allocates and frees. The holder of the shard's poll lock releases the quarantine,
//! when no fetched event is left. `QUARANTINE.md` explains why a freed slot has to wait there. The
//! models are in `loom/quarantine.rs`, and the other tests in `tests.rs`. The table never makes a
//! system call: `owners.rs` does.
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
use std::task::Waker;

use once_cell::race::OnceBox;

use crate::Ready;
use crate::error::{shutdown_error, table_full_error};
use crate::io::ShardIo;
use crate::readiness::Readiness;
use crate::seat::SeatCell;
use crate::sync::{AtomicI32, AtomicU32, Mutex, Ordering};
use crate::token::{SLOTS_MAX, SlotId, Token};

#[cfg(all(test, not(reactor_loom)))]
mod tests;

/// The slots in one page. A page of 128 KiB is large enough to be mapped on its own, and small
/// enough not to matter in the memory of a shard with few registrations.
const PAGE_SLOTS: usize = if cfg!(reactor_loom) { 2 } else { 1024 };
const PAGES_MAX: usize = if cfg!(reactor_loom) {
    2
} else {
    SLOTS_MAX / PAGE_SLOTS
};
const _: () = assert!(cfg!(reactor_loom) || PAGE_SLOTS * PAGES_MAX == SLOTS_MAX);

/// No slot: the end of a chain.
const NONE: u32 = u32::MAX;

/// The state that one registration shares between its shard and its users. It takes two cache
/// lines, which x86 fetches together, so neighbours never share them.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Slot {
    readiness: Readiness,
    /// Counts the registrations that had this slot. Written by the holder of the poll lock when it
    /// releases the slot from quarantine. Read by that holder for every event, and by allocation,
    /// under the free list's lock.
    generation: AtomicU32,
    /// The descriptor number. Written when the slot is allocated; read by the shard if an event
    /// alone is ambiguous.
    fd: AtomicI32,
    /// The shard that polls the descriptor, and the waits that began elsewhere (`seat.rs`).
    seat: SeatCell,
    /// The next slot of this slot's chain. It belongs to the owner of the chain.
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
            seat: SeatCell::new(),
            next: AtomicU32::new(NONE),
        }
    }

    #[inline(always)]
    pub(crate) fn seat(&self) -> &SeatCell {
        &self.seat
    }

    #[inline(always)]
    pub(crate) fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    pub(crate) fn fd(&self) -> RawFd {
        // Relaxed: written before the ADD, and no event can name this slot before that.
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
    /// The number of slots that were ever allocated. Their indices are below it.
    high_water: u32,
    closed: bool,
}

/// The number of slots in quarantine, as [`SlotTable::free`] saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quarantined(pub(crate) u32);

pub(crate) struct SlotTable {
    index: usize,
    /// A page is made when its first slot is allocated, and lives as long as the table. Every event
    /// reads its entry. `OnceBox` does that with one load, and std's `OnceLock` with two.
    pages: Box<[OnceBox<Page>; PAGES_MAX]>,
    free: Mutex<Free>,
    quarantine: Mutex<Chain>,
    /// The quarantine's length. The shard reads it each turn, and so finds an empty quarantine
    /// without taking the lock. Written under the lock. A stale value only delays the release to
    /// the next turn.
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
    /// Returns the shutdown error after [`SlotTable::shut_down`], and another error if all slots
    /// are taken.
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
                (index, slot)
            }
        };
        if crate::sync::mutant("reset_outside_lock") {
            drop(free);
            return Ok((self.birth(index, slot, fd, initial), slot));
        }
        // This runs inside the lock. After an earlier shutdown, this line is not reached. A later
        // shutdown closes the new word.
        Ok((self.birth(index, slot, fd, initial), slot))
    }

    fn birth(&self, index: u32, slot: &Slot, fd: RawFd, initial: Ready) -> Token {
        slot.readiness.reset(initial);
        slot.fd.store(fd, Ordering::Relaxed);
        slot.seat.reset(self.index);
        Token::new(
            SlotId::new(self.index, index),
            slot.generation.load(Ordering::Relaxed),
        )
    }

    /// Puts the slot that `id` names into quarantine. Called from any thread, once for each
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

    /// Makes the slots in quarantine usable again, each under its next generation. Called only by
    /// the holder of the poll lock, when every fetched event is dispatched.
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
            // A slot whose generations are used up is never reused. No registration has generation
            // 0, so late tokens of the slot match none.
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
        }
    }

    /// Returns the slot that a token names, if the token's registration still has it. Called by the
    /// shard thread.
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

    /// Refuses new registrations from now on, and ends every wait on existing ones. Returns the
    /// number of wakers that panicked.
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

    /// Visits the waker of every wait on a descriptor of this table. `visit` runs no foreign code.
    pub(crate) fn each_waiter(&self, mut visit: impl FnMut(RawFd, Ready, &Waker)) {
        let high_water = self.free.lock().high_water;
        for index in 0..high_water {
            let slot = self.slot_at(index);
            slot.readiness.each_waiter(|mask, waker| {
                visit(slot.fd(), mask, waker);
            });
        }
    }

    /// Returns the slot with this id, which was allocated.
    pub(crate) fn slot(&self, id: SlotId) -> &Slot {
        self.slot_at(id.slot())
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

/// Creates an array on the heap, without a copy on the stack.
fn boxed_array<T, const N: usize>(make: impl Fn() -> T) -> Box<[T; N]> {
    let items: Box<[T]> = (0..N).map(|_| make()).collect();
    items
        .try_into()
        .unwrap_or_else(|_| unreachable!("the iterator makes exactly N items"))
}

/// Access by token for models and tests.
#[cfg(test)]
impl SlotTable {
    pub(crate) fn allocate(&self, fd: RawFd, initial: Ready) -> io::Result<Token> {
        self.take(fd, initial).map(|(token, _)| token)
    }

    pub(crate) fn free_id(&self, id: SlotId) -> Quarantined {
        self.free(self.slot(id), id)
    }
}

/// A registration's reference to its slot: a pointer that stays valid because it keeps the table
/// alive.
///
/// A lookup through the directory takes four dependent loads, at every load, clear and wait.
/// Compared with an echo of a few hundred instructions, that is measurable.
pub(crate) struct SlotRef {
    io: Arc<ShardIo>,
    slot: NonNull<Slot>,
}

impl SlotRef {
    /// Takes a slot of a shard's table for a new registration of `fd`. Called from any thread.
    ///
    /// # Errors
    ///
    /// Returns the shutdown error after [`SlotTable::shut_down`], and another error if all slots
    /// are taken.
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
        // SAFETY: `slot` was a reference into a page of `io`'s table. The table is a field of a
        // value that `io` keeps alive and in place. A page is boxed, and neither replaced nor
        // dropped before its table. No code ever has `&mut` to a slot.
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

// SAFETY: `io` is `Send + Sync` by itself; `slot` stands for a shared reference, and `Slot` is
// `Sync`.
unsafe impl Send for SlotRef {}
// SAFETY: as above.
unsafe impl Sync for SlotRef {}

const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Slot>();
    shared::<Arc<ShardIo>>();
};
