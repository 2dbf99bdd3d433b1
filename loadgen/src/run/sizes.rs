//! The sizes of requests: one size, or several with weights.
//!
//! Read from the command line, drawn from by [`Payload`](crate::run::payload::Payload). A draw is a
//! pure function of the number it is given, so both ends of a check agree on it and nothing is
//! stored. Tests: `sizes/tests.rs`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use server_demo::units::{parse_count, parse_size};

/// Requests above this size are a mistake.
pub const SIZE_MAX: usize = 64 << 20;
/// Weights above this are a mistake.
const WEIGHT_MAX: u64 = 1_000_000_000;

/// A size, or several with the weights in which they are mixed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sizes {
    parts: Arc<[Part]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    size: usize,
    /// The weights of this part and of those before it.
    up_to: u64,
}

impl Sizes {
    /// The one size there is, unless there are several.
    #[must_use]
    pub fn only(&self) -> Option<usize> {
        match &self.parts[..] {
            [only] => Some(only.size),
            _ => None,
        }
    }

    /// The size that belongs to `random`, a number of 64 random bits.
    #[must_use]
    pub fn draw(&self, random: u64) -> usize {
        // The high half of the product: as even as 64 bits can make it, and without a division.
        let at = (u128::from(random) * u128::from(self.weight())) >> 64;
        let part = self.parts.iter().find(|part| at < u128::from(part.up_to));
        part.expect("the product is below the weight of all").size
    }

    /// The average size.
    #[must_use]
    pub fn mean(&self) -> usize {
        let mut before = 0;
        let sum: u128 = self
            .parts
            .iter()
            .map(|part| {
                let weight = part.up_to - before;
                before = part.up_to;
                part.size as u128 * u128::from(weight)
            })
            .sum();
        usize::try_from(sum / u128::from(self.weight())).expect("no more than the largest")
    }

    fn weight(&self) -> u64 {
        self.parts[self.parts.len() - 1].up_to
    }

    fn new(sizes: impl IntoIterator<Item = (usize, u64)>) -> Self {
        let mut up_to = 0;
        let parts = sizes.into_iter().map(|(size, weight)| {
            assert!(size > 0, "a request has at least one byte");
            up_to += weight;
            Part { size, up_to }
        });
        let parts: Arc<[Part]> = parts.collect();
        assert!(!parts.is_empty(), "there is a size");
        Self { parts }
    }
}

/// One size.
///
/// # Panics
/// It is zero.
impl From<usize> for Sizes {
    fn from(size: usize) -> Self {
        Self::new([(size, 1)])
    }
}

/// `64`, `1k`, or `64:90,16k:10`: sizes with weights, of which only the proportions matter.
impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let several = text.contains([',', ':']);
        let parts: Result<Vec<_>, String> = text
            .split(',')
            .map(|part| match part.split_once(':') {
                Some((size, weight)) => Ok((parse_one(size)?, parse_weight(weight)?)),
                None if several => Err(format!("{part:?} has no weight: write 64:90,16k:10")),
                None => Ok((parse_one(part)?, 1)),
            })
            .collect();
        Ok(Self::new(parts?))
    }
}

fn parse_one(text: &str) -> Result<usize, String> {
    let size = parse_size(text).map_err(|error| error.to_string())?;
    match usize::try_from(size) {
        Ok(size) if (1..=SIZE_MAX).contains(&size) => Ok(size),
        _ => Err(format!("{size} bytes is not between 1 and {SIZE_MAX}")),
    }
}

fn parse_weight(text: &str) -> Result<u64, String> {
    let text = text.strip_suffix('%').unwrap_or(text);
    match parse_count(text).map_err(|error| error.to_string())? {
        weight @ 1..=WEIGHT_MAX => Ok(weight),
        weight => Err(format!("weight {weight} is not between 1 and {WEIGHT_MAX}")),
    }
}

/// As the command line takes it.
impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(only) = self.only() {
            return write!(f, "{only}");
        }
        let mut before = 0;
        for (n, part) in self.parts.iter().enumerate() {
            let comma = if n > 0 { "," } else { "" };
            write!(f, "{comma}{}:{}", part.size, part.up_to - before)?;
            before = part.up_to;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
