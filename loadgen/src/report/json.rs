//! JSON for scripts: one report per line, so that the rounds of a contender can be appended to one
//! file.

use super::data::Report;

/// The report on one line, with a line end.
///
/// # Panics
/// Never: a report holds nothing that JSON cannot.
#[must_use]
pub fn render(report: &Report) -> String {
    serde_json::to_string(report).expect("strings, numbers and lists") + "\n"
}
