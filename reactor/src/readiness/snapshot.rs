//! The bit layout of the readiness word, and the pure functions from word to word. No atomics.
//!
//! `cell.rs` loops over these functions; `Registration` hands the word a look saw to the caller, as a `ReadyEvent`. The
//! word is a `u64` everywhere and no tick ever leaves it: two ticks are compared in place, so none can be cut short on
//! the way. Tests are in `tests.rs`: exhaustive over the states, by property over the ticks.

use std::fmt;

use crate::Ready;

/// Six state bits (those of [`Ready`]), the shutdown bit, and three ticks of 19 bits.
///
/// ```text
///  63       45 44       26 25        7 6        5     4        3            2           1        0
/// | error tick | write tick | read tick | shutdown | error | priority | write closed | read closed | writable | readable |
/// ```
///
/// A tick counts the events that carried a bit of its direction, modulo 2^19, so a clear from 1 to 2^19 - 1 events late
/// is recognised as late.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Snapshot(u64);

/// How wide a tick is: what 64 bits leave after seven for the state, in three equal parts.
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

/// For each set of states, what an event that carries them adds to the ticks.
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
    /// The word of a slot at birth: what is assumed of the descriptor, and every tick at zero.
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

    /// The state, all of it.
    #[inline(always)]
    pub(crate) const fn ready(self) -> Ready {
        #[expect(clippy::cast_possible_truncation, reason = "the low bits are meant")]
        Ready::from_bits(self.0 as u8)
    }

    /// Whether the shard has shut down.
    #[inline(always)]
    pub(crate) const fn is_shutdown(self) -> bool {
        self.0 & SHUTDOWN != 0
    }

    /// Whether a wait for any of `mask` is over.
    #[inline(always)]
    pub(crate) const fn ends_wait(self, mask: Ready) -> bool {
        self.0 & (SHUTDOWN | mask.bits() as u64) != 0
    }

    /// The same ticks beside those states that `mask` has too.
    #[inline(always)]
    pub(crate) const fn restricted_to(self, mask: Ready) -> Self {
        Self(self.0 & !(STATE & !(mask.bits() as u64)))
    }

    /// After an event: its states added, and the tick of each direction that it carries moved on.
    #[inline(always)]
    pub(crate) fn published(self, event: Ready) -> Self {
        let bump = BUMPS[(event.bits() & Ready::ALL.bits()) as usize];
        // All ticks at once. Without their top bits the addition carries into those at most, and never out of a tick; a top
        // bit is the sum of that carry and what it was.
        let low = (self.0 & !TICK_TOPS).wrapping_add(bump);
        Self((low ^ (self.0 & TICK_TOPS)) | event.bits() as u64)
    }

    /// After a clear of `states` by somebody who saw `seen`: they are gone in those directions whose tick has not moved
    /// since. The shutdown bit stays, whatever is asked.
    #[inline(always)]
    pub(crate) fn cleared(self, seen: Self, states: Ready) -> Self {
        let moved = (self.0 ^ seen.0) & TICKS;
        let mut gone = states.bits() as u64;
        // Nearly always none has moved, which one look at all of them tells.
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

    /// After the shard's end.
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

/// What the tests need to see of a word that the code never takes out of it.
#[cfg(all(any(test, fuzzing), not(reactor_loom)))]
impl Snapshot {
    /// The read, write and error tick.
    #[cfg(test)]
    pub(crate) fn ticks(self) -> [u64; 3] {
        [READ, WRITE, ERROR].map(|lane| (self.0 & lane.tick) / lane.one)
    }

    /// The same state with these ticks.
    pub(crate) fn with_ticks(self, ticks: [u64; 3]) -> Self {
        let mut word = self.0 & (STATE | SHUTDOWN);
        for (lane, tick) in [READ, WRITE, ERROR].iter().zip(ticks) {
            word |= (tick * lane.one) & lane.tick;
        }
        Self(word)
    }
}
