//! The format `.hgrm`: the percentiles of the headline latency in milliseconds, in the text form
//! that HdrHistogram's plotters read.

use std::fmt::Write as _;

use super::data::Report;
use crate::measure::histogram::{Recorder, SUB_BUCKETS};

/// The number of rows for each halving of the distance to 100%.
const TICKS_PER_HALF: u32 = 5;

/// Writes the table, with a line end after each line.
#[must_use]
pub fn render(report: &Report) -> String {
    let recorder = report.latency.headline().recorder();
    table(&recorder.unwrap_or_else(|_| Recorder::new()))
}

fn table(recorder: &Recorder) -> String {
    let mut out = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    let mut line =
        |text: String| writeln!(out, "{text}").expect("writing to a string does not fail");
    for (ns, quantile, count) in recorder.quantile_steps(TICKS_PER_HALF) {
        let first = format!("{:12.3} {quantile:2.12} {count:10}", as_ms(ns));
        // At 100% the last column would be infinite, which readers of the format refuse.
        if quantile < 1.0 {
            line(format!("{first} {:14.2}", 1.0 / (1.0 - quantile)));
        } else {
            line(first);
        }
    }
    line(format!(
        "#[Mean    = {:12.3}, StdDeviation   = {:12.3}]",
        recorder.mean() / 1e6,
        recorder.stdev() / 1e6
    ));
    line(format!(
        "#[Max     = {:12.3}, Total count    = {:12}]",
        as_ms(recorder.max()),
        recorder.count()
    ));
    line(format!(
        "#[Buckets = {:12}, SubBuckets     = {SUB_BUCKETS:12}]",
        recorder.buckets()
    ));
    out
}

#[expect(clippy::cast_precision_loss, reason = "latencies far below 2^53 ns")]
fn as_ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_and_the_end_are_as_its_readers_want_them() {
        let mut recorder = Recorder::new();
        for step in 1..=1_000 {
            recorder.record(step * 1_000_000);
        }
        let text = table(&recorder);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[..2],
            [
                "       Value     Percentile TotalCount 1/(1-Percentile)",
                ""
            ]
        );
        assert_eq!(
            lines[2],
            "       1.000 0.000000000000          1           1.00"
        );
        let rows: Vec<Vec<f64>> = lines[2..lines.len() - 3]
            .iter()
            .map(|row| {
                row.split_whitespace()
                    .map(|n| n.parse().expect("a number"))
                    .collect()
            })
            .collect();
        let (last, others) = rows.split_last().expect("rows");
        assert!(others.iter().all(|row| row.len() == 4));
        assert_eq!((last.len(), last[1], last[2]), (3, 1.0, 1_000.0));
        assert!((last[0] - 1_000.0).abs() <= 1.0, "{last:?}");
        let median = rows
            .iter()
            .find(|row| row[1] == 0.5)
            .expect("a row at one half");
        assert!(
            (median[0] - 500.0).abs() <= 0.5 && median[2] == 500.0,
            "{median:?}"
        );
        assert!(rows.windows(2).all(|two| two[0][1] < two[1][1]));
        assert!(!text.contains("inf"));
        assert!(
            lines[lines.len() - 2].starts_with("#[Max     =     1000."),
            "{text}"
        );
        assert!(
            text.ends_with("#[Buckets =           32, SubBuckets     =         2048]\n"),
            "{text}"
        );
    }

    #[test]
    fn without_latencies_there_is_still_a_table() {
        let text = table(&Recorder::new());
        assert!(!text.contains("inf") && !text.contains("NaN"), "{text}");
        assert!(text.contains("Total count    =            0]"), "{text}");
    }
}
