//! The report as text: first the verdict, then errors and thresholds, then rows like those of wrk,
//! and last the two rates. Tests: `report/tests.rs`.

use std::fmt::Write as _;

use super::data::{ErrorCount, Report, Status, Verdict};
use crate::measure::units::{bytes, count, duration, duration_f64, metric, plural};
use clocks::clocks;
use latency::{bars, others, percentiles, rows};
use line::{as_f64, line, percent};

mod clocks;
mod latency;
mod line;

pub use latency::summary;

/// Writes the report as text, with a line end after each line.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut out = String::new();
    verdict(report, &mut out);
    header(report, &mut out);
    errors(report, &mut out);
    thresholds(report, &mut out);
    if report.requests.completed > 0 || report.requests.unanswered > 0 {
        rows(report, &mut out);
        percentiles(report, &mut out);
        others(report, &mut out);
        if let Ok(recorder) = report.latency.headline().recorder() {
            bars(&recorder, &mut out);
        }
    }
    connections(report, &mut out);
    bad_clients(report, &mut out);
    server(report, &mut out);
    clocks(&report.clocks, &mut out);
    generator(report, &mut out);
    totals(report, &mut out);
    out
}

/// Writes the verdict with its reason, on one line.
fn verdict(report: &Report, out: &mut String) {
    let outcome = &report.outcome;
    let early = outcome.ended_early.as_ref();
    let early = early.map(|early| format!("ended early, {early}"));
    let reason = match outcome.verdict() {
        Verdict::Pass => None,
        Verdict::Doubtful => outcome.warnings.first().cloned(),
        Verdict::Fail | Verdict::Interrupted => outcome.messages.first().cloned(),
    };
    let said: Vec<_> = early.into_iter().chain(reason).collect();
    let colon = if said.is_empty() { "" } else { ": " };
    line!(
        out,
        "{}{colon}{}",
        outcome.verdict().name(),
        said.join("; ")
    );
}

fn header(report: &Report, out: &mut String) {
    let settings = &report.settings;
    let what = match (settings.duration_s, settings.requests) {
        (_, Some(requests)) => plural(requests, "request"),
        (Some(seconds), None) => duration_f64(seconds * 1e9).replace(".00", ""),
        (None, None) => "no".to_owned(),
    };
    let whose = match report.target.shards {
        Some(shards) => format!(
            " (embedded echo server, {})",
            plural(shards as u64, "shard")
        ),
        None => String::new(),
    };
    line!(
        out,
        "Running {what} test @ {}{whose}",
        report.target.address
    );
    let threads = plural(settings.threads.into(), "thread");
    let connections = plural(settings.connections.into(), "connection");
    let active = if settings.active < settings.connections {
        format!(" ({} of them active)", count(settings.active.into()))
    } else {
        String::new()
    };
    line!(out, "  {threads} and {connections}{active}");
    let pace = match (settings.rate, settings.arrivals) {
        (Some(rate), arrivals) => {
            let arrivals = arrivals.map_or(String::new(), |arrivals| {
                format!(" ({arrivals:?})").to_lowercase()
            });
            let hot = settings.hot.as_ref().map_or(String::new(), |hot| {
                let shift = settings.hot_shift_s.map_or(String::new(), |shift_s| {
                    format!(", moving every {}", duration_f64(shift_s * 1e9))
                });
                format!(" (hot {hot}{shift})")
            });
            let stages = settings.stages.as_ref().map_or(String::new(), |stages| {
                format!(" on average, in stages {stages}")
            });
            format!("open loop at {rate} requests/s{stages}{arrivals}{hot}")
        }
        (None, _) => {
            let think = settings.think_time_s.map_or(String::new(), |think_s| {
                format!(", {} after each answer", duration_f64(think_s * 1e9))
            });
            format!(
                "closed loop, {} in flight per connection{think}",
                plural(settings.pipeline.into(), "request")
            )
        }
    };
    let what = match &settings.size_mix {
        Some(mix) => format!("{mix} bytes"),
        None => format!("{} each", plural(settings.size as u64, "byte")),
    };
    let what = match settings.protocol.as_str() {
        "echo" if !settings.tls => what,
        protocol if settings.tls => format!("{protocol} over TLS, {what}"),
        protocol => format!("{protocol}, {what}"),
    };
    let what = match settings.work_us {
        Some(work_us) => format!(
            "{what}, each asking for {} of CPU time",
            duration(u64::from(work_us) * 1_000)
        ),
        None => what,
    };
    let verified = if settings.verify {
        "verified"
    } else {
        "not verified"
    };
    let io = format!("{:?}", settings.io).to_lowercase();
    line!(out, "  {pace}, {what}, {verified}, io {io}");
    for note in &report.outcome.notes {
        line!(out, "  Note: {note}");
    }
}

fn connections(report: &Report, out: &mut String) {
    let connections = &report.connections;
    line!(
        out,
        "  Connections: {} requested, {} connected, {} live at peak, {} served at least once",
        count(connections.requested.into()),
        count(connections.connected.into()),
        count(connections.peak_live.into()),
        count(connections.served.into())
    );
    let connect = &connections.connect_latency;
    if connect.count > 0 {
        let (ramp_s, connect) = (connections.ramp_s, summary(connect));
        line!(out, "    ramp {ramp_s:.2}s, connect {connect}");
    }
    if let Some(handshake) = &connections.handshake_latency {
        line!(out, "    including TLS handshake {}", summary(handshake));
    }
    let replaced = connections.retired + connections.closed_by_server;
    if replaced > 0 {
        line!(
            out,
            "    churn: {} connections in total, {} closed as planned, {} closed by the server",
            count(connections.established),
            count(connections.retired),
            count(connections.closed_by_server)
        );
    }
    if connections.broken > 0 {
        line!(
            out,
            "    {} broken, {} reconnected",
            count(connections.broken),
            count(connections.reconnected)
        );
    }
    let requests = &report.requests;
    if let (Some(_), Some(lag)) = (report.settings.rate, &report.latency.schedule_lag) {
        let late = match lag.count {
            0 => String::new(),
            _ => format!("; the generator was late by {}", summary(lag)),
        };
        line!(
            out,
            "  Schedule: {} due ({}/s), {} sent, {} answered ({}/s in time){late}",
            count(requests.scheduled),
            metric(as_f64(requests.scheduled) / report.elapsed_s.max(f64::MIN_POSITIVE)),
            count(requests.launched),
            count(requests.answered),
            metric(report.throughput.requests_per_s)
        );
        if requests.found_none_free > 0 {
            line!(
                out,
                "    {} found no free connection ({:.2}%)",
                plural(requests.found_none_free, "request"),
                percent(requests.found_none_free, requests.scheduled)
            );
        }
    }
    if requests.unsent > 0 {
        line!(
            out,
            "  Unsent: {}, due while no connection was open; counted in the tail",
            plural(requests.unsent, "request")
        );
    }
    if requests.unanswered > 0 {
        line!(
            out,
            "  Unanswered: {}, counted in the tail with the time they waited",
            plural(requests.unanswered, "request")
        );
    }
    if requests.interrupted > 0 {
        line!(
            out,
            "  In flight when interrupted: {}",
            plural(requests.interrupted, "request")
        );
    }
}

fn bad_clients(report: &Report, out: &mut String) {
    for bad in &report.bad_clients {
        let refused = match bad.refused {
            0 => String::new(),
            refused => format!(", {} not made", count(refused)),
        };
        line!(
            out,
            "  Bad clients: {} {}: {} made{refused}, {} sent, {} answered, {} cut by the server",
            count(bad.clients.into()),
            bad.kind,
            plural(bad.connections, "connection"),
            plural(bad.requests, "request"),
            count(bad.answers),
            count(bad.cut_by_server)
        );
    }
}

fn server(report: &Report, out: &mut String) {
    let Some(server) = &report.server else { return };
    if let (Some(total), Some(user), Some(system), Some(per_second)) = (
        server.cpu_us_per_request,
        server.cpu_user_us_per_request,
        server.cpu_system_us_per_request,
        server.requests_per_cpu_s,
    ) {
        line!(
            out,
            "  Server CPU: {total:.2}us per request (user {user:.2}us, system {system:.2}us), {} requests per CPU second",
            metric(per_second)
        );
    }
    memory(
        "Server",
        server.bytes_per_connection,
        [
            server.resident_before_bytes,
            server.resident_connected_bytes,
            server.resident_peak_bytes,
        ],
        out,
    );
}

/// The memory of a process: per connection, and resident before, connected and at peak.
fn memory(process: &str, each: Option<f64>, resident: [u64; 3], out: &mut String) {
    let each = each.map_or(String::new(), |each| {
        format!("{each:.0} bytes per connection; ")
    });
    let [before, connected, peak] = resident.map(|resident| bytes(as_f64(resident)));
    line!(
        out,
        "  {process} memory: {each}resident {before} before, {connected} connected, {peak} at peak"
    );
}

fn generator(report: &Report, out: &mut String) {
    let generator = &report.generator;
    if let Some(cpu_us) = generator.cpu_us_per_request {
        line!(
            out,
            "  Generator: {cpu_us:.2}us CPU per request, busiest thread {:.0}% of a CPU",
            generator.busiest_thread * 100.0
        );
        memory(
            "Generator",
            generator.bytes_per_connection,
            [
                generator.resident_before_bytes,
                generator.resident_connected_bytes,
                generator.resident_bytes,
            ],
            out,
        );
    }
    for warning in &report.outcome.warnings {
        line!(out, "  Warning: {warning}");
    }
}

fn errors(report: &Report, out: &mut String) {
    if report.errors.is_empty() {
        return;
    }
    let total = |of_request: bool| -> u64 {
        let of_them = |error: &&ErrorCount| error.is_of_request() == of_request;
        report
            .errors
            .iter()
            .filter(of_them)
            .map(|error| error.count)
            .sum()
    };
    let (connections, requests) = (total(false), total(true));
    let failed = match (connections, requests) {
        (_, 0) => plural(connections, "connection"),
        (0, _) => plural(requests, "request"),
        _ => format!(
            "{} and {}",
            plural(connections, "connection"),
            plural(requests, "request")
        ),
    };
    line!(out, "  Errors: {failed} failed");
    for error in &report.errors {
        line!(
            out,
            "    {}: {} (first: {})",
            error.description,
            count(error.count),
            error.first
        );
    }
}

fn thresholds(report: &Report, out: &mut String) {
    if report.slo.is_empty() {
        return;
    }
    let met = report.slo.iter().filter(|verdict| verdict.met).count();
    line!(out, "  Thresholds: {met} of {} met", report.slo.len());
    for verdict in &report.slo {
        line!(out, "    {verdict}");
    }
}

fn totals(report: &Report, out: &mut String) {
    if report.outcome.status == Status::Interrupted {
        line!(
            out,
            "  Interrupted: the figures are those of the part that ran"
        );
    }
    let requests = &report.requests;
    let read = bytes(as_f64(requests.bytes_read));
    let apart = match (requests.carried_in, requests.late) {
        (0, 0) => String::new(),
        (before, late) => format!(
            " ({} of them to requests from before; {} more came after)",
            count(before),
            count(late)
        ),
    };
    line!(
        out,
        "  {} requests in {:.2}s{apart}, {read} read",
        count(requests.completed),
        report.elapsed_s
    );
    if !report.status_codes.is_empty() {
        line!(out, "  Status codes");
        for (status, answers) in &report.status_codes {
            let share = percent(*answers, requests.answered);
            line!(out, "    {status} {:>12} {share:>7.2}%", count(*answers));
        }
    }
    let refused: u64 = report.statuses.values().sum();
    let refused = match refused {
        0 => String::new(),
        refused => format!(" ({:.2}% failed)", percent(refused, requests.answered)),
    };
    line!(
        out,
        "Requests/sec: {:>12.2}{refused}",
        report.throughput.requests_per_s
    );
    line!(
        out,
        "Transfer/sec: {:>12}",
        bytes(report.throughput.bytes_read_per_s)
    );
}
