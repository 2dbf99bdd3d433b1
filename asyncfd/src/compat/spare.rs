//! The free part of the buffers of bytes, tokio and hyper, which may be uninitialised.
//!
//! This is the only unsafe code in `compat`. The buffers lend their free part, and learn how much
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
#[cfg(feature = "bytes")]
use crate::net::sys;

/// The next chunk of a buffer of the crate `bytes`.
#[cfg(feature = "bytes")]
pub(crate) struct Chunk<'a, B> {
    buffer: &'a mut B,
    /// The length of the chunk that the last read left free. The buffer may have another chunk now.
    remaining: usize,
}

#[cfg(feature = "bytes")]
impl<'a, B: bytes::BufMut> Chunk<'a, B> {
    pub(crate) fn new(buffer: &'a mut B) -> Self {
        Self {
            buffer,
            remaining: 0,
        }
    }

    /// Receives a message, and returns its length and the sender's address.
    pub(crate) fn fill_from_udp(
        &mut self,
        from: &std::net::UdpSocket,
    ) -> io::Result<(usize, std::net::SocketAddr)> {
        // SAFETY: demand 1.
        let memory = unsafe { self.buffer.chunk_mut().as_uninit_slice_mut() };
        let ((filled, _), address) = sys::recv_from(from, memory)?;
        let n = filled.len();
        // SAFETY: demand 2.
        unsafe { self.buffer.advance_mut(n) };
        Ok((n, address))
    }

    /// Like [`fill_from_udp`](Self::fill_from_udp). It zeros the chunk first: only the standard
    /// library reads every address of a Unix socket, and it needs initialised memory.
    pub(crate) fn fill_from_unix(
        &mut self,
        from: &std::os::unix::net::UnixDatagram,
    ) -> io::Result<(usize, std::os::unix::net::SocketAddr)> {
        let mut address = None;
        let n = self.fill_zeroed(|memory| {
            let (n, sender) = from.recv_from(memory)?;
            address = Some(sender);
            Ok(n)
        })?;
        Ok((n, address.expect("a read that succeeded has stored it")))
    }
}

#[cfg(feature = "bytes")]
impl<B: bytes::BufMut> Spare for Chunk<'_, B> {
    fn remaining(&self) -> usize {
        self.remaining
    }

    #[inline]
    fn fill(&mut self, from: &impl Transport) -> io::Result<usize> {
        // SAFETY: demand 1.
        let memory = unsafe { self.buffer.chunk_mut().as_uninit_slice_mut() };
        let length = memory.len();
        let (filled, _) = from.receive(memory)?;
        let n = filled.len();
        // SAFETY: demand 2.
        unsafe { self.buffer.advance_mut(n) };
        self.remaining = length - n;
        Ok(n)
    }

    fn fill_zeroed(
        &mut self,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let chunk = self.buffer.chunk_mut();
        let (start, length) = (chunk.as_mut_ptr(), chunk.len());
        // SAFETY: the chunk is memory of this length that may be written to.
        unsafe { start.write_bytes(0, length) };
        // SAFETY: as above, it is initialised now, and `chunk` is not used while this borrow lives.
        let memory = unsafe { std::slice::from_raw_parts_mut(start, length) };
        let n = read(memory)?;
        assert!(n <= length, "a read returned more than its buffer's length");
        // SAFETY: demand 2: the whole chunk was initialised above.
        unsafe { self.buffer.advance_mut(n) };
        self.remaining = length - n;
        Ok(n)
    }
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
