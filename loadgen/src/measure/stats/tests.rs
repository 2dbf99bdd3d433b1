use super::*;
use crate::run::random::Random;

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}

#[test]
fn medians() {
    assert_eq!(median(&[]), None);
    assert_eq!(median(&[3.0]), Some(3.0));
    assert_eq!(median(&[9.0, 1.0, 5.0]), Some(5.0));
    assert_eq!(median(&[9.0, 1.0, 5.0, 2.0]), Some(3.5));
}

#[test]
fn a_constant_factor_has_a_narrow_interval() {
    let a = [100.0, 250.0, 90.0, 140.0];
    let b = a.map(|value| value * 1.25);
    let interval = paired_ratio(&a, &b).expect("four pairs");
    assert!(close(interval.ratio, 1.25) && close(interval.low, 1.25) && close(interval.high, 1.25));
    assert!(!interval.contains_one());
}

#[test]
fn the_interval_is_students() {
    // Log ratios of 1, 2 and 3: mean 2, deviation 1, t(2) = 4.3027, so 2 ± 4.3027 / sqrt(3).
    let b = [1.0_f64.exp(), 2.0_f64.exp(), 3.0_f64.exp()];
    let interval = paired_ratio(&[1.0; 3], &b).expect("three pairs");
    let half = 4.3027 / 3.0_f64.sqrt();
    assert!(close(interval.ratio.ln(), 2.0));
    assert!(close(interval.low.ln(), 2.0 - half) && close(interval.high.ln(), 2.0 + half));
    assert!(interval.contains_one());
}

#[test]
fn signed_rank_quantiles_are_those_of_the_tables() {
    // The usual table of the two-sided 5% test has the largest sum that rejects, which is one less
    // than these: 0 for 6 values, 8 for 10, 52 for 20. The quantiles are those of R's
    // qsignrank(0.025, n).
    let expected = [(6, 1), (7, 3), (8, 4), (9, 6), (10, 9), (12, 14), (20, 53)];
    for (n, quantile) in expected {
        assert_eq!(signed_rank_quantile_025(n), quantile, "{n} values");
    }
}

#[test]
fn one_round_that_is_off_by_a_factor_hardly_moves_the_interval() {
    let a = [100.0; 12];
    let mut b = [
        103.0, 104.0, 102.5, 103.5, 103.2, 102.8, 104.1, 102.2, 103.9, 103.1, 102.7, 103.3,
    ];
    let before = paired_ratio(&a, &b).expect("twelve pairs");
    b[4] = 240.0;
    let after = paired_ratio(&a, &b).expect("twelve pairs");
    assert!(
        (after.ratio / before.ratio - 1.0).abs() < 0.005,
        "{before:?} {after:?}"
    );
    assert!(after.low > 1.02 && after.high < 1.05, "{after:?}");
}

#[test]
fn swapping_the_sides_inverts_the_ratio() {
    let (a, b) = ([3.0, 5.0, 4.0], [4.0, 4.5, 6.0]);
    let (there, back) = (
        paired_ratio(&a, &b).expect("pairs"),
        paired_ratio(&b, &a).expect("pairs"),
    );
    assert!(close(there.ratio * back.ratio, 1.0) && close(there.low * back.high, 1.0));
}

#[test]
fn what_cannot_be_paired_has_no_interval() {
    assert_eq!(paired_ratio(&[1.0], &[1.0]), None);
    assert_eq!(paired_ratio(&[1.0, 2.0], &[1.0]), None);
    assert_eq!(paired_ratio(&[1.0, 0.0], &[1.0, 1.0]), None);
    assert_eq!(paired_ratio(&[1.0, 1.0], &[1.0, f64::NAN]), None);
}

#[test]
fn the_expansion_meets_the_table_and_the_normal_distribution() {
    assert!((expansion(30) - t_quantile_975(30)).abs() < 2e-4);
    assert!((t_quantile_975(1_000_000) - 1.959_96).abs() < 1e-4);
    assert!((1..200).all(|freedom| t_quantile_975(freedom) > t_quantile_975(freedom + 1)));
}

#[test]
fn nineteen_of_twenty_intervals_hold_the_truth() {
    let mut random = Random::new(1);
    let mut normal = || {
        let radius = (-2.0 * random.next_unit().ln()).sqrt();
        radius * (std::f64::consts::TAU * random.next_unit()).cos()
    };
    let trials = 4_000;
    let mut held = 0_u32;
    for _ in 0..trials {
        let weather: Vec<f64> = (0..12).map(|_| (0.3 * normal()).exp()).collect();
        let a: Vec<f64> = weather
            .iter()
            .map(|w| 100.0 * w * (0.05 * normal()).exp())
            .collect();
        let b: Vec<f64> = weather
            .iter()
            .map(|w| 110.0 * w * (0.05 * normal()).exp())
            .collect();
        let interval = paired_ratio(&a, &b).expect("twelve pairs");
        held += u32::from(interval.low <= 1.1 && 1.1 <= interval.high);
    }
    let share = f64::from(held) / f64::from(trials);
    assert!((share - 0.95).abs() < 0.015, "{share}");
}

#[test]
fn a_running_summary_equals_the_plain_one() {
    let mut running = Running::default();
    for value in [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0] {
        running.add(value);
    }
    assert_eq!(
        (running.count(), running.mean(), running.max()),
        (8, 5.0, 9.0)
    );
    assert!(close(running.stdev(), (32.0_f64 / 7.0).sqrt()));
}
