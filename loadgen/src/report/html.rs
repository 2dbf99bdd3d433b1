//! Reports as pages: one file each, that opens without a network, in light and in dark, on a phone and on paper.
//!
//! [`run`] shows a run, [`comparison`] two contenders and [`sweep`] how a server bends under a rising rate. The parts they are made of are public, for whoever has other reports
//! to show: [`Page`], [`Table`], [`ratios`], [`percentiles`]. Plots are SVG written here, rather than by a plotting library,
//! because those fix their colours while these follow the reader's scheme. Tests: `html/tests.rs`; `scripts/page.sh` opens
//! pages in a browser.

mod axis;
mod chart;
mod comparison;
mod page;
mod run;
mod sweep;

pub use chart::{Ratio, Tone, ratios};
pub use comparison::comparison;
pub use page::{Page, Table, cards, details, escape, remarks};
pub use run::run;
pub use sweep::sweep;

use super::units::short_duration;
use crate::measure::histogram::Recorder;
use axis::Axis;
use chart::{Chart, Line};

/// A figure of latency by percentile, on logarithmic axes, of up to three distributions. `id` is unique in the page.
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

#[cfg(test)]
mod tests;
