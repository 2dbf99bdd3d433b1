use super::*;
use crate::measure::clock::Nanos;
use crate::measure::histogram::Recorder;
use crate::report::Distribution;
use crate::report::tests::sample;

const MS: Duration = Duration::from_millis(1);

fn pair(server_ns: Nanos, measured_ns: Nanos) -> Pair {
    Pair {
        server_ns,
        measured_ns,
    }
}

#[test]
fn two_values_agree_within_the_larger_of_a_share_and_a_time() {
    for (server, measured, agree) in [
        (1_000_000, 1_050_000, true),
        (1_000_000, 1_050_001, false),
        (1_000_000, 950_000, true),
        (100_000_000, 101_000_000, true),
        (100_000_000, 101_000_001, false),
        (100_000_000, 98_999_999, false),
        (0, 0, true),
    ] {
        assert_eq!(
            pair(server, measured).agrees(),
            agree,
            "{server} {measured}"
        );
    }
}

#[test]
fn ranks_are_those_of_the_histogram() {
    for count in [1, 2, 9, 100, 999, 1_000, 1_001] {
        let sorted: Vec<_> = (1..=count).map(Duration::from_nanos).collect();
        let mut recorder = Recorder::new();
        (1..=count).for_each(|ns| recorder.record(ns));
        for (name, quantile, _) in QUANTILES {
            let rank = rank(&sorted, quantile).map_or(0, nanos);
            assert_eq!(rank, recorder.quantile(quantile), "{name} of {count}");
        }
    }
    assert_eq!(rank(&[], 0.5), None);
}

/// A report whose latencies from the send, and from the intended time, are these.
fn report(raw: &[Duration], corrected: &[Duration]) -> Report {
    let distribution = |latencies: &[Duration]| {
        let mut recorder = Recorder::new();
        latencies
            .iter()
            .for_each(|one| recorder.record(nanos(*one)));
        Distribution::from(&recorder)
    };
    let mut report = sample(1.0, 1);
    report.latency.raw = distribution(raw);
    report.latency.corrected = Some(distribution(corrected));
    report
}

/// A round of an open loop whose server held each request for 20 ms, and each request arrived
/// `late` after its time.
fn round(late: Duration, share_off: f64) -> Round {
    let began = Instant::now();
    // Two connections, which take turns, the second one first.
    let replies = [1, 0].map(|turn| {
        let reply = |nth: usize| {
            let arrived = began + intended(2 * nth + turn) + late;
            Reply {
                arrived,
                replied: arrived + 20 * MS,
            }
        };
        (0..500).map(reply).collect()
    });
    let raw = vec![(20 * MS).mul_f64(1.0 + share_off); 1_000];
    let corrected = vec![(20 * MS + late).mul_f64(1.0 + share_off); 1_000];
    compare(&report(&raw, &corrected), &replies, Some(began))
}

fn setup() -> Scenario {
    setups(Duration::from_secs(1)).remove(1)
}

#[test]
fn corrected_latency_is_held_against_the_schedule_and_raw_against_the_server() {
    let round = round(2 * MS, 0.0);
    let p50: Vec<_> = round
        .iter()
        .map(|(name, pairs)| (*name, pairs[0].server_ns / 1_000_000))
        .collect();
    assert_eq!(p50, [("raw", 20), ("corrected", 22)]);
    assert_eq!(case(setup(), &[round], 1).rounds_within, 1);
}

#[test]
fn arrivals_meet_the_schedule_in_their_order_whatever_the_connection() {
    let began = Instant::now();
    // Three connections; each fourth request goes to the third.
    let mut replies = vec![Vec::new(); 3];
    for nth in 0..40 {
        let late = if nth % 10 == 4 { 2 * MS } else { MS / 10 };
        let arrived = began + intended(nth) + late;
        let connection = if nth % 4 == 0 { 2 } else { nth % 2 };
        replies[connection].push(Reply {
            arrived,
            replied: arrived + MS,
        });
    }
    let late = since_intended(&replies, began);
    assert_eq!(
        (late[0], late[4], late[39]),
        (MS + MS / 10, 3 * MS, MS + MS / 10)
    );
}

#[test]
fn a_generator_that_is_off_by_two_percent_fails() {
    let (right, wrong) = (
        || round(Duration::ZERO, 0.0),
        || round(Duration::ZERO, 0.02),
    );
    let of = |rounds: [Round; 5]| {
        let case = case(setup(), &rounds, 4);
        (case.rounds_within, case.passed)
    };
    assert_eq!(of([right(), wrong(), right(), right(), right()]), (4, true));
    assert_eq!(
        of([right(), wrong(), wrong(), right(), right()]),
        (3, false)
    );
    assert_eq!(
        of([(); 5].map(|()| round(Duration::ZERO, -0.02))),
        (0, false)
    );
}

#[test]
fn one_series_that_is_off_is_enough() {
    let mut rounds = [round(Duration::ZERO, 0.0)];
    let worse = rounds[0][1].1[2].server_ns * 2;
    rounds[0][1].1[2].measured_ns = worse;
    assert!(!case(setup(), &rounds, 1).passed, "p99 of corrected");
    let mut rounds = [round(Duration::ZERO, 0.0)];
    rounds[0][1].1[3].measured_ns = worse;
    assert!(case(setup(), &rounds, 1).passed, "p99.9 is only reported");
}

#[test]
fn every_kind_of_delay_meets_both_loops() {
    let setups = setups(Duration::from_millis(1_300));
    assert_eq!(setups.len(), 6);
    assert_eq!(setups.iter().filter(|setup| setup.open).count(), 3);
    let seconds: Vec<_> = setups
        .iter()
        .filter(|setup| setup.open)
        .map(|setup| setup.requests)
        .collect();
    assert_eq!(seconds, [455; 3], "1.3 s at 350 per second");
    assert!(setups.iter().all(|setup| setup.requests >= 300));
}

#[test]
fn the_table_names_what_failed() {
    let rounds = [round(Duration::ZERO, 0.02)];
    let case = case(setup(), &rounds, 1);
    let calibration = Calibration {
        format: CALIBRATION_FORMAT.to_owned(),
        version: CALIBRATION_VERSION,
        loadgen: String::new(),
        machine: Machine::default(),
        connections: CONNECTIONS,
        rounds: 1,
        rounds_needed: 1,
        round_s: 1.0,
        passed: false,
        cases: vec![case],
    };
    let table = table::render(&calibration);
    assert!(table.contains("0 of 1 rounds agree  FAILED"), "{table}");
    assert!(table.contains("  2.0"), "2% of 20 ms\n{table}");
    assert!(table.ends_with("Calibration FAILED\n"), "{table}");
}
