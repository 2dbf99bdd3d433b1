//! Responses as a standard-conforming server writes them, and the meaning that a client must find
//! in them.

use std::io::Write as _;

use loadgen::run::protocol::Verdict;

/// Returns the responses that the fuzzer's bytes encode, one after another, with the end and the
/// meaning of each.
pub fn responses(bytes: &[u8]) -> (Vec<u8>, Vec<(usize, Verdict)>) {
    let (mut stream, mut answers) = (Vec::new(), Vec::new());
    let mut rest = bytes;
    while let [status, form, len, left @ ..] = rest {
        let (body, left) = left.split_at(usize::from(*len).min(left.len()));
        rest = left;
        let verdict = write(&mut stream, *status, *form, body);
        answers.push((stream.len(), verdict));
    }
    (stream, answers)
}

fn write(out: &mut Vec<u8>, status: u8, form: u8, body: &[u8]) -> Verdict {
    let bit = |bit: u8| form >> bit & 1 == 1;
    let status: u16 = [200, 201, 204, 304, 302, 404, 429, 503][usize::from(status % 8)];
    let has_body = !matches!(status, 204 | 304);
    let (chunked, closes, interim) = (bit(0), bit(1), bit(2));
    let (lower, padded) = (bit(3), bit(4));
    if interim {
        out.extend(b"HTTP/1.1 100 Continue\r\n\r\n");
    }
    let mut head = format!("HTTP/1.1 {status} Because\r\nServer: x\r\n");
    if closes {
        head += "Connection: close\r\n";
    } else if padded {
        head += "Connection: upgrade, keep-alive\r\n";
    }
    if chunked && has_body {
        head += "Transfer-Encoding: gzip, chunked\r\n";
    } else {
        head += &format!(
            "Content-Length: {}{}\r\n",
            if padded { "  00" } else { "" },
            body.len()
        );
    }
    if lower {
        // Names and words of fields are case-insensitive; the first line of a response is not.
        let (line, fields) = head.split_at(head.find("\r\n").expect("a line"));
        head = line.to_owned() + &fields.to_lowercase();
    }
    out.extend(head.as_bytes());
    out.extend(b"\r\n");
    if chunked && has_body {
        write_chunks(out, body, padded, lower);
    } else if has_body {
        out.extend(body);
    }
    Verdict {
        status,
        // 304 answers a conditional request as asked.
        refused: (!(200..300).contains(&status) && status != 304).then_some(status),
        last: closes,
    }
}

fn write_chunks(out: &mut Vec<u8>, body: &[u8], extended: bool, lower: bool) {
    let sizes = 1 + body.first().map_or(0, |first| usize::from(*first % 40));
    let extension = if extended { ";name=\"0\"" } else { "" };
    let trailers = if extended {
        "Checksum: 0\r\n0: 0\r\n"
    } else {
        ""
    };
    for chunk in body.chunks(sizes) {
        let len = chunk.len();
        let size = if lower {
            format!("{len:x}")
        } else {
            format!("0{len:X}")
        };
        write!(out, "{size}{extension}\r\n").expect("memory takes it");
        out.extend(chunk);
        out.extend(b"\r\n");
    }
    write!(out, "0{extension}\r\n{trailers}\r\n").expect("memory takes it");
}
