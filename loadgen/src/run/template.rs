//! Request templates: several requests with weights, and fields that are different in each request.
//!
//! `{counter}` becomes a number that no other request of the run has. `{random}` becomes 16
//! hexadecimal digits. A field has a fixed length, so the length of a request is known before it is
//! written. The choice of a request and its fields are pure functions of connection and request
//! number. So nothing is stored, and a request can be written in pieces. `protocol/fixed.rs` uses
//! it. Tests: at the end of this file and `tests/http_requests.rs`.

use crate::measure::clock::Nanos;
use crate::run::random::mix;
use crate::run::weighted::Weighted;

/// The number of digits of an intended time: enough for 64 bits.
pub(crate) const INTENDED_LEN: usize = 20;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    bytes: Vec<u8>,
    /// The positions of fields, in order.
    fields: Vec<(usize, Field)>,
}

/// A part that is different in each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Counter,
    Random,
    /// The intended time in nanoseconds on the run's clock, for the calibration's server.
    Intended,
}

impl Field {
    const ALL: [(&'static str, Self); 2] =
        [("{counter}", Self::Counter), ("{random}", Self::Random)];

    /// Returns the length of its value.
    const fn len(self) -> usize {
        match self {
            Self::Counter => 18,
            Self::Random => 16,
            Self::Intended => INTENDED_LEN,
        }
    }

    fn value(self, requests: &Requests, request: u64, intended: Nanos) -> String {
        let (key, connection) = (requests.key, requests.connection);
        match self {
            // A first digit, so that the number has no leading zero; then 8 digits of the
            // connection and 9 of the request.
            Self::Counter => format!(
                "1{:08}{:09}",
                connection % 100_000_000,
                request % 1_000_000_000
            ),
            Self::Random => format!("{:016x}", mix(key ^ mix(request))),
            Self::Intended => format!("{intended:0INTENDED_LEN$}"),
        }
    }
}

/// The requests of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Weighted<Part>,
}

/// The requests of one connection.
#[derive(Debug, Clone)]
pub(crate) struct Requests {
    template: Template,
    key: u64,
    connection: u64,
}

impl Template {
    /// Makes a template of one request with these bytes.
    #[must_use]
    pub fn plain(bytes: &[u8]) -> Self {
        Self::one(Part {
            bytes: bytes.to_vec(),
            fields: Vec::new(),
        })
    }

    /// Makes a template of requests of `size` bytes that begin with their intended time.
    ///
    /// # Panics
    /// The size is less than [`INTENDED_LEN`].
    pub(crate) fn stamped(size: usize) -> Self {
        assert!(size >= INTENDED_LEN, "the time has room");
        Self::one(Part {
            bytes: vec![b'0'; size],
            fields: vec![(0, Field::Intended)],
        })
    }

    fn one(part: Part) -> Self {
        Self {
            parts: Weighted::new([(part, 1)]),
        }
    }

    /// Makes a template of requests with their weights, and replaces the fields in them. Each
    /// weight is above zero.
    ///
    /// # Panics
    /// There is no request, or one is empty.
    #[must_use]
    pub fn new(requests: impl IntoIterator<Item = (u64, Vec<u8>)>) -> Self {
        let parts = requests.into_iter().map(|(weight, text)| {
            assert!(!text.is_empty(), "a request has at least one byte");
            let (bytes, fields) = read(&text);
            (Part { bytes, fields }, weight)
        });
        Self {
            parts: Weighted::new(parts),
        }
    }

    /// Returns the length of a text whose fields are replaced.
    #[must_use]
    pub fn len_of(text: &[u8]) -> usize {
        read(text).0.len()
    }

    /// Returns the average size of a request in bytes.
    #[must_use]
    pub fn mean_size(&self) -> usize {
        self.parts.mean(|part| part.bytes.len())
    }

    /// Returns the requests of connection number `connection` of the run with this `seed`.
    pub(crate) fn of(&self, seed: u64, connection: u64) -> Requests {
        Requests {
            template: self.clone(),
            key: mix(seed ^ mix(connection + 1)),
            connection,
        }
    }
}

/// Replaces the fields with zeros of the same length, and returns their positions.
fn read(mut text: &[u8]) -> (Vec<u8>, Vec<(usize, Field)>) {
    let (mut bytes, mut fields) = (Vec::with_capacity(text.len()), Vec::new());
    while let Some((byte, rest)) = text.split_first() {
        let found = Field::ALL
            .into_iter()
            .find(|(name, _)| text.starts_with(name.as_bytes()));
        if let Some((name, field)) = found {
            fields.push((bytes.len(), field));
            bytes.resize(bytes.len() + field.len(), b'0');
            text = &text[name.len()..];
        } else {
            bytes.push(*byte);
            text = rest;
        }
    }
    (bytes, fields)
}

impl Requests {
    fn part(&self, request: u64) -> &Part {
        let parts = &self.template.parts;
        let random = || mix(self.key.wrapping_add(mix(request)));
        parts.only().unwrap_or_else(|| parts.draw(random()))
    }

    /// Returns the size of a request.
    pub(crate) fn size(&self, request: u64) -> usize {
        self.part(request).bytes.len()
    }

    /// Fills `out` with the bytes of `request` from position `at`.
    pub(crate) fn fill(&self, request: u64, intended: Nanos, at: usize, out: &mut [u8]) {
        let part = self.part(request);
        let end = at + out.len();
        out.copy_from_slice(&part.bytes[at..end]);
        for &(from, field) in &part.fields {
            let until = from + field.len();
            let (first, last) = (from.max(at), until.min(end));
            if first < last {
                let value = field.value(self, request, intended);
                out[first - at..last - at]
                    .copy_from_slice(&value.as_bytes()[first - from..last - from]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn whole(requests: &Requests, request: u64) -> String {
        let mut bytes = vec![0; requests.size(request)];
        requests.fill(request, 0, 0, &mut bytes);
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn fields_differ_in_each_request_and_keep_their_length() {
        let text = br#"{"id": {counter}, "name": "{random}", "{other}": 1}"#;
        let template = Template::new([(1, text.to_vec())]);
        assert_eq!(template.mean_size(), Template::len_of(text));
        let mut ids = HashSet::new();
        for connection in 0..20 {
            let requests = template.of(7, connection);
            for request in 0..20 {
                let text = whole(&requests, request);
                let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
                assert!(ids.insert(json["id"].as_u64().expect("a number")));
                assert!(json["name"].as_str().is_some_and(|name| name.len() == 16));
                assert_eq!(json["{other}"], 1);
            }
        }
    }

    #[test]
    fn a_request_written_in_pieces_is_the_same() {
        let template = Template::new([(1, b"a{counter}b{random}c".to_vec())]);
        let requests = template.of(1, 2);
        let text = whole(&requests, 3);
        for at in 0..text.len() {
            for end in at..=text.len() {
                let mut piece = vec![0; end - at];
                requests.fill(3, 0, at, &mut piece);
                assert_eq!(piece, text.as_bytes()[at..end], "{at}..{end}");
            }
        }
    }

    #[test]
    fn weights_decide_how_often_a_request_is_sent() {
        let template = Template::new([(9, b"often".to_vec()), (1, b"rare".to_vec())]);
        let requests = template.of(5, 0);
        let rare = (0..10_000)
            .filter(|&one| whole(&requests, one) == "rare")
            .count();
        assert!(
            (850..1_150).contains(&rare),
            "{rare}, five deviations around 1,000"
        );
        assert_eq!(Template::plain(b"{counter}").of(0, 0).size(0), 9);
    }
}
