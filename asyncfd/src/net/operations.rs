//! What the sockets do, as operations for the loops of `io.rs`: each with its system call and its
//! draining rule.
//!
//! Tested in `tests/draining.rs`.

#![forbid(unsafe_code)]

use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};

use reactor::{Direction, Interest, Registration};

use super::sys;
use crate::AsyncFd;
use crate::io::{Operation, ShortTransfer};

/// The head of an [`Operation`]: in which direction it goes.
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

/// Reads what there is.
pub(super) struct Receive<'a, 'b, T: AsRawFd> {
    pub(super) fd: &'a AsyncFd<T>,
    pub(super) buffer: &'b mut [u8],
    pub(super) short: ShortTransfer,
}

impl<T: AsRawFd + AsFd> Operation for Receive<'_, '_, T> {
    type Output = usize;
    direction!(read);

    #[inline]
    fn call(&mut self) -> io::Result<usize> {
        sys::recv(self.fd.get_ref(), self.buffer)
    }

    #[inline]
    fn drains(&self, &n: &usize) -> bool {
        self.short.is_proof(n, self.buffer.len())
    }
}

/// As [`Receive`], into several buffers.
pub(super) struct ReceiveVectored<'a, 'b, 'c, T: AsRawFd> {
    pub(super) fd: &'a AsyncFd<T>,
    pub(super) buffers: &'b mut [IoSliceMut<'c>],
    pub(super) short: ShortTransfer,
}

impl<T: AsRawFd + AsFd> Operation for ReceiveVectored<'_, '_, '_, T> {
    type Output = usize;
    direction!(read);

    fn call(&mut self) -> io::Result<usize> {
        sys::recv_vectored(self.fd.get_ref(), self.buffers)
    }

    fn drains(&self, &n: &usize) -> bool {
        self.short.is_proof(n, sys::given(self.buffers))
    }
}

/// Reads and takes nothing off, so that however little it returns, all of it is still there.
pub(super) struct Peek<'a, 'b, T: AsRawFd> {
    pub(super) fd: &'a AsyncFd<T>,
    pub(super) buffer: &'b mut [u8],
}

impl<T: AsRawFd + AsFd> Operation for Peek<'_, '_, T> {
    type Output = usize;
    direction!(read);

    fn call(&mut self) -> io::Result<usize> {
        sys::peek(self.fd.get_ref(), self.buffer)
    }
}

/// Writes what there is room for. Both kinds of stream take less only when their buffer is full.
pub(super) struct Transmit<'a, 'b, T: AsRawFd> {
    pub(super) fd: &'a AsyncFd<T>,
    pub(super) bytes: &'b [u8],
}

impl<T: AsRawFd + AsFd> Operation for Transmit<'_, '_, T> {
    type Output = usize;
    direction!(write);

    #[inline]
    fn call(&mut self) -> io::Result<usize> {
        sys::send(self.fd.get_ref(), self.bytes)
    }

    #[inline]
    fn drains(&self, &n: &usize) -> bool {
        ShortTransfer::Drained.is_proof(n, self.bytes.len())
    }
}

/// As [`Transmit`], from several slices.
pub(super) struct TransmitVectored<'a, 'b, 'c, T: AsRawFd> {
    pub(super) fd: &'a AsyncFd<T>,
    pub(super) slices: &'b [IoSlice<'c>],
}

impl<T: AsRawFd + AsFd> Operation for TransmitVectored<'_, '_, '_, T> {
    type Output = usize;
    direction!(write);

    fn call(&mut self) -> io::Result<usize> {
        sys::send_vectored(self.fd.get_ref(), self.slices)
    }

    fn drains(&self, &n: &usize) -> bool {
        ShortTransfer::Drained.is_proof(n, sys::given(self.slices))
    }
}

/// Takes a connection from a listener. One taken says nothing about others.
pub(super) struct AcceptTcp<'a>(pub(super) &'a AsyncFd<std::net::TcpListener>);

impl Operation for AcceptTcp<'_> {
    type Output = (std::net::TcpStream, SocketAddr);
    const INTEREST: Interest = Interest::READABLE;
    const DIRECTION: Direction = Direction::Read;

    fn registration(&self) -> &Registration {
        self.0.registration()
    }

    fn call(&mut self) -> io::Result<Self::Output> {
        sys::accept_tcp(self.0.get_ref())
    }
}

/// As [`AcceptTcp`].
pub(super) struct AcceptUnix<'a>(pub(super) &'a AsyncFd<std::os::unix::net::UnixListener>);

impl Operation for AcceptUnix<'_> {
    type Output = (
        std::os::unix::net::UnixStream,
        std::os::unix::net::SocketAddr,
    );
    const INTEREST: Interest = Interest::READABLE;
    const DIRECTION: Direction = Direction::Read;

    fn registration(&self) -> &Registration {
        self.0.registration()
    }

    fn call(&mut self) -> io::Result<Self::Output> {
        sys::accept_unix(self.0.get_ref())
    }
}
