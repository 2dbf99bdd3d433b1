//! The seat of a registration: the shard that polls it, and the number of waits that began
//! elsewhere.
//!
//! It is a part of a slot. A wait that begins on another shard is counted; a wait on the seat's
//! shard resets the count. After [`MOVE_AFTER`] waits elsewhere in a row, the registration moves
//! (`io/moving.rs`). Tests are at the end.

use crate::sync::{AtomicU32, Ordering};

/// The number of waits elsewhere, in a row, after which a registration moves. The simulation of
/// policies compares 1 to 32 (`benches/docs/stealing-policy.md`). With 1, up to half of all
/// requests move a registration. From 8 on, steady connections stay on their shard.
pub(crate) const MOVE_AFTER: u32 = 8;

const SHARD_MASK: u32 = 0xffff;
/// One wait elsewhere. The count has the eight bits above the shard.
const AWAY_ONE: u32 = 1 << 16;
const AWAY_MASK: u32 = 0xff << 16;
/// The registration has moved before.
const MOVED: u32 = 1 << 24;
/// The registration never moves.
const FIXED: u32 = 1 << 25;

/// The decision after a wait on a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Follow {
    /// The registration stays.
    Stay,
    /// The registration moves to the waiting shard.
    Move,
}

/// A seat as an atomic word. The count is a hint: two simultaneous waits may lose one. The shard
/// changes only under the owner entries of both epolls.
#[derive(Debug)]
pub(crate) struct SeatCell(AtomicU32);

impl SeatCell {
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Assigns a new registration to the shard of its table. Called before its token is known.
    pub(crate) fn reset(&self, shard: usize) {
        self.0.store(bits(shard), Ordering::Relaxed);
    }

    /// Pins the registration to its shard for good. Called by the thread that made it.
    pub(crate) fn fix(&self) {
        self.0.fetch_or(FIXED, Ordering::Relaxed);
    }

    /// Returns the index of the shard that polls the descriptor.
    pub(crate) fn shard(&self) -> usize {
        // Relaxed: a caller that acts on it reads it again under the owner entry.
        (self.0.load(Ordering::Relaxed) & SHARD_MASK) as usize
    }

    /// Returns true if the registration has ever moved.
    pub(crate) fn has_moved(&self) -> bool {
        self.0.load(Ordering::Relaxed) & MOVED != 0
    }

    /// Returns true if a wait on this shard changes nothing: the seat is on this shard, and no wait
    /// elsewhere is counted.
    #[inline(always)]
    pub(crate) fn is_settled_on(&self, shard: u32) -> bool {
        self.0.load(Ordering::Relaxed) & (SHARD_MASK | AWAY_MASK) == shard
    }

    /// Counts a wait that begins on this shard.
    pub(crate) fn count_wait(&self, shard: usize) -> Follow {
        let word = self.0.load(Ordering::Relaxed);
        if word & FIXED != 0 {
            return Follow::Stay;
        }
        if word & SHARD_MASK == bits(shard) {
            self.0.fetch_and(!AWAY_MASK, Ordering::Relaxed);
            return Follow::Stay;
        }
        if (word & AWAY_MASK) / AWAY_ONE + 1 >= MOVE_AFTER {
            return Follow::Move;
        }
        self.0.fetch_add(AWAY_ONE, Ordering::Relaxed);
        Follow::Stay
    }

    /// Moves the seat to another shard. Called under the owner entries of both epolls.
    pub(crate) fn take(&self, shard: usize) {
        self.0.store(bits(shard) | MOVED, Ordering::Relaxed);
    }
}

fn bits(shard: usize) -> u32 {
    u32::try_from(shard)
        .ok()
        .filter(|bits| bits & !SHARD_MASK == 0)
        .expect("a reactor has fewer shards than 16 bits can name")
}

#[cfg(all(test, not(reactor_loom)))]
mod tests {
    use super::*;

    fn seat_on(shard: usize) -> SeatCell {
        let seat = SeatCell::new();
        seat.reset(shard);
        seat
    }

    #[test]
    fn waits_elsewhere_in_a_row_move_it() {
        let seat = seat_on(2);
        assert!(seat.is_settled_on(2));
        for _ in 1..MOVE_AFTER {
            assert_eq!(seat.count_wait(0), Follow::Stay);
        }
        assert!(!seat.is_settled_on(2), "the count is not zero");
        assert_eq!(seat.count_wait(1), Follow::Move, "from whichever shard");
        assert!(!seat.has_moved());
        seat.take(1);
        assert_eq!(seat.shard(), 1);
        assert!(seat.is_settled_on(1) && seat.has_moved());
    }

    #[test]
    fn one_wait_at_home_resets_the_count() {
        let seat = seat_on(2);
        for _ in 0..5 {
            for _ in 1..MOVE_AFTER {
                assert_eq!(seat.count_wait(0), Follow::Stay);
            }
            assert_eq!(seat.count_wait(2), Follow::Stay);
        }
    }

    #[test]
    fn a_fixed_registration_stays() {
        let seat = seat_on(1);
        seat.fix();
        for _ in 0..300 {
            assert_eq!(seat.count_wait(0), Follow::Stay);
        }
        assert_eq!(seat.shard(), 1);
        assert!(seat.is_settled_on(1));
    }
}
