use super::*;

const WINDOW: Window = Window {
    from: 100,
    until: 200,
};

fn counters(by_request: bool) -> Counters {
    Counters {
        window: WINDOW,
        ..Counters::new(true, by_request)
    }
}

fn stamp(intended: Nanos, sent: Nanos) -> Stamp {
    Stamp { intended, sent }
}

#[test]
fn before_the_run_nothing_is_measured() {
    let mut counters = Counters::new(true, false);
    counters.answer(stamp(1, 1), 2, false);
    counters.read(64, 2);
    counters.lose(stamp(1, 1), 2, Lost::Unanswered);
    assert_eq!(
        (
            counters.answers,
            counters.answered,
            counters.completed,
            counters.bytes_read,
            counters.unanswered
        ),
        (1, 0, 0, 0, 0)
    );
    assert_eq!(counters.raw.count(), 0);
}

#[test]
fn a_request_is_timed_by_its_intended_moment_and_counted_by_its_answers() {
    let mut counters = counters(false);
    counters.answer(stamp(99, 99), 150, false); // warm-up's request, answered within
    counters.answer(stamp(150, 160), 190, false); // within
    counters.answer(stamp(199, 210), 5_199, false); // a stall at the end
    counters.answer(stamp(200, 200), 201, false); // after
    assert_eq!(
        (counters.answers, counters.answered, counters.completed),
        (4, 2, 2)
    );
    let corrected = counters.corrected.as_ref().expect("open loop");
    assert_eq!((corrected.min(), corrected.count()), (40, 2));
    assert!(corrected.max() >= 5_000);
    assert_eq!(counters.raw.min(), 30);
    assert_eq!(counters.last_answer, 5_199);
}

#[test]
fn with_a_number_of_requests_each_measured_answer_completes() {
    let mut counters = counters(true);
    counters.answer(stamp(99, 99), 150, false);
    counters.answer(stamp(199, 199), 250, false);
    assert_eq!((counters.answered, counters.completed), (1, 1));
}

#[test]
fn unanswered_requests_are_in_the_tail_and_interrupted_ones_are_not() {
    let mut counters = counters(false);
    counters.lose(stamp(150, 150), 9_150, Lost::Unanswered);
    counters.lose(stamp(150, 150), 9_150, Lost::Interrupted);
    assert_eq!(
        (counters.unanswered, counters.interrupted, counters.answered),
        (1, 1, 0)
    );
    assert_eq!(counters.raw.count(), 1);
    assert!(counters.raw.max() >= 9_000);
}

#[test]
fn merging_adds_everything() {
    let (mut left, mut right) = (counters(false), counters(false));
    left.answer(stamp(110, 110), 120, false);
    right.answer(stamp(120, 125), 180, false);
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

#[test]
fn a_refused_request_is_timed_apart() {
    let mut counters = counters(false);
    counters.answer(stamp(110, 120), 190, false);
    counters.answer(stamp(120, 125), 130, true);
    let corrected = counters.corrected.as_ref().expect("open loop");
    assert_eq!((corrected.count(), counters.raw.count()), (1, 1));
    assert_eq!(
        (counters.failures.count(), counters.failures.min()),
        (1, 10)
    );
    assert_eq!((counters.answered, counters.completed), (2, 2));
}

#[test]
fn an_unsent_request_waits_until_the_end_of_the_window() {
    let mut counters = counters(false);
    counters.lose(stamp(150, 0), 250, Lost::Unsent);
    let corrected = counters.corrected.as_ref().expect("open loop");
    assert_eq!((corrected.min(), counters.unsent), (50, 1));
}
