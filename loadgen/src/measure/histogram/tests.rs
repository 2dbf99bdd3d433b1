use super::*;

fn within_a_thousandth(got: Nanos, want: Nanos) -> bool {
    got.abs_diff(want) * 1_000 <= want
}

#[test]
fn quantiles_are_exact_to_three_digits() {
    let mut recorder = Recorder::new();
    for us in 1..=10_000 {
        recorder.record(us * 1_000);
    }
    for (quantile, want_us) in [
        (0.5, 5_000),
        (0.9, 9_000),
        (0.99, 9_900),
        (0.9999, 9_999),
        (1.0, 10_000),
    ] {
        let got = recorder.quantile(quantile);
        assert!(
            within_a_thousandth(got, want_us * 1_000),
            "p{quantile}: {got}"
        );
    }
    assert_eq!(recorder.count(), 10_000);
    assert!(within_a_thousandth(recorder.min(), 1_000));
}

#[test]
fn both_ends_are_kept() {
    let mut recorder = Recorder::new();
    recorder.record(0);
    recorder.record(u64::MAX);
    assert_eq!(recorder.count(), 2);
    assert_eq!(recorder.min(), 1);
    assert!(recorder.max() >= HIGHEST_NS && within_a_thousandth(recorder.max(), HIGHEST_NS));
}

/// Returns every duration below a million, and three durations around each step above.
fn all_kinds() -> impl Iterator<Item = Nanos> {
    let steps = (20..42).flat_map(|power| (0..2 * HALF).map(move |n| (HALF + n) << (power - 10)));
    (1..1_000_000).chain(
        steps
            .flat_map(|at| [at - 1, at, at + 1])
            .filter(|&ns| ns <= HIGHEST_NS),
    )
}

#[test]
fn every_duration_has_the_bounds_that_the_family_gives_it() {
    let family = Histogram::<u64>::new_with_bounds(LOWEST_NS, HIGHEST_NS, DIGITS).expect("valid");
    for ns in all_kinds() {
        let (first, last) = bounds(place(ns));
        let theirs = (family.lowest_equivalent(ns), family.highest_equivalent(ns));
        assert_eq!((first, last), theirs, "{ns} ns");
    }
    let whole_powers = (PLACES as u64).next_multiple_of(HALF);
    assert_eq!(family.distinct_values() as u64, whole_powers);
}

#[test]
fn what_is_asked_of_it_is_what_the_family_answers() {
    let mut random = crate::run::random::Random::new(7);
    let mut recorder = Recorder::new();
    let mut family =
        Histogram::<u64>::new_with_bounds(LOWEST_NS, HIGHEST_NS, DIGITS).expect("valid");
    for _ in 0..5_000 {
        let ns = (random.next_u64() >> (22 + random.next_u64() % 42)).min(HIGHEST_NS);
        recorder.record(ns);
        family.saturating_record(ns.max(LOWEST_NS));
    }
    for quantile in [0.000_01, 0.25, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0] {
        let theirs = family.value_at_quantile(quantile);
        assert_eq!(recorder.quantile(quantile), theirs, "p{quantile}");
    }
    assert_eq!(
        (recorder.count(), recorder.min(), recorder.max()),
        (family.len(), family.min(), family.max())
    );
    assert_eq!(recorder.histogram(), family);
    let theirs: Vec<_> = family
        .iter_recorded()
        .map(|step| (step.value_iterated_to(), step.count_at_value()))
        .collect();
    assert_eq!(recorder.iter().collect::<Vec<_>>(), theirs);
}

#[test]
fn longer_times_of_others_count_as_an_hour() {
    let mut longer = Histogram::<u64>::new_with_bounds(1, HIGHEST_NS * 100, DIGITS).expect("valid");
    longer
        .record_n(HIGHEST_NS * 99, 3)
        .expect("within its bounds");
    let mut bytes = Vec::new();
    V2DeflateSerializer::new()
        .serialize(&longer, &mut bytes)
        .expect("to memory");
    let read = Recorder::from_bytes(&bytes).expect("a histogram");
    assert_eq!(
        read.iter().collect::<Vec<_>>(),
        [(bounds(place(HIGHEST_NS)).1, 3)]
    );
}

#[test]
fn an_empty_one_has_zeroes() {
    let recorder = Recorder::new();
    assert_eq!(
        (
            recorder.min(),
            recorder.max(),
            recorder.quantile(0.99),
            recorder.count()
        ),
        (0, 0, 0, 0)
    );
}

#[test]
fn merging_is_recording_in_one() {
    let (mut left, mut right, mut whole) = (Recorder::new(), Recorder::new(), Recorder::new());
    for value in (1..50_000).map(|k| k * k) {
        if value % 3 == 0 {
            left.record(value)
        } else {
            right.record(value)
        }
        whole.record(value);
    }
    left.merge(&right);
    assert_eq!(left, whole);
}

#[test]
fn base64_reads_back() {
    let mut recorder = Recorder::new();
    for value in [1, 999, 1_000_000, 123_456_789_012] {
        recorder.record(value);
    }
    let read = Recorder::from_base64(&recorder.to_base64()).expect("what we wrote");
    assert_eq!(read, recorder);
}

#[test]
fn rubbish_is_refused_with_a_reason() {
    assert!(
        Recorder::from_base64("***")
            .expect_err("no base64")
            .contains("base64")
    );
    assert!(
        Recorder::from_base64("aGVsbG8=")
            .expect_err("no histogram")
            .contains("histogram")
    );
}
