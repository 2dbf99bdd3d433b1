//! The delays of the calibration's server: the time at which each answer is due. Pure.
//!
//! Called by `server.rs`. Tests: at the end of this file.

use std::time::{Duration, Instant};

use crate::run::random::Random;

/// The time at which answers are due: a constant delay, which no two connections share, and an
/// extra delay.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Delays {
    /// The constant delay of connection zero.
    pub(super) first: Duration,
    /// The additional constant delay of each further connection.
    pub(super) apart: Duration,
    pub(super) extra: Extra,
}

/// The delay besides the constant one.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) enum Extra {
    #[default]
    Nothing,
    /// An answer that is due during the stall waits for its end.
    Stall {
        /// The time from the first request of the round to the stall.
        after: Duration,
        /// The length of the stall.
        length: Duration,
    },
    /// Connection zero is slower by this much.
    Slow(Duration),
    /// An exponential random delay. The sum has a maximum.
    Exponential { mean: Duration, most: Duration },
}

impl Delays {
    /// Returns the time at which the answer to a request is due. The request arrived at `arrived`
    /// on this connection of the round, and the load began at `began`.
    pub(super) fn due(
        self,
        connection: u32,
        began: Instant,
        arrived: Instant,
        random: &mut Random,
    ) -> Instant {
        let due = arrived + self.first + self.apart * connection;
        match self.extra {
            Extra::Nothing => due,
            Extra::Stall { after, length } => {
                let from = began + after;
                if (from..from + length).contains(&due) {
                    from + length
                } else {
                    due
                }
            }
            Extra::Slow(by) if connection == 0 => due + by,
            Extra::Slow(_) => due,
            Extra::Exponential { mean, most } => {
                let random = mean.mul_f64(-random.next_unit().ln());
                (due + random).min(arrived + most)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_stall_holds_what_falls_due_in_it() {
        let (began, mut random) = (Instant::now(), Random::new(0));
        let delays = Delays {
            first: 10 * MS,
            apart: MS,
            extra: Extra::Stall {
                after: 100 * MS,
                length: 50 * MS,
            },
        };
        for (arrived, due) in [
            (0, 10),
            (89, 99),
            (90, 150),
            (120, 150),
            (140, 150),
            (145, 155),
        ] {
            assert_eq!(
                delays.due(0, began, began + arrived * MS, &mut random),
                began + due * MS,
                "arrived at {arrived} ms"
            );
        }
        let third = delays.due(2, began, began, &mut random);
        assert_eq!(third, began + 12 * MS);
    }

    #[test]
    fn a_distribution_keeps_to_its_bounds_and_mean() {
        let (began, mut random) = (Instant::now(), Random::new(1));
        let delays = Delays {
            first: 10 * MS,
            extra: Extra::Exponential {
                mean: 5 * MS,
                most: 100 * MS,
            },
            ..Delays::default()
        };
        let sample = |_| delays.due(0, began, began, &mut random) - began;
        let delays: Vec<Duration> = (0..10_000).map(sample).collect();
        let mean = delays.iter().sum::<Duration>() / 10_000;
        assert!((14_800..15_200).contains(&mean.as_micros()), "{mean:?}");
        assert!(
            delays
                .iter()
                .all(|delay| (10 * MS..=100 * MS).contains(delay))
        );
    }
}
