//! Buffers that all connections of a shard share.
//!
//! A waiting connection holds no buffer. Bytes are read into the shard's scratch buffer, or
//! produced in it, for one system call, and are used up before the task suspends.

use std::cell::RefCell;

/// The maximum number of bytes that one system call moves.
pub(crate) const SCRATCH_BYTES: usize = 64 * 1024;

/// A buffer of one shard.
#[derive(Debug)]
pub(crate) struct Scratch(RefCell<Box<[u8]>>);

impl Scratch {
    pub(crate) fn new() -> Self {
        Self(RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice()))
    }

    /// Lends the buffer for one call. Its content stays until the next call.
    #[inline(always)]
    pub(crate) fn lend<R>(&self, call: impl FnOnce(&mut [u8]) -> R) -> R {
        call(&mut self.0.borrow_mut())
    }
}
