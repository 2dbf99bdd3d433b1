//! HTTP/1.1 for a client: finds the end of each response, its status, and the reuse of the
//! connection.
//!
//! `httparse` reads heads. Bodies are skipped by length, by chunks, or until the end of the stream
//! (RFC 9112, section 6.3). Servers repeat their heads, so each thread keeps the last one. A
//! response that begins with the same bytes is not parsed again. A head that arrives in pieces is
//! kept until it is complete. Tests: `http/tests.rs`.

use std::cell::RefCell;
use std::mem::MaybeUninit;

use super::{Taken, Verdict, is_good};

/// The maximum length of a head. A longer one is an attack or no HTTP.
const HEAD_MAX: usize = 64 * 1024;
/// The number of header fields for which there is room on the stack. A usual response has fewer.
const FIELDS_USUAL: usize = 128;
/// The maximum number of fields in a head: each has at least a name of one byte, a colon and a line
/// end.
const FIELDS_MAX: usize = HEAD_MAX / 4;

/// Reads the responses of one connection.
#[derive(Debug, Default)]
pub struct Http {
    state: State,
    /// True if responses have no body, as those to HEAD.
    bodiless: bool,
    /// The first part of an incomplete head.
    head: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    #[default]
    Head,
    /// A body with this many bytes left, more than zero.
    Length(u64, Verdict),
    Chunked(Chunk, Verdict),
    /// A body that ends at the end of the stream.
    Stream(Verdict),
}

/// The position of the next byte in a chunked body.
#[derive(Debug, Clone, Copy)]
enum Chunk {
    /// In the hexadecimal size: its value and its number of digits so far.
    Size(u64, u32),
    /// After the size, in the rest of its line.
    Extension(u64),
    /// In the data, with this many bytes left.
    Data(u64),
    /// In the line end after the data.
    DataEnd,
    /// In a line after the last chunk; true if the line is empty so far.
    Trailer(bool),
}

/// The contents of a response's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    len: usize,
    status: u16,
    keeps_open: bool,
    body: Body,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    Length(u64),
    Chunked,
    Stream,
}

impl Http {
    /// Makes a reader. If `bodiless`, responses end with their head, as after HEAD.
    #[must_use]
    pub fn new(bodiless: bool) -> Self {
        Self {
            bodiless,
            ..Self::default()
        }
    }

    /// Handles the next bytes; see [`Protocol::take`](super::Protocol::take).
    ///
    /// # Errors
    /// The bytes are no response. The error names the fault.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Taken, &'static str> {
        match self.state {
            State::Head => self.take_head(bytes),
            State::Length(left, verdict) => {
                let used = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                let left = left - used as u64;
                self.state = State::Length(left, verdict);
                Ok(self.taken(used, (left == 0).then_some(verdict)))
            }
            State::Chunked(chunk, verdict) => {
                let (used, next) = chunk.take(bytes)?;
                if let Some(next) = next {
                    self.state = State::Chunked(next, verdict);
                }
                Ok(self.taken(used, next.is_none().then_some(verdict)))
            }
            State::Stream(_) => Ok(self.taken(bytes.len(), None)),
        }
    }

    /// Handles the end of the stream, which completes a response whose body ends that way.
    pub fn end_of_stream(&mut self) -> Option<Verdict> {
        match self.state {
            State::Stream(verdict) => {
                self.state = State::Head;
                Some(verdict)
            }
            _ => None,
        }
    }

    fn taken(&mut self, bytes: usize, answer: Option<Verdict>) -> Taken {
        if answer.is_some() {
            self.state = State::Head;
        }
        Taken { bytes, answer }
    }

    fn take_head(&mut self, bytes: &[u8]) -> Result<Taken, &'static str> {
        let before = self.head.len();
        let parsed = if before == 0 {
            LAST_HEAD.with_borrow_mut(|last| last.parse(bytes))?
        } else {
            self.head.extend_from_slice(bytes);
            parse_head(&self.head)?
        };
        let Some(head) = parsed else {
            if before == 0 {
                self.head.extend_from_slice(bytes);
            }
            if self.head.len() > HEAD_MAX {
                return Err("the head of the response is longer than 64 KiB");
            }
            return Ok(self.taken(bytes.len(), None));
        };
        // Heads in pieces are rare, so the memory is freed.
        self.head = Vec::new();
        let used = head.len - before;
        match head.status {
            101 => return Err("the server switched to another protocol"),
            // An interim response; the final one follows.
            100..=199 => return Ok(self.taken(used, None)),
            _ => {}
        }
        let mut verdict = Verdict {
            status: head.status,
            refused: (!is_good(head.status)).then_some(head.status),
            last: !head.keeps_open,
        };
        let answer = match head.body {
            _ if self.bodiless || matches!(head.status, 204 | 304) => Some(verdict),
            Body::Length(0) => Some(verdict),
            Body::Length(length) => {
                self.state = State::Length(length, verdict);
                None
            }
            Body::Chunked => {
                self.state = State::Chunked(Chunk::Size(0, 0), verdict);
                None
            }
            Body::Stream => {
                verdict.last = true;
                self.state = State::Stream(verdict);
                None
            }
        };
        Ok(self.taken(used, answer))
    }
}

/// The head that was parsed last, with its bytes.
#[derive(Debug, Default)]
struct LastHead {
    bytes: Vec<u8>,
    head: Option<Head>,
}

thread_local! {
    static LAST_HEAD: RefCell<LastHead> = RefCell::default();
}

impl LastHead {
    /// Reads a head; returns `None` if it is not complete. A complete head ends with an empty line,
    /// so bytes that begin with all of it have the same head.
    #[inline]
    fn parse(&mut self, bytes: &[u8]) -> Result<Option<Head>, &'static str> {
        if self.head.is_none() || !bytes.starts_with(&self.bytes) {
            self.head = parse_head(bytes)?;
            self.bytes.clear();
            if let Some(head) = &self.head {
                self.bytes.extend_from_slice(&bytes[..head.len]);
            }
        }
        Ok(self.head)
    }
}

/// Reads a head; returns `None` if it is not complete.
fn parse_head(bytes: &[u8]) -> Result<Option<Head>, &'static str> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_USUAL];
    match parse_fields(bytes, &mut fields) {
        Err(httparse::Error::TooManyHeaders) => {
            let mut fields = vec![MaybeUninit::uninit(); FIELDS_MAX];
            parse_fields(bytes, &mut fields)
        }
        parsed => parsed,
    }
    .map_err(|_| "this is no response of HTTP/1.1")?
    .transpose()
}

/// Reads a head that has no more fields than `fields` has room for.
fn parse_fields<'a>(
    bytes: &'a [u8],
    fields: &mut [MaybeUninit<httparse::Header<'a>>],
) -> Result<Option<Result<Head, &'static str>>, httparse::Error> {
    let mut response = httparse::Response::new(&mut []);
    let mut config = httparse::ParserConfig::default();
    // A field may continue in a line that begins with a space (RFC 9112, section 5.2).
    config.allow_obsolete_multiline_headers_in_responses(true);
    let parsed = config.parse_response_with_uninit_headers(&mut response, bytes, fields)?;
    Ok(match parsed {
        httparse::Status::Complete(len) => Some(head_of(&response, len)),
        httparse::Status::Partial => None,
    })
}

/// Reads the fields that determine the end of the response.
fn head_of(response: &httparse::Response<'_, '_>, len: usize) -> Result<Head, &'static str> {
    // In HTTP/1.1 a connection stays open by default; in HTTP/1.0 it closes by default.
    let mut keeps_open = response.version == Some(1);
    let mut length = None;
    let mut coding: Option<&[u8]> = None;
    for field in response.headers.iter() {
        if field.name.eq_ignore_ascii_case("content-length") {
            let this = parse_length(field.value).ok_or("the content length is not a number")?;
            if length.is_some_and(|length| length != this) {
                return Err("the response has two content lengths");
            }
            length = Some(this);
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            coding = field.value.split(|&byte| byte == b',').next_back();
        } else if field.name.eq_ignore_ascii_case("connection") {
            for option in field.value.split(|&byte| byte == b',') {
                match option.trim_ascii() {
                    close if close.eq_ignore_ascii_case(b"close") => keeps_open = false,
                    keep if keep.eq_ignore_ascii_case(b"keep-alive") => keeps_open = true,
                    _ => {}
                }
            }
        }
    }
    let body = match (coding, length) {
        (Some(last), _) if last.trim_ascii().eq_ignore_ascii_case(b"chunked") => Body::Chunked,
        (None, Some(length)) => Body::Length(length),
        _ => Body::Stream,
    };
    Ok(Head {
        len,
        status: response.code.unwrap_or(0),
        keeps_open,
        body,
    })
}

fn parse_length(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value.trim_ascii()).ok()?;
    // `parse` alone would accept a sign.
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

impl Chunk {
    /// Skips `bytes` of the body. Returns the number of bytes used and the position of the next
    /// one, or `None` at the end of the body.
    fn take(mut self, bytes: &[u8]) -> Result<(usize, Option<Self>), &'static str> {
        let mut at = 0;
        while at < bytes.len() {
            let byte = bytes[at];
            if let Self::Data(left) = self {
                let rest = bytes.len() - at;
                let skip = usize::try_from(left).map_or(rest, |left| left.min(rest));
                at += skip;
                self = match left - skip as u64 {
                    0 => Self::DataEnd,
                    left => Self::Data(left),
                };
                continue;
            }
            at += 1;
            self = match (self, byte) {
                (Self::Size(size, digits), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                    if digits == 16 {
                        return Err("a chunk's size is not a number of 64 bits");
                    }
                    let digit = char::from(byte).to_digit(16).expect("it is one");
                    Self::Size(size << 4 | u64::from(digit), digits + 1)
                }
                (Self::Size(_, 0), _) => return Err("a chunk's size is missing"),
                (Self::Size(size, _) | Self::Extension(size), b'\n') => match size {
                    0 => Self::Trailer(true),
                    size => Self::Data(size),
                },
                (Self::Size(size, _), b'\r' | b';' | b' ' | b'\t') => Self::Extension(size),
                (Self::Size(..), _) => return Err("a chunk's size is not hexadecimal"),
                (Self::Extension(size), _) => Self::Extension(size),
                (Self::DataEnd, b'\r') => Self::DataEnd,
                (Self::DataEnd, b'\n') => Self::Size(0, 0),
                (Self::DataEnd, _) => return Err("a chunk is longer than its size"),
                (Self::Trailer(true), b'\n') => return Ok((at, None)),
                (Self::Trailer(empty), b'\r') => Self::Trailer(empty),
                (Self::Trailer(_), byte) => Self::Trailer(byte == b'\n'),
                (Self::Data(_), _) => unreachable!("skipped above"),
            };
        }
        Ok((at, Some(self)))
    }
}

#[cfg(test)]
mod tests;
