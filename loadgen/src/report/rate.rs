//! A rate of requests, exact to a thousandth per second, so that rates below one are possible.
//!
//! Tests: at the end of this file and `run/schedule/tests.rs`.

use std::fmt;
use std::ops::Add;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::measure::units::count;

/// The maximum rate. A higher one is refused as a mistake.
pub const RATE_MAX: u64 = 1_000_000_000;
/// The number of parts in a request per second.
const PARTS: u64 = 1_000;

/// Requests per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "serde_json::Number")]
pub struct Rate {
    thousandths: u64,
}

impl Rate {
    /// Makes a rate of a whole number of requests per second.
    #[must_use]
    pub const fn whole(per_second: u64) -> Self {
        Self {
            thousandths: per_second.saturating_mul(PARTS),
        }
    }

    /// Makes a rate in thousandths of a request per second.
    #[must_use]
    pub(crate) fn of_thousandths(thousandths: u64) -> Self {
        Self { thousandths }
    }

    /// Returns the rate in thousandths of a request per second.
    #[must_use]
    pub fn thousandths(self) -> u64 {
        self.thousandths
    }

    /// Returns the rate in requests per second.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "rates far below 2^53")]
    pub fn per_second(self) -> f64 {
        self.thousandths as f64 / PARTS as f64
    }
}

impl Add for Rate {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            thousandths: self.thousandths.saturating_add(other.thousandths),
        }
    }
}

impl TryFrom<f64> for Rate {
    type Error = String;

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "between zero and a billion"
    )]
    fn try_from(per_second: f64) -> Result<Self, String> {
        let thousandths = (per_second * PARTS as f64).round();
        if (1.0..=(RATE_MAX * PARTS) as f64).contains(&thousandths) {
            Ok(Self {
                thousandths: thousandths as u64,
            })
        } else {
            Err(format!("{per_second} is not between 0.001 and {RATE_MAX}"))
        }
    }
}

/// In JSON, whole rates are whole numbers.
impl From<Rate> for serde_json::Number {
    fn from(rate: Rate) -> Self {
        if rate.thousandths.is_multiple_of(PARTS) {
            Self::from(rate.thousandths / PARTS)
        } else {
            Self::from_f64(rate.per_second()).expect("a finite number")
        }
    }
}

/// Reads a rate such as `20k`, `1.5k` or `0.2`.
impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (number, scale) = match text.char_indices().next_back() {
            Some((at, 'k' | 'K')) => (&text[..at], 1e3),
            Some((at, 'm' | 'M')) => (&text[..at], 1e6),
            _ => (text, 1.0),
        };
        let plain = number
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
        match number.parse::<f64>() {
            Ok(number) if plain => Self::try_from(number * scale),
            _ => Err(format!(
                "{text:?} is not a rate; write for example 20k, 1500 or 0.5"
            )),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&count(self.thousandths / PARTS))?;
        match self.thousandths % PARTS {
            0 => Ok(()),
            part => f.write_str(format!(".{part:03}").trim_end_matches('0')),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_and_shown() {
        for (text, shown, json) in [
            ("20k", "20,000", "20000"),
            ("1.5k", "1,500", "1500"),
            ("0.5", "0.5", "0.5"),
            ("0.025", "0.025", "0.025"),
            ("7", "7", "7"),
        ] {
            let rate: Rate = text.parse().expect(text);
            assert_eq!(rate.to_string(), shown);
            assert_eq!(serde_json::to_string(&rate).expect("a number"), json);
            assert_eq!(serde_json::from_str::<Rate>(json).expect("a rate"), rate);
        }
        for text in ["", "0", "0.0001", "-1", "x", "1e3", "inf", "2000m"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
