//! JSON for scripts: one result per line, so that the rounds of a contender can be appended to a
//! file.

use serde::Serialize;

/// Writes a result on one line, with a line end.
///
/// # Panics
/// Never: JSON can represent all results.
#[must_use]
pub fn line(result: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(result).expect("strings, numbers and lists");
    line.push(b'\n');
    line
}
