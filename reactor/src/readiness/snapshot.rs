//! The bit layout of the readiness word, and pure functions from word to word. It uses no atomics.
//!
//! `cell.rs` loops over these functions. `Registration` returns the loaded word to the caller as a
//! `ReadyEvent`. The word is a `u64` everywhere and no tick ever leaves it: two ticks are compared
//! in place, so neither can be truncated. Tests are in `tests.rs`: exhaustive over the states, by
//! property over the ticks.

use std::fmt;

use crate::Ready;

/// Six state bits (those of [`Ready`]), the shutdown bit, and three ticks of 19 bits.
///
/// ```text
/// bit 0  readable        bit 4  priority       bits  7-25  read tick
/// bit 1  writable        bit 5  error          bits 26-44  write tick
/// bit 2  read closed     bit 6  shutdown       bits 45-63  error tick
/// bit 3  write closed
/// ```
///
/// A tick counts the events that carried a state of its direction, modulo 2^19. A clear that is 1
/// to 2^19 - 1 events late is therefore recognised as late.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Snapshot(u64);

/// The width of a tick: 64 bits, less seven for the state, in three equal parts.
pub(crate) const TICK_BITS: u32 = 19;

const STATE: u64 = Ready::ALL.bits() as u64;
const SHUTDOWN: u64 = 1 << 6;

/// One direction: the state bits that belong to it, and its tick.
struct Lane {
    state: u64,
    tick: u64,
    one: u64,
}

const fn lane(state: Ready, index: u32) -> Lane {
    let shift = 7 + index * TICK_BITS;
    Lane {
        state: state.bits() as u64,
        tick: ((1 << TICK_BITS) - 1) << shift,
        one: 1 << shift,
    }
}

const READ: Lane = lane(
    Ready::from_bits(
        Ready::READABLE.bits() | Ready::READ_CLOSED.bits() | Ready::PRIORITY_BIT.bits(),
    ),
    0,
);
const WRITE: Lane = lane(
    Ready::from_bits(Ready::WRITABLE.bits() | Ready::WRITE_CLOSED.bits()),
    1,
);
const ERROR: Lane = lane(Ready::ERROR, 2);

const _: () = {
    assert!(READ.tick | WRITE.tick | ERROR.tick | SHUTDOWN | STATE == u64::MAX);
    assert!(READ.state | WRITE.state | ERROR.state == STATE);
    assert!(READ.state & WRITE.state == 0 && (READ.state | WRITE.state) & ERROR.state == 0);
};

const TICKS: u64 = READ.tick | WRITE.tick | ERROR.tick;

/// The highest bit of each tick.
const TICK_TOPS: u64 = (READ.one | WRITE.one | ERROR.one) << (TICK_BITS - 1);

/// The increment of the ticks for each set of states that an event carries.
static BUMPS: [u64; Ready::ALL.bits() as usize + 1] = {
    let mut bumps = [0; Ready::ALL.bits() as usize + 1];
    let mut event = 0;
    while event < bumps.len() {
        let states = event as u64;
        if states & READ.state != 0 {
            bumps[event] |= READ.one;
        }
        if states & WRITE.state != 0 {
            bumps[event] |= WRITE.one;
        }
        if states & ERROR.state != 0 {
            bumps[event] |= ERROR.one;
        }
        event += 1;
    }
    bumps
};

impl Snapshot {
    /// Creates the word of a new slot: the assumed readiness of the descriptor, and all ticks zero.
    pub(crate) const fn new(initial: Ready) -> Self {
        Self(initial.bits() as u64)
    }

    #[inline(always)]
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    #[inline(always)]
    pub(crate) const fn to_bits(self) -> u64 {
        self.0
    }

    /// Returns all states.
    #[inline(always)]
    pub(crate) const fn ready(self) -> Ready {
        #[expect(clippy::cast_possible_truncation, reason = "the low bits are meant")]
        Ready::from_bits(self.0 as u8)
    }

    /// Returns true if the shard has shut down.
    #[inline(always)]
    pub(crate) const fn is_shutdown(self) -> bool {
        self.0 & SHUTDOWN != 0
    }

    /// Returns true if a wait for any of `mask` is over.
    #[inline(always)]
    pub(crate) const fn ends_wait(self, mask: Ready) -> bool {
        self.0 & (SHUTDOWN | mask.bits() as u64) != 0
    }

    /// Returns the word with the same ticks and only the states in `mask`.
    #[inline(always)]
    pub(crate) const fn restricted_to(self, mask: Ready) -> Self {
        Self(self.0 & !(STATE & !(mask.bits() as u64)))
    }

    /// Returns the word after an event: its states are added, and the tick of each of its
    /// directions is incremented.
    #[inline(always)]
    pub(crate) fn published(self, event: Ready) -> Self {
        let bump = BUMPS[(event.bits() & Ready::ALL.bits()) as usize];
        // This increments all ticks at once. With the top bits masked off, the addition carries at
        // most into them, and never out of a tick. A top bit is then the sum of that carry and its
        // old value.
        let low = (self.0 & !TICK_TOPS).wrapping_add(bump);
        Self((low ^ (self.0 & TICK_TOPS)) | event.bits() as u64)
    }

    /// Returns the word after a clear of `states` by a caller that saw `seen`. The states are
    /// removed in the directions whose tick has not moved since. The shutdown bit always stays.
    #[inline(always)]
    pub(crate) fn cleared(self, seen: Self, states: Ready) -> Self {
        let moved = (self.0 ^ seen.0) & TICKS;
        let mut gone = states.bits() as u64;
        // Almost always no tick has moved, and one comparison of all of them shows it.
        if moved != 0 && !crate::sync::mutant("clear_ignores_tick") {
            if moved & READ.tick != 0 {
                gone &= !READ.state;
            }
            if moved & WRITE.tick != 0 {
                gone &= !WRITE.state;
            }
            if moved & ERROR.tick != 0 {
                gone &= !ERROR.state;
            }
        }
        Self(self.0 & !gone)
    }

    /// Returns the word after the shard's end.
    #[inline]
    pub(crate) const fn closed(self) -> Self {
        Self(self.0 | SHUTDOWN)
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tick = |lane: &Lane| (self.0 & lane.tick) / lane.one;
        f.debug_struct("Snapshot")
            .field("ready", &self.ready())
            .field("shutdown", &self.is_shutdown())
            .field("ticks", &[tick(&READ), tick(&WRITE), tick(&ERROR)])
            .finish()
    }
}

/// Parts of a word that only tests need to see.
#[cfg(all(any(test, fuzzing), not(reactor_loom)))]
impl Snapshot {
    /// Returns the read, write and error tick.
    #[cfg(test)]
    pub(crate) fn ticks(self) -> [u64; 3] {
        [READ, WRITE, ERROR].map(|lane| (self.0 & lane.tick) / lane.one)
    }

    /// Returns the same state with these ticks.
    pub(crate) fn with_ticks(self, ticks: [u64; 3]) -> Self {
        let mut word = self.0 & (STATE | SHUTDOWN);
        for (lane, tick) in [READ, WRITE, ERROR].iter().zip(ticks) {
            word |= (tick * lane.one) & lane.tick;
        }
        Self(word)
    }
}
