//! The free part of the buffers that tokio and hyper read into, which may be uninitialised.
//!
//! This is the only unsafe code in `compat`. Both buffers lend their free part, and learn how much
//! of it was filled, through unsafe methods. Each method has one demand:
//!
//! 1. Initialised memory stays initialised. Only [`Transport::receive`] gets the free part. It
//!    knows its argument only as a `Buffer` of rustix, a sealed trait without methods, so it can
//!    only pass it on to one of rustix's calls, and these only store bytes.
//! 2. Bytes that are counted as filled are initialised. For uninitialised memory, rustix's calls
//!    return the front part that is now initialised, as `u8`, and `receive` can return nothing
//!    else.
//!
//! The alternatives without unsafe code are to zero the free part before every read, or to read
//! into our own memory and copy. ARCHITECTURE.md has their cost.

#![expect(
    unsafe_code,
    reason = "the buffers have no safe way to be read into as they are"
)]

use std::io;

use crate::net::operations::{Spare, Transport};

#[cfg(feature = "tokio-io")]
impl Spare for tokio::io::ReadBuf<'_> {
    fn remaining(&self) -> usize {
        Self::remaining(self)
    }

    #[inline]
    fn fill(&mut self, from: &impl Transport) -> io::Result<usize> {
        // SAFETY: demand 1.
        let memory = unsafe { self.unfilled_mut() };
        let (filled, _) = from.receive(memory)?;
        let n = filled.len();
        // SAFETY: demand 2.
        unsafe { self.assume_init(n) };
        self.advance(n);
        Ok(n)
    }

    fn fill_zeroed(
        &mut self,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let n = read(self.initialize_unfilled())?;
        self.advance(n);
        Ok(n)
    }
}

#[cfg(feature = "hyper")]
impl Spare for hyper::rt::ReadBufCursor<'_> {
    fn remaining(&self) -> usize {
        Self::remaining(self)
    }

    #[inline]
    fn fill(&mut self, from: &impl Transport) -> io::Result<usize> {
        // SAFETY: demand 1.
        let memory = unsafe { self.as_mut() };
        let (filled, _) = from.receive(memory)?;
        let n = filled.len();
        // SAFETY: demand 2.
        unsafe { self.advance(n) };
        Ok(n)
    }

    fn fill_zeroed(
        &mut self,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let memory = self.initialize_unfilled();
        let n = read(memory)?;
        assert!(
            n <= memory.len(),
            "a read returned more than it was given room for"
        );
        // SAFETY: demand 2: all of the free part was initialised above.
        unsafe { self.advance(n) };
        Ok(n)
    }
}
