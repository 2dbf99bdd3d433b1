//! The kinds of bad clients, their shares of the connections, and their counters. Tests: at the end
//! of this file.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;

/// A kind of bad client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BadKind {
    /// Sends requests and reads one byte of the answers at a time
    SlowRead,
    /// Sends one byte of a request at a time
    SlowWrite,
    /// Sends requests and reads nothing
    NeverRead,
    /// Sends a request, closes its half of the connection, and reads to the end; again and again
    HalfClose,
    /// Sends a request and resets the connection; again and again
    Reset,
}

impl BadKind {
    const ALL: [Self; 5] = [
        Self::SlowRead,
        Self::SlowWrite,
        Self::NeverRead,
        Self::HalfClose,
        Self::Reset,
    ];

    /// Returns its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SlowRead => "slow-read",
            Self::SlowWrite => "slow-write",
            Self::NeverRead => "never-read",
            Self::HalfClose => "half-close",
            Self::Reset => "reset",
        }
    }
}

/// A kind of bad client, with its share of the connections.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BadShare {
    kind: BadKind,
    /// The share: more than zero and less than one.
    share: f64,
}

impl BadShare {
    /// The kind.
    #[must_use]
    pub fn kind(self) -> BadKind {
        self.kind
    }

    /// Returns this share of a number of connections, at least one.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a u32"
    )]
    pub fn of(self, connections: u32) -> u32 {
        ((self.share * f64::from(connections)).round() as u32).max(1)
    }
}

/// Reads `KIND:SHARE`, with a share such as `5%` or `0.05`.
impl FromStr for BadShare {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((kind, share)) = text.split_once(':') else {
            return Err("write KIND:SHARE, as in slow-read:5%".to_owned());
        };
        let kind = BadKind::from_str(kind, false).map_err(|_| {
            let names = BadKind::ALL.map(BadKind::name).join(", ");
            format!("{kind:?} is not one of {names}")
        })?;
        let (number, whole) = match share.strip_suffix('%') {
            Some(percent) => (percent, 100.0),
            None => (share, 1.0),
        };
        let number: f64 = number.parse().unwrap_or(f64::NAN);
        let share = number / whole;
        if 0.0 < share && share < 1.0 {
            Ok(Self { kind, share })
        } else {
            Err("the share is a part of the connections, as in 5% or 0.05".to_owned())
        }
    }
}

/// Counts of the clients of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct BadCounts {
    /// Connections that they opened.
    pub(crate) connections: u64,
    /// Connections that could not be opened.
    pub(crate) refused: u64,
    /// Requests that were sent completely.
    pub(crate) requests: u64,
    /// Answers that were received completely.
    pub(crate) answers: u64,
    /// Connections that the server ended before the client was done.
    pub(crate) cut: u64,
}

/// The counts of every kind, in the order of [`BadKind`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct BadClientCounters([BadCounts; BadKind::ALL.len()]);

impl BadClientCounters {
    pub(crate) fn of(&mut self, kind: BadKind) -> &mut BadCounts {
        &mut self.0[kind as usize]
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            mine.connections += theirs.connections;
            mine.refused += theirs.refused;
            mine.requests += theirs.requests;
            mine.answers += theirs.answers;
            mine.cut += theirs.cut;
        }
    }
}

impl fmt::Display for BadKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_percents_or_fractions() {
        for (text, kind, of_1000) in [
            ("slow-read:5%", BadKind::SlowRead, 50),
            ("slow-write:0.05", BadKind::SlowWrite, 50),
            ("reset:0.25%", BadKind::Reset, 3),
            ("half-close:0.0001", BadKind::HalfClose, 1),
            ("never-read:99.9%", BadKind::NeverRead, 999),
        ] {
            let share: BadShare = text.parse().expect(text);
            assert_eq!((share.kind(), share.of(1_000)), (kind, of_1000), "{text}");
        }
        for kind in BadKind::ALL {
            assert_eq!(BadKind::from_str(kind.name(), false), Ok(kind));
        }
    }

    #[test]
    fn what_is_none_is_refused_with_a_hint() {
        for (text, words) in [
            ("reset", "KIND:SHARE"),
            ("rude:5%", "slow-read, slow-write"),
            ("reset:5", "5% or 0.05"),
            ("reset:0", "5% or 0.05"),
            ("reset:100%", "5% or 0.05"),
            ("reset:x", "5% or 0.05"),
            ("reset:-1%", "5% or 0.05"),
        ] {
            let message = text.parse::<BadShare>().expect_err(text);
            assert!(message.contains(words), "{text}: {message}");
        }
    }
}
