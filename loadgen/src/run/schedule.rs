//! The intended send times of an open loop.
//!
//! A schedule never depends on answers: this makes the loop open. Each thread has a share of one
//! common rate. Fixed arrivals interleave exactly (thread `k` of `t` takes every `t`-th time). They
//! do not drift, because the remainder of each division is carried over. Poisson arrivals are
//! independent processes, whose sum is again Poisson. The dispatcher of each thread calls it.
//! Tests: `schedule/tests.rs`.

use crate::measure::clock::Nanos;
use crate::report::rate::Rate;
use crate::report::settings::Arrivals;
use crate::run::random::{Random, mix};
use crate::run::stages::Stages;

/// A thousand seconds in nanoseconds, because rates are in thousandths of a request per second.
const PARTS_OF_SECOND: u64 = 1_000_000_000_000;

/// The endless, non-decreasing sequence of intended send times of one thread.
#[derive(Debug, Clone)]
pub struct Schedule {
    next: Nanos,
    gaps: Gaps,
}

#[derive(Debug, Clone)]
enum Gaps {
    /// The gap is `step + rem/rate` nanoseconds. `owed` (below `rate`) is the fraction of a
    /// nanosecond that is carried over.
    Fixed {
        step: u64,
        rem: u64,
        rate: u64,
        owed: u64,
    },
    /// The time has a fraction. A double holds nanoseconds exactly for 104 days.
    Poisson { at: f64, mean: f64, random: Random },
    /// Arrivals at a changing rate: request number `due` comes when the area under the stages
    /// reaches that number.
    Staged {
        stages: Stages,
        start: Nanos,
        due: f64,
        /// The number of threads.
        of: f64,
        /// The generator of Poisson arrivals.
        random: Option<Random>,
    },
}

/// A thread's share of a run's schedule.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    /// This thread, counted from zero.
    pub index: u32,
    /// The number of threads.
    pub of: u32,
}

impl Schedule {
    /// Makes a share of a schedule with `rate` requests per second in total, which begins at
    /// `start`.
    ///
    /// # Panics
    /// The rate is zero, or the share is outside its whole.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "rates and times far below 2^53")]
    pub fn new(arrivals: Arrivals, rate: Rate, share: Share, start: Nanos, seed: u64) -> Self {
        let rate = rate.thousandths();
        assert!(rate > 0, "a schedule needs a rate");
        assert!(share.index < share.of, "a share lies within its whole");
        match arrivals {
            Arrivals::Fixed => {
                let first = u64::from(share.index) * PARTS_OF_SECOND;
                let gap = u64::from(share.of) * PARTS_OF_SECOND;
                Self {
                    next: start + first / rate,
                    gaps: Gaps::Fixed {
                        step: gap / rate,
                        rem: gap % rate,
                        rate,
                        owed: first % rate,
                    },
                }
            }
            Arrivals::Poisson => {
                let mean = f64::from(share.of) * PARTS_OF_SECOND as f64 / rate as f64;
                let mut random = Random::new(mix(seed ^ u64::from(share.index)));
                let at = start as f64 + exponential(mean, &mut random);
                Self {
                    next: whole_nanos(at),
                    gaps: Gaps::Poisson { at, mean, random },
                }
            }
        }
    }

    /// Makes a share of a schedule whose rate changes in stages. It ends with the last stage.
    #[must_use]
    pub fn staged(
        arrivals: Arrivals,
        stages: &Stages,
        share: Share,
        start: Nanos,
        seed: u64,
    ) -> Self {
        let of = f64::from(share.of);
        let (due, random) = match arrivals {
            Arrivals::Fixed => (f64::from(share.index), None),
            Arrivals::Poisson => {
                let mut random = Random::new(mix(seed ^ u64::from(share.index)));
                (exponential(of, &mut random), Some(random))
            }
        };
        Self {
            next: stages.time_of(due).map_or(Nanos::MAX, |at| start + at),
            gaps: Gaps::Staged {
                stages: stages.clone(),
                start,
                due,
                of,
                random,
            },
        }
    }

    /// Returns the next time without taking it.
    #[must_use]
    #[inline]
    pub fn peek(&self) -> Nanos {
        self.next
    }

    /// Takes the next intended time.
    #[inline]
    pub fn take(&mut self) -> Nanos {
        let taken = self.next;
        match &mut self.gaps {
            Gaps::Fixed {
                step,
                rem,
                rate,
                owed,
            } => {
                self.next += *step;
                *owed += *rem;
                if *owed >= *rate {
                    *owed -= *rate;
                    self.next += 1;
                }
            }
            Gaps::Poisson { at, mean, random } => {
                *at += exponential(*mean, random);
                self.next = whole_nanos(*at);
            }
            Gaps::Staged {
                stages,
                start,
                due,
                of,
                random,
            } => {
                *due += match random {
                    Some(random) => exponential(*of, random),
                    None => *of,
                };
                self.next = stages.time_of(*due).map_or(Nanos::MAX, |at| *start + at);
            }
        }
        taken
    }
}

fn exponential(mean: f64, random: &mut Random) -> f64 {
    -mean * random.next_unit().ln()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "times are positive; the fraction goes"
)]
fn whole_nanos(at: f64) -> Nanos {
    at as Nanos
}

#[cfg(test)]
mod tests;
