//! Systems without samples of a stack.

use std::io;

/// Identifies no thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ThreadNumber;

impl ThreadNumber {
    pub(crate) fn current() -> Self {
        Self
    }
}

/// A sampler that cannot exist.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sampler {}

impl Sampler {
    pub(crate) fn install(_: Option<i32>) -> io::Result<Self> {
        let message = "stall_backtraces: not supported on this system";
        Err(io::Error::new(io::ErrorKind::Unsupported, message))
    }

    pub(crate) fn frames_of(self, _: ThreadNumber) -> Option<Vec<u64>> {
        match self {}
    }
}
