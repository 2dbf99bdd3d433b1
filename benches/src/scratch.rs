//! A thread's scratch buffers.
//!
//! A server that holds no buffer per connection reads into one that belongs to the thread. Where the
//! data must survive a wait (the textbook `AsyncFd` loop waits for writability before it writes),
//! the task takes the buffer with it and gives it back afterwards; a second task that comes by in
//! the meantime gets a new one. In steady echo traffic one buffer per thread is all there is.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

thread_local! {
    static SPARE: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer on loan from the thread, given back when dropped.
#[derive(Debug)]
pub struct Scratch(Box<[u8]>);

impl Scratch {
    /// Takes a buffer of `size` bytes; `size` is the same in every call of a program.
    #[must_use]
    pub fn take(size: usize) -> Self {
        let spare = SPARE.with_borrow_mut(Vec::pop);
        Self(spare.unwrap_or_else(|| vec![0; size].into_boxed_slice()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.0);
        // At thread exit the pool may be gone before the last task is: the buffer is freed then.
        let _ = SPARE.try_with(|spare| spare.borrow_mut().push(buffer));
    }
}

impl Deref for Scratch {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_returned_buffer_is_lent_again() {
        let first = Scratch::take(100);
        assert_eq!(first.len(), 100);
        let address = first.as_ptr();
        drop(first);
        let again = Scratch::take(100);
        assert_eq!(again.as_ptr(), address);
        let other = Scratch::take(100);
        assert_ne!(other.as_ptr(), address);
    }
}
