//! Reads reports from files: JSON objects one after another, arrays of them, or both.
//!
//! A file may come from another program, and may be cut off or damaged. In a report that this
//! module returns, histograms can be read and figures can be added, so `compare` and `merge` need
//! no checks. Tests: `read/tests.rs`.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::data::{Distribution, FORMAT, Report, VERSION};
use crate::measure::histogram::Recorder;

/// The largest number, 2^53. All counts, sizes and times are below it, and JSON numbers are exact
/// up to it.
const FIGURE_MAX: f64 = 9_007_199_254_740_992.0;

/// The only field that may be negative: the offset of a clock.
const SIGNED: &str = "offset_ms";

/// Reads all reports of a file, in order.
///
/// # Errors
/// The file cannot be read, has no report, or has something else. The text begins with its name.
pub fn read(path: &Path) -> Result<Vec<Report>, String> {
    let text = fs::read_to_string(path);
    let reports = text.map_err(|error| error.to_string());
    let reports = reports.and_then(|text| parse(&text));
    reports.map_err(|problem| format!("{}: {problem}", path.display()))
}

pub(crate) fn parse(text: &str) -> Result<Vec<Report>, String> {
    let mut reports = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        match value.map_err(|error| format!("not JSON: {error}"))? {
            Value::Array(several) => {
                for report in several {
                    reports.push(report_of(report, reports.len())?);
                }
            }
            report => reports.push(report_of(report, reports.len())?),
        }
    }
    if reports.is_empty() {
        Err("holds no report".to_owned())
    } else {
        Ok(reports)
    }
}

fn report_of(value: Value, at: usize) -> Result<Report, String> {
    let number = at + 1;
    match value.get("format").and_then(Value::as_str) {
        Some(FORMAT) => {}
        Some(other) => return Err(format!("report {number} is a {other:?}, not a {FORMAT:?}")),
        None => return Err(format!("entry {number} is not a report of loadgen")),
    }
    match value.get("version").and_then(Value::as_u64) {
        Some(version) if version == u64::from(VERSION) => {}
        version => {
            let version = version.map_or_else(|| "none".to_owned(), |version| version.to_string());
            return Err(format!(
                "report {number} has schema version {version}; this program reads {VERSION}"
            ));
        }
    }
    let damaged = |problem: String| format!("report {number}: {problem}");
    figures(&value, false).map_err(damaged)?;
    let report = serde_json::from_value(value).map_err(|error| damaged(error.to_string()))?;
    histograms(&report).map_err(damaged)?;
    Ok(report)
}

/// Checks every number. Only [`SIGNED`] may be negative.
///
/// # Errors
/// A number cannot be a figure of a run. The text names it.
fn figures(value: &Value, signed: bool) -> Result<(), String> {
    match value {
        Value::Number(number) => {
            let figure = number
                .as_f64()
                .map(|figure| if signed { figure.abs() } else { figure });
            match figure {
                Some(figure) if (0.0..FIGURE_MAX).contains(&figure) => Ok(()),
                _ => Err(format!("{number} is no figure of a run")),
            }
        }
        Value::Array(values) => values.iter().try_for_each(|value| figures(value, false)),
        Value::Object(fields) => fields.iter().try_for_each(|(name, value)| {
            figures(value, name == SIGNED).map_err(|problem| format!("{name}: {problem}"))
        }),
        Value::Null | Value::Bool(_) | Value::String(_) => Ok(()),
    }
}

/// Checks every histogram.
///
/// # Errors
/// A histogram cannot be read, or has a wrong number of latencies. The text names it.
fn histograms(report: &Report) -> Result<(), String> {
    let holds = |what: &str, count: u64, read: Result<Recorder, String>| match read {
        Err(problem) => Err(format!("{what}: {problem}")),
        Ok(read) if read.count() != count => Err(format!(
            "{what}: the histogram holds {} latencies instead of {count}",
            read.count()
        )),
        Ok(_) => Ok(()),
    };
    let whole = |what: &str, of: &Distribution| holds(what, of.count, of.recorder());
    let latency = &report.latency;
    whole("latency.raw", &latency.raw)?;
    if latency.failures.count > 0 {
        whole("latency.failures", &latency.failures)?;
    }
    for (what, of) in [
        ("latency.corrected", &latency.corrected),
        ("latency.schedule_lag", &latency.schedule_lag),
        ("latency.first_byte", &latency.first_byte),
        (
            "connections.handshake_latency",
            &report.connections.handshake_latency,
        ),
    ] {
        of.as_ref().map_or(Ok(()), |of| whole(what, of))?;
    }
    whole(
        "connections.connect_latency",
        &report.connections.connect_latency,
    )?;
    let series = &report.series;
    for (at, interval) in series.intervals.iter().enumerate() {
        let what = format!("series.intervals[{at}]");
        holds(&what, interval.count, interval.recorder())?;
    }
    if !series.intervals.is_empty() && series.interval_s <= 0.0 {
        return Err("series.interval_s: intervals have no length".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
