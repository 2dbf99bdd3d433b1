//! The seat of a registration: the shard that polls it, and the number of waits that began
//! elsewhere.
//!
//! It is a part of a slot. A wait that begins on another shard is counted, once in each window of
//! about 2 ms; a wait on the seat's shard resets the count. After [`MOVE_AFTER`] windows elsewhere
//! in a row, the registration moves (`io/moving.rs`). Tests are at the end.
//!
//! Windows are counted, not waits, because the OS may deschedule a shard for some milliseconds. A
//! sibling then serves its connections, each of them many times, and none of them has to move.

use std::time::Duration;

use crate::sync::{AtomicU32, Ordering};

/// The number of windows elsewhere, in a row, after which a registration moves. The simulation of
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
/// The window of the last wait that counted, in the six bits that are left.
const WINDOW_SHIFT: u32 = 26;
const WINDOW_MASK: u32 = 0x3f << WINDOW_SHIFT;

/// The length of a window is this power of two in nanoseconds: 2.1 ms.
const WINDOW_NS_LOG2: u32 = 21;

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

    /// Counts a wait that begins on this shard. `elapsed` is the time since the reactor's start.
    pub(crate) fn count_wait(&self, shard: usize, elapsed: Duration) -> Follow {
        let word = self.0.load(Ordering::Relaxed);
        if word & FIXED != 0 {
            return Follow::Stay;
        }
        if word & SHARD_MASK == bits(shard) {
            self.0.fetch_and(!AWAY_MASK, Ordering::Relaxed);
            return Follow::Stay;
        }
        let away = word & AWAY_MASK;
        let window = window_bits(elapsed);
        if away != 0 && word & WINDOW_MASK == window {
            return Follow::Stay;
        }
        if away / AWAY_ONE + 1 >= MOVE_AFTER {
            return Follow::Move;
        }
        let counted = (word & !(WINDOW_MASK | AWAY_MASK)) | (away + AWAY_ONE) | window;
        // A concurrent change of the word wins over this count.
        let _ = self
            .0
            .compare_exchange(word, counted, Ordering::Relaxed, Ordering::Relaxed);
        Follow::Stay
    }

    /// Moves the seat to another shard. Called under the owner entries of both epolls.
    pub(crate) fn take(&self, shard: usize) {
        self.0.store(bits(shard) | MOVED, Ordering::Relaxed);
    }
}

fn window_bits(elapsed: Duration) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "the low six bits are kept")]
    let window = (elapsed.as_nanos() >> WINDOW_NS_LOG2) as u32;
    window << WINDOW_SHIFT
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

    const WINDOW: Duration = Duration::from_nanos(1 << WINDOW_NS_LOG2);

    #[test]
    fn ticks_elsewhere_in_a_row_move_it() {
        let seat = seat_on(2);
        assert!(seat.is_settled_on(2));
        for window in 1..MOVE_AFTER {
            for _ in 0..100 {
                assert_eq!(seat.count_wait(0, window * WINDOW), Follow::Stay);
            }
        }
        assert!(!seat.is_settled_on(2), "the count is not zero");
        assert_eq!(
            seat.count_wait(1, MOVE_AFTER * WINDOW),
            Follow::Move,
            "from any shard"
        );
        assert!(!seat.has_moved());
        seat.take(1);
        assert_eq!(seat.shard(), 1);
        assert!(seat.is_settled_on(1) && seat.has_moved());
    }

    #[test]
    fn one_wait_at_home_resets_the_count() {
        let seat = seat_on(2);
        for round in 0..5 {
            let start = round * 100 * WINDOW;
            for window in 1..MOVE_AFTER {
                assert_eq!(seat.count_wait(0, start + window * WINDOW), Follow::Stay);
            }
            assert_eq!(seat.count_wait(2, start + 50 * WINDOW), Follow::Stay);
        }
    }

    #[test]
    fn a_fixed_registration_stays() {
        let seat = seat_on(1);
        seat.fix();
        for window in 0..300 {
            assert_eq!(seat.count_wait(0, window * WINDOW), Follow::Stay);
        }
        assert_eq!(seat.shard(), 1);
        assert!(seat.is_settled_on(1));
    }
}
