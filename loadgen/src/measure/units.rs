//! Figures for people, in the format of wrk: `12.34ms`, `348.21k`, `21.25MB`.

use crate::measure::clock::Nanos;

/// Writes a duration with two decimals, in the largest unit in which it is at least one.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "five digits are shown")]
pub fn duration(ns: Nanos) -> String {
    duration_f64(ns as f64)
}

/// Writes a mean or a deviation in the same form.
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

/// Writes a duration for the tick of an axis, with no more digits than necessary.
#[must_use]
pub fn short_duration(ns: f64) -> String {
    let (unit, worth) = match ns {
        ns if ns < 1e3 => ("ns", 1.0),
        ns if ns < 1e6 => ("us", 1e3),
        ns if ns < 1e9 => ("ms", 1e6),
        _ => ("s", 1e9),
    };
    format!("{}{unit}", short(ns / worth))
}

/// Writes a rate or a count for the tick of an axis.
#[must_use]
pub fn short_metric(value: f64) -> String {
    match value {
        value if value < 1e3 => short(value),
        value if value < 1e6 => format!("{}k", short(value / 1e3)),
        value => format!("{}M", short(value / 1e6)),
    }
}

/// Writes a number with at most three decimals, without zeros at the end.
fn short(value: f64) -> String {
    format!("{}", (value * 1e3).round() / 1e3)
}

/// Writes a date and time in UTC, from milliseconds since 1970.
#[must_use]
pub fn utc(unix_ms: u64) -> String {
    let (days, second) = (unix_ms / 86_400_000, unix_ms / 1_000 % 86_400);
    let mut year = 1_970;
    let mut left = days;
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    loop {
        let length = if leap(year) { 366 } else { 365 };
        if left < length {
            break;
        }
        left -= length;
        year += 1;
    }
    let february = if leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!(
        "{year}-{month:02}-{:02} {hour:02}:{minute:02}:{second:02} UTC",
        left + 1
    )
}

/// Writes a rate or a count, in thousands or millions if it is large.
#[must_use]
pub fn metric(value: f64) -> String {
    match value {
        value if value < 1e3 => format!("{value:.2}"),
        value if value < 1e6 => format!("{:.2}k", value / 1e3),
        value => format!("{:.2}M", value / 1e6),
    }
}

/// Writes a number of bytes in powers of 1,024.
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

/// Writes a count with separators between thousands.
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

/// Writes a count and its noun, in the plural if necessary.
#[must_use]
pub fn plural(value: u64, noun: &str) -> String {
    let s = if value == 1 { "" } else { "s" };
    format!("{} {noun}{s}", count(value))
}
