//! Figures as people read them, in wrk's manner: `12.34ms`, `348.21k`, `21.25MB`.

use crate::clock::Nanos;

/// A duration with two decimals in the largest unit that leaves at least one.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "five digits are shown")]
pub fn duration(ns: Nanos) -> String {
    duration_f64(ns as f64)
}

/// The same from a mean or a deviation.
#[must_use]
pub fn duration_f64(ns: f64) -> String {
    match ns {
        ns if ns < 1e3 => format!("{ns:.0}ns"),
        ns if ns < 1e6 => format!("{:.2}us", ns / 1e3),
        ns if ns < 1e9 => format!("{:.2}ms", ns / 1e6),
        ns if ns < 6e10 => format!("{:.2}s", ns / 1e9),
        ns => format!("{:.2}m", ns / 6e10),
    }
}

/// A rate or a count, in thousands or millions where large.
#[must_use]
pub fn metric(value: f64) -> String {
    match value {
        value if value < 1e3 => format!("{value:.2}"),
        value if value < 1e6 => format!("{:.2}k", value / 1e3),
        value => format!("{:.2}M", value / 1e6),
    }
}

/// Bytes in powers of 1,024.
#[must_use]
pub fn bytes(value: f64) -> String {
    const UNITS: [(&str, f64); 4] = [
        ("GB", 1_073_741_824.0),
        ("MB", 1_048_576.0),
        ("KB", 1_024.0),
        ("B", 1.0),
    ];
    let (unit, worth) = UNITS
        .into_iter()
        .find(|(_, worth)| value >= *worth)
        .unwrap_or(("B", 1.0));
    if worth > 1.0 {
        format!("{:.2}{unit}", value / worth)
    } else {
        format!("{value:.0}{unit}")
    }
}

/// A count with its thousands apart.
#[must_use]
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count and its noun, in the plural where due.
#[must_use]
pub fn plural(value: u64, noun: &str) -> String {
    let s = if value == 1 { "" } else { "s" };
    format!("{} {noun}{s}", count(value))
}
