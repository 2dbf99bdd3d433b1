//! `loadgen merge`: the reports of several processes that loaded one server at the same time, as
//! one report.
//!
//! Histograms and counts are added, the time series are laid over each other by the clock, and the
//! measured part reaches from the first beginning to the last end. Runs that said something else to
//! the server, or at another pace, are refused: their sum would describe no load. Thresholds are
//! judged again on the sum. The command line calls [`run`]. Tests: `merge/tests.rs`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;

use crate::console;
use crate::exit_error::ExitError;
use crate::measure::clock::{Nanos, nanos_f64};
use crate::measure::histogram::Recorder;
use crate::measure::series::Series;
use crate::measure::slices::Slice;
use crate::measure::slo::Slo;
use crate::report::bytes_per_connection;
use crate::report::gate::gate;
use crate::report::output::{self, Files, Format, Kind};
use crate::report::series::TimeSeries;
use crate::report::{
    BadClients, Connections, Distribution, ErrorCount, Generator, Interval, Latency, Report,
    Requests, Server, Settings, Status, Throughput, read, text,
};

/// Measured parts that have less than this share of the whole in common make its rates doubtful.
const IN_COMMON: f64 = 0.9;

/// The arguments of `merge`.
#[derive(Args, Debug, Clone)]
pub struct MergeArgs {
    /// JSON reports of runs with the same load, one or several per file
    #[arg(value_name = "FILE.json", required = true)]
    pub files: Vec<PathBuf>,

    /// What is printed on standard output
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,

    /// Also write the sum to FILE, in the format of its extension: json, csv, hgrm, hlog or html;
    /// repeatable
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    pub outputs: Vec<PathBuf>,
}

/// Merges the reports of some files: prints the sum and writes the files asked for. Returns the
/// exit code of the sum, as if it had been one run.
///
/// # Errors
/// An output has an unknown extension (exit code 2) or cannot be written, a file cannot be read or
/// holds something else than reports, or two of them cannot be added; the message names the file.
pub fn run(args: &MergeArgs, command: Vec<String>) -> Result<u8, ExitError> {
    for output in &args.outputs {
        Kind::of(output, &Kind::OF_RUN).map_err(ExitError::arguments)?;
    }
    let mut parts = Vec::new();
    for path in &args.files {
        let reports = read(path).map_err(ExitError::run)?;
        let name = path.display().to_string();
        parts.extend(reports.into_iter().map(|report| (name.clone(), report)));
    }
    let report = merge(&parts, command).map_err(ExitError::run)?;
    let files = Files::create(&args.outputs)?;
    let text = match args.format {
        Format::Text => text::render(&report).into_bytes(),
        Format::Json => output::render(&report, Kind::Json),
        Format::Csv => output::render(&report, Kind::Csv),
    };
    files
        .write(|kind| output::render(&report, kind))
        .map_err(ExitError::run)?;
    console::print(&text).map_err(|error| ExitError::run(format!("standard output: {error}")))?;
    Ok(report.outcome.exit_code)
}

/// The sum of some reports, each with the name of its file.
///
/// # Errors
/// There is none, two of them cannot be added, or one holds a histogram that cannot be read; a
/// sentence says which and why.
pub fn merge(parts: &[(String, Report)], command: Vec<String>) -> Result<Report, String> {
    let Some(((first_name, first), others)) = parts.split_first() else {
        return Err("there is nothing to merge".to_owned());
    };
    for (name, other) in others {
        for ((what, ours), (_, theirs)) in load(first).into_iter().zip(load(other)) {
            if ours != theirs {
                return Err(format!(
                    "{name} cannot be added to {first_name}: {what} is {theirs} there and {ours} here"
                ));
            }
        }
    }
    let runs = runs(parts)?;
    let reports: Vec<&Report> = parts.iter().map(|(_, report)| report).collect();
    let named = |problem: String, at: usize| format!("{}: {problem}", parts[at].0);

    let begins = reports.iter().map(|report| report.measured_unix_ms).min();
    let begin_ms = begins.unwrap_or(first.measured_unix_ms);
    let ends = reports
        .iter()
        .map(|report| offset_s(report, begin_ms) + report.elapsed_s);
    let elapsed_s = ends.fold(0.0, f64::max);
    let elapsed: Nanos = nanos_f64(elapsed_s);

    let mut series = Series::new(nanos_f64(
        reports
            .iter()
            .map(|report| report.series.interval_s)
            .fold(0.0, f64::max),
    ));
    for (at, report) in reports.iter().enumerate() {
        let interval_s = report.series.interval_s;
        for interval in &report.series.intervals {
            // The middle decides: processes do not begin within the same millisecond.
            let middle = offset_s(report, begin_ms) + interval.start_s + interval_s / 2.0;
            series.add(
                slice(interval, series.index_at(nanos_f64(middle)))
                    .map_err(|problem| named(problem, at))?,
            );
        }
    }
    let series = TimeSeries::of(&series, elapsed);
    let distribution = |of: &dyn Fn(&Report) -> Option<&Distribution>| {
        let mut sum = Recorder::new();
        for (at, report) in reports.iter().enumerate() {
            if let Some(part) = of(report) {
                sum.merge(&part.recorder().map_err(|problem| named(problem, at))?);
            }
        }
        Ok::<_, String>(Distribution::from(&sum))
    };
    let optional = |of: &dyn Fn(&Report) -> Option<&Distribution>| {
        of(first).is_some().then(|| distribution(of)).transpose()
    };
    let latency = Latency {
        raw: distribution(&|report| Some(&report.latency.raw))?,
        corrected: optional(&|report| report.latency.corrected.as_ref())?,
        schedule_lag: optional(&|report| report.latency.schedule_lag.as_ref())?,
    };
    let connect = distribution(&|report| Some(&report.connections.connect_latency))?;
    let requests = requests(&reports);
    let started = reports.iter().map(|report| report.started_unix_ms).min();
    let mut sum = Report {
        loadgen: env!("CARGO_PKG_VERSION").to_owned(),
        command,
        runs,
        started_unix_ms: started.unwrap_or(first.started_unix_ms),
        measured_unix_ms: begin_ms,
        settings: settings(&reports),
        elapsed_s,
        connections: connections(&reports, connect),
        throughput: Throughput::new(
            requests.completed,
            requests.bytes_read,
            elapsed,
            &series.rates(),
        ),
        latency,
        series,
        generator: generator(&reports, requests.completed),
        server: server(&reports, requests.completed),
        bad_clients: bad_clients(&reports),
        errors: errors(&reports, |report| &report.errors),
        errors_outside: errors(&reports, |report| &report.errors_outside),
        statuses: statuses(&reports),
        slo: Vec::new(),
        requests,
        ..first.clone()
    };
    outcome(parts, begin_ms, &mut sum);
    let mut thresholds: Vec<&str> = reports
        .iter()
        .flat_map(|report| &report.slo)
        .map(|verdict| verdict.threshold.as_str())
        .collect();
    thresholds.sort_unstable();
    thresholds.dedup();
    if !thresholds.is_empty() {
        let slo: Slo = thresholds.join(",").parse()?;
        gate(&slo, &mut sum);
    }
    Ok(sum)
}

/// The names of all runs.
///
/// # Errors
/// One of them is there twice; a sentence that names both files.
fn runs(parts: &[(String, Report)]) -> Result<Vec<String>, String> {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for (file, part) in parts {
        let mut names = part.runs.clone();
        if names.is_empty() {
            // Written before runs had names: there is no other run with just these figures.
            names.push(serde_json::to_string(part).expect("plain data becomes JSON"));
        }
        for name in names {
            if let Some(first) = seen.insert(name, file) {
                return Err(format!(
                    "{file} holds a run that is in {first} already, and would count twice: name each run once \
                     (two runs of one load, one after the other, are for `loadgen compare`)"
                ));
            }
        }
    }
    Ok(parts
        .iter()
        .flat_map(|(_, part)| part.runs.clone())
        .collect())
}

/// What has to be the same in all parts, in words.
fn load(report: &Report) -> Vec<(&'static str, String)> {
    let settings = &report.settings;
    let optional =
        |value: Option<f64>| value.map_or_else(|| "not set".to_owned(), |value| value.to_string());
    let pace = if settings.rate.is_some() {
        "open"
    } else {
        "closed"
    };
    let arrivals = settings.arrivals.map_or_else(String::new, |arrivals| {
        format!(", {arrivals:?}").to_lowercase()
    });
    vec![
        ("the target", report.target.address.clone()),
        ("the protocol", settings.protocol.clone()),
        ("the loop", format!("{pace}{arrivals}")),
        ("--pipeline", settings.pipeline.to_string()),
        (
            "--size",
            settings
                .size_mix
                .clone()
                .unwrap_or_else(|| settings.size.to_string()),
        ),
        ("--hot", settings.hot.clone().unwrap_or_default()),
        ("--hot-shift", optional(settings.hot_shift_s)),
        ("--work", optional(settings.work_us.map(f64::from))),
        ("--verify", settings.verify.to_string()),
        ("--io", settings.io.name().to_owned()),
        ("--duration", optional(settings.duration_s)),
        (
            "--requests",
            if settings.requests.is_some() {
                "set"
            } else {
                "not set"
            }
            .to_owned(),
        ),
        (
            "--requests-per-conn",
            settings
                .requests_per_conn
                .map_or_else(|| "not set".to_owned(), |n| n.to_string()),
        ),
        ("--lifetime", optional(settings.lifetime_s)),
        ("--timeout", settings.timeout_s.to_string()),
    ]
}

/// Seconds from the first beginning to that of this report.
#[expect(clippy::cast_precision_loss, reason = "milliseconds of a run")]
fn offset_s(report: &Report, begin_ms: u64) -> f64 {
    (report.measured_unix_ms - begin_ms) as f64 / 1e3
}

fn slice(interval: &Interval, index: u64) -> Result<Slice, String> {
    Ok(Slice {
        index,
        latency: interval.recorder()?,
        completed: interval.completed,
        errors: interval.errors,
        live: interval.live,
    })
}

fn settings(reports: &[&Report]) -> Settings {
    let first = &reports[0].settings;
    let sum = |of: fn(&Settings) -> u32| {
        let parts = reports.iter().map(|report| of(&report.settings));
        parts.fold(0, u32::saturating_add)
    };
    // Where one part has no limit, neither has the sum.
    let optional =
        |of: fn(&Settings) -> Option<u64>| reports.iter().map(|report| of(&report.settings)).sum();
    let same_pin = reports
        .iter()
        .all(|report| report.settings.pin == first.pin);
    Settings {
        connections: sum(|settings| settings.connections),
        active: sum(|settings| settings.active),
        threads: sum(|settings| settings.threads),
        requests: optional(|settings| settings.requests),
        rate: optional(|settings| settings.rate),
        connect_rate: optional(|settings| settings.connect_rate),
        pin: if same_pin {
            first.pin.clone()
        } else {
            "various".to_owned()
        },
        ..first.clone()
    }
}

fn connections(reports: &[&Report], connect_latency: Distribution) -> Connections {
    let sum = |of: fn(&Connections) -> u32| {
        let parts = reports.iter().map(|report| of(&report.connections));
        parts.fold(0, u32::saturating_add)
    };
    let long =
        |of: fn(&Connections) -> u64| reports.iter().map(|report| of(&report.connections)).sum();
    let ramps = reports.iter().map(|report| report.connections.ramp_s);
    Connections {
        requested: sum(|part| part.requested),
        connected: sum(|part| part.connected),
        peak_live: sum(|part| part.peak_live),
        served: sum(|part| part.served),
        active: sum(|part| part.active),
        established: long(|part| part.established),
        retired: long(|part| part.retired),
        closed_by_server: long(|part| part.closed_by_server),
        broken: long(|part| part.broken),
        reconnected: long(|part| part.reconnected),
        ramp_s: ramps.fold(0.0, f64::max),
        connect_latency,
    }
}

fn requests(reports: &[&Report]) -> Requests {
    let sum = |of: fn(&Requests) -> u64| reports.iter().map(|report| of(&report.requests)).sum();
    Requests {
        scheduled: sum(|part| part.scheduled),
        launched: sum(|part| part.launched),
        answered: sum(|part| part.answered),
        unanswered: sum(|part| part.unanswered),
        unsent: sum(|part| part.unsent),
        carried_in: sum(|part| part.carried_in),
        late: sum(|part| part.late),
        found_none_free: sum(|part| part.found_none_free),
        interrupted: sum(|part| part.interrupted),
        completed: sum(|part| part.completed),
        bytes_read: sum(|part| part.bytes_read),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a report shows at most nine digits"
)]
fn per_request(cpu_s: f64, completed: u64) -> Option<f64> {
    (completed > 0).then(|| cpu_s * 1e6 / completed as f64)
}

fn generator(reports: &[&Report], completed: u64) -> Generator {
    let sum = |of: fn(&Generator) -> f64| -> f64 {
        reports.iter().map(|report| of(&report.generator)).sum()
    };
    let (user, system) = (sum(|part| part.cpu_user_s), sum(|part| part.cpu_system_s));
    let busiest = reports.iter().map(|report| report.generator.busiest_thread);
    let bytes = |of: fn(&Generator) -> u64| -> u64 {
        reports.iter().map(|report| of(&report.generator)).sum()
    };
    let before = bytes(|part| part.resident_before_bytes);
    let connected = bytes(|part| part.resident_connected_bytes);
    let connections = reports.iter().map(|report| report.connections.connected);
    Generator {
        cpu_user_s: user,
        cpu_system_s: system,
        cpu_us_per_request: per_request(user + system, completed).unwrap_or(0.0),
        busiest_thread: busiest.fold(0.0, f64::max),
        waited_for_cpu_s: sum(|part| part.waited_for_cpu_s),
        resident_bytes: bytes(|part| part.resident_bytes),
        resident_before_bytes: before,
        resident_connected_bytes: connected,
        bytes_per_connection: bytes_per_connection(
            before,
            connected,
            connections.fold(0, u32::saturating_add),
        ),
    }
}

/// One server that several parts looked at: each saw the work for all of them, so their looks are
/// not added.
fn server(reports: &[&Report], completed: u64) -> Option<Server> {
    let seen: Vec<&Server> = reports
        .iter()
        .filter_map(|report| report.server.as_ref())
        .collect();
    let first = *seen.first()?;
    let most = |of: fn(&Server) -> f64| seen.iter().map(|part| of(part)).fold(0.0, f64::max);
    let (user, system) = (most(|part| part.cpu_user_s), most(|part| part.cpu_system_s));
    let before = seen.iter().map(|part| part.resident_before_bytes).min()?;
    let connected = seen
        .iter()
        .map(|part| part.resident_connected_bytes)
        .max()?;
    let connections = reports
        .iter()
        .map(|report| report.connections.connected)
        .fold(0, u32::saturating_add);
    let peak = seen.iter().map(|part| part.resident_peak_bytes).max()?;
    Some(Server::new(
        first.pid,
        (user, system),
        [before, connected, peak],
        (completed, connections),
    ))
}

fn bad_clients(reports: &[&Report]) -> Vec<BadClients> {
    let mut sums: BTreeMap<&str, BadClients> = BTreeMap::new();
    for part in reports.iter().flat_map(|report| &report.bad_clients) {
        match sums.get_mut(part.kind.as_str()) {
            None => drop(sums.insert(&part.kind, part.clone())),
            Some(sum) => {
                sum.clients = sum.clients.saturating_add(part.clients);
                sum.connections += part.connections;
                sum.refused += part.refused;
                sum.requests += part.requests;
                sum.answers += part.answers;
                sum.cut_by_server += part.cut_by_server;
            }
        }
    }
    sums.into_values().collect()
}

fn errors(reports: &[&Report], of: fn(&Report) -> &Vec<ErrorCount>) -> Vec<ErrorCount> {
    let mut sums: Vec<ErrorCount> = Vec::new();
    for part in reports.iter().flat_map(|report| of(report)) {
        match sums.iter_mut().find(|sum| sum.kind == part.kind) {
            None => sums.push(part.clone()),
            Some(sum) => sum.count += part.count,
        }
    }
    sums
}

fn statuses(reports: &[&Report]) -> BTreeMap<u16, u64> {
    let mut sums = BTreeMap::new();
    for (status, count) in reports.iter().flat_map(|report| &report.statuses) {
        *sums.entry(*status).or_default() += count;
    }
    sums
}

/// How the sum ended: as badly as any of its parts. Thresholds missed by a part alone say nothing
/// about the sum.
fn outcome(parts: &[(String, Report)], begin_ms: u64, sum: &mut Report) {
    let outcome = &mut sum.outcome;
    (outcome.status, outcome.exit_code) = (Status::Ok, 0);
    outcome.messages.clear();
    outcome.warnings.clear();
    outcome.notes = vec![format!("{} reports merged", parts.len())];
    outcome.generator_was_bottleneck = false;
    outcome.ended_early = None;
    let mut whole = (0.0_f64, f64::INFINITY);
    for (name, part) in parts {
        let from = offset_s(part, begin_ms);
        whole = (whole.0.max(from), whole.1.min(from + part.elapsed_s));
        let theirs = &part.outcome;
        let worse = match (outcome.status, theirs.status) {
            (_, Status::Interrupted) | (Status::Ok, Status::Failed) => true,
            (_, Status::Ok | Status::Failed | Status::Missed) => false,
        };
        if worse {
            (outcome.status, outcome.exit_code) = (theirs.status, theirs.exit_code);
        }
        let own = theirs
            .messages
            .iter()
            .filter(|message| !message.starts_with("--slo: "));
        outcome
            .messages
            .extend(own.map(|message| format!("{name}: {message}")));
        outcome.warnings.extend(
            theirs
                .warnings
                .iter()
                .map(|warning| format!("{name}: {warning}")),
        );
        outcome
            .notes
            .extend(theirs.notes.iter().map(|note| format!("{name}: {note}")));
        if let Some(why) = &theirs.ended_early {
            outcome.ended_early = Some(format!("{name}: {why}"));
        }
        outcome.generator_was_bottleneck |= theirs.generator_was_bottleneck;
    }
    let common = (whole.1 - whole.0).max(0.0);
    if common < IN_COMMON * sum.elapsed_s {
        outcome.warnings.push(format!(
            "the runs have {common:.2} s of {:.2} s in common: the rates are those of the whole time",
            sum.elapsed_s
        ));
    }
    let pids = || {
        parts
            .iter()
            .filter_map(|(_, part)| Some(part.server.as_ref()?.pid))
    };
    if pids().any(|pid| Some(pid) != pids().next()) {
        outcome.warnings.push(
            "the runs looked at different processes as the server; the busiest is shown".to_owned(),
        );
    }
}

#[cfg(test)]
mod tests;
