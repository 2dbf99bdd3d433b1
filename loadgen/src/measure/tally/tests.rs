use super::*;

const WINDOW: Window = Window {
    from: 100,
    until: 200,
};

fn tally(by_request: bool) -> Tally {
    Tally {
        window: WINDOW,
        ..Tally::new(true, by_request)
    }
}

fn stamp(intended: Nanos, sent: Nanos) -> Stamp {
    Stamp { intended, sent }
}

#[test]
fn before_the_run_nothing_is_measured() {
    let mut tally = Tally::new(true, false);
    tally.answer(stamp(1, 1), 2);
    tally.read(64, 2);
    tally.lose(stamp(1, 1), 2, Lost::Unanswered);
    assert_eq!(
        (
            tally.answers,
            tally.answered,
            tally.completed,
            tally.bytes_read,
            tally.unanswered
        ),
        (1, 0, 0, 0, 0)
    );
    assert_eq!(tally.raw.count(), 0);
}

#[test]
fn a_request_is_timed_by_its_intended_moment_and_counted_by_its_answers() {
    let mut tally = tally(false);
    tally.answer(stamp(99, 99), 150); // warm-up's request, answered within
    tally.answer(stamp(150, 160), 190); // within
    tally.answer(stamp(199, 210), 5_199); // a stall at the end
    tally.answer(stamp(200, 200), 201); // after
    assert_eq!((tally.answers, tally.answered, tally.completed), (4, 2, 2));
    let corrected = tally.corrected.as_ref().expect("open loop");
    assert_eq!((corrected.min(), corrected.count()), (40, 2));
    assert!(corrected.max() >= 5_000);
    assert_eq!(tally.raw.min(), 30);
    assert_eq!(tally.last_answer, 5_199);
}

#[test]
fn with_a_number_of_requests_each_measured_answer_completes() {
    let mut tally = tally(true);
    tally.answer(stamp(99, 99), 150);
    tally.answer(stamp(199, 199), 250);
    assert_eq!((tally.answered, tally.completed), (1, 1));
}

#[test]
fn unanswered_requests_are_in_the_tail_and_interrupted_ones_are_not() {
    let mut tally = tally(false);
    tally.lose(stamp(150, 150), 9_150, Lost::Unanswered);
    tally.lose(stamp(150, 150), 9_150, Lost::Interrupted);
    assert_eq!(
        (tally.unanswered, tally.interrupted, tally.answered),
        (1, 1, 0)
    );
    assert_eq!(tally.raw.count(), 1);
    assert!(tally.raw.max() >= 9_000);
}

#[test]
fn merging_adds_everything() {
    let (mut left, mut right) = (tally(false), tally(false));
    left.answer(stamp(110, 110), 120);
    right.answer(stamp(120, 125), 180);
    right.lag(stamp(120, 125));
    right.read(10, 150);
    right.scheduled = 3;
    left.merge(&right);
    assert_eq!((left.answers, left.answered, left.completed), (2, 2, 2));
    assert_eq!(
        (left.bytes_read, left.scheduled, left.last_answer),
        (10, 3, 180)
    );
    assert_eq!(left.lag.expect("open loop").count(), 1);
    assert_eq!((left.raw.count(), left.raw.min()), (2, 10));
}
