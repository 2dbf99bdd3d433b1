//! The page of a comparison.

use super::axis::Axis;
use super::chart::{Chart, Line, Ratio, Tone, ratios};
use super::page::{Page, Table, cards, remarks};
use super::percentiles::percentiles;
use crate::measure::histogram::Recorder;
use crate::measure::units::short_metric;
use crate::report::comparison::{Comparison, Contender, Metric, Verdict};

/// Writes the page of a comparison of two contenders.
#[must_use]
pub fn comparison(comparison: &Comparison, a: &Contender, b: &Contender) -> String {
    let subtitle = format!(
        "A: {} ({}); B: {} ({}); {} paired rounds",
        comparison.a.file,
        comparison.a.target,
        comparison.b.file,
        comparison.b.target,
        comparison.rounds
    );
    let mut page = Page::new("Two contenders compared", &subtitle);
    page.content(&remarks("warning", "Warning", &comparison.warnings));
    page.content(&figures(comparison));
    page.section("ratios", "B against A", &metrics(comparison));
    page.section("latency", "Latency by percentile", &latency(a, b));
    page.section("rounds", "Round by round", &rounds(a, b));
    page.render()
}

fn figures(comparison: &Comparison) -> String {
    let how_many = |verdict: Verdict| {
        let metrics = comparison.metrics.iter();
        metrics
            .filter(|metric| metric.verdict == verdict)
            .count()
            .to_string()
    };
    let of = format!("of {} metrics", comparison.metrics.len());
    cards(&[
        ("B is better", how_many(Verdict::BBetter), of.clone()),
        ("B is worse", how_many(Verdict::BWorse), of.clone()),
        (
            "No difference shown",
            how_many(Verdict::NoDifferenceShown),
            of,
        ),
    ])
}

fn interval(metric: &Metric) -> Option<[f64; 3]> {
    Some([metric.ratio?, metric.low?, metric.high?])
}

fn metrics(comparison: &Comparison) -> String {
    let row = |metric: &Metric| {
        let tone = match metric.verdict {
            Verdict::BBetter => Tone::Better,
            Verdict::BWorse => Tone::Worse,
            Verdict::NoDifferenceShown | Verdict::NoInterval => Tone::Same,
        };
        Some(Ratio {
            name: format!("{} ({} is better)", metric.name, metric.better),
            estimate: interval(metric)?,
            tone,
        })
    };
    let rows: Vec<_> = comparison.metrics.iter().filter_map(row).collect();
    let mut out = String::new();
    if !rows.is_empty() {
        out += &ratios(
            "ratio",
            "Ratio B/A with its 95% interval",
            "One row for each metric; the table below has the figures. An interval that reaches across 1 shows no difference.",
            &rows,
        );
    }
    let columns = [
        "metric",
        "A (median)",
        "B (median)",
        "unit",
        "B/A",
        "95% interval",
        "verdict",
    ];
    let mut table = Table::new("Metrics", &columns);
    for metric in &comparison.metrics {
        let (ratio, ends) = match interval(metric) {
            Some([ratio, low, high]) => (format!("{ratio:.3}"), format!("{low:.3} to {high:.3}")),
            None => ("-".to_owned(), "-".to_owned()),
        };
        table.row(
            metric.name,
            &[
                &format!("{:.2}", metric.a_median),
                &format!("{:.2}", metric.b_median),
                metric.unit,
                &ratio,
                &ends,
                metric.verdict.describe(),
            ],
        );
    }
    out + &table.render()
}

/// Returns the latencies of all rounds together.
fn all(contender: &Contender) -> Recorder {
    let mut all = Recorder::new();
    for round in &contender.rounds {
        all.merge(&round.latency.headline().recorder().unwrap_or_default());
    }
    all
}

fn latency(a: &Contender, b: &Contender) -> String {
    let (a, b) = (all(a), all(b));
    let at = |recorder: &Recorder, quantile| {
        crate::measure::units::duration(recorder.quantile(quantile))
    };
    percentiles(
        "percentiles",
        "Latency within which a share of the requests was answered, all rounds of a contender together",
        &format!(
            "A: half within {}, 99% within {}. B: half within {}, 99% within {}.",
            at(&a, 0.5),
            at(&a, 0.99),
            at(&b, 0.5),
            at(&b, 0.99)
        ),
        &[("A", &a), ("B", &b)],
    )
}

fn rounds(a: &Contender, b: &Contender) -> String {
    let rate =
        |contender: &Contender, round: usize| contender.rounds[round].throughput.requests_per_s;
    let line = |name: &str, contender: &Contender| {
        let rounds = 0..contender.rounds.len();
        let point = |round| (number(round), Some(rate(contender, round)));
        Line::new(name, rounds.map(point).collect())
    };
    let lines = vec![line("A", a), line("B", b)];
    let largest = lines.iter().map(Line::largest).fold(0.0, f64::max);
    let mut table = Table::new("Requests per second", &["round", "A", "B", "B/A"]);
    for round in 0..a.rounds.len() {
        let (a, b) = (rate(a, round), rate(b, round));
        table.row(
            &(round + 1).to_string(),
            &[
                &format!("{a:.2}"),
                &format!("{b:.2}"),
                &format!("{:.3}", b / a),
            ],
        );
    }
    let chart = Chart {
        id: "rate",
        title: "Requests per second, round by round".to_owned(),
        description:
            "Round k of A and round k of B ran side by side. The table below has the figures."
                .to_owned(),
        x: Axis::until(
            "round",
            number(a.rounds.len().saturating_sub(1)) + 0.5,
            whole,
        ),
        y: Axis::linear("requests/s", largest, short_metric),
        lines,
        bars: false,
    };
    chart.render() + &table.render()
}

/// Returns the label of a tick: the number of a round, from one, or nothing between rounds.
fn whole(round: f64) -> String {
    if round >= 1.0 && round.fract() == 0.0 {
        format!("{round}")
    } else {
        String::new()
    }
}

/// Returns the number of the round at this index.
#[expect(clippy::cast_precision_loss, reason = "rounds are few")]
fn number(at: usize) -> f64 {
    at as f64 + 1.0
}
