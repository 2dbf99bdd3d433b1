//! [`FdIo`]: the traits for any object in an `AsyncFd` that reads and writes by itself.

#![forbid(unsafe_code)]

use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::task::{Context, Poll};

use rustix::io::Errno;
use rustix::net::Shutdown;

use super::written::Written;
use crate::async_fd::AsyncFd;
#[cfg(any(feature = "tokio-io", feature = "hyper"))]
use crate::net::operations::Spare;
use crate::net::operations::{Input, Output};
use crate::net::sys;

/// An [`AsyncFd`] with the I/O traits of other libraries. It is for objects that read and write
/// through a shared reference, like those of `std`, `socket2` and most devices.
///
/// For TCP, Unix sockets and pipes the types of [`net`](crate::net) are cheaper. This type does not
/// know its object, so a short transfer never counts as the last one, memory is initialised before
/// a read, and vectored writes are not advertised.
///
/// Reading needs `&T: Read`; writing needs `&T: Write` and `T: AsFd`. Flushing calls the object's
/// own `flush`. Shutting down, or closing, ends the writing side of a socket. On any other object
/// it only flushes.
///
/// The reading and writing traits wait in the slots of [`AsyncFd::poll_read_ready`] and
/// [`AsyncFd::poll_write_ready`]: one task for each direction.
///
/// # Examples
///
#[cfg_attr(feature = "tokio-io", doc = "```")]
#[cfg_attr(not(feature = "tokio-io"), doc = "```ignore")]
/// use asyncfd::AsyncFd;
/// use asyncfd::compat::FdIo;
/// use socket2::{Domain, Socket, Type};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # fn main() -> std::io::Result<()> {
/// let reactor = reactor::Reactor::builder().shards(1).build()?;
/// reactor.block_on(async {
///     let (a, b) = Socket::pair(Domain::UNIX, Type::SEQPACKET.nonblocking(), None)?;
///     let mut a = FdIo::new(AsyncFd::from_fd(a)?);
///     let mut b = FdIo::new(AsyncFd::from_fd(b)?);
///     a.write_all(b"a record").await?;
///     let mut record = [0; 64];
///     assert_eq!(b.read(&mut record).await?, 8);
///     a.shutdown().await?;
///     assert_eq!(b.read(&mut record).await?, 0);
///     Ok(())
/// })
/// # }
/// ```
pub struct FdIo<T: AsRawFd> {
    fd: AsyncFd<T>,
}

impl<T: AsRawFd> FdIo<T> {
    /// Wraps `fd`.
    pub const fn new(fd: AsyncFd<T>) -> Self {
        Self { fd }
    }

    /// Returns the `AsyncFd` inside. Both share the readiness.
    pub const fn get_ref(&self) -> &AsyncFd<T> {
        &self.fd
    }

    /// Returns the `AsyncFd` inside, mutably.
    pub const fn get_mut(&mut self) -> &mut AsyncFd<T> {
        &mut self.fd
    }

    /// Returns the `AsyncFd` inside and drops the wrapper.
    pub fn into_inner(self) -> AsyncFd<T> {
        self.fd
    }
}

impl<T> FdIo<T>
where
    T: AsRawFd,
    for<'a> &'a T: Read,
{
    #[cfg(feature = "futures-io")]
    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = Input::new(&self.fd, |mut object: &T| object.read(buffer));
        crate::drain::poll(read, cx)
    }

    #[cfg(feature = "futures-io")]
    pub(super) fn poll_read_vectored(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [io::IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let read = Input::new(&self.fd, |mut object: &T| object.read_vectored(buffers));
        crate::drain::poll(read, cx)
    }

    #[cfg(any(feature = "tokio-io", feature = "hyper"))]
    pub(super) fn poll_fill(
        &self,
        cx: &mut Context<'_>,
        spare: &mut impl Spare,
    ) -> Poll<io::Result<usize>> {
        let read = Input::new(&self.fd, |mut object: &T| {
            spare.fill_zeroed(|memory| object.read(memory))
        });
        crate::drain::poll(read, cx)
    }
}

impl<T> FdIo<T>
where
    T: AsRawFd,
    for<'a> &'a T: Write,
{
    pub(super) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let write = Output::new(&self.fd, |mut object: &T| object.write(bytes));
        crate::drain::poll(write, cx)
    }

    pub(super) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = Output::new(&self.fd, |mut object: &T| object.write_vectored(slices));
        crate::drain::poll(write, cx)
    }
}

impl<T> Written for FdIo<T>
where
    T: AsFd + AsRawFd,
    for<'a> &'a T: Write,
{
    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The first try does not check the readiness: most objects buffer nothing, and they need
        // not wait because a socket is full.
        loop {
            return match self.fd.get_ref().flush() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let flush = Output::new(&self.fd, |mut object: &T| object.flush());
                    crate::drain::poll(flush, cx)
                }
                result => Poll::Ready(result),
            };
        }
    }

    fn poll_end(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll_flush(cx))?;
        Poll::Ready(match rustix::net::shutdown(&self.fd, Shutdown::Write) {
            Err(Errno::NOTSOCK | Errno::OPNOTSUPP) => Ok(()),
            result => sys::unless_gone(result.map_err(io::Error::from)),
        })
    }

    #[cfg(any(feature = "tokio-io", feature = "hyper"))]
    fn is_vectored(&self) -> bool {
        false
    }
}

impl<T: AsRawFd + AsFd> AsFd for FdIo<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl<T: AsRawFd> AsRawFd for FdIo<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl<T: AsRawFd + fmt::Debug> fmt::Debug for FdIo<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FdIo").field("fd", &self.fd).finish()
    }
}
