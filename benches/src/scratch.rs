//! A thread's scratch buffer.
//!
//! A server that holds no buffer per connection reads into one that belongs to the thread and writes
//! out of it before it waits for anything; only what the socket would not take is copied.

use std::cell::RefCell;

/// Size of the buffer a server reads into: `server-demo`'s.
pub const SCRATCH_BYTES: usize = 16 * 1024;

thread_local! {
    // Constant and without a destructor, so that reaching it is one addition to the thread pointer.
    static SCRATCH: RefCell<[u8; SCRATCH_BYTES]> = const { RefCell::new([0; SCRATCH_BYTES]) };
}

/// Lends the calling thread's scratch buffer, with whatever the last borrower left in it.
///
/// # Panics
/// When `f` asks for the buffer again.
pub fn with<R>(f: impl FnOnce(&mut [u8]) -> R) -> R {
    SCRATCH.with_borrow_mut(|buffer| f(buffer))
}
