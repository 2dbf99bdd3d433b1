//! A thread's scratch buffer.
//!
//! A server that holds no buffer per connection reads into its thread's buffer and writes from it
//! before it waits for anything. Only bytes that the socket does not take are copied.

use std::cell::RefCell;

/// Size of the buffer a server reads into, the same as `server-demo`'s.
pub const SCRATCH_BYTES: usize = 16 * 1024;

thread_local! {
    // It is constant and has no destructor, so accessing it is one addition to the thread pointer.
    static SCRATCH: RefCell<[u8; SCRATCH_BYTES]> = const { RefCell::new([0; SCRATCH_BYTES]) };
}

/// Lends the calling thread's scratch buffer, with the content that the last borrower left in it.
///
/// # Panics
///
/// When `f` borrows the buffer again.
pub fn with<R>(f: impl FnOnce(&mut [u8]) -> R) -> R {
    SCRATCH.with_borrow_mut(|buffer| f(buffer))
}
