//! A choice between values with weights, of which only the proportions matter.
//!
//! A draw is a pure function of the number it is given, so both ends of a check agree on it and
//! nothing is stored. Used by `sizes.rs` and `template.rs`, which have the tests.

use std::sync::Arc;

/// Values with their weights; there is at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Weighted<T> {
    parts: Arc<[Part<T>]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part<T> {
    value: T,
    /// The weights of this part and of those before it.
    up_to: u64,
}

impl<T> Weighted<T> {
    /// # Panics
    /// There is no value, or the weights are all zero.
    pub(crate) fn new(values: impl IntoIterator<Item = (T, u64)>) -> Self {
        let mut up_to = 0;
        let parts = values.into_iter().map(|(value, weight)| {
            up_to += weight;
            Part { value, up_to }
        });
        let parts: Arc<[_]> = parts.collect();
        assert!(up_to > 0, "there is a value with a weight");
        Self { parts }
    }

    /// The one value there is, unless there are several.
    pub(crate) fn only(&self) -> Option<&T> {
        match &self.parts[..] {
            [only] => Some(&only.value),
            _ => None,
        }
    }

    /// The value that belongs to `random`, a number of 64 random bits.
    pub(crate) fn draw(&self, random: u64) -> &T {
        // The high half of the product: as even as 64 bits can make it, and without a division.
        let at = (u128::from(random) * u128::from(self.weight())) >> 64;
        let part = self.parts.iter().find(|part| at < u128::from(part.up_to));
        &part.expect("the product is below the weight of all").value
    }

    /// The values with their own weights.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&T, u64)> {
        let mut before = 0;
        self.parts.iter().map(move |part| {
            let weight = part.up_to - before;
            before = part.up_to;
            (&part.value, weight)
        })
    }

    /// The average of a size of the values.
    pub(crate) fn mean(&self, size: impl Fn(&T) -> usize) -> usize {
        let sizes = self
            .iter()
            .map(|(value, weight)| size(value) as u128 * u128::from(weight));
        let mean = sizes.sum::<u128>() / u128::from(self.weight());
        usize::try_from(mean).expect("no more than the largest")
    }

    fn weight(&self) -> u64 {
        self.parts[self.parts.len() - 1].up_to
    }
}
