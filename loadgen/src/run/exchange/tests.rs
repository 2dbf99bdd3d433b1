use super::*;
use crate::measure::clock::Nanos;
use crate::run::payload::Payload;
use crate::run::protocol::LooksLike;
use crate::run::protocol::echo::Echo;

const SIZE: usize = 24;

fn stamp(at: Nanos) -> Stamp {
    Stamp {
        intended: at,
        sent: at + 1,
    }
}

/// Returns a new conversation of the echo protocol.
fn echo(size: usize, verify: bool, pipeline: usize) -> Exchange<Echo> {
    let payload = Payload::new(11, 3, &size.into());
    Exchange::new(Echo::of(payload, verify), pipeline)
}

/// Returns an exchange that has sent `requests` requests, and the bytes sent.
fn sent(size: usize, requests: u64) -> (Exchange<Echo>, Vec<u8>) {
    let mut exchange = echo(size, true, 1);
    for request in 0..requests {
        exchange.plan(stamp(request * 10));
    }
    let mut bytes = vec![0; size * usize::try_from(requests).expect("small")];
    let filled = exchange.fill(&mut bytes);
    assert_eq!(filled, bytes.len());
    exchange.wrote(filled);
    assert!(!exchange.has_output());
    (exchange, bytes)
}

fn answers(exchange: &mut Exchange<Echo>, bytes: &[u8]) -> Result<Vec<Stamp>, Wrong> {
    let mut stamps = Vec::new();
    exchange
        .received(bytes, 0, |stamp, _, _| stamps.push(stamp))
        .map(|()| stamps)
        .map_err(|wrong| *wrong)
}

#[test]
fn any_cut_of_the_streams_gives_the_same_answers() {
    for chunk in 1..=5 * SIZE {
        let (_, whole) = sent(SIZE, 5);
        let mut exchange = echo(SIZE, true, 5);
        (0..5).for_each(|request| exchange.plan(stamp(request * 10)));
        let mut out = vec![0; chunk];
        let mut stream = Vec::new();
        while exchange.has_output() {
            let filled = exchange.fill(&mut out);
            // The system takes a part, and the next bytes begin there.
            let taken = filled.div_ceil(2);
            stream.extend_from_slice(&out[..taken]);
            exchange.wrote(taken);
        }
        assert_eq!(stream, whole, "chunks of {chunk}");
        let mut stamps = Vec::new();
        for part in stream.chunks(chunk) {
            stamps.extend(answers(&mut exchange, part).expect("an honest echo"));
        }
        assert_eq!(
            stamps,
            (0..5)
                .map(|request| stamp(request * 10))
                .collect::<Vec<_>>()
        );
        assert_eq!((exchange.in_flight(), exchange.answered()), (0, 5));
    }
}

#[test]
fn a_corrupted_byte_is_named() {
    let (mut exchange, mut bytes) = sent(SIZE, 2);
    bytes[SIZE + 5] ^= 0x10;
    let wrong = answers(&mut exchange, &bytes).expect_err("corrupted");
    let Wrong::Byte {
        request: 1,
        at: 5,
        expected,
        got,
        looks_like: None,
    } = wrong
    else {
        panic!("{wrong:?}");
    };
    assert_eq!(expected ^ got, 0x10);
    assert_eq!(exchange.answered(), 1, "the first was right");
}

#[test]
fn swapped_replies_are_recognised() {
    let (mut exchange, bytes) = sent(SIZE, 2);
    let swapped = [&bytes[SIZE..], &bytes[..SIZE]].concat();
    let wrong = answers(&mut exchange, &swapped).expect_err("swapped");
    assert!(
        matches!(
            wrong,
            Wrong::Byte {
                request: 0,
                at: 0,
                looks_like: Some(LooksLike::ReplyTo(1)),
                ..
            }
        ),
        "{wrong:?}"
    );
    assert!(
        wrong
            .to_string()
            .ends_with("(this is the reply to request 1)"),
        "{wrong}"
    );
}

#[test]
fn lost_bytes_are_recognised() {
    let (mut exchange, mut bytes) = sent(64, 3);
    bytes.drain(70..73);
    let wrong = answers(&mut exchange, &bytes).expect_err("three bytes are gone");
    assert!(
        matches!(
            wrong,
            Wrong::Byte {
                request: 1,
                at: 6,
                looks_like: Some(LooksLike::Shifted(3)),
                ..
            }
        ),
        "{wrong:?}"
    );
}

#[test]
fn more_than_was_sent_is_unasked() {
    let (mut exchange, mut bytes) = sent(SIZE, 1);
    bytes.push(0);
    assert_eq!(
        answers(&mut exchange, &bytes),
        Err(Wrong::Unasked { bytes: 1 })
    );
    assert_eq!(exchange.answered(), 1);
}

#[test]
fn an_echo_ahead_of_what_was_sent_is_unasked() {
    let mut exchange = echo(SIZE, true, 1);
    exchange.plan(stamp(1));
    let mut bytes = [0; SIZE];
    exchange.fill(&mut bytes);
    exchange.wrote(10);
    assert_eq!(
        answers(&mut exchange, &bytes),
        Err(Wrong::Unasked { bytes: SIZE - 10 })
    );
}

#[test]
fn without_verification_only_the_count_matters() {
    let mut exchange = echo(SIZE, false, 1);
    exchange.plan(stamp(1));
    exchange.wrote(SIZE);
    assert_eq!(answers(&mut exchange, &[0; SIZE]), Ok(vec![stamp(1)]));
    assert_eq!(
        answers(&mut exchange, &[0]),
        Err(Wrong::Unasked { bytes: 1 })
    );
}

#[test]
fn requests_never_answered_are_handed_over() {
    let (mut exchange, bytes) = sent(SIZE, 3);
    answers(&mut exchange, &bytes[..SIZE + 1]).expect("right so far");
    assert_eq!(
        exchange.take_in_flight().collect::<Vec<_>>(),
        [stamp(10), stamp(20)]
    );
}

#[test]
fn requests_of_mixed_sizes_are_echoed_in_any_pieces() {
    let sizes = "1:1,8:2,100:1".parse().expect("sizes");
    for chunk in [1, 3, 64, 1_000] {
        let payload = Payload::new(11, 3, &sizes);
        let total: usize = (0..50).map(|request| payload.size(request)).sum();
        let mut exchange = Exchange::new(Echo::of(payload, true), 1);
        (0..50).for_each(|request| exchange.plan(stamp(request)));
        let mut out = vec![0; chunk];
        let (mut sent, mut answered) = (0, 0);
        while exchange.has_output() {
            let filled = exchange.fill(&mut out);
            exchange.wrote(filled);
            sent += filled;
            exchange
                .received(&out[..filled], 0, |_, _, _| answered += 1)
                .expect("an honest echo");
        }
        assert_eq!((sent, answered, exchange.in_flight()), (total, 50, 0));
    }
}
