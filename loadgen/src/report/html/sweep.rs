//! The page of a sweep: the answered rate and the latency, over the offered rate.

use super::axis::Axis;
use super::chart::{Chart, Line};
use super::page::{Page, Table, cards, remarks};
use crate::measure::units::{count, plural, short_metric, utc};
use crate::report::data::Distribution;
use crate::report::sweep::{Step, Sweep};
use crate::report::sweep_table::{COLUMNS, cells, doubt, knee};

/// Writes the page of a sweep.
#[must_use]
pub fn sweep(sweep: &Sweep) -> String {
    let title = format!("Sweep on {}", sweep.target.address);
    let mut page = Page::new(&title, &subtitle(sweep));
    page.content(&remarks("error", "Ended early", &sweep.messages));
    page.content(&remarks("note", "Knee", &[knee(sweep)]));
    page.content(&remarks("warning", "Warning", doubt(sweep).as_slice()));
    page.content(&figures(sweep));
    page.section("knee", "Over the offered rate", &plots(sweep));
    page.section("steps", "Step by step", &steps(sweep));
    page.render()
}

fn subtitle(sweep: &Sweep) -> String {
    let thresholds = format!("a rate holds while {}", sweep.slo);
    let Some(first) = sweep.steps.first() else {
        return thresholds;
    };
    let settings = &first.report.settings;
    format!(
        "{}, {} each, steps of {:.2} s from {}; {thresholds}",
        plural(settings.connections.into(), "connection"),
        plural(settings.size as u64, "byte"),
        first.report.elapsed_s,
        utc(first.report.measured_unix_ms)
    )
}

fn figures(sweep: &Sweep) -> String {
    let rate = |rate: Option<u64>| rate.map_or_else(|| "none".to_owned(), count);
    let runs = plural(sweep.steps.len() as u64, "run");
    cards(&[
        ("Held", rate(sweep.knee), "requests per second".to_owned()),
        ("Broke", rate(sweep.broke), "requests per second".to_owned()),
        (
            "Rates",
            count(decisive(sweep).len() as u64),
            format!("in {runs}"),
        ),
    ])
}

/// Returns the last run of each rate, which decided.
fn decisive(sweep: &Sweep) -> Vec<&Step> {
    let followed = |at: usize, step: &Step| {
        let next = sweep.steps.get(at + 1);
        next.is_some_and(|next| next.rate == step.rate)
    };
    let steps = sweep.steps.iter().enumerate();
    steps
        .filter(|(at, step)| !followed(*at, step))
        .map(|(_, step)| step)
        .collect()
}

fn plots(sweep: &Sweep) -> String {
    let steps = decisive(sweep);
    let Some(last) = steps.last() else {
        return "<p>No step was run.</p>\n".to_owned();
    };
    let x = || Axis::linear("requests/s offered", number(last.rate), short_metric);
    let line = |name: &str, value: &dyn Fn(&Step) -> Option<f64>| {
        let point = |step: &&Step| (number(step.rate), value(step));
        Line::new(name, steps.iter().map(point).collect())
    };
    let answered = line("answered", &|step| {
        Some(step.report.throughput.requests_per_s)
    });
    let all = number(last.rate);
    let most = answered.largest().max(all);
    let mut out = Chart {
        id: "rate",
        title: "Requests answered per second".to_owned(),
        description: knee(sweep),
        x: x(),
        y: Axis::linear("requests/s answered", most, short_metric),
        lines: vec![
            answered,
            Line::reference("all that is offered", [(0.0, 0.0), (all, all)]),
        ],
        bars: false,
    }
    .render();

    let quantile = |name, of: fn(&Distribution) -> u64| {
        line(name, &|step| {
            let latency = step.report.latency.headline();
            (latency.count > 0).then(|| number(of(latency)))
        })
    };
    let mut lines = vec![
        quantile("median", |latency| latency.p50_ns),
        quantile("99%", |latency| latency.p99_ns),
        quantile("99.9%", |latency| latency.p99_9_ns),
    ];
    let y = Axis::latency(lines.iter().flat_map(Line::values));
    if let Some(knee) = sweep.knee.map(number) {
        // From the bottom to the top: values outside an axis are placed at its end.
        lines.push(Line::reference(
            "the last rate that held",
            [(knee, 1.0), (knee, f64::MAX)],
        ));
    }
    out += &Chart {
        id: "latencies",
        title: "Latency from the intended send".to_owned(),
        description: "One point for each rate; the table below has the figures.".to_owned(),
        x: x(),
        y,
        lines,
        bars: false,
    }
    .render();
    out
}

fn steps(sweep: &Sweep) -> String {
    let columns: Vec<&str> = COLUMNS.into_iter().chain(["", "why"]).collect();
    let mut table = Table::new("Every run, in order", &columns);
    for step in &sweep.steps {
        let [rate, others @ ..] = cells(step);
        let held = if step.held { "held" } else { "missed" };
        let why = step.why();
        let others = others.iter().map(String::as_str);
        let row: Vec<&str> = others.chain([held, why.as_str()]).collect();
        table.row(&rate, &row);
    }
    table.render()
}

#[expect(clippy::cast_precision_loss, reason = "a position on a plot")]
fn number(value: u64) -> f64 {
    value as f64
}
