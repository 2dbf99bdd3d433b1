//! Uneven load: a part of the connections, the hot set, gets most of the requests (`--hot`).
//!
//! The hot set is strided: with a stride of `k`, connection `i` is hot when `i % k` equals the
//! phase. So if a server spreads connections over its shards in turn, and `k` is a multiple of the
//! number of shards, one shard serves the whole hot set. `--hot-shift` adds one to the phase, which
//! moves the hot set to the next shard. `balancer.rs` applies it. Tests: at the end of this file,
//! `balancer.rs` and `tests/hot.rs`.

use std::fmt;
use std::str::FromStr;

/// The maximum relative error when a share is rounded to one over a whole number.
const STRIDE_TOLERANCE: f64 = 0.02;

/// The hot share of the connections, and the share of the requests that they get.
#[derive(Debug, Clone, PartialEq)]
pub struct Hot {
    stride: u32,
    load: f64,
    /// The text that the user typed.
    text: String,
}

impl Hot {
    /// Every `stride`-th connection is hot.
    #[must_use]
    pub fn stride(&self) -> u32 {
        self.stride
    }

    /// The share of the requests that the hot set gets, above 0 and at most 1.
    #[must_use]
    pub fn load(&self) -> f64 {
        self.load
    }
}

/// Reads `SHARE:LOAD`, such as `25%:90%`, `0.25:0.9` or `1/4:90%`.
impl FromStr for Hot {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (share, load) = text
            .split_once(':')
            .ok_or("write SHARE:LOAD, as in 25%:90%")?;
        let (share, load) = (fraction(share)?, fraction(load)?);
        let stride = (1.0 / share).round();
        if stride < 2.0 || stride > f64::from(u32::MAX) {
            return Err("the hot share of the connections is at most 50%".to_owned());
        }
        if (share * stride - 1.0).abs() > STRIDE_TOLERANCE {
            return Err(
                "the hot share is one over a whole number: 50%, 33%, 25%, 20%, 1/8, …".to_owned(),
            );
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number within the bounds above"
        )]
        let stride = stride as u32;
        Ok(Self {
            stride,
            load,
            text: text.to_owned(),
        })
    }
}

/// Writes the text that the user typed.
impl fmt::Display for Hot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Reads a share above 0 and at most 1: `25%`, `0.25` or `1/4`.
fn fraction(text: &str) -> Result<f64, String> {
    let number = |text: &str| text.trim().parse::<f64>().unwrap_or(f64::NAN);
    let share = if let Some(percent) = text.strip_suffix('%') {
        number(percent) / 100.0
    } else if let Some((part, whole)) = text.split_once('/') {
        number(part) / number(whole)
    } else {
        number(text)
    };
    if share > 0.0 && share <= 1.0 {
        Ok(share)
    } else {
        Err(format!(
            "`{text}` is not a share; write 25%, 0.25 or 1/4 (above 0, at most 100%)"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_percents_fractions_or_decimals() {
        for (text, stride, load) in [
            ("25%:90%", 4, 0.9),
            ("0.25:0.9", 4, 0.9),
            ("1/4:9/10", 4, 0.9),
            ("50%:100%", 2, 1.0),
            ("33%:80%", 3, 0.8),
            ("1/128:50%", 128, 0.5),
        ] {
            let hot: Hot = text.parse().expect(text);
            assert_eq!(hot.stride(), stride, "{text}");
            assert!((hot.load() - load).abs() < 1e-9, "{text}");
            assert_eq!(hot.to_string(), text);
        }
    }

    #[test]
    fn other_shares_are_refused_with_a_hint() {
        for (text, words) in [
            ("25%", "SHARE:LOAD"),
            ("30%:90%", "one over a whole number"),
            ("100%:90%", "at most 50%"),
            ("0:90%", "not a share"),
            ("25%:0", "not a share"),
            ("25%:101%", "not a share"),
            ("x:90%", "not a share"),
            ("25%:1/0", "not a share"),
            ("-1/4:90%", "not a share"),
        ] {
            let message = text.parse::<Hot>().expect_err(text);
            assert!(message.contains(words), "{text}: {message}");
        }
    }
}
