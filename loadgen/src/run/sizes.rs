//! The sizes of requests: one size, or several with weights.
//!
//! Read from the command line, drawn from by [`Payload`](crate::run::payload::Payload). Tests:
//! `sizes/tests.rs`.

use std::fmt;
use std::str::FromStr;

use server_demo::units::{parse_count, parse_size};

use crate::run::weighted::Weighted;

/// Requests above this size are a mistake.
pub const SIZE_MAX: usize = 64 << 20;
/// Weights above this are a mistake.
const WEIGHT_MAX: u64 = 1_000_000_000;

/// A size, or several with the weights in which they are mixed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sizes(Weighted<usize>);

impl Sizes {
    /// The one size there is, unless there are several.
    #[must_use]
    pub fn only(&self) -> Option<usize> {
        self.0.only().copied()
    }

    /// The size that belongs to `random`, a number of 64 random bits.
    #[must_use]
    pub fn draw(&self, random: u64) -> usize {
        *self.0.draw(random)
    }

    /// The average size.
    #[must_use]
    pub fn mean(&self) -> usize {
        self.0.mean(|&size| size)
    }
}

/// One size.
///
/// # Panics
/// It is zero.
impl From<usize> for Sizes {
    fn from(size: usize) -> Self {
        assert!(size > 0, "a request has at least one byte");
        Self(Weighted::new([(size, 1)]))
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
        Ok(Self(Weighted::new(parts?)))
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
        for (n, (size, weight)) in self.0.iter().enumerate() {
            let comma = if n > 0 { "," } else { "" };
            write!(f, "{comma}{size}:{weight}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
