//! Helpers of the text report: appending a line, and shares.

/// Appends a line to a string.
macro_rules! line {
    ($out:expr, $($arg:tt)*) => {
        writeln!($out, $($arg)*).expect("writing to a string does not fail")
    };
}

pub(super) use line;

/// Returns a part in percent of the whole; zero if the whole is zero.
pub(super) fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        as_f64(part) / as_f64(whole) * 100.0
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a report shows at most nine digits"
)]
pub(super) fn as_f64(value: u64) -> f64 {
    value as f64
}
