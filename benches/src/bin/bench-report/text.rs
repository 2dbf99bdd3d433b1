//! The table for a terminal.

use std::fmt::Write as _;

use benches::scenario::{Ratio, Scenario, Verdict, WIDEST};
use benches::summary::Summary;

/// Renders the table, with a line end after each line.
pub(crate) fn render(summary: &Summary) -> String {
    let mut out = String::new();
    head(summary, &mut out);
    for scenario in &summary.scenarios {
        self::scenario(scenario, &mut out);
    }
    out
}

fn scenario(scenario: &Scenario, out: &mut String) {
    line(out, "");
    line(out, &format!("== {}: {}", scenario.name, scenario.title));
    let (settings, rounds) = (&scenario.settings, scenario.rounds);
    line(
        out,
        &format!(
            "{rounds} rounds of each, in turns; {} connections of which {} send, {} bytes; medians of the rounds",
            settings.connections, settings.active, settings.size
        ),
    );
    contenders(scenario, out);
    ratios(
        scenario,
        out,
        "Against the bare loop (CPU per echo: lower is better)",
        "server_cpu_us_per_request",
        |base| base == "bare-epoll",
    );
    ratios(
        scenario,
        out,
        "Against tokio (echoes per CPU second of the server: higher is better)",
        "requests_per_server_cpu_s",
        |base| base.starts_with("tokio-"),
    );
    for warning in &scenario.warnings {
        line(out, &format!("Warning: {warning}"));
    }
}

fn line(out: &mut String, text: &str) {
    writeln!(out, "{}", text.trim_end()).expect("writing to a string does not fail");
}

fn head(summary: &Summary, out: &mut String) {
    line(
        out,
        &format!("commit {}, {}", summary.commit, summary.command),
    );
    line(
        out,
        &format!("{} x {}, {}", summary.cpus, summary.cpu, summary.kernel),
    );
}

fn contenders(scenario: &Scenario, out: &mut String) {
    line(out, "");
    line(
        out,
        &format!(
            "{:<25}{:>10}{:>8}{:>8}{:>8}{:>8}{:>8}{:>8}{:>9}{:>7}{:>8}{:>7}{:>8}",
            "",
            "echoes",
            "done",
            "p50",
            "p90",
            "p99",
            "p99.9",
            "p99.99",
            "CPU per",
            "",
            "",
            "CPU",
            "memory"
        ),
    );
    line(
        out,
        &format!(
            "{:<25}{:>10}{:>8}{:>8}{:>8}{:>8}{:>8}{:>8}{:>9}{:>7}{:>8}{:>7}{:>8}",
            "contender",
            "per s",
            "%",
            "us",
            "us",
            "us",
            "us",
            "us",
            "echo us",
            "user",
            "system",
            "busy",
            "B/conn"
        ),
    );
    for row in &scenario.contenders {
        let optional = |value: Option<f64>, digits: usize| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
        };
        let busy = row
            .server_busy
            .map_or_else(|| "-".to_owned(), |share| format!("{:.0}%", share * 100.0));
        line(
            out,
            &format!(
                "{:<25}{:>10.0}{:>8}{:>8.0}{:>8.0}{:>8.0}{:>8.0}{:>8.0}{:>9}{:>7}{:>8}{busy:>7}{:>8}",
                row.name,
                row.requests_per_s,
                optional(row.done.map(|share| share * 100.0), 1),
                row.p50_us,
                row.p90_us,
                row.p99_us,
                row.p99_9_us,
                row.p99_99_us,
                optional(row.cpu_us_per_request, 3),
                optional(row.cpu_user_us_per_request, 2),
                optional(row.cpu_system_us_per_request, 2),
                optional(row.bytes_per_connection, 0),
            ),
        );
    }
}

fn ratios(
    scenario: &Scenario,
    out: &mut String,
    title: &str,
    metric: &str,
    of_base: impl Fn(&str) -> bool,
) {
    let rows: Vec<&Ratio> = scenario
        .ratios
        .iter()
        .filter(|ratio| ratio.metric == metric && of_base(&ratio.base))
        .collect();
    if rows.is_empty() {
        return;
    }
    line(out, "");
    line(out, title);
    for row in rows {
        let pair = format!("{} / {}", row.contender, row.base);
        // The throughput of the same pair, which tells little if the generator was the bottleneck.
        let throughput = scenario.ratio(&row.contender, &row.base, "requests_per_s");
        let throughput = throughput.map_or_else(String::new, |ratio| {
            let doubt = match ratio.verdict {
                Verdict::Inconclusive => " inconclusive",
                _ => "",
            };
            format!("echoes per s {}{doubt}", interval(ratio))
        });
        line(
            out,
            &format!(
                "  {pair:<40}{}  {:<34}{throughput}",
                interval(row),
                verdict(row)
            ),
        );
    }
}

pub(crate) fn interval(ratio: &Ratio) -> String {
    format!("{:.3} [{:.3}, {:.3}]", ratio.ratio, ratio.low, ratio.high)
}

pub(crate) fn verdict(ratio: &Ratio) -> String {
    let percent = (ratio.ratio - 1.0).abs() * 100.0;
    match ratio.verdict {
        Verdict::Better => format!("{percent:.1}% better"),
        Verdict::Worse => format!("{percent:.1}% worse"),
        Verdict::NoDifferenceShown => "no difference shown".to_owned(),
        Verdict::Inconclusive => {
            format!("inconclusive: wider than ±{:.0}%", WIDEST * 100.0)
        }
    }
}
