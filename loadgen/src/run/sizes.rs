//! The sizes of requests: one size, or several with weights.
//!
//! The command line makes it, and [`Payload`](crate::run::payload::Payload) draws from it. Tests:
//! `sizes/tests.rs`.

use std::fmt;
use std::str::FromStr;

use server_demo::units::{parse_count, parse_size};

use crate::run::weighted::Weighted;

/// The maximum size. A larger one is refused as a mistake.
pub const SIZE_MAX: usize = 64 << 20;
/// The maximum weight. A larger one is refused as a mistake.
const WEIGHT_MAX: u64 = 1_000_000_000;

/// One size, or several sizes with weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sizes(Weighted<usize>);

impl Sizes {
    /// Returns the size if there is only one.
    #[must_use]
    pub fn only(&self) -> Option<usize> {
        self.0.only().copied()
    }

    /// Returns the size that belongs to `random`, a number of 64 random bits.
    #[must_use]
    pub fn draw(&self, random: u64) -> usize {
        *self.0.draw(random)
    }

    /// Returns the average size.
    #[must_use]
    pub fn mean(&self) -> usize {
        self.0.mean(|&size| size)
    }
}

/// Makes a single size.
///
/// # Panics
/// The size is zero.
impl From<usize> for Sizes {
    fn from(size: usize) -> Self {
        assert!(size > 0, "a request has at least one byte");
        Self(Weighted::new([(size, 1)]))
    }
}

/// Reads `64`, `1k`, or sizes with weights such as `64:90,16k:10`. Only the proportions of weights
/// matter.
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

/// Writes the form that the command line takes.
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
