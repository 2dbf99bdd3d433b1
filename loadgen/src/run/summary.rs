//! Builds the report: merges the shards' results, derives warnings, decides the exit status. Pure.
//! Tests: `summary/tests.rs`.

use std::mem;

use server_demo::pinning_text;

use crate::measure::clock::{Nanos, seconds};
use crate::measure::counters::Counters;
use crate::measure::failure::Errors;
use crate::measure::units::{count, duration, metric, plural};
use crate::report::rate::Rate;
use crate::report::series::TimeSeries;
use crate::report::slo::Slo;
use crate::report::{
    BadClients, Connections, Distribution, ErrorCount, Generator, Latency, Outcome, Report,
    Requests, Server, Settings, Status,
};
use crate::run::control::ShardResult;
use crate::run::coordinator::{Observations, ResourceUsage};
use crate::run::part::Part;
use crate::run::plan::Plan;
use crate::run::protocol::ProtocolSpec;
use crate::run::setup::{Amount, Pace};
use crate::run::signals::exit_code;

/// If a thread is on a CPU or waits for one for this share of the time, it limits the result.
const BUSY: f64 = 0.95;
/// If a thread waits for a CPU for this share of the time, the wait shows in the latencies.
const CROWDED: f64 = 0.10;
/// If the generator is later than this with one request in a hundred, it does not keep its
/// schedule.
const LAG_MAX: Nanos = 1_000_000;
/// If a server answers less than this share of the schedule, it does not keep up.
const KEPT_UP: f64 = 0.99;

/// Facts from outside the run that a report contains.
#[derive(Debug, Clone, Default)]
pub(crate) struct Context {
    /// The report as far as it is known before the run: command, name, server, notes.
    pub(crate) begun: Report,
    /// The time of the zero of the run's clock.
    pub(crate) clock_unix_ms: u64,
    /// The process that is observed as the server.
    pub(crate) server_pid: Option<i32>,
    /// The message about the embedded server's early end.
    pub(crate) server_ended: Option<String>,
}

/// The report of a run.
pub(crate) fn summarize(plan: &Plan, mut context: Context, observations: &Observations) -> Report {
    let server_ended = context.server_ended.take();
    let by_request = matches!(plan.load.amount, Amount::Requests(_));
    let mut total = ShardResult::new(Counters::new(plan.is_open(), by_request));
    for result in &observations.results {
        total.merge(result);
    }
    // If failures ended the run, the reason may be those outside the measured part.
    let failed = observations.timeline.is_none() || observations.failed_fast;
    if failed {
        total.errors.merge(&mem::take(&mut total.errors_outside));
    }
    let elapsed = elapsed(plan, observations, &total);
    let mut report = measured(plan, context, observations, &total, elapsed);
    report.outcome.ended_early = ended_early(plan, observations, elapsed);
    warn(
        plan,
        observations,
        &total,
        report.elapsed_s,
        &mut report.outcome,
    );
    // Once the load has begun, a threshold on failed connections decides if they fail the run.
    let slo = plan.load.slo.as_ref();
    let tolerated = observations.timeline.is_some() && slo.is_some_and(Slo::names_errors);
    judge(
        plan,
        observations,
        (!tolerated).then_some(&total.errors),
        server_ended,
        &report.connections,
        &mut report.outcome,
    );
    report.finish(slo)
}

/// Everything that the run measured, added to what was known before.
fn measured(
    plan: &Plan,
    context: Context,
    observations: &Observations,
    total: &ShardResult,
    elapsed: Nanos,
) -> Report {
    let counters = &total.counters;
    let from = observations.timeline.map_or(0, |timeline| timeline.from);
    Report {
        measured_unix_ms: context.clock_unix_ms + from / 1_000_000,
        elapsed_s: seconds(elapsed),
        settings: settings(plan),
        connections: Connections {
            requested: plan.connections,
            peak_live: observations.peak_live,
            active: plan.active,
            ramp_s: seconds(observations.ramp),
            connect_latency: Distribution::from(&counters.connect),
            handshake_latency: counters.handshake.as_ref().map(Distribution::from),
            ..total.connections.clone()
        },
        requests: requests(plan, total),
        latency: Latency {
            raw: Distribution::from(&counters.raw),
            corrected: counters.corrected.as_ref().map(Distribution::from),
            schedule_lag: counters.lag.as_ref().map(Distribution::from),
            failures: Distribution::from(&counters.failures),
            first_byte: counters.first_byte.as_ref().map(Distribution::from),
        },
        series: TimeSeries::of(&observations.series, elapsed),
        generator: generator(&observations.generator, total),
        server: context
            .server_pid
            .map(|pid| server(pid, &observations.server)),
        bad_clients: bad_clients(plan, total),
        errors: ErrorCount::list(&total.errors),
        errors_outside: ErrorCount::list(&total.errors_outside),
        statuses: counters.statuses.clone(),
        status_codes: counters.status_codes.clone(),
        ..context.begun
    }
}

fn requests(plan: &Plan, total: &ShardResult) -> Requests {
    let counters = &total.counters;
    let launched = counters.answered + counters.unanswered + counters.interrupted;
    Requests {
        scheduled: if plan.is_open() {
            counters.scheduled
        } else {
            launched
        },
        launched,
        answered: counters.answered,
        unanswered: counters.unanswered,
        unsent: counters.unsent,
        carried_in: counters.carried_in,
        late: counters.late,
        found_none_free: total.found_none_free,
        interrupted: counters.interrupted,
        completed: counters.completed,
        bytes_read: counters.bytes_read,
    }
}

/// The length of the measured part: the requested one, or the actual one if that is shorter.
fn elapsed(plan: &Plan, observations: &Observations, total: &ShardResult) -> Nanos {
    let Some(timeline) = observations.timeline else {
        return 0;
    };
    // A closed loop may end early because no connection is left. A schedule goes on regardless.
    let quiet_at = observations.quiet_at.filter(|_| !plan.is_open());
    let cut = observations.aborted_at.or(quiet_at);
    let until = match plan.load.amount {
        Amount::Time(_) => timeline.until.min(cut.unwrap_or(Nanos::MAX)),
        // A schedule of n requests takes n intervals, including the last one.
        Amount::Requests(_) if total.schedule_end > 0 => {
            total.counters.last_answer.max(total.schedule_end)
        }
        Amount::Requests(_) => total.counters.last_answer,
    };
    until.saturating_sub(timeline.from)
}

/// The reason why the run ended before its time, if it did.
fn ended_early(plan: &Plan, observations: &Observations, elapsed: Nanos) -> Option<String> {
    let of = match plan.load.amount {
        Amount::Time(time) => format!(" of {}", duration(time)),
        Amount::Requests(_) => String::new(),
    };
    let early = match plan.load.amount {
        Amount::Time(time) => elapsed < time,
        Amount::Requests(_) => observations.aborted_at.is_some(),
    };
    let why = if observations.signal.is_some() {
        "a signal"
    } else if observations.failed_fast {
        "a failure, because of --fail-fast"
    } else if observations.lost > 0 {
        "the generator lost a thread"
    } else if observations.timeline.is_none() {
        "connecting failed"
    } else if early {
        "no connection is left"
    } else {
        return None;
    };
    Some(format!("after {}{of}: {why}", duration(elapsed)))
}

fn bad_clients(plan: &Plan, total: &ShardResult) -> Vec<BadClients> {
    let mut counters = total.bad;
    let kinds = plan.bad.iter().map(|&(kind, clients)| {
        let counts = counters.of(kind);
        BadClients {
            kind: kind.name().to_owned(),
            clients,
            connections: counts.connections,
            refused: counts.refused,
            requests: counts.requests,
            answers: counts.answers,
            cut_by_server: counts.cut,
        }
    });
    kinds.collect()
}

/// Returns the sizes of requests, if there are several.
fn size_mix(plan: &Plan) -> Option<String> {
    match &plan.setup.protocol {
        ProtocolSpec::Echo { sizes, .. } | ProtocolSpec::WebSocket { sizes, .. }
            if sizes.only().is_none() =>
        {
            Some(sizes.to_string())
        }
        _ => None,
    }
}

fn settings(plan: &Plan) -> Settings {
    let (setup, load) = (&plan.setup, &plan.load);
    let (rate, arrivals, pipeline) = match load.pace {
        Pace::Closed { pipeline } => (None, None, u32::try_from(pipeline).unwrap_or(u32::MAX)),
        Pace::Open { rate, arrivals, .. } => {
            let share = setup.part.share(rate.thousandths());
            (Some(Rate::of_thousandths(share)), Some(arrivals), 1)
        }
    };
    let in_flight_max = match load.pace {
        Pace::Open { in_flight_max, .. } => u32::try_from(in_flight_max).ok(),
        Pace::Closed { .. } => None,
    };
    let (duration_s, requests) = match load.amount {
        Amount::Time(time) => (Some(seconds(time)), None),
        Amount::Requests(requests) => (None, Some(setup.part.share(requests))),
    };
    Settings {
        connections: plan.connections,
        active: plan.active,
        threads: setup.threads,
        duration_s,
        requests,
        rate,
        stages: load.stages.as_ref().map(ToString::to_string),
        think_time_s: (load.think_time > 0).then(|| seconds(load.think_time)),
        arrivals,
        hot: load.hot.as_ref().map(ToString::to_string),
        hot_shift_s: load.hot_shift.map(seconds),
        work_us: match setup.protocol {
            ProtocolSpec::Echo { work_us, .. } => work_us,
            ProtocolSpec::Fixed { .. } | ProtocolSpec::WebSocket { .. } => None,
        },
        in_flight_max,
        pipeline,
        protocol: setup.protocol.name().to_owned(),
        size: setup.protocol.mean_size(),
        size_mix: size_mix(plan),
        connect_rate: setup.connect_rate.map(|rate| setup.part.share(rate)),
        part: (setup.part != Part::WHOLE).then(|| setup.part.to_string()),
        requests_per_conn: setup.requests_per_conn,
        lifetime_s: setup.lifetime.map(seconds),
        timeout_s: seconds(setup.timeout),
        warmup_s: seconds(load.warmup),
        tls: plan.tls.is_some(),
        io: setup.io,
        verify: setup.protocol.verifies(),
        pin: pinning_text(&setup.pin),
    }
}

fn generator(usage: &ResourceUsage, total: &ShardResult) -> Generator {
    let cpu = usage.cpu.unwrap_or_default();
    Generator {
        cpu_user_s: seconds(cpu.user),
        cpu_system_s: seconds(cpu.system),
        busiest_thread: total.busy,
        waited_for_cpu_s: seconds(cpu.waited),
        resident_bytes: usage.resident_peak,
        resident_before_bytes: usage.resident_before,
        resident_connected_bytes: usage.resident_connected,
        ..Generator::default()
    }
}

fn server(pid: i32, usage: &ResourceUsage) -> Server {
    let cpu = usage.cpu.unwrap_or_default();
    Server {
        pid,
        cpu_user_s: seconds(cpu.user),
        cpu_system_s: seconds(cpu.system),
        resident_before_bytes: usage.resident_before,
        resident_connected_bytes: usage.resident_connected,
        resident_peak_bytes: usage.resident_peak,
        ..Server::default()
    }
}

/// Returns warnings about figures that cannot be trusted.
#[expect(
    clippy::cast_precision_loss,
    reason = "a report shows at most nine digits"
)]
fn warn(
    plan: &Plan,
    observations: &Observations,
    total: &ShardResult,
    elapsed_s: f64,
    outcome: &mut Outcome,
) {
    let warnings = &mut outcome.warnings;
    let mut bottleneck = false;
    let counters = &total.counters;
    if plan.is_open() {
        let late = counters.lag.as_ref().map_or(0, |lag| lag.quantile(0.99));
        if late > LAG_MAX {
            bottleneck = true;
            warnings.push(format!(
                "the generator did not keep its schedule: one request in a hundred was sent at least {} late; \
                 corrected latency includes this delay",
                duration(late)
            ));
        }
        let completed = counters.completed as f64;
        if counters.scheduled > 0
            && completed < KEPT_UP * counters.scheduled as f64
            && observations.aborted_at.is_none()
        {
            let elapsed = elapsed_s.max(f64::MIN_POSITIVE);
            warnings.push(format!(
                "{} requests/s were due and {} answered in time: the rate is above what could be served",
                metric(counters.scheduled as f64 / elapsed),
                metric(completed / elapsed)
            ));
        }
    } else if total.busy + total.waited >= BUSY {
        bottleneck = true;
        warnings.push(format!(
            "the generator's busiest thread needed a CPU {:.0}% of the time: it may have been the bottleneck (-t, -P)",
            (total.busy + total.waited).min(1.0) * 100.0
        ));
    }
    if total.waited >= CROWDED {
        bottleneck = true;
        warnings.push(format!(
            "a thread of the generator waited for a CPU {:.0}% of the time: latencies include this wait",
            total.waited * 100.0
        ));
    }
    if counters.unanswered > 0 && total.errors.total() == 0 {
        warnings.push(format!(
            "{} unanswered when the run gave up",
            plural(counters.unanswered, "request")
        ));
    }
    if total.sources > 1 {
        outcome.notes.push(format!(
            "no port was left at one source address: connections came from {} addresses",
            total.sources
        ));
    }
    if counters.unsent > 0 {
        warnings.push(format!(
            "{} due and never sent, because no connection was free; corrected latency includes them",
            plural(counters.unsent, "request")
        ));
    }
    if observations.timeline.is_some() && total.errors_outside.total() > 0 {
        let kinds = total.errors_outside.iter();
        let kinds: Vec<_> = kinds
            .map(|(kind, how_often, first)| {
                format!("{kind}: {} ({first})", plural(how_often, "time"))
            })
            .collect();
        warnings.push(format!(
            "failures outside the measured part, which no other figure counts: {}",
            kinds.join("; ")
        ));
    }
    if let Some(error) = &observations.log_error {
        warnings.push(error.clone());
    }
    if observations.began_late > LAG_MAX {
        warnings.push(format!(
            "the requests began {} after --start-at: connecting took longer",
            duration(observations.began_late)
        ));
    }
    if let Some(error) = &observations.server.error {
        warnings.push(format!(
            "the server's process could not be observed: {error}"
        ));
    }
    outcome.generator_was_bottleneck = bottleneck;
}

/// Returns the status of the run, and the reason if it failed.
fn judge(
    plan: &Plan,
    observations: &Observations,
    errors: Option<&Errors>,
    server_ended: Option<String>,
    connections: &Connections,
    outcome: &mut Outcome,
) {
    let messages = &mut outcome.messages;
    for (kind, how_often, first) in errors.into_iter().flat_map(Errors::iter) {
        let whom = if kind.is_of_request() {
            plural(how_often, "request")
        } else if how_often <= u64::from(plan.connections) {
            let of = count(plan.connections.into());
            format!("{} of {of} connections", count(how_often))
        } else {
            plural(how_often, "time")
        };
        let advice = kind
            .advice()
            .map_or(String::new(), |advice| format!(": {advice}"));
        messages.push(format!("{}: {kind}: {whom} ({first}){advice}", plan.target));
    }
    if observations.lost > 0 {
        messages.push(format!(
            "{} of the generator ended early: a bug in loadgen",
            plural(observations.lost.into(), "thread")
        ));
    }
    messages.extend(server_ended);
    if let Some(early) = &outcome.ended_early
        && observations.signal.is_none()
        && messages.is_empty()
    {
        messages.push(format!("the run ended {early}"));
    }
    let interrupted = observations.signal.is_some();
    let whole = connections.connected == plan.connections && connections.served == plan.connections;
    if errors.is_some() && messages.is_empty() && !interrupted && !whole {
        messages.push("not every connection was served".to_owned());
    }
    (outcome.status, outcome.exit_code) = match (observations.signal, messages.is_empty()) {
        (Some(signal), _) => (Status::Interrupted, exit_code(signal)),
        (None, false) => (Status::Failed, 1),
        (None, true) => (Status::Ok, 0),
    };
}

#[cfg(test)]
mod tests;
