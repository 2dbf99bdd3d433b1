//! The verdict on one threshold as plain data, and the units of thresholds and metrics.
//!
//! `slo.rs` reads and judges thresholds. Tests: `gate/tests.rs`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::measure::units::{count, duration_f64, metric};

/// The unit of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Nanoseconds.
    Ns,
    /// Microseconds.
    Us,
    /// Per second.
    PerSecond,
    /// Percent.
    Percent,
    /// A number without a unit.
    Count,
    /// Bytes.
    Bytes,
}

impl Unit {
    /// Returns the symbol that tables show.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Ns => "ns",
            Self::Us => "us",
            Self::PerSecond => "1/s",
            Self::Percent => "%",
            Self::Count => "",
            Self::Bytes => "B",
        }
    }

    /// Writes a value in this unit.
    fn show(self, value: f64) -> String {
        match self {
            Self::Ns => duration_f64(value),
            Self::Us => duration_f64(value * 1e3),
            Self::PerSecond => format!("{}/s", metric(value)),
            Self::Percent => format!("{value:.2}%"),
            // A count is whole and never negative.
            Self::Count | Self::Bytes => count(format!("{value:.0}").parse().unwrap_or(u64::MAX)),
        }
    }
}

/// The verdict on one threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The threshold, as on the command line.
    pub threshold: String,
    /// The unit of the next two fields.
    pub unit: Unit,
    /// The limit.
    pub limit: f64,
    /// The measured value; absent if nothing was measured.
    pub measured: Option<f64>,
    /// True if it was met.
    pub met: bool,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let met = if self.met { "met" } else { "missed" };
        write!(f, "{} {met}: ", self.threshold)?;
        let Some(measured) = self.measured else {
            return f.write_str("nothing was measured");
        };
        f.write_str(&self.unit.show(measured))?;
        if self.met {
            return Ok(());
        }
        let off = measured - self.limit;
        let side = if off < 0.0 { "short" } else { "over" };
        write!(f, ", {} {side}", self.unit.show(off.abs()))?;
        if self.limit > 0.0 {
            write!(f, " ({:.1}%)", off.abs() / self.limit * 100.0)?;
        }
        Ok(())
    }
}
