//! HTTP/1.1 responses as `loadgen` reads them.
//!
//! A server's bytes mean the same however they are cut into pieces. Responses written as the
//! standard says (`http/written.rs`) end at their end and have their meaning, whatever their bodies
//! contain.
#![no_main]

#[path = "http/written.rs"]
mod written;

use libfuzzer_sys::fuzz_target;
use loadgen::run::protocol::Verdict;
use loadgen::run::protocol::http::Http;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, rest)) = bytes.split_first() else {
        return;
    };
    let (cuts, bytes) = rest.split_at(usize::from(kind & 7).min(rest.len()));
    let expected = if kind & 128 == 0 {
        read(&[bytes])
    } else {
        let (stream, answers) = written::responses(bytes);
        let read = read(&[&stream]);
        assert_eq!(read.answers, answers, "{}", stream.escape_ascii());
        assert_eq!(read.end, Ok(None));
        return assert_eq!(read_in_pieces(&stream, cuts), read);
    };
    assert_eq!(read_in_pieces(bytes, cuts), expected);
    assert_eq!(read(&bytes.chunks(1).collect::<Vec<_>>()), expected);
});

/// The result of a stream: the end of each answer, and the bytes after the last.
#[derive(Debug, PartialEq)]
struct Outcome {
    answers: Vec<(usize, Verdict)>,
    end: Result<Option<Verdict>, &'static str>,
}

fn read(pieces: &[&[u8]]) -> Outcome {
    let mut http = Http::default();
    let (mut at, mut answers) = (0, Vec::new());
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() {
            let taken = match http.take(rest) {
                Ok(taken) => taken,
                Err(why) => {
                    let end = Err(why);
                    return Outcome { answers, end };
                }
            };
            assert!((1..=rest.len()).contains(&taken.bytes), "{taken:?}");
            at += taken.bytes;
            rest = &rest[taken.bytes..];
            answers.extend(taken.answer.map(|verdict| (at, verdict)));
        }
    }
    let end = Ok(http.end_of_stream());
    Outcome { answers, end }
}

fn read_in_pieces(stream: &[u8], cuts: &[u8]) -> Outcome {
    let mut rest = stream;
    let mut pieces = Vec::new();
    for cut in cuts {
        let (piece, left) = rest.split_at(usize::from(*cut).min(rest.len()));
        pieces.push(piece);
        rest = left;
    }
    pieces.push(rest);
    read(&pieces)
}
