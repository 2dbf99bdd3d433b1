//! Reports from files: JSON, one after another, in arrays, or both.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{FORMAT, Report, VERSION};

/// Reads all reports of a file, in order.
///
/// # Errors
/// The file cannot be read, holds no report, or holds something else; a sentence that begins with its name.
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
    serde_json::from_value(value).map_err(|error| format!("report {number}: {error}"))
}
