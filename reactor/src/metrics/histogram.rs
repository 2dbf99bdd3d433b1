//! Histograms with one bucket per power of two: the shard's recorder, and the snapshot of it.
//!
//! A record is two plain additions on cache lines that only its shard writes.

use crate::metrics::Counter;

/// The number of buckets with an upper bound. One more takes all larger values.
const BOUNDED: usize = 26;

/// The unit of recorded values, and with it the first upper bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    /// Nanoseconds, from 256 ns to 8.6 s. Reported in seconds.
    Time,
    /// A number of things, from 1 to 33,554,432.
    Count,
}

impl Scale {
    /// The logarithm of the first upper bound.
    fn first(self) -> u32 {
        match self {
            Self::Time => 8,
            Self::Count => 0,
        }
    }

    /// Converts a recorded value to the unit of reports.
    #[expect(
        clippy::cast_precision_loss,
        reason = "reports need no more than 52 bits"
    )]
    fn report(self, value: u64) -> f64 {
        match self {
            Self::Time => value as f64 / 1e9,
            Self::Count => value as f64,
        }
    }

    fn bucket(self, value: u64) -> usize {
        // The smallest power of two that is not less than the value.
        let log = u64::BITS - value.saturating_sub(1).leading_zeros();
        (log.saturating_sub(self.first()) as usize).min(BOUNDED)
    }
}

/// A histogram that one thread writes and reports read.
#[derive(Debug)]
pub(crate) struct Recorder {
    scale: Scale,
    buckets: [Counter; BOUNDED + 1],
    sum: Counter,
}

impl Recorder {
    pub(crate) fn new(scale: Scale) -> Self {
        Self {
            scale,
            buckets: [const { Counter::new() }; BOUNDED + 1],
            sum: Counter::new(),
        }
    }

    /// Records a value; times are in nanoseconds. Called only by the thread that owns the recorder.
    #[inline(always)]
    pub(crate) fn record(&self, value: u64) {
        self.buckets[self.scale.bucket(value)].add_own(1);
        self.sum.add_own(value);
    }

    pub(crate) fn read(&self) -> Histogram {
        Histogram {
            scale: self.scale,
            counts: self.buckets.each_ref().map(Counter::get),
            sum: self.sum.get(),
        }
    }
}

/// A distribution of values since the start, in buckets whose bounds double.
///
/// Times are in seconds. See [`Builder::histograms`](crate::Builder::histograms).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Histogram {
    scale: Scale,
    counts: [u64; BOUNDED + 1],
    sum: u64,
}

impl Histogram {
    /// Returns the number of recorded values.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns the sum of the recorded values.
    pub fn sum(&self) -> f64 {
        self.scale.report(self.sum)
    }

    /// Returns each bucket's upper bound, which is inclusive, and the number of values in that
    /// bucket alone. The last bound is infinite.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        (0_u32..)
            .zip(&self.counts)
            .map(|(index, &count)| (self.bound(index), count))
    }

    fn bound(&self, index: u32) -> f64 {
        if index as usize == BOUNDED {
            f64::INFINITY
        } else {
            self.scale.report(1 << (self.scale.first() + index))
        }
    }

    /// Returns the upper bound of the bucket that holds the value at quantile `q` (0.99 for the
    /// 99th percentile). The value itself is at most this, and more than half of it unless it is in
    /// the first bucket. Returns `None` if nothing was recorded.
    ///
    /// # Examples
    ///
    /// ```
    /// # let reactor = reactor::Reactor::builder().shards(1).histograms(true).build()?;
    /// # reactor.block_on(reactor.spawn(reactor::yield_now()))?;
    /// let shard = &reactor.handle().metrics().shards[0];
    /// let p99 = shard.poll_time.as_ref().and_then(|polls| polls.quantile(0.99));
    /// assert!(p99.is_some_and(|seconds| seconds > 0.0));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let count = self.count();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "it is between 1 and the count"
        )]
        let rank = ((count as f64 * q).ceil() as u64).clamp(1, count.max(1));
        let mut so_far = 0;
        self.buckets()
            .find(|(_, bucket)| {
                so_far += bucket;
                so_far >= rank
            })
            .map(|(bound, _)| bound)
    }

    /// Adds the values of another histogram of the same unit, for example of another shard.
    ///
    /// # Panics
    ///
    /// Panics if one has times and the other has counts.
    pub fn merge(&mut self, other: &Self) {
        assert_eq!(self.scale, other.scale, "histograms of different units");
        for (count, other) in self.counts.iter_mut().zip(other.counts) {
            *count += other;
        }
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_in_the_first_bucket_that_is_not_less() {
        for (value, bound) in [
            (0, 1),
            (1, 1),
            (2, 2),
            (3, 4),
            (4, 4),
            (5, 8),
            (1 << 25, 1 << 25),
        ] {
            let recorder = Recorder::new(Scale::Count);
            recorder.record(value);
            let found = recorder
                .read()
                .buckets()
                .find(|(_, count)| *count == 1)
                .unwrap()
                .0;
            assert!((found - f64::from(bound)).abs() < 0.1, "{value}: {found}");
        }
        let recorder = Recorder::new(Scale::Count);
        recorder.record(u64::MAX);
        recorder.record((1 << 25) + 1);
        assert_eq!(recorder.read().counts[BOUNDED], 2);
    }

    #[test]
    fn times_are_reported_in_seconds() {
        let recorder = Recorder::new(Scale::Time);
        recorder.record(256);
        recorder.record(257);
        let read = recorder.read();
        assert_eq!((read.counts[0], read.counts[1]), (1, 1));
        assert!((read.bound(0) - 256e-9).abs() < 1e-12);
        assert!((read.sum() - 513e-9).abs() < 1e-12);
        recorder.record(u64::MAX);
        assert_eq!(recorder.read().quantile(1.0), Some(f64::INFINITY));
    }

    #[test]
    fn a_quantile_is_the_bound_of_its_bucket() {
        let recorder = Recorder::new(Scale::Count);
        assert_eq!(recorder.read().quantile(0.5), None);
        for value in 1..=100 {
            recorder.record(value);
        }
        let mut read = recorder.read();
        assert_eq!(read.quantile(0.0), Some(1.0));
        assert_eq!(read.quantile(0.5), Some(64.0));
        assert_eq!(read.quantile(0.99), Some(128.0));
        read.merge(&recorder.read());
        assert_eq!(read.count(), 200);
        assert_eq!(read.quantile(0.5), Some(64.0));
    }
}
