//! The width of the terminal, for tables that would break on a narrow one.
//!
//! Tests: at the end of this file and `tests/output.rs`.

use terminal_size::{Width, terminal_size};

/// The width if standard output is not a terminal.
const USUAL: usize = 100;
/// The smallest width.
const LEAST: usize = 40;

/// Returns the columns of a line: those of the variable `COLUMNS`, or those of the terminal.
pub(crate) fn columns() -> usize {
    let set = std::env::var("COLUMNS").ok();
    let terminal = || terminal_size().map(|(Width(columns), _)| columns.into());
    choose(set.and_then(|set| set.parse().ok()).or_else(terminal))
}

fn choose(known: Option<usize>) -> usize {
    known
        .filter(|&columns| columns > 0)
        .map_or(USUAL, |columns| columns.max(LEAST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_width_has_bounds_and_a_default() {
        let chosen = [None, Some(0), Some(10), Some(72), Some(300)].map(choose);
        assert_eq!(chosen, [USUAL, USUAL, LEAST, 72, 300]);
    }
}
