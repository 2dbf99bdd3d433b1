//! The page of a run.

use super::axis::Axis;
use super::chart::{Chart, Line};
use super::page::{Page, Table, cards, details, escape, remarks};
use super::percentiles::percentiles;
use crate::measure::units::{
    bytes, count, duration, duration_f64, metric, plural, short_duration, short_metric, utc,
};
use crate::report::data::{Distribution, Report, Status};
use crate::report::rate::Rate;
use crate::report::series::Interval;

/// Writes the page of a run.
#[must_use]
pub fn run(report: &Report) -> String {
    let mut page = Page::new(&title(report), &subtitle(report));
    let outcome = &report.outcome;
    page.content(&remarks("error", "Failed", &outcome.messages));
    if outcome.status == Status::Interrupted {
        let what = "the figures are those of the part that ran".to_owned();
        page.content(&remarks("warning", "Interrupted", &[what]));
    }
    page.content(&remarks("warning", "Warning", &outcome.warnings));
    page.content(&remarks("note", "Note", &outcome.notes));
    page.content(&figures(report));
    page.content(&thresholds(report));
    page.section("latency", "Latency by percentile", &latency(report));
    page.section("time", "Over time", &time(report));
    page.section("statuses", "Answers by status", &statuses(report));
    page.section("errors", "Errors", &errors(report));
    page.section("run", "The run", &tables(report));
    page.render()
}

fn title(report: &Report) -> String {
    let embedded = if report.target.embedded {
        " (embedded)"
    } else {
        ""
    };
    format!("Load on {}{embedded}", report.target.address)
}

fn subtitle(report: &Report) -> String {
    let settings = &report.settings;
    let pace = match settings.rate {
        Some(rate) => format!("open loop at {rate} requests/s"),
        None => format!(
            "closed loop, {} in flight per connection",
            plural(settings.pipeline.into(), "request")
        ),
    };
    format!(
        "{}, {pace}, {} each, measured for {:.2} s on {}",
        plural(settings.connections.into(), "connection"),
        plural(settings.size as u64, "byte"),
        report.elapsed_s,
        utc(report.measured_unix_ms)
    )
}

fn figures(report: &Report) -> String {
    let latency = report.latency.headline();
    let failed: u64 = report.errors.iter().map(|error| error.count).sum();
    let whose = if report.latency.corrected.is_some() {
        "from the intended send"
    } else {
        "closed loop"
    };
    let rate = metric(report.throughput.requests_per_s);
    let of = match report.settings.rate {
        Some(rate) => format!("{rate} scheduled"),
        None => format!("{} answered", count(report.requests.completed)),
    };
    let within = |name, ns| (name, duration(ns), whose.to_owned());
    let unanswered = format!("{} unanswered", count(report.requests.unanswered));
    cards(&[
        ("Requests per second", rate, of),
        within("Latency, median", latency.p50_ns),
        within("Latency, 99%", latency.p99_ns),
        within("Latency, 99.9%", latency.p99_9_ns),
        within("Latency, largest", latency.max_ns),
        ("Errors", count(failed), unanswered),
    ])
}

/// Returns the table of thresholds; empty without thresholds.
fn thresholds(report: &Report) -> String {
    if report.slo.is_empty() {
        return String::new();
    }
    let mut table = Table::new("Thresholds", &["threshold", "", "measured"]);
    for verdict in &report.slo {
        let met = if verdict.met { "met" } else { "missed" };
        table.row(&verdict.threshold, &[met, &verdict.to_string()]);
    }
    table.render()
}

fn latency(report: &Report) -> String {
    let latency = &report.latency;
    let recorder = |distribution: &Distribution| distribution.recorder().unwrap_or_default();
    let raw = recorder(&latency.raw);
    let corrected = latency.corrected.as_ref().map(recorder);
    let mut curves = Vec::new();
    if let Some(corrected) = &corrected {
        curves.push(("from the intended send (corrected)", corrected));
    }
    curves.push(("from the actual send (raw)", &raw));
    let headline = latency.headline();
    let description = format!(
        "Half of the requests were answered within {}, 99% within {}, 99.9% within {}, all within {}.",
        duration(headline.p50_ns),
        duration(headline.p99_ns),
        duration(headline.p99_9_ns),
        duration(headline.max_ns)
    );
    let explained = if latency.corrected.is_some() {
        "<p>Corrected latency counts from the moment a request was to be sent, so a stall delays all that were due in it. Raw latency counts from the moment it was sent.</p>\n"
    } else {
        "<p>In a closed loop a stall delays the very requests that would have measured it, so the tail flatters; <code>-R</code> measures from the intended moment.</p>\n"
    };
    let figure = percentiles(
        "percentiles",
        "Latency within which a share of the requests was answered",
        &description,
        &curves,
    );
    figure + explained + &quantile_table(report)
}

fn quantile_table(report: &Report) -> String {
    let latency = &report.latency;
    let connections = &report.connections;
    let failures = (latency.failures.count > 0).then_some(&latency.failures);
    let shown = [
        ("corrected", latency.corrected.as_ref()),
        ("raw", Some(&latency.raw)),
        ("sent late by", latency.schedule_lag.as_ref()),
        ("first byte", latency.first_byte.as_ref()),
        ("failed", failures),
        ("connecting", Some(&connections.connect_latency)),
        ("TLS handshake", connections.handshake_latency.as_ref()),
    ];
    let shown = shown.into_iter().filter_map(|(name, of)| Some((name, of?)));
    let (names, shown): (Vec<_>, Vec<_>) = shown.unzip();
    let mut table = Table::new("Percentiles", &[&["share"], &names[..]].concat());
    let mut row = |name: &str, value: &dyn Fn(&Distribution) -> String| {
        let cells: Vec<String> = shown.iter().map(|of| value(of)).collect();
        let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
        table.row(name, &cells);
    };
    row("smallest", &|distribution| duration(distribution.min_ns));
    for at in 0..shown[0].quantiles().len() {
        let name = shown[0].quantiles()[at].0;
        row(name, &|distribution| {
            duration(distribution.quantiles()[at].1)
        });
    }
    row("mean", &|distribution| duration_f64(distribution.mean_ns));
    row("standard deviation", &|distribution| {
        duration_f64(distribution.stdev_ns)
    });
    row("count", &|distribution| count(distribution.count));
    table.render()
}

fn time(report: &Report) -> String {
    let series = &report.series;
    let intervals = &series.intervals;
    if intervals.is_empty() {
        return "<p>Nothing was measured.</p>\n".to_owned();
    }
    let end = intervals
        .last()
        .map_or(0.0, |last| last.start_s + series.interval_s);
    let x = Axis::until("time since the measured part began", end, seconds);
    let middle = |interval: &Interval| interval.start_s + series.interval_s / 2.0;
    let length = short_duration(series.interval_s * 1e9);

    let line = |name: &str, value: &dyn Fn(&Interval) -> Option<f64>| {
        let point = |interval: &Interval| (middle(interval), value(interval));
        Line::new(name, intervals.iter().map(point).collect())
    };
    let answered = line("answered", &|interval| interval.requests_per_s);
    let scheduled = report.settings.rate.map(Rate::per_second);
    let largest = answered.largest().max(scheduled.unwrap_or(0.0));
    let smallest = answered.values().fold(f64::INFINITY, f64::min);
    let mut lines = vec![answered];
    lines.extend(
        scheduled.map(|rate| Line::reference("scheduled", [(0.0, rate), (report.elapsed_s, rate)])),
    );
    let mut out = Chart {
        id: "rate",
        title: format!("Requests per second, by intervals of {length}"),
        description: format!(
            "Between {} and {} requests per second; {} over the whole run.",
            metric(if smallest.is_finite() { smallest } else { 0.0 }),
            metric(largest),
            metric(report.throughput.requests_per_s)
        ),
        x,
        y: Axis::linear("requests/s", largest, short_metric),
        lines,
        bars: false,
    }
    .render();

    let latency = |name: &str, ns: fn(&Interval) -> u64| {
        line(name, &|interval| {
            (interval.count > 0).then(|| as_f64(ns(interval)))
        })
    };
    let mut lines = vec![
        latency("median", |interval| interval.p50_ns),
        latency("99%", |interval| interval.p99_ns),
        latency("largest", |interval| interval.max_ns),
    ];
    let worst = intervals.iter().max_by_key(|interval| interval.max_ns);
    let y = Axis::latency(lines.iter().flat_map(Line::values));
    if report.elapsed_s > 0.0 && end > report.elapsed_s + 0.5 * series.interval_s {
        let ends = [f64::MIN_POSITIVE, f64::MAX].map(|ns| (report.elapsed_s, ns));
        lines.push(Line::reference("end of the measured part", ends));
    }
    out += &Chart {
        id: "latencies",
        title: format!("Latency, by intervals of {length}"),
        description: worst.map_or(String::new(), |worst| {
            format!(
                "Median, 99% and largest latency over time. The largest of all, {}, came in the interval that began at {:.1} s.",
                duration(worst.max_ns),
                worst.start_s
            )
        }),
        x,
        y,
        lines,
        bars: false,
    }
    .render();
    out + &details("The intervals as a table", &interval_table(intervals))
}

fn interval_table(intervals: &[Interval]) -> String {
    let columns = [
        "begins",
        "requests",
        "requests/s",
        "median",
        "99%",
        "largest",
        "errors",
    ];
    let mut table = Table::new("Intervals", &columns);
    for interval in intervals {
        let latency = |ns: u64| {
            if interval.count == 0 {
                "-".to_owned()
            } else {
                duration(ns)
            }
        };
        table.row(
            &format!("{:.2} s", interval.start_s),
            &[
                &count(interval.completed),
                &or_dash(interval.requests_per_s, metric),
                &latency(interval.p50_ns),
                &latency(interval.p99_ns),
                &latency(interval.max_ns),
                &count(interval.errors),
            ],
        );
    }
    table.render()
}

/// Returns the table of status codes, or a sentence if the protocol has none.
fn statuses(report: &Report) -> String {
    if report.status_codes.is_empty() {
        return "<p>The answers have no status.</p>\n".to_owned();
    }
    let mut table = Table::new("Status codes", &["status", "answers", "share"]);
    for (status, answers) in &report.status_codes {
        let share = as_f64(*answers) * 100.0 / as_f64(report.requests.answered.max(1));
        table.row(
            &status.to_string(),
            &[&count(*answers), &format!("{share:.2}%")],
        );
    }
    table.render()
}

fn errors(report: &Report) -> String {
    if report.errors.is_empty() {
        return "<p>Nothing failed.</p>\n".to_owned();
    }
    let mut out = String::new();
    let series = &report.series;
    let bar = |interval: &Interval| {
        let middle = interval.start_s + series.interval_s / 2.0;
        (middle, Some(as_f64(interval.errors)))
    };
    let failed = Line::new("failed", series.intervals.iter().map(bar).collect());
    let most = failed.largest();
    if most > 0.0 {
        let end = as_f64(series.intervals.len() as u64) * series.interval_s;
        out += &Chart {
            id: "failures",
            title: "Failures over time".to_owned(),
            description: format!("At most {most} in an interval."),
            x: Axis::until("time since the measured part began", end, seconds),
            y: Axis::linear("failures", most, short_metric),
            lines: vec![failed],
            bars: true,
        }
        .render();
    }
    let mut table = Table::new(
        "Failures by kind: connections, and requests that were refused",
        &["kind", "count", "the first"],
    );
    for error in &report.errors {
        table.row(&error.description, &[&count(error.count), &error.first]);
    }
    out + &table.render()
}

fn tables(report: &Report) -> String {
    let mut out = "<div class=\"columns\">\n".to_owned();
    let mut put = |caption: &str, rows: Vec<(&str, String)>| {
        let mut table = Table::new(caption, &[]);
        for (name, value) in &rows {
            table.row(name, &[value]);
        }
        out += &table.render();
    };
    let (requests, connections) = (&report.requests, &report.connections);
    put(
        "Requests",
        vec![
            ("due", count(requests.scheduled)),
            ("sent", count(requests.launched)),
            ("answered", count(requests.answered)),
            ("unanswered", count(requests.unanswered)),
            ("per second", metric(report.throughput.requests_per_s)),
            ("read", bytes(as_f64(requests.bytes_read))),
            ("read per second", bytes(report.throughput.bytes_read_per_s)),
        ],
    );
    put(
        "Connections",
        vec![
            ("requested", count(connections.requested.into())),
            ("connected", count(connections.connected.into())),
            ("live at peak", count(connections.peak_live.into())),
            ("served at least once", count(connections.served.into())),
            ("sending", count(connections.active.into())),
            ("established in all", count(connections.established)),
            ("replaced in turn", count(connections.retired)),
            (
                "closed by the server, and replaced",
                count(connections.closed_by_server),
            ),
            ("ramp", format!("{:.2} s", connections.ramp_s)),
        ],
    );
    if let Some(server) = &report.server {
        let us = |us: Option<f64>| or_dash(us, |us| format!("{us:.2} us"));
        put(
            "Server",
            vec![
                ("CPU per request", us(server.cpu_us_per_request)),
                ("of which in user space", us(server.cpu_user_us_per_request)),
                (
                    "of which in the kernel",
                    us(server.cpu_system_us_per_request),
                ),
                (
                    "requests per CPU second",
                    or_dash(server.requests_per_cpu_s, metric),
                ),
                (
                    "memory per connection",
                    or_dash(server.bytes_per_connection, |each| format!("{each:.0} B")),
                ),
                ("memory at peak", bytes(as_f64(server.resident_peak_bytes))),
            ],
        );
    }
    for bad in &report.bad_clients {
        put(
            &format!("Bad clients: {}", bad.kind),
            vec![
                ("clients", count(bad.clients.into())),
                ("connections", count(bad.connections)),
                ("refused", count(bad.refused)),
                ("requests sent whole", count(bad.requests)),
                ("answers read whole", count(bad.answers)),
                ("cut by the server", count(bad.cut_by_server)),
            ],
        );
    }
    let generator = &report.generator;
    put(
        "Generator",
        vec![
            (
                "CPU per request",
                or_dash(generator.cpu_us_per_request, |us| format!("{us:.2} us")),
            ),
            (
                "busiest thread",
                format!("{:.0}% of a CPU", generator.busiest_thread * 100.0),
            ),
            (
                "waited for a CPU",
                format!("{:.3} s", generator.waited_for_cpu_s),
            ),
            ("memory", bytes(as_f64(generator.resident_bytes))),
        ],
    );
    let (machine, cpus) = (&report.machine, report.machine.cpus as u64);
    let command = escape(&report.command.join(" "));
    out + &format!(
        "</div>\n<p>Command: <code>{command}</code></p>\n<p>loadgen {} on {} ({}, {}), begun {}.</p>\n",
        escape(&report.loadgen),
        escape(&machine.kernel),
        escape(&machine.architecture),
        plural(cpus, "CPU"),
        utc(report.started_unix_ms)
    )
}

fn or_dash(value: Option<f64>, shown: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), shown)
}

fn seconds(s: f64) -> String {
    format!("{} s", (s * 1e6).round() / 1e6)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a report shows at most nine digits"
)]
fn as_f64(value: u64) -> f64 {
    value as f64
}
