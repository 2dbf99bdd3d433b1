use super::*;
use crate::measure::clock::Stamp;
use crate::measure::counters::Window;
use crate::measure::failure::{ErrorKind, Failure};
use crate::report::settings::Arrivals;
use crate::run::plan::Timeline;
use crate::run::plan::tests::plan as test_plan;

const SECOND: Nanos = 1_000_000_000;

/// Returns the result of a shard with `answers` answers in the one measured second, each after a
/// millisecond.
fn result(open: bool, answers: u64) -> ShardResult {
    let mut counters = Counters::new(open, false);
    counters.window = Window {
        from: SECOND,
        until: 2 * SECOND,
    };
    counters.scheduled = answers;
    for _ in 0..answers {
        let stamp = Stamp {
            intended: SECOND,
            sent: SECOND,
        };
        counters.lag(stamp);
        counters.answer(stamp, SECOND + 1_000_000, false);
    }
    ShardResult {
        connections: Connections {
            connected: 2,
            served: 2,
            established: 2,
            ..Connections::default()
        },
        sources: 1,
        busy: 0.5,
        ..ShardResult::new(counters)
    }
}

fn observations(results: Vec<ShardResult>) -> Observations {
    Observations {
        results,
        timeline: Some(Timeline {
            start: 1,
            from: SECOND,
            until: 2 * SECOND,
        }),
        peak_live: 2,
        ..Observations::default()
    }
}

fn closed() -> Plan {
    let mut plan = test_plan(2, 2, 1);
    plan.load.amount = Amount::Time(SECOND);
    plan
}

fn open() -> Plan {
    let mut plan = closed();
    plan.load.pace = Pace::Open {
        rate: Rate::whole(100),
        arrivals: Arrivals::Fixed,
        in_flight_max: usize::MAX,
    };
    plan
}

#[test]
fn a_run_that_went_well_has_nothing_to_say() {
    let report = summarize(
        &closed(),
        Context::default(),
        &observations(vec![result(false, 100)]),
    );
    assert_eq!(report.outcome.status, Status::Ok);
    assert_eq!(report.outcome.exit_code, 0);
    assert!(report.outcome.messages.is_empty() && report.outcome.warnings.is_empty());
    assert!((report.throughput.requests_per_s - 100.0).abs() < 1e-9);
    assert_eq!(
        (report.requests.launched, report.requests.answered),
        (100, 100)
    );
}

#[test]
fn shards_are_added_up() {
    let mut plan = test_plan(4, 4, 2);
    plan.load.amount = Amount::Time(SECOND);
    let report = summarize(
        &plan,
        Context::default(),
        &observations(vec![result(false, 60), result(false, 40)]),
    );
    assert_eq!(
        (report.requests.answered, report.connections.served),
        (100, 4)
    );
    assert_eq!(report.latency.raw.count, 100);
    assert_eq!(report.outcome.exit_code, 0);
}

#[test]
fn a_failed_connection_fails_the_run() {
    let mut shard = result(false, 1);
    shard
        .errors
        .record(0, &Failure::new(ErrorKind::Reset, "gone"));
    let report = summarize(&closed(), Context::default(), &observations(vec![shard]));
    assert_eq!(
        (report.outcome.status, report.outcome.exit_code),
        (Status::Failed, 1)
    );
    let message = &report.outcome.messages[0];
    assert!(
        message.contains("connection reset by the server: 1 of 2"),
        "{message}"
    );
}

#[test]
fn a_run_smaller_than_asked_for_fails_even_without_an_error() {
    let mut shard = result(false, 1);
    shard.connections.served = 1;
    let report = summarize(&closed(), Context::default(), &observations(vec![shard]));
    assert_eq!(report.outcome.exit_code, 1);
}

#[test]
fn a_signal_gives_its_own_code() {
    let observations = Observations {
        signal: Some(15),
        aborted_at: Some(SECOND + SECOND / 2),
        ..observations(vec![result(false, 50)])
    };
    let report = summarize(&closed(), Context::default(), &observations);
    assert_eq!(
        (report.outcome.status, report.outcome.exit_code),
        (Status::Interrupted, 143)
    );
    assert!(
        (report.elapsed_s - 0.5).abs() < 1e-9,
        "what ran is what is measured"
    );
    assert!((report.throughput.requests_per_s - 100.0).abs() < 1e-9);
}

#[test]
fn a_lost_thread_is_a_bug_that_is_reported() {
    let report = summarize(
        &closed(),
        Context::default(),
        &Observations {
            lost: 1,
            ..observations(vec![])
        },
    );
    assert_eq!(report.outcome.exit_code, 1);
    assert!(report.outcome.messages[0].contains("bug"));
}

#[test]
fn a_busy_generator_is_named() {
    let mut shard = result(false, 1);
    (shard.busy, shard.waited) = (0.9, 0.06);
    let report = summarize(&closed(), Context::default(), &observations(vec![shard]));
    assert!(report.outcome.generator_was_bottleneck);
    assert!(
        report.outcome.warnings[0].contains("96%"),
        "{:?}",
        report.outcome.warnings
    );
    // Spinning before a scheduled send does not count as busy.
    let mut shard = result(true, 1);
    shard.busy = 1.0;
    let report = summarize(&open(), Context::default(), &observations(vec![shard]));
    assert!(!report.outcome.generator_was_bottleneck);
}

#[test]
fn a_late_generator_is_named() {
    let mut shard = result(true, 1);
    for _ in 0..10 {
        shard.counters.lag(Stamp {
            intended: SECOND,
            sent: SECOND + 3_000_000,
        });
    }
    let report = summarize(&open(), Context::default(), &observations(vec![shard]));
    assert!(report.outcome.generator_was_bottleneck);
    assert!(report.outcome.warnings[0].contains("did not keep its schedule"));
}

#[test]
fn a_rate_above_what_is_served_is_a_warning_and_no_failure() {
    let mut shard = result(true, 50);
    shard.counters.scheduled = 100;
    for _ in 0..50 {
        let stamp = Stamp {
            intended: SECOND,
            sent: SECOND,
        };
        shard.counters.lose(
            stamp,
            9 * SECOND,
            crate::measure::counters::Lost::Unanswered,
        );
    }
    let report = summarize(&open(), Context::default(), &observations(vec![shard]));
    assert_eq!(report.outcome.exit_code, 0);
    let warnings = report.outcome.warnings.join("\n");
    assert!(
        warnings.contains("above what could be served"),
        "{warnings}"
    );
    assert!(warnings.contains("50 requests unanswered"), "{warnings}");
    assert!(
        report.latency.headline().p99_ns >= 7 * SECOND,
        "the tail counts them"
    );
}

#[test]
fn the_servers_cost_is_per_request_and_per_connection() {
    let mut shard = result(false, 100);
    shard.connections.connected = 100;
    let mut observations = observations(vec![shard]);
    observations.server.cpu = Some(crate::measure::server_side::CpuUsed {
        user: 200_000,
        system: 800_000,
        waited: 0,
    });
    (
        observations.server.resident_before,
        observations.server.resident_connected,
    ) = (10_000, 110_000);
    let of_process = || Context {
        server_pid: Some(7),
        ..Context::default()
    };
    let server = summarize(&closed(), of_process(), &observations)
        .server
        .expect("a process was given");
    assert_eq!(server.cpu_us_per_request, Some(10.0));
    assert_eq!(
        (
            server.cpu_user_us_per_request,
            server.cpu_system_us_per_request
        ),
        (Some(2.0), Some(8.0))
    );
    assert_eq!(server.requests_per_cpu_s, Some(100_000.0));
    assert_eq!(server.bytes_per_connection, Some(1_000.0));

    observations.results[0].connections.connected = 4;
    let server = summarize(&closed(), of_process(), &observations).server;
    let each = server.expect("a process was given").bytes_per_connection;
    assert_eq!(each, None, "few connections say nothing");
}
