//! Latencies: recorded per thread in nanoseconds, merged once at the end.
//!
//! A [`Recorder`] is an HDR histogram from 1 ns to one hour with three digits; its size is fixed, so memory does not grow with
//! requests. Values beyond an hour count as an hour. Tests: `histogram/tests.rs`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};

use crate::clock::Nanos;

/// The smallest and the largest latency told apart, and the digits kept.
const LOWEST_NS: u64 = 1;
const HIGHEST_NS: u64 = 3_600_000_000_000;
const DIGITS: u8 = 3;
/// Steps of each power of two that are told apart: twice what three digits need, as a power of two.
pub(crate) const SUB_BUCKETS: u64 = 2_048;

/// A histogram of durations in nanoseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorder {
    histogram: Histogram<u64>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}

impl Recorder {
    /// An empty one; about 280 KiB.
    #[must_use]
    pub fn new() -> Self {
        let histogram = Histogram::new_with_bounds(LOWEST_NS, HIGHEST_NS, DIGITS)
            .expect("the constants are valid bounds");
        Self { histogram }
    }

    /// Adds one duration. Never allocates.
    #[inline]
    pub fn record(&mut self, ns: Nanos) {
        self.histogram.saturating_record(ns.max(LOWEST_NS));
    }

    /// Adds everything another one holds.
    pub fn merge(&mut self, other: &Self) {
        self.histogram
            .add(&other.histogram)
            .expect("all recorders share the same bounds");
    }

    /// Durations recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The duration below which this share of them lies; zero when there are none.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Nanos {
        self.histogram.value_at_quantile(quantile)
    }

    /// The largest duration.
    #[must_use]
    pub fn max(&self) -> Nanos {
        self.histogram.max()
    }

    /// The smallest duration; zero when there are none.
    #[must_use]
    pub fn min(&self) -> Nanos {
        if self.count() == 0 {
            0
        } else {
            self.histogram.min()
        }
    }

    /// The average in nanoseconds.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.histogram.mean()
    }

    /// The standard deviation in nanoseconds.
    #[must_use]
    pub fn stdev(&self) -> f64 {
        self.histogram.stdev()
    }

    /// Powers of two that are told apart.
    #[must_use]
    pub(crate) fn buckets(&self) -> u8 {
        self.histogram.buckets()
    }

    /// Rising quantiles, closer and closer to 1 and the last one 1: so many for each halving of the distance that is left. Each
    /// comes with the duration it lies at and how many durations are up to there.
    pub(crate) fn quantile_steps(&self, per_half: u32) -> impl Iterator<Item = (Nanos, f64, u64)> {
        let mut count = 0;
        self.histogram.iter_quantiles(per_half).map(move |step| {
            count += step.count_since_last_iteration();
            (step.value_iterated_to(), step.quantile_iterated_to(), count)
        })
    }

    /// The durations recorded, to the histogram's resolution and in rising order, each with how often it occurred.
    pub fn iter(&self) -> impl Iterator<Item = (Nanos, u64)> {
        self.histogram
            .iter_recorded()
            .map(|step| (step.value_iterated_to(), step.count_at_value()))
    }

    /// The histogram in the compressed V2 encoding of the HDR family, which is the one its other members read.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(&self.histogram, &mut bytes)
            .expect("writing to memory does not fail");
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote, or the plain V2 encoding.
    ///
    /// # Errors
    /// Not a V2 histogram, or one with other bounds that does not fit; a sentence says which.
    pub fn from_bytes(mut bytes: &[u8]) -> Result<Self, String> {
        let read: Histogram<u64> = Deserializer::new()
            .deserialize(&mut bytes)
            .map_err(|error| format!("not a V2 histogram: {error}"))?;
        let mut recorder = Self::new();
        recorder
            .histogram
            .add(&read)
            .map_err(|error| format!("does not fit: {error}"))?;
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
