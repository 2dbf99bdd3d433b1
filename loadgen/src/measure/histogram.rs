//! Latencies: recorded per thread in nanoseconds, merged once at the end.
//!
//! A [`Recorder`] is an HDR histogram from 1 ns to one hour with three digits. Its size is fixed,
//! so memory does not grow with requests. Longer durations count as an hour. It holds only the
//! counts, at the same indices as every HDR histogram: recording finds an index and adds one. The
//! `hdrhistogram` crate computes sums, extremes and quantiles on request. Tests:
//! `histogram/tests.rs`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};

use crate::measure::clock::Nanos;

/// The smallest and the largest latency that it can hold, and its number of digits.
const LOWEST_NS: u64 = 1;
const HIGHEST_NS: u64 = 3_600_000_000_000;
const DIGITS: u8 = 3;
/// The number of steps within each power of two: twice the number for three digits, rounded to a
/// power of two.
pub(crate) const SUB_BUCKETS: u64 = 2_048;
const HALF: u64 = SUB_BUCKETS / 2;
/// The number of counts.
const PLACES: usize = place(HIGHEST_NS) + 1;

/// A histogram of durations in nanoseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorder {
    counts: Box<[u64]>,
}

/// Returns the index of a duration's count. Each duration below [`SUB_BUCKETS`] has its own count,
/// and each power of two above has [`HALF`] counts.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "at most 36 thousand, since no value exceeds an hour"
)]
const fn place(ns: Nanos) -> usize {
    let grain = SUB_BUCKETS.leading_zeros() + 1 - (ns | (SUB_BUCKETS - 1)).leading_zeros();
    (grain as u64 * HALF + (ns >> grain)) as usize
}

/// Returns the first and the last duration of a count.
fn bounds(place: usize) -> (Nanos, Nanos) {
    let place = place as u64;
    let grain = (place / HALF).saturating_sub(1);
    let first = (place - grain * HALF) << grain;
    (first, first + (1 << grain) - 1)
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}

impl Recorder {
    /// Makes an empty histogram, which takes 264 KiB.
    #[must_use]
    pub fn new() -> Self {
        Self {
            counts: vec![0; PLACES].into_boxed_slice(),
        }
    }

    /// Adds one duration. It never allocates.
    #[inline]
    pub fn record(&mut self, ns: Nanos) {
        self.counts[place(ns.clamp(LOWEST_NS, HIGHEST_NS))] += 1;
    }

    /// Adds all counts of another histogram.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine = mine.saturating_add(*theirs);
        }
    }

    /// Returns the number of recorded durations.
    #[must_use]
    pub fn count(&self) -> u64 {
        let sum = |sum: u64, &count: &u64| sum.saturating_add(count);
        self.counts.iter().fold(0, sum)
    }

    /// Returns the duration that this share of them does not exceed; zero if there are none.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank among durations, at least the first"
    )]
    pub fn quantile(&self, quantile: f64) -> Nanos {
        let rank = (quantile * self.count() as f64).ceil() as u64;
        let mut before = rank.max(1);
        self.recorded()
            .find(|&(_, count)| {
                let here = before <= count;
                before = before.saturating_sub(count);
                here
            })
            .map_or(0, |(place, _)| bounds(place).1)
    }

    /// Returns the largest duration.
    #[must_use]
    pub fn max(&self) -> Nanos {
        let last = self.counts.iter().rposition(|&count| count > 0);
        last.map_or(0, |place| bounds(place).1)
    }

    /// Returns the smallest duration; zero if there are none.
    #[must_use]
    pub fn min(&self) -> Nanos {
        self.recorded()
            .next()
            .map_or(0, |(place, _)| bounds(place).0)
    }

    /// Returns the average in nanoseconds.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.histogram().mean()
    }

    /// Returns the standard deviation in nanoseconds.
    #[must_use]
    pub fn stdev(&self) -> f64 {
        self.histogram().stdev()
    }

    /// Returns the number of powers of two that it distinguishes.
    #[must_use]
    pub(crate) fn buckets(&self) -> u8 {
        self.histogram().buckets()
    }

    /// Returns rising quantiles that end at 1. There are `per_half` of them for each halving of the
    /// distance to the end. Each has its duration and the number of durations up to it.
    pub(crate) fn quantile_steps(&self, per_half: u32) -> Vec<(Nanos, f64, u64)> {
        let mut count = 0;
        self.histogram()
            .iter_quantiles(per_half)
            .map(|step| {
                count += step.count_since_last_iteration();
                (step.value_iterated_to(), step.quantile_iterated_to(), count)
            })
            .collect()
    }

    /// Returns the recorded durations in rising order, to the histogram's resolution, each with its
    /// count.
    pub fn iter(&self) -> impl Iterator<Item = (Nanos, u64)> {
        self.recorded()
            .map(|(place, count)| (bounds(place).1, count))
    }

    /// Returns the indices with a count above zero, in rising order.
    fn recorded(&self) -> impl Iterator<Item = (usize, u64)> {
        let all = self.counts.iter().copied().enumerate();
        all.filter(|&(_, count)| count > 0)
    }

    /// Returns the same histogram as a type of the `hdrhistogram` crate.
    fn histogram(&self) -> Histogram<u64> {
        let mut histogram = Histogram::new_with_bounds(LOWEST_NS, HIGHEST_NS, DIGITS)
            .expect("the constants are valid bounds");
        for (place, count) in self.recorded() {
            histogram.saturating_record_n(bounds(place).0, count);
        }
        histogram
    }

    /// Encodes the histogram in HdrHistogram's compressed V2 format, which its versions in other
    /// languages read.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(&self.histogram(), &mut bytes)
            .expect("writing to memory does not fail");
        bytes
    }

    /// Decodes the format of [`to_bytes`](Self::to_bytes), or the uncompressed V2 format.
    ///
    /// # Errors
    /// The bytes are no V2 histogram. The text gives the reason.
    pub fn from_bytes(mut bytes: &[u8]) -> Result<Self, String> {
        let read: Histogram<u64> = Deserializer::new()
            .deserialize(&mut bytes)
            .map_err(|error| format!("not a V2 histogram: {error}"))?;
        let mut recorder = Self::new();
        for step in read.iter_recorded() {
            let ns = read.lowest_equivalent(step.value_iterated_to());
            let count = &mut recorder.counts[place(ns.min(HIGHEST_NS))];
            *count = count.saturating_add(step.count_at_value());
        }
        Ok(recorder)
    }

    /// Encodes [`to_bytes`](Self::to_bytes) in base64, for other tools to merge and plot.
    #[must_use]
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.to_bytes())
    }

    /// Decodes the format of [`to_base64`](Self::to_base64).
    ///
    /// # Errors
    /// The text is not base64; otherwise as for [`from_bytes`](Self::from_bytes).
    pub fn from_base64(text: &str) -> Result<Self, String> {
        let bytes = STANDARD
            .decode(text)
            .map_err(|error| format!("not base64: {error}"))?;
        Self::from_bytes(&bytes)
    }
}

#[cfg(test)]
mod tests;
