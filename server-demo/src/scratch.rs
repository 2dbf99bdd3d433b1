//! The scratch buffer: one per thread, which all connections of a shard read into and answer from.
//!
//! A connection borrows it between a read and the write that answers it, and never across a
//! suspension point. So a waiting connection holds no buffer, and a connection that moves to
//! another shard uses the buffer of that one. Tests: `connection/tests.rs`.

use std::cell::RefCell;

use crate::config::READ_BUFFER;

thread_local! {
    /// An array in place and without a destructor, so that its address needs no check.
    static SCRATCH: RefCell<[u8; READ_BUFFER]> = const { RefCell::new([0; READ_BUFFER]) };
}

/// Lends the calling thread's whole buffer, to be filled.
///
/// # Panics
///
/// Panics if `read` borrows the buffer again.
#[inline(always)]
pub fn fill<R>(read: impl FnOnce(&mut [u8]) -> R) -> R {
    SCRATCH.with_borrow_mut(|buffer| read(&mut buffer[..]))
}

/// Lends the first `len` bytes of the calling thread's buffer.
///
/// # Panics
///
/// Panics if `write` borrows the buffer again, or if `len` is more than [`READ_BUFFER`].
#[inline(always)]
pub fn with<R>(len: usize, write: impl FnOnce(&[u8]) -> R) -> R {
    // The mutable borrow is cheaper, and no other code holds one.
    SCRATCH.with_borrow_mut(|buffer| write(&buffer[..len]))
}
