//! Latencies: recorded per thread in nanoseconds, merged once at the end.
//!
//! A [`Recorder`] is an HDR histogram from 1 ns to one hour with three digits; its size is fixed,
//! so memory does not grow with requests. Values beyond an hour count as an hour. It holds only
//! the counts, at the same indices as every HDR histogram: recording finds an index and adds one.
//! Sums, extremes and quantiles are computed on request, by the `hdrhistogram` crate. Tests:
//! `histogram/tests.rs`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};

use crate::measure::clock::Nanos;

/// The smallest and the largest latency that it distinguishes, and its digits.
const LOWEST_NS: u64 = 1;
const HIGHEST_NS: u64 = 3_600_000_000_000;
const DIGITS: u8 = 3;
/// The distinct steps within each power of two: twice the number that three digits need, rounded
/// to a power of two.
pub(crate) const SUB_BUCKETS: u64 = 2_048;
const HALF: u64 = SUB_BUCKETS / 2;
/// Places for counts.
const PLACES: usize = place(HIGHEST_NS) + 1;

/// A histogram of durations in nanoseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorder {
    counts: Box<[u64]>,
}

/// Where the count of a duration is: those below [`SUB_BUCKETS`] have a place each, and each power
/// of two from there on has [`HALF`] of them.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "at most 36 thousand, since no value exceeds an hour"
)]
const fn place(ns: Nanos) -> usize {
    let grain = SUB_BUCKETS.leading_zeros() + 1 - (ns | (SUB_BUCKETS - 1)).leading_zeros();
    (grain as u64 * HALF + (ns >> grain)) as usize
}

/// The first duration of a place, and the last.
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
    /// An empty one; 264 KiB.
    #[must_use]
    pub fn new() -> Self {
        Self {
            counts: vec![0; PLACES].into_boxed_slice(),
        }
    }

    /// Adds one duration. Never allocates.
    #[inline]
    pub fn record(&mut self, ns: Nanos) {
        self.counts[place(ns.clamp(LOWEST_NS, HIGHEST_NS))] += 1;
    }

    /// Adds everything another one holds.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine = mine.saturating_add(*theirs);
        }
    }

    /// Durations recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        let sum = |sum: u64, &count: &u64| sum.saturating_add(count);
        self.counts.iter().fold(0, sum)
    }

    /// The duration below which this share of them lies; zero when there are none.
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

    /// The largest duration.
    #[must_use]
    pub fn max(&self) -> Nanos {
        let last = self.counts.iter().rposition(|&count| count > 0);
        last.map_or(0, |place| bounds(place).1)
    }

    /// The smallest duration; zero when there are none.
    #[must_use]
    pub fn min(&self) -> Nanos {
        self.recorded()
            .next()
            .map_or(0, |(place, _)| bounds(place).0)
    }

    /// The average in nanoseconds.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.histogram().mean()
    }

    /// The standard deviation in nanoseconds.
    #[must_use]
    pub fn stdev(&self) -> f64 {
        self.histogram().stdev()
    }

    /// The number of powers of two that it distinguishes.
    #[must_use]
    pub(crate) fn buckets(&self) -> u8 {
        self.histogram().buckets()
    }

    /// Rising quantiles that end at 1, with `per_half` of them for each halving of the distance to
    /// 1. Each comes with its duration and the number of durations up to it.
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

    /// The durations recorded, to the histogram's resolution and in rising order, each with how
    /// often it occurred.
    pub fn iter(&self) -> impl Iterator<Item = (Nanos, u64)> {
        self.recorded()
            .map(|(place, count)| (bounds(place).1, count))
    }

    /// The indices with a count above zero, in rising order.
    fn recorded(&self) -> impl Iterator<Item = (usize, u64)> {
        let all = self.counts.iter().copied().enumerate();
        all.filter(|&(_, count)| count > 0)
    }

    /// The same histogram as a type of the `hdrhistogram` crate.
    fn histogram(&self) -> Histogram<u64> {
        let mut histogram = Histogram::new_with_bounds(LOWEST_NS, HIGHEST_NS, DIGITS)
            .expect("the constants are valid bounds");
        for (place, count) in self.recorded() {
            histogram.saturating_record_n(bounds(place).0, count);
        }
        histogram
    }

    /// The histogram in the compressed V2 encoding of the HDR family, which is the one its other
    /// members read.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(&self.histogram(), &mut bytes)
            .expect("writing to memory does not fail");
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote, or the plain V2 encoding.
    ///
    /// # Errors
    /// Not a V2 histogram; a sentence says why.
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

    /// [`to_bytes`](Self::to_bytes) in base64, for other tools to merge and plot.
    #[must_use]
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.to_bytes())
    }

    /// Reads what [`to_base64`](Self::to_base64) wrote.
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
