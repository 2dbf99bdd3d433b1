//! The plot of latency by percentile.

use super::axis::Axis;
use super::chart::{Chart, Line};
use crate::measure::histogram::Recorder;

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
    let line = |(name, recorder): &(&str, &Recorder)| {
        let steps = recorder.quantile_steps(8).into_iter();
        let point = |(ns, quantile, _)| (quantile, Some(ns as f64));
        Line::new(name, steps.map(point).collect())
    };
    let lines: Vec<Line> = of.iter().map(line).collect();
    Chart {
        id,
        title: title.to_owned(),
        description: description.to_owned(),
        x: Axis::tail("share of requests", most.unwrap_or(0)),
        y: Axis::latency(lines.iter().flat_map(Line::values)),
        lines,
        bars: false,
    }
    .render()
}
