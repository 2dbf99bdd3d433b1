//! The free part of the buffers that tokio and hyper read into, which may not be initialised.
//!
//! The one home of unsafe code in `compat`. Both buffers lend their free part, and are told how much
//! of it was filled, by unsafe methods, each with one demand:
//!
//! 1. What is initialised stays so. The free part is handed to [`Transport::receive`] and to nobody
//!    else, which knows nothing of its argument but that it is a `Buffer` of rustix, a sealed
//!    trait without methods. So all it can do is hand it on to one of rustix's calls, and these
//!    store bytes.
//! 2. What is counted as filled is initialised. Out of memory that is not initialised rustix's calls
//!    return the front part that is so now, as `u8`, and `receive` can return nothing else.
//!
//! The ways without unsafe code are to zero the free part before every read, or to read into memory
//! of our own and copy; ARCHITECTURE.md says what they cost.

#![expect(
    unsafe_code,
    reason = "the buffers have no safe way to be read into as they are"
)]

use std::io;

use crate::net::operations::Transport;

/// A buffer's free part.
pub(crate) trait Spare {
    /// How many bytes still fit.
    fn remaining(&self) -> usize;

    /// Reads into it once, and counts what came.
    fn fill(&mut self, from: &impl Transport) -> io::Result<usize>;

    /// As [`fill`](Self::fill), for a `read` that needs initialised memory. It returns how much of
    /// that it stored to.
    ///
    /// # Panics
    ///
    /// Where it returns more than there is.
    fn fill_zeroed(
        &mut self,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize>;
}

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
