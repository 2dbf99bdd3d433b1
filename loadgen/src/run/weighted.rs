//! A choice between values with weights. Only the proportions of weights matter.
//!
//! A draw is a pure function of the given number. So the sender and the verifier agree on it, and
//! nothing is stored. `sizes.rs` and `template.rs` use it and have the tests.

use std::sync::Arc;

/// One or more values with their weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Weighted<T> {
    parts: Arc<[Part<T>]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part<T> {
    value: T,
    /// The sum of the weights up to this value.
    up_to: u64,
}

impl<T> Weighted<T> {
    /// # Panics
    /// There is no value, or all weights are zero.
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

    /// Returns the value if there is only one.
    pub(crate) fn only(&self) -> Option<&T> {
        match &self.parts[..] {
            [only] => Some(&only.value),
            _ => None,
        }
    }

    /// Returns the value that belongs to `random`, a number of 64 random bits.
    pub(crate) fn draw(&self, random: u64) -> &T {
        // The high half of the product is as even as 64 bits allow, and needs no division.
        let at = (u128::from(random) * u128::from(self.weight())) >> 64;
        let part = self.parts.iter().find(|part| at < u128::from(part.up_to));
        &part.expect("the product is below the weight of all").value
    }

    /// Returns the values with their own weights.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&T, u64)> {
        let mut before = 0;
        self.parts.iter().map(move |part| {
            let weight = part.up_to - before;
            before = part.up_to;
            (&part.value, weight)
        })
    }

    /// Returns the weighted average of a size of the values.
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
