use super::*;

const SECOND: u64 = 1_000_000_000;

fn all(index: u32, of: u32, rate: u64, count: usize) -> Vec<Nanos> {
    let mut schedule = Schedule::new(
        Arrivals::Fixed,
        Rate::whole(rate),
        Share { index, of },
        1_000,
        0,
    );
    (0..count).map(|_| schedule.take()).collect()
}

#[test]
fn fixed_times_do_not_drift() {
    // 7 per second: no gap is a whole number, but each seventh time is exactly a second later.
    let times = all(0, 1, 7, 70_001);
    for (k, &time) in times.iter().enumerate() {
        assert_eq!(time, 1_000 + k as u64 * SECOND / 7, "request {k}");
    }
    assert_eq!(times[70_000], 1_000 + 10_000 * SECOND);
}

#[test]
fn fixed_shares_interleave_into_the_whole() {
    for rate in [3, 1_000, 333_333, 999_999_937] {
        let whole = all(0, 1, rate, 300);
        let mut parts: Vec<_> = (0..3).flat_map(|index| all(index, 3, rate, 100)).collect();
        parts.sort_unstable();
        assert_eq!(parts, whole, "rate {rate}");
    }
}

#[test]
fn rates_above_one_per_nanosecond_repeat_times() {
    let times = all(0, 1, 2 * SECOND, 6);
    assert_eq!(times, [1_000, 1_000, 1_001, 1_001, 1_002, 1_002]);
}

#[test]
fn peeking_takes_nothing() {
    let mut schedule = Schedule::new(
        Arrivals::Fixed,
        Rate::whole(10),
        Share { index: 0, of: 1 },
        0,
        0,
    );
    assert_eq!(schedule.peek(), schedule.peek());
    assert_eq!(schedule.peek(), schedule.take());
    assert_eq!(schedule.peek(), SECOND / 10);
}

#[test]
#[expect(clippy::cast_precision_loss, reason = "a statistic")]
fn poisson_gaps_are_exponential() {
    let (rate, count) = (10_000, 100_000);
    let mut schedule = Schedule::new(
        Arrivals::Poisson,
        Rate::whole(rate),
        Share { index: 1, of: 2 },
        0,
        5,
    );
    let times: Vec<_> = (0..count).map(|_| schedule.take()).collect();
    assert!(times.is_sorted());
    let gaps: Vec<f64> = times
        .windows(2)
        .map(|pair| (pair[1] - pair[0]) as f64)
        .collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
    // Half of 10,000 a second is 200 us between two requests. The standard deviation of an
    // exponential distribution is its mean. 1.5% is five sigma here.
    assert!((mean / 200_000.0 - 1.0).abs() < 0.015, "mean {mean}");
    assert!(
        (variance.sqrt() / mean - 1.0).abs() < 0.03,
        "deviation {}",
        variance.sqrt()
    );
    let longer = gaps.iter().filter(|&&gap| gap > mean).count() as f64 / gaps.len() as f64;
    assert!(
        (longer - (-1.0_f64).exp()).abs() < 0.01,
        "share above the mean {longer}"
    );
}

#[test]
fn poisson_shares_differ_and_a_seed_repeats() {
    let take = |index, seed| {
        let mut schedule = Schedule::new(
            Arrivals::Poisson,
            Rate::whole(1_000),
            Share { index, of: 2 },
            0,
            seed,
        );
        [schedule.take(), schedule.take(), schedule.take()]
    };
    assert_eq!(take(0, 1), take(0, 1));
    assert_ne!(take(0, 1), take(1, 1));
    assert_ne!(take(0, 1), take(0, 2));
}

#[test]
fn a_rate_below_one_per_second_has_long_gaps() {
    let rate: Rate = "0.4".parse().expect("a rate");
    let mut schedule = Schedule::new(Arrivals::Fixed, rate, Share { index: 0, of: 1 }, 0, 0);
    let times: Vec<_> = (0..3).map(|_| schedule.take()).collect();
    assert_eq!(times, [0, 2_500_000_000, 5_000_000_000]);
}

#[test]
fn shares_of_stages_interleave_into_the_whole() {
    let stages: Stages = "1s:300,1s:0".parse().expect("stages");
    let times = |index, of, arrivals| {
        let mut schedule = Schedule::staged(arrivals, &stages, Share { index, of }, 7, 3);
        std::iter::from_fn(move || Some(schedule.take()).filter(|&at| at != Nanos::MAX))
    };
    let whole: Vec<_> = times(0, 1, Arrivals::Fixed).collect();
    assert_eq!((whole[0], whole.len()), (7, 300));
    let mut parts: Vec<_> = (0..3)
        .flat_map(|index| times(index, 3, Arrivals::Fixed))
        .collect();
    parts.sort_unstable();
    assert_eq!(parts, whole);
    let random: usize = (0..3)
        .map(|index| times(index, 3, Arrivals::Poisson).count())
        .sum();
    assert!(
        (200..400).contains(&random),
        "{random}, five deviations around 300"
    );
}
