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
