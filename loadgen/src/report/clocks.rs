//! The wall clocks of the parts of a load, and the difference between them.
//!
//! Each part compares its clock with that of the server of the folder into which all parts write
//! (`run/folder_clock.rs`). `merge` judges the difference. Tests: `tools/merge/tests.rs`.

use serde::{Deserialize, Serialize};

/// The wall clock of one part, compared with the clock of the server of the parts' folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartClock {
    /// The part, such as `2/8`.
    pub part: String,
    /// The host name of its machine.
    pub host: String,
    /// The file system of the folder, such as `nfs4`; absent if it is not known.
    pub file_system: Option<String>,
    /// True if the file system's server stamps files by its own clock. Otherwise the machine
    /// compared its clock with itself, and the offset says nothing about other machines.
    pub stamped_by_server: bool,
    /// Milliseconds by which the machine's clock was ahead of the server's; negative if behind.
    pub offset_ms: f64,
    /// The largest error of the offset in milliseconds, in either direction.
    pub bound_ms: f64,
}

/// The result of the comparison of the parts' clocks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Spread {
    /// All parts ran on one machine, as the host names show.
    OneMachine,
    /// The minimum and the maximum difference of the clocks, in milliseconds.
    Apart { least_ms: f64, most_ms: f64 },
    /// Some parts have a file system that does not compare clocks.
    Unknown,
}

impl Spread {
    /// Returns the spread of clocks, or `None` if there are fewer than two.
    pub(crate) fn of(clocks: &[PartClock]) -> Option<Self> {
        let (first, others) = clocks.split_first()?;
        if others.is_empty() {
            return None;
        }
        if others.iter().all(|clock| clock.host == first.host) {
            return Some(Self::OneMachine);
        }
        if !clocks.iter().all(|clock| clock.stamped_by_server) {
            return Some(Self::Unknown);
        }
        let ends = |sign: f64| {
            let ends = clocks
                .iter()
                .map(move |clock| clock.offset_ms + sign * clock.bound_ms);
            let most = ends.clone().fold(f64::NEG_INFINITY, f64::max);
            (ends.fold(f64::INFINITY, f64::min), most)
        };
        let ((lowest, highest_low), (lowest_high, highest)) = (ends(-1.0), ends(1.0));
        Some(Self::Apart {
            least_ms: (highest_low - lowest_high).max(0.0),
            most_ms: highest - lowest,
        })
    }
}
