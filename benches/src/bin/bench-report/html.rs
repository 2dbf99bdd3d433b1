//! The report as a page with plots, built from the parts of the load generator's own pages.

use loadgen::report::html::{Page, Ratio as Bar, Table, Tone, percentiles, ratios, remarks};

use crate::text::{interval, verdict};
use benches::scenario::{HEADLINES, Ratio, Scenario, Verdict};
use benches::summary::Summary;

/// The distributions that fit in a figure.
const SHOWN: [&str; 3] = ["demo-helpers", "tokio-ct", "tokio-mt"];

/// Renders the page.
pub(crate) fn render(summary: &Summary) -> String {
    let subtitle = format!(
        "{} at commit {}, on {} x {}, {}",
        summary.command, summary.commit, summary.cpus, summary.cpu, summary.kernel
    );
    let mut page = Page::new("Benchmarks", &subtitle);
    page.section("overview", "Against tokio", &overview(summary));
    for (at, scenario) in summary.scenarios.iter().enumerate() {
        let mut content = String::new();
        if at == 0 {
            content += &latency(scenario);
        }
        content += &contenders(scenario);
        content += &pairs(scenario);
        content += &remarks("warning", "Warning", &scenario.warnings);
        page.section(&scenario.name, &scenario.title, &content);
    }
    page.render()
}

/// Draws one figure for each tokio server: the echoes that a CPU second of our server answers for
/// one of tokio's, load by load.
fn overview(summary: &Summary) -> String {
    let (metric, title) = HEADLINES[0];
    let mut out = String::new();
    for base in &SHOWN[1..] {
        let rows: Vec<Bar> = summary
            .scenarios
            .iter()
            .filter_map(|scenario| {
                let ratio = scenario.ratio(SHOWN[0], base, metric)?;
                Some(bar(&scenario.name, ratio))
            })
            .collect();
        if !rows.is_empty() {
            out += &ratios(
                &format!("against-{base}"),
                &format!("{title}: {} against {base}, load by load", SHOWN[0]),
                "Right of the line at one the project's server answers more for the same CPU time. The tables below have the figures.",
                &rows,
            );
        }
    }
    out
}

fn bar(name: &str, ratio: &Ratio) -> Bar {
    Bar {
        name: name.to_owned(),
        estimate: [ratio.ratio, ratio.low, ratio.high],
        tone: match ratio.verdict {
            Verdict::Better => Tone::Better,
            Verdict::Worse => Tone::Worse,
            Verdict::NoDifferenceShown | Verdict::Inconclusive => Tone::Same,
        },
    }
}

fn latency(scenario: &Scenario) -> String {
    let recorded: Vec<_> = SHOWN
        .iter()
        .filter_map(|shown| {
            let row = scenario.contenders.iter().find(|row| row.name == *shown)?;
            Some((*shown, &row.latency))
        })
        .collect();
    if recorded.is_empty() {
        return String::new();
    }
    percentiles(
        "percentiles",
        "Latency within which a share of the requests was answered, all rounds together",
        "The table below has the medians of the rounds.",
        &recorded,
    )
}

fn contenders(scenario: &Scenario) -> String {
    let columns = [
        "server",
        "echoes/s",
        "done %",
        "p50 us",
        "p99 us",
        "p99.9 us",
        "CPU/echo us",
        "B/connection",
    ];
    let caption = format!("Medians of {} rounds", scenario.rounds);
    let mut table = Table::new(&caption, &columns);
    let optional = |value: Option<f64>, digits: usize| {
        value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
    };
    for row in &scenario.contenders {
        table.row(
            &row.name,
            &[
                &format!("{:.0}", row.requests_per_s),
                &optional(row.done.map(|share| share * 100.0), 1),
                &format!("{:.0}", row.p50_us),
                &format!("{:.0}", row.p99_us),
                &format!("{:.0}", row.p99_9_us),
                &optional(row.cpu_us_per_request, 3),
                &optional(row.bytes_per_connection, 0),
            ],
        );
    }
    table.render()
}

fn pairs(scenario: &Scenario) -> String {
    let mut table = Table::new(
        "Ratios with their 95% intervals",
        &["pair", "metric", "ratio", "verdict"],
    );
    for (metric, title) in HEADLINES {
        let ratios = scenario.ratios.iter();
        for ratio in ratios.filter(|ratio| ratio.metric == metric && ratio.is_of_peers()) {
            let pair = format!("{} / {}", ratio.contender, ratio.base);
            table.row(&pair, &[title, &interval(ratio), &verdict(ratio)]);
        }
    }
    table.render()
}
