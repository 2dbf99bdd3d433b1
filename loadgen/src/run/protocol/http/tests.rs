use super::*;

/// Feeds `stream` in pieces of `piece` bytes. Returns the statuses of its answers, and the bytes
/// used.
fn answers(stream: &[u8], piece: usize) -> Result<(Vec<Verdict>, usize), &'static str> {
    let mut http = Http::default();
    let (mut verdicts, mut used) = (Vec::new(), 0);
    for part in stream.chunks(piece) {
        let mut rest = part;
        while !rest.is_empty() {
            let taken = http.take(rest)?;
            assert!((1..=rest.len()).contains(&taken.bytes), "{taken:?}");
            rest = &rest[taken.bytes..];
            used += taken.bytes;
            verdicts.extend(taken.answer);
        }
    }
    verdicts.extend(http.end_of_stream());
    Ok((verdicts, used))
}

/// Checks that the result is the same for pieces of every size.
fn verdicts(stream: &str) -> Result<Vec<Verdict>, &'static str> {
    let whole = answers(stream.as_bytes(), stream.len());
    for piece in 1..stream.len() {
        assert_eq!(
            answers(stream.as_bytes(), piece),
            whole,
            "pieces of {piece}"
        );
    }
    whole.map(|(verdicts, used)| {
        assert_eq!(used, stream.len());
        verdicts
    })
}

const GOOD: Verdict = Verdict {
    status: 200,
    ..Verdict::GOOD
};
const LAST: Verdict = Verdict {
    status: 200,
    refused: None,
    last: true,
};

fn refused(status: u16) -> Verdict {
    Verdict {
        status,
        refused: Some(status),
        last: false,
    }
}

#[test]
fn bodies_end_where_the_head_says() {
    for (stream, expected) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            vec![GOOD],
        ),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", vec![GOOD]),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\nx",
            vec![GOOD, refused(404)],
        ),
        (
            "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
            [204, 304].map(|status| Verdict { status, ..GOOD }).to_vec(),
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1a;x=\"y\"\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n",
            vec![GOOD],
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\nContent-Length: 3\r\n\r\n2\r\n\r\n\r\n0\r\nExpires: never\r\nB: c\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            vec![GOOD, GOOD],
        ),
        // The body lasts to the end of the stream.
        ("HTTP/1.1 200 OK\r\n\r\nall the rest", vec![LAST]),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 1\r\n\r\nall",
            vec![LAST],
        ),
    ] {
        assert_eq!(verdicts(stream).as_deref(), Ok(&expected[..]), "{stream:?}");
    }
}

#[test]
fn interim_responses_are_no_answers() {
    let stream = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx";
    assert_eq!(verdicts(stream), Ok(vec![GOOD]));
}

#[test]
fn who_may_go_on_is_known() {
    for (head, last) in [
        ("HTTP/1.1 200 OK\r\n", false),
        ("HTTP/1.1 200 OK\r\nConnection: Close\r\n", true),
        ("HTTP/1.1 200 OK\r\nConnection: x, close\r\n", true),
        ("HTTP/1.0 200 OK\r\n", true),
        ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", false),
    ] {
        let stream = format!("{head}Content-Length: 1\r\n\r\nx");
        let verdict = Verdict {
            status: 200,
            refused: None,
            last,
        };
        assert_eq!(verdicts(&stream), Ok(vec![verdict]), "{head:?}");
    }
}

#[test]
fn what_is_no_response_is_refused() {
    for stream in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/2 200\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n00000000000000001\r\n",
    ] {
        assert!(verdicts(stream).is_err(), "{stream:?}");
    }
    let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(HEAD_MAX));
    assert!(answers(endless.as_bytes(), 4_096).is_err());
    assert!(answers(endless.as_bytes(), endless.len()).is_err());
}

#[test]
fn a_stream_that_ends_within_a_response_completes_none() {
    for stream in [
        "HTTP/1.1 200 OK\r\nContent-Le",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        assert_eq!(verdicts(stream), Ok(Vec::new()), "{stream:?}");
    }
}

#[test]
fn valid_heads_of_every_shape_are_read() {
    let folded = "HTTP/1.1 200 OK\r\nX-Long: one\r\n two\r\n\tthree\r\nContent-Length: 2\r\n\r\nok";
    assert_eq!(verdicts(folded), Ok(vec![GOOD]));
    let fields: String = (0..1_000).map(|nth| format!("F{nth}: x\r\n")).collect();
    let many = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nok");
    assert_eq!(answers(many.as_bytes(), 997), Ok((vec![GOOD], many.len())));
}

#[test]
fn a_head_that_differs_from_the_last_one_is_parsed() {
    let heads = [
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 503 No\r\nContent-Length: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 1\n\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
    ];
    for first in heads {
        for second in heads {
            let mut last = LastHead::default();
            for text in [first, second] {
                let whole = format!("{text}body");
                for length in (0..=whole.len()).rev() {
                    let bytes = &whole.as_bytes()[..length];
                    assert_eq!(last.parse(bytes), parse_head(bytes), "{first:?} {bytes:?}");
                }
                assert_eq!(last.parse(whole.as_bytes()), parse_head(whole.as_bytes()));
            }
        }
    }
}
