//! The operations of the sockets, for the loops of `drain.rs`: each with its system call and its
//! draining rule.
//!
//! [`Receive`] and [`Transmit`] and their vectored forms transfer bytes of a stream, and a short
//! transfer may prove that the stream is drained. Everything else (datagrams, `peek`, `accept`) is
//! a closure for [`Input`] or [`Output`], where only EAGAIN is proof. Tests are in
//! `tests/draining.rs` and `tests/net`.

#![forbid(unsafe_code)]

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use reactor::{Direction, Interest, Registration};
use rustix::buffer::Buffer;

use super::sys;
use crate::async_fd::AsyncFd;
use crate::drain::{Operation, ShortTransfer};

/// The system calls that read and write an object. The defaults are those of a stream socket.
pub(crate) trait Transport: AsRawFd + AsFd {
    /// Returns the number of bytes, or for uninitialised memory the part that is now initialised.
    #[inline]
    fn receive<B: Buffer<u8>>(&self, buffer: B) -> io::Result<B::Output> {
        sys::recv(self, buffer)
    }

    #[inline]
    fn transmit(&self, bytes: &[u8]) -> io::Result<usize> {
        sys::send(self, bytes)
    }

    fn transmit_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        sys::send_vectored(self, slices)
    }
}

impl Transport for std::net::TcpStream {}

impl Transport for std::os::unix::net::UnixStream {}

impl Transport for std::net::UdpSocket {}

impl Transport for std::os::unix::net::UnixDatagram {}

/// An end of a pipe.
impl Transport for OwnedFd {
    fn receive<B: Buffer<u8>>(&self, buffer: B) -> io::Result<B::Output> {
        sys::read(self, buffer)
    }

    fn transmit(&self, bytes: &[u8]) -> io::Result<usize> {
        sys::write(self, bytes)
    }

    fn transmit_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        sys::write_vectored(self, slices)
    }
}

/// The free part of another library's buffer. `compat/spare.rs` implements it.
#[cfg(any(feature = "bytes", feature = "tokio-io", feature = "hyper"))]
pub(crate) trait Spare {
    /// Returns the number of bytes that still fit.
    fn remaining(&self) -> usize;

    /// Reads into the free part once, and counts the bytes as filled.
    fn fill(&mut self, from: &impl Transport) -> io::Result<usize>;

    /// Like [`fill`](Self::fill), for a `read` that needs initialised memory. `read` returns the
    /// number of bytes that it stored.
    ///
    /// # Panics
    ///
    /// If `read` returns more than the buffer's length.
    fn fill_zeroed(
        &mut self,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize>;
}

/// The common part of an [`Operation`]: its direction.
macro_rules! direction {
    (read) => {
        const INTEREST: Interest = Interest::READABLE;
        const DIRECTION: Direction = Direction::Read;
        direction!();
    };
    (write) => {
        const INTEREST: Interest = Interest::WRITABLE;
        const DIRECTION: Direction = Direction::Write;
        direction!();
    };
    () => {
        #[inline]
        fn registration(&self) -> &Registration {
            self.fd.registration()
        }
    };
}

/// Reads available bytes to the end of a vector. The caller has made room.
pub(super) struct Append<'a, 'b, T: AsRawFd> {
    pub(super) fd: &'a AsyncFd<T>,
    pub(super) bytes: &'b mut Vec<u8>,
    pub(super) short: ShortTransfer,
}

impl<T: Transport> Operation for Append<'_, '_, T> {
    type Output = usize;
    direction!(read);

    fn call(&mut self) -> io::Result<usize> {
        self.fd
            .get_ref()
            .receive(rustix::buffer::spare_capacity(self.bytes))
    }

    fn drains(&self, &n: &usize) -> bool {
        let free = self.bytes.capacity() - self.bytes.len();
        self.short.is_proof(n, n + free)
    }
}

/// Reads available bytes.
pub(super) struct Receive<'a, 'b, T: AsRawFd> {
    pub(super) fd: &'a AsyncFd<T>,
    pub(super) buffer: &'b mut [u8],
    pub(super) short: ShortTransfer,
}

impl<T: Transport> Operation for Receive<'_, '_, T> {
    type Output = usize;
    direction!(read);

    #[inline]
    fn call(&mut self) -> io::Result<usize> {
        self.fd.get_ref().receive(&mut *self.buffer)
    }

    #[inline]
    fn drains(&self, &n: &usize) -> bool {
        self.short.is_proof(n, self.buffer.len())
    }
}

/// Like [`Receive`], into the free part of another library's buffer.
#[cfg(any(feature = "bytes", feature = "tokio-io", feature = "hyper"))]
pub(super) struct Fill<'a, 'b, T: AsRawFd, S> {
    pub(super) fd: &'a AsyncFd<T>,
    pub(super) spare: &'b mut S,
    pub(super) short: ShortTransfer,
}

#[cfg(any(feature = "bytes", feature = "tokio-io", feature = "hyper"))]
impl<T: Transport, S: Spare> Operation for Fill<'_, '_, T, S> {
    type Output = usize;
    direction!(read);

    #[inline]
    fn call(&mut self) -> io::Result<usize> {
        self.spare.fill(self.fd.get_ref())
    }

    #[inline]
    fn drains(&self, &n: &usize) -> bool {
        self.short.is_proof(n, n + self.spare.remaining())
    }
}

/// Like [`Receive`], into several buffers.
pub(super) struct ReceiveVectored<'a, 'b, 'c, T: AsRawFd> {
    pub(super) fd: &'a AsyncFd<T>,
    pub(super) buffers: &'b mut [IoSliceMut<'c>],
    pub(super) short: ShortTransfer,
}

impl<T: Transport> Operation for ReceiveVectored<'_, '_, '_, T> {
    type Output = usize;
    direction!(read);

    fn call(&mut self) -> io::Result<usize> {
        sys::recv_vectored(self.fd.get_ref(), self.buffers)
    }

    fn drains(&self, &n: &usize) -> bool {
        self.short.is_proof(n, sys::given(self.buffers))
    }
}

/// Writes as many bytes as fit. Streams and pipes take less than all only when their buffer is
/// full.
pub(super) struct Transmit<'a, 'b, T: AsRawFd> {
    pub(super) fd: &'a AsyncFd<T>,
    pub(super) bytes: &'b [u8],
}

impl<T: Transport> Operation for Transmit<'_, '_, T> {
    type Output = usize;
    direction!(write);

    #[inline]
    fn call(&mut self) -> io::Result<usize> {
        self.fd.get_ref().transmit(self.bytes)
    }

    #[inline]
    fn drains(&self, &n: &usize) -> bool {
        ShortTransfer::Drained.is_proof(n, self.bytes.len())
    }
}

/// Like [`Transmit`], from several slices.
pub(super) struct TransmitVectored<'a, 'b, 'c, T: AsRawFd> {
    pub(super) fd: &'a AsyncFd<T>,
    pub(super) slices: &'b [IoSlice<'c>],
}

impl<T: Transport> Operation for TransmitVectored<'_, '_, '_, T> {
    type Output = usize;
    direction!(write);

    fn call(&mut self) -> io::Result<usize> {
        self.fd.get_ref().transmit_vectored(self.slices)
    }

    fn drains(&self, &n: &usize) -> bool {
        ShortTransfer::Drained.is_proof(n, sys::given(self.slices))
    }
}

/// An operation that reads and whose result proves nothing: one message or connection tells nothing
/// about others, and peeked bytes are all still there.
pub(crate) struct Input<'a, T: AsRawFd, F>(&'a AsyncFd<T>, F);

impl<'a, T: AsRawFd, R, F: FnMut(&T) -> io::Result<R>> Input<'a, T, F> {
    pub(crate) fn new(fd: &'a AsyncFd<T>, call: F) -> Self {
        Self(fd, call)
    }
}

impl<T: AsRawFd, R, F: FnMut(&T) -> io::Result<R>> Operation for Input<'_, T, F> {
    type Output = R;
    const INTEREST: Interest = Interest::READABLE;
    const DIRECTION: Direction = Direction::Read;

    fn registration(&self) -> &Registration {
        self.0.registration()
    }

    fn call(&mut self) -> io::Result<R> {
        (self.1)(self.0.get_ref())
    }
}

/// Like [`Input`], for messages. Once the socket is shut down for reading and has no message left,
/// Linux reports it as readable, and every call that does not block fails with EAGAIN. A blocking
/// call would return at once, and so does this: `end` is the result.
pub(crate) struct MessageInput<'a, T: AsRawFd, R, F> {
    fd: &'a AsyncFd<T>,
    call: F,
    end: fn() -> io::Result<R>,
}

impl<'a, T: AsRawFd, R, F: FnMut(&T) -> io::Result<R>> MessageInput<'a, T, R, F> {
    pub(crate) fn new(fd: &'a AsyncFd<T>, call: F, end: fn() -> io::Result<R>) -> Self {
        Self { fd, call, end }
    }
}

impl<T: AsRawFd + AsFd, R, F: FnMut(&T) -> io::Result<R>> Operation for MessageInput<'_, T, R, F> {
    type Output = R;
    direction!(read);

    fn call(&mut self) -> io::Result<R> {
        (self.call)(self.fd.get_ref())
    }

    #[cold]
    fn ended(&mut self) -> Option<io::Result<R>> {
        if !sys::is_shut_for_reading(self.fd.get_ref()) {
            return None;
        }
        // A message may have come since the last call.
        match self.call() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Some((self.end)()),
            result => Some(result),
        }
    }
}

/// Like [`Input`], in the other direction.
pub(crate) struct Output<'a, T: AsRawFd, F>(&'a AsyncFd<T>, F);

impl<'a, T: AsRawFd, R, F: FnMut(&T) -> io::Result<R>> Output<'a, T, F> {
    pub(crate) fn new(fd: &'a AsyncFd<T>, call: F) -> Self {
        Self(fd, call)
    }
}

impl<T: AsRawFd, R, F: FnMut(&T) -> io::Result<R>> Operation for Output<'_, T, F> {
    type Output = R;
    const INTEREST: Interest = Interest::WRITABLE;
    const DIRECTION: Direction = Direction::Write;

    fn registration(&self) -> &Registration {
        self.0.registration()
    }

    fn call(&mut self) -> io::Result<R> {
        (self.1)(self.0.get_ref())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};
    use std::net::Shutdown;
    use std::os::unix::net::UnixDatagram;

    use super::{MessageInput, Operation};
    use crate::AsyncFd;

    #[test]
    fn a_receive_ends_at_the_end_of_messages_and_with_any_other_error() {
        let reactor = reactor::Reactor::builder().shards(1).build().unwrap();
        let _entered = reactor.enter();
        let (near, _far) = UnixDatagram::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        near.shutdown(Shutdown::Read).unwrap();
        let fd = AsyncFd::new(near).unwrap();
        let ends = |kind: ErrorKind| {
            let call = |_: &UnixDatagram| Err(Error::from(kind));
            let mut receive = MessageInput::new(&fd, call, || Ok(0));
            receive.ended().unwrap().map_err(|error| error.kind())
        };
        assert_eq!(ends(ErrorKind::WouldBlock), Ok(0));
        let refused = ErrorKind::ConnectionRefused;
        assert_eq!(ends(refused), Err(refused));
    }
}
