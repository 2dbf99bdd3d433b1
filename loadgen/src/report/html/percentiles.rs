//! The plot of latency by percentile.

use super::axis::Axis;
use super::chart::{Chart, Line};
use crate::measure::histogram::Recorder;
use crate::measure::units::short_duration;

/// Draws latency by percentile for up to three distributions, on logarithmic axes. `id` is unique
/// in the page.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "positions on a plot")]
pub fn percentiles(
    id: &'static str,
    title: &str,
    description: &str,
    of: &[(&str, &Recorder)],
) -> String {
    let most = of.iter().map(|(_, recorder)| recorder.count()).max();
    let line = |(name, recorder): &(&str, &Recorder)| Line {
        name: (*name).to_owned(),
        points: recorder
            .quantile_steps(8)
            .into_iter()
            .map(|(ns, quantile, _)| (quantile, Some(ns as f64)))
            .collect(),
        reference: false,
    };
    let lines: Vec<Line> = of.iter().map(line).collect();
    let values = lines.iter().flat_map(|line| &line.points);
    Chart {
        id,
        title: title.to_owned(),
        description: description.to_owned(),
        x: Axis::tail("share of requests", most.unwrap_or(0)),
        y: Axis::log(
            "latency, log scale",
            values.filter_map(|(_, value)| *value),
            short_duration,
        ),
        lines,
        bars: false,
    }
    .render()
}
