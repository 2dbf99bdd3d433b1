//! The payload of requests: each byte is a pure function of connection, request number and
//! position.
//!
//! Nothing is stored. A sender writes from any position, a verifier checks from any position, and a
//! partial transfer needs no buffer. Every byte of a reply is compared, so a corrupted byte is
//! always found. Swapped replies, and streams that lost or gained bytes, are found because a word
//! at another place differs.
//!
//! Word `i` of request `s` is `key + s * PER_REQUEST + i * PER_WORD` modulo 2^64, with odd
//! multipliers. This costs one addition per eight bytes. Neighbouring words, and equal words of
//! neighbouring requests, differ in their lowest byte, so this also works for requests of a single
//! byte. The key is the mixed connection number. With mixed sizes, the length of a request is drawn
//! from key and number in the same way. Tests: `payload/tests.rs`.

use crate::run::random::mix;
use crate::run::sizes::Sizes;

/// The step between requests. It is odd, so that different request numbers give different words
/// (the golden ratio's fraction).
const PER_REQUEST: u64 = 0x9e37_79b9_7f4a_7c15;
/// The step between words. It is odd, and unrelated to the other step, so that a shift along the
/// stream is not the same as a shift along the requests.
const PER_WORD: u64 = 0xd1b5_4a32_d192_ed03;
/// The number of words per step. The compiler unrolls a loop of known length, which halves the cost
/// of a request of 64 bytes.
const BLOCK_WORDS: usize = 8;
/// The number of bytes at the start of a request that hold its CPU time.
pub const WORK_HEADER: usize = 4;

/// The payloads of one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    key: u64,
    /// The size of every request; zero if sizes are mixed.
    size: usize,
    mixed: Option<Sizes>,
    /// The bytes with which every request begins instead, if requests ask for CPU time.
    header: Option<[u8; WORK_HEADER]>,
}

impl Payload {
    /// Makes payloads of these sizes for connection number `connection` of the run with this
    /// `seed`.
    #[must_use]
    pub fn new(seed: u64, connection: u64, sizes: &Sizes) -> Self {
        let only = sizes.only();
        Self {
            key: mix(seed ^ mix(connection + 1)),
            size: only.unwrap_or(0),
            mixed: only.is_none().then(|| sizes.clone()),
            header: None,
        }
    }

    /// Makes each payload begin with its CPU time in microseconds (`loadgen/docs/work.md`).
    #[must_use]
    pub fn asking_for(mut self, work_us: u32) -> Self {
        self.header = Some(work_us.to_le_bytes());
        self
    }

    /// Returns the size of `request`.
    #[must_use]
    #[inline]
    pub fn size(&self, request: u64) -> usize {
        match &self.mixed {
            None => self.size,
            Some(mixed) => mixed.draw(mix(self.word(request, 0))),
        }
    }

    fn word(&self, request: u64, index: u64) -> u64 {
        self.key
            .wrapping_add(request.wrapping_mul(PER_REQUEST))
            .wrapping_add(index.wrapping_mul(PER_WORD))
    }

    /// Returns the byte at position `at` of `request`.
    #[must_use]
    pub fn byte(&self, request: u64, at: usize) -> u8 {
        if let Some(header) = &self.header
            && let Some(&byte) = header.get(at)
        {
            return byte;
        }
        self.word(request, at as u64 / 8).to_le_bytes()[at % 8]
    }

    /// Fills `out` with the bytes of `request` from position `at`. `out` may be shorter than the
    /// rest of the request.
    #[inline]
    pub fn fill(&self, request: u64, at: usize, out: &mut [u8]) {
        debug_assert!(at + out.len() <= self.size(request));
        let (head, rest) = out.split_at_mut(self.head_len(at, out.len()));
        for (byte, at) in head.iter_mut().zip(at..) {
            *byte = self.byte(request, at);
        }
        let start = at + head.len();
        let (words, tail) = rest.as_chunks_mut::<8>();
        let mut word = self.word(request, start as u64 / 8);
        let (blocks, words) = words.as_chunks_mut::<BLOCK_WORDS>();
        for block in blocks {
            for chunk in block {
                *chunk = word.to_le_bytes();
                word = word.wrapping_add(PER_WORD);
            }
        }
        for chunk in words {
            *chunk = word.to_le_bytes();
            word = word.wrapping_add(PER_WORD);
        }
        let left = tail.len();
        tail.copy_from_slice(&word.to_le_bytes()[..left]);
    }

    /// Compares `bytes` with those of `request` from position `at`.
    ///
    /// # Errors
    /// Returns the position in `bytes` of the first wrong byte.
    #[inline(always)]
    pub fn verify(&self, request: u64, at: usize, bytes: &[u8]) -> Result<(), usize> {
        debug_assert!(at + bytes.len() <= self.size(request));
        let (head, rest) = bytes.split_at(self.head_len(at, bytes.len()));
        let mut wrong = 0;
        for (&byte, at) in head.iter().zip(at..) {
            wrong |= u64::from(byte ^ self.byte(request, at));
        }
        let start = at + head.len();
        let (words, tail) = rest.as_chunks::<8>();
        let mut word = self.word(request, start as u64 / 8);
        let (blocks, words) = words.as_chunks::<BLOCK_WORDS>();
        for block in blocks {
            for chunk in block {
                wrong |= u64::from_le_bytes(*chunk) ^ word;
                word = word.wrapping_add(PER_WORD);
            }
        }
        for chunk in words {
            wrong |= u64::from_le_bytes(*chunk) ^ word;
            word = word.wrapping_add(PER_WORD);
        }
        for (&byte, expected) in tail.iter().zip(word.to_le_bytes()) {
            wrong |= u64::from(byte ^ expected);
        }
        if wrong == 0 {
            Ok(())
        } else {
            Err(self.first_difference_slow(request, at, bytes))
        }
    }

    /// Returns the number of bytes to handle one by one, at most `len`: the bytes before the next
    /// word, or the whole first word if it holds a header.
    #[inline]
    fn head_len(&self, at: usize, len: usize) -> usize {
        let head = if at == 0 && self.header.is_some() {
            8
        } else {
            at.wrapping_neg() % 8
        };
        head.min(len)
    }

    #[cold]
    fn first_difference_slow(&self, request: u64, at: usize, bytes: &[u8]) -> usize {
        bytes
            .iter()
            .zip(at..)
            .position(|(&byte, at)| byte != self.byte(request, at))
            .expect("called only where the bytes differ")
    }
}

#[cfg(test)]
mod tests;
