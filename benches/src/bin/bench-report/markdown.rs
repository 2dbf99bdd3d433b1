//! The report in the form of `BENCHMARKS.md`: the method, one table per scenario, and the places
//! where the project is not ahead.

use std::fmt::Write as _;

use crate::text::{interval, verdict};
use benches::scenario::{HEADLINES, Scenario};
use benches::summary::Summary;

/// The method that holds for every run of the script.
const METHOD: &str = "\
One server runs on one CPU and the load generator on another, over the loopback interface. Every
returned byte is verified. In every round each server runs once, in a fresh process, one after the
other, so that disturbances on the machine affect all of them. Ratios are pseudomedians over the
paired rounds with a 95% interval of signed ranks. An interval wider than ±5% is called
inconclusive. CPU per echo is the server's own, user and system. If the generator was the
bottleneck, echoes per second and latency show the limit of the generator, and only CPU per echo
compares the servers.

The other scenarios vary one factor of the first.
";

/// Renders the page.
pub(crate) fn render(summary: &Summary) -> String {
    let mut out = String::new();
    let mut push = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    push("# Benchmarks\n".to_owned());
    push(wrapped(&format!(
        "Written by `{}` at commit {}, on {} x {}, {}.",
        summary.command, summary.commit, summary.cpus, summary.cpu, summary.kernel
    )));
    push(METHOD.to_owned());
    push("## Where the project is not ahead of tokio\n".to_owned());
    push(not_ahead(summary));
    for scenario in &summary.scenarios {
        push(format!("## {}\n", scenario.title));
        push(tables(scenario));
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

fn not_ahead(summary: &Summary) -> String {
    let mut out = String::from("| scenario | pair | metric | ratio | |\n|---|---|---|---|---|\n");
    let mut any = false;
    for (scenario, ratio) in summary.not_ahead() {
        any = true;
        let metric = HEADLINES.iter().find(|(name, _)| *name == ratio.metric);
        writeln!(
            out,
            "| {} | {} / {} | {} | {} | {} |",
            scenario.name,
            ratio.contender,
            ratio.base,
            metric.map_or(&*ratio.metric, |(_, title)| *title),
            interval(ratio),
            verdict(ratio)
        )
        .expect("writing to a string does not fail");
    }
    if any {
        out
    } else {
        "Nowhere in this run.\n".to_owned()
    }
}

fn tables(scenario: &Scenario) -> String {
    let mut out = format!(
        "`{}`, {} rounds.\n\n\
         | server | echoes/s | done % | p50 us | p99 us | p99.9 us | CPU/echo us | B/connection |\n|---|---|---|---|---|---|---|---|\n",
        scenario.name, scenario.rounds
    );
    let optional = |value: Option<f64>, digits: usize| {
        value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
    };
    for row in &scenario.contenders {
        writeln!(
            out,
            "| {} | {:.0} | {} | {:.0} | {:.0} | {:.0} | {} | {} |",
            row.name,
            row.requests_per_s,
            optional(row.done.map(|share| share * 100.0), 1),
            row.p50_us,
            row.p99_us,
            row.p99_9_us,
            optional(row.cpu_us_per_request, 3),
            optional(row.bytes_per_connection, 0),
        )
        .expect("writing to a string does not fail");
    }
    out.push_str("\n| pair | metric | ratio | |\n|---|---|---|---|\n");
    for (metric, title) in HEADLINES {
        for ratio in &scenario.ratios {
            if ratio.metric == metric && ratio.is_of_peers() {
                writeln!(
                    out,
                    "| {} / {} | {title} | {} | {} |",
                    ratio.contender,
                    ratio.base,
                    interval(ratio),
                    verdict(ratio)
                )
                .expect("writing to a string does not fail");
            }
        }
    }
    for warning in &scenario.warnings {
        out.push_str(&wrapped(&format!("\nWarning: {warning}.")));
    }
    out
}

/// Breaks a paragraph into lines of at most 100 columns.
fn wrapped(paragraph: &str) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in paragraph.split(' ') {
        let width = word.chars().count();
        if column > 0 && column + 1 + width > 100 {
            out.push('\n');
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += width;
    }
    out.push('\n');
    out
}
