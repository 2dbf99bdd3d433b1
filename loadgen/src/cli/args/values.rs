//! Values of flags that need more than a type: bounds, units, escapes. Tests: `args/tests.rs`.

use std::sync::Arc;
use std::time::Duration;

use reactor::Pinning;
use server_demo::parse_pinning;
use server_demo::units::{parse_count, parse_duration};

use crate::run::protocol::escape::unescape;

/// Intervals below this one hold too few answers, and cost too much.
const INTERVAL_MIN: Duration = Duration::from_millis(10);

fn bounded(text: &str, range: std::ops::RangeInclusive<u64>) -> Result<u64, String> {
    let count = parse_count(text).map_err(|error| error.to_string())?;
    if range.contains(&count) {
        Ok(count)
    } else {
        Err(format!(
            "{count} is not between {} and {}",
            range.start(),
            range.end()
        ))
    }
}

fn bounded_u32(text: &str, max: u32) -> Result<u32, String> {
    bounded(text, 1..=u64::from(max)).map(|count| u32::try_from(count).expect("bounded by a u32"))
}

pub(super) fn connections(text: &str) -> Result<u32, String> {
    bounded_u32(text, 10_000_000)
}

pub(super) fn threads(text: &str) -> Result<u32, String> {
    bounded_u32(text, 1_024)
}

pub(super) fn pipeline(text: &str) -> Result<u32, String> {
    bounded_u32(text, 65_536)
}

pub(super) fn positive_count(text: &str) -> Result<u64, String> {
    bounded(text, 1..=u64::MAX)
}

pub(super) fn raw_bytes(text: &str) -> Result<Arc<[u8]>, String> {
    unescape(text).map(Arc::from)
}

/// Reads a duration of one part or several, such as `500ms` or `1m30s`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let mut sum = Duration::ZERO;
    let mut rest = text.trim();
    loop {
        // A part ends at a digit that follows its unit.
        let unit = rest.find(char::is_alphabetic).unwrap_or(rest.len());
        let next = rest[unit..].find(|one: char| one.is_ascii_digit());
        let (part, after) = rest.split_at(next.map_or(rest.len(), |next| unit + next));
        let part = parse_duration(part).map_err(|error| error.to_string())?;
        sum = sum.checked_add(part).ok_or("the duration is too large")?;
        if after.is_empty() {
            return Ok(sum);
        }
        if !after.ends_with(char::is_alphabetic) {
            return Err(format!("`{text}`: each part needs a unit, as in 1m30s"));
        }
        rest = after;
    }
}

/// Reads a moment in seconds since 1970.
pub(super) fn unix_time(text: &str) -> Result<Duration, String> {
    let seconds = text.trim().parse::<f64>().ok();
    let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.ok_or_else(|| format!("{text:?} is not a number of seconds since 1970"))
}

pub(super) fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be longer than zero".to_owned()),
        duration => Ok(duration),
    }
}

pub(super) fn interval(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        short if short < INTERVAL_MIN => Err(format!("must be {INTERVAL_MIN:?} at least")),
        interval => Ok(interval),
    }
}

/// Reads the CPU time that a server should spend. A request holds it as a 32-bit number of
/// microseconds.
pub(super) fn work(text: &str) -> Result<Duration, String> {
    let time = positive_duration(text)?;
    if !time.subsec_nanos().is_multiple_of(1_000) {
        return Err("must be whole microseconds".to_owned());
    }
    if u32::try_from(time.as_micros()).is_err() {
        return Err("must be below 71 minutes".to_owned());
    }
    Ok(time)
}

pub(super) fn pin(text: &str) -> Result<Pinning, String> {
    parse_pinning(text).map_err(|error| format!("{error} (or none, or auto)"))
}
