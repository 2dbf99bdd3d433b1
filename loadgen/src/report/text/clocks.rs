//! The rows of the text report about the wall clocks of the parts of a load.

use std::fmt::Write as _;

use super::line::line;
use crate::measure::units::duration_f64;
use crate::report::clocks::{PartClock, Spread};

/// Writes the difference between the clocks, and the clock of each part.
pub(super) fn clocks(clocks: &[PartClock], out: &mut String) {
    let compared = clocks.iter().all(|clock| clock.stamped_by_server);
    let spread = match Spread::of(clocks) {
        None if clocks.is_empty() || !compared => return,
        None => "compared with the clock of the shared folder's server".to_owned(),
        Some(Spread::OneMachine) => "one machine, so all parts read the same clock".to_owned(),
        Some(Spread::Apart { least_ms, most_ms }) => format!(
            "{} to {} apart",
            duration_f64(least_ms * 1e6),
            duration_f64(most_ms * 1e6)
        ),
        Some(Spread::Unknown) => {
            "not compared, because the shared folder's files have the time of their writer"
                .to_owned()
        }
    };
    line!(out, "  Clocks: {spread}");
    if !compared {
        return;
    }
    for clock in clocks {
        let sign = if clock.offset_ms < 0.0 { '-' } else { '+' };
        line!(
            out,
            "    {} on {}: {sign}{}, give or take {}",
            clock.part,
            clock.host,
            duration_f64(clock.offset_ms.abs() * 1e6),
            duration_f64(clock.bound_ms * 1e6)
        );
    }
}
