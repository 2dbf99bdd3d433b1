//! Internals for the fuzz targets in `fuzz/`. They are not part of the library.
//!
//! They exist only with `--cfg fuzzing`, which only fuzzers set. Each function decodes a fuzzer's
//! bytes as a program and runs it on one structure and its model, which the structure's property
//! test uses too. It panics if the two disagree. Bytes that end in the middle of a step end the
//! program before that step, so every input is valid. If `FUZZ_STEPS` is set in the environment,
//! the program is printed first, since the bytes of a crash alone say little.

use std::fmt;

use crate::Ready;
use crate::readiness::model as readiness;
use crate::time::wheel::model as wheel;

/// A fuzzer's bytes.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// Decodes a small index.
    fn index(&mut self) -> Option<usize> {
        self.take().map(usize::from)
    }

    fn states(&mut self) -> Option<Ready> {
        Some(Ready::from_bits(self.take()? & Ready::ALL.bits()))
    }

    /// Decodes a number of up to `bits_max` bits, of any magnitude: first the number of bits, then
    /// as many bytes as they take.
    fn span(&mut self, bits_max: u32) -> Option<u64> {
        let bits = u32::from(self.take()?) % (bits_max + 1);
        let mut span = 0;
        for _ in 0..bits.div_ceil(8) {
            span = span << 8 | u64::from(self.take()?);
        }
        Some(span & ((1 << bits) - 1))
    }

    /// Decodes the whole program.
    fn steps<S: fmt::Debug>(mut self, mut step: impl FnMut(&mut Self) -> Option<S>) -> Vec<S> {
        let steps: Vec<S> = std::iter::from_fn(|| step(&mut self)).collect();
        if std::env::var_os("FUZZ_STEPS").is_some() {
            eprintln!("{steps:#?}");
        }
        steps
    }
}

/// Spans of this many bits reach every level of the wheel and go beyond its range.
const SPAN_BITS: u32 = 41;

/// Runs the timer wheel and a map from any start time, including times near the maximum.
pub fn timer_wheel(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let (Some(at_end), Some(span)) = (bytes.take(), bytes.span(SPAN_BITS)) else {
        return;
    };
    let origin = if at_end & 1 == 1 {
        u64::MAX - span
    } else {
        span
    };
    let steps = bytes.steps(|bytes| {
        Some(match bytes.take()? % 8 {
            0..=2 => wheel::Step::Insert(bytes.span(SPAN_BITS)?),
            kind @ 3..=4 => {
                let which = bytes.index()?;
                let by = i64::try_from(bytes.span(SPAN_BITS)?).expect("few bits");
                wheel::Step::Reset(which, if kind == 3 { by } else { -by })
            }
            5 => wheel::Step::Remove(bytes.index()?),
            6 => wheel::Step::Advance(bytes.span(SPAN_BITS)?),
            _ => wheel::Step::Sleep,
        })
    });
    wheel::play(origin, steps);
}

/// Runs the readiness word with its waiters and a model of both, including wraps of the ticks.
pub fn readiness(bytes: &[u8]) {
    let steps = Bytes(bytes).steps(|bytes| {
        Some(match bytes.take()? % 16 {
            0 | 1 => readiness::Step::Look,
            2..=4 => readiness::Step::Publish(bytes.states()?),
            kind @ 5..=6 => readiness::Step::Clear(bytes.index()?, kind == 5),
            7 => readiness::Step::ForgetClosed,
            8 => readiness::Step::Close,
            9..=11 => {
                let mask = bytes.states()?;
                let mask = if mask.is_empty() { Ready::ALL } else { mask };
                readiness::Step::Wait(mask, bytes.index()?)
            }
            12 => readiness::Step::PollWait(bytes.index()?, bytes.index()?),
            13 => readiness::Step::EndWait(bytes.index()?),
            14 => readiness::Step::PollSide(bytes.index()?, bytes.index()?),
            _ => readiness::Step::Renew(bytes.states()?, [bytes.take()? % 8, 0, 1]),
        })
    });
    readiness::play(steps);
}
