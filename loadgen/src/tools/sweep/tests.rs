use super::*;
use crate::report::sweep_table::{csv, text};
use crate::report::tests::sample;
use crate::report::{Machine, Target};

fn rates(text: &str) -> Vec<u64> {
    text.parse::<Steps>()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
        .0
}

#[test]
fn steps_add_or_multiply_and_end_where_they_were_told_to() {
    assert_eq!(rates("10k..40k:10k"), [10_000, 20_000, 30_000, 40_000]);
    assert_eq!(rates("10..35:10"), [10, 20, 30]);
    assert_eq!(rates("5..5:1"), [5]);
    assert_eq!(rates("1k..10k*2"), [1_000, 2_000, 4_000, 8_000]);
    assert_eq!(rates("100..200 * 1.5"), [100, 150]);
    assert_eq!(rates("1..4*1.1"), [1, 2, 3, 4], "always a higher rate");
}

#[test]
fn what_cannot_be_read_says_why() {
    for (text, words) in [
        ("10k", "FROM..TO:STEP"),
        ("10k..20k", "FROM..TO*FACTOR"),
        ("20k..10k:1k", "a sweep rises"),
        ("10k..20k:0", "0 is not between"),
        ("0..20k:1k", "0 is not between"),
        ("10k..20k*1", "FACTOR is a number"),
        ("10k..20k*inf", "FACTOR is a number"),
        ("1..1m:1", "more than 200 steps"),
        ("x..1m:1", "does not start with a number"),
    ] {
        let error = text.parse::<Steps>().expect_err(text);
        assert!(error.contains(words), "{text}: {error}");
    }
}

fn step(rate: u64, held: bool) -> Step {
    let mut report = sample(rate as f64, 100_000);
    if !held {
        report.outcome.status = Status::Missed;
        report.outcome.messages = vec!["--slo: p99<1ms missed".to_owned()];
    }
    Step::new(rate, report)
}

pub(crate) fn sweep(steps: &[(u64, bool)]) -> Sweep {
    let mut sweep = Sweep {
        format: SWEEP_FORMAT.to_owned(),
        version: SWEEP_VERSION,
        loadgen: String::new(),
        command: Vec::new(),
        machine: Machine::default(),
        target: Target {
            address: "127.0.0.1:7".to_owned(),
            ..Target::default()
        },
        slo: "p99<1ms".to_owned(),
        steps: steps.iter().map(|&(rate, held)| step(rate, held)).collect(),
        knee: None,
        broke: None,
        exit_code: 0,
        messages: Vec::new(),
    };
    name_knee(&mut sweep);
    sweep
}

#[test]
fn the_knee_is_the_last_rate_that_held() {
    for (steps, knee, broke, exit_code, words) in [
        (
            &[
                (10, true),
                (20, false),
                (20, true),
                (30, false),
                (30, false),
            ][..],
            Some(20),
            Some(30),
            0,
            "Knee: 20 requests/s held p99<1ms; 30/s did not: --slo: p99<1ms missed\n",
        ),
        (
            &[(10, true), (20, true)],
            Some(20),
            None,
            0,
            "Knee: none up to 20 requests/s",
        ),
        (
            &[(10, false), (10, false)],
            None,
            Some(10),
            3,
            "Knee: below 10 requests/s",
        ),
        (&[], None, None, 0, "Knee: unknown"),
    ] {
        let sweep = sweep(steps);
        assert_eq!(
            (sweep.knee, sweep.broke, sweep.exit_code),
            (knee, broke, exit_code),
            "{steps:?}"
        );
        let text = text(&sweep);
        assert!(text.contains(words), "{words}\n{text}");
        assert_eq!(csv(&sweep).lines().count(), steps.len() + 1);
    }
}

#[test]
fn a_knee_of_the_generator_is_called_so() {
    let mut sweep = sweep(&[(10, true), (20, false), (20, false)]);
    assert!(!text(&sweep).contains("Warning"));
    sweep.steps[2].report.outcome.generator_was_bottleneck = true;
    assert!(text(&sweep).contains("the generator may have been the bottleneck"));
}
