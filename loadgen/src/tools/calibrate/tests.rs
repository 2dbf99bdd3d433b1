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

/// Returns a report with these latencies from the send and from the intended time.
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

/// The start of the schedule in these tests, on the generator's clock.
const START: Nanos = 77;

/// Returns a round of an open loop. The server held each request for 20 ms, and each request
/// arrived `late` after its time.
fn round(late: Duration, share_off: f64) -> Round {
    let began = Instant::now();
    let setup = setup();
    let reply = |at: u64| {
        let arrived = began + intended(at) + late;
        Reply {
            intended: START + nanos(intended(at)),
            arrived,
            replied: arrived + 20 * MS,
        }
    };
    // The order does not matter, because a request is identified by its intended time.
    let replies: Vec<_> = (0..setup.requests).rev().map(reply).collect();
    let raw = vec![(20 * MS).mul_f64(1.0 + share_off); replies.len()];
    let corrected = vec![(20 * MS + late).mul_f64(1.0 + share_off); replies.len()];
    compare(
        &report(&raw, &corrected),
        &replies,
        Some((START, began)),
        &setup,
    )
    .expect("scheduled")
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
fn a_request_without_a_reply_waits_until_the_end() {
    let began = Instant::now();
    let setup = setup();
    let reply = |at: u64| Reply {
        intended: START + nanos(intended(at)),
        arrived: began,
        replied: began + intended(at) + MS,
    };
    let replies: Vec<_> = (0..100).map(reply).collect();
    let latencies = since_intended(&replies, (START, began), &setup).expect("scheduled");
    assert_eq!(latencies.len(), 350);
    assert_eq!((latencies[0], latencies[99]), (MS, MS));
    assert_eq!(latencies[100], Duration::from_secs(1) - intended(100));

    let twice = [reply(3), reply(3)];
    assert!(since_intended(&twice, (START, began), &setup).is_err());
    let mut between = reply(3);
    between.intended += 1_000;
    assert!(since_intended(&[between], (START, began), &setup).is_err());
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
    assert_eq!(setups.len(), 11);
    assert_eq!(setups.iter().filter(|setup| setup.open).count(), 7);
    let seconds: Vec<_> = setups
        .iter()
        .filter(|setup| setup.open)
        .map(|setup| setup.requests)
        .collect();
    assert_eq!(seconds, [455; 7], "1.3 s at 350 per second");
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
    let narrow = table::render(&calibration, 40);
    let rows = narrow.lines().skip_while(|line| !line.contains("differs"));
    let rows: Vec<_> = rows.take_while(|line| !line.starts_with("Calib")).collect();
    assert!(
        rows.len() >= 5 && rows.iter().all(|row| row.len() <= 40),
        "{narrow}"
    );
    let table = table::render(&calibration, 100);
    assert!(table.contains("0 of 1 rounds agree  FAILED"), "{table}");
    assert!(table.contains("  2.0"), "2% of 20 ms\n{table}");
    assert!(table.ends_with("Calibration FAILED\n"), "{table}");
}
