//! [`pipe`], [`Sender`] and [`Receiver`].

#![forbid(unsafe_code)]

use std::fmt;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::task::{Context, Poll};

use reactor::{Interest, Ready, ShardId};
use rustix::fs::{FileType, OFlags};

use crate::async_fd::AsyncFd;
use crate::drain::ShortTransfer;
use crate::net::attach::attach;
use crate::net::forms::three_forms;
use crate::net::operations::{Receive, ReceiveVectored, Transmit, TransmitVectored};
use crate::net::socket::{descriptor_traits, own_operations, waits_for};
use crate::net::stream::{read_io, write_io};
use crate::net::sys;

/// Creates a pipe: bytes written to one end are read from the other.
///
/// # Errors
///
/// Returns the errors of pipe2(2) and of registering.
///
/// # Panics
///
/// Panics when there is no current reactor.
///
/// # Examples
///
/// ```
/// use asyncfd::net::pipe;
///
/// # fn main() -> std::io::Result<()> {
/// let reactor = reactor::Reactor::builder().shards(1).build()?;
/// reactor.block_on(async {
///     let (sender, receiver) = pipe::pipe()?;
///     sender.write_all(b"hello").await?;
///     drop(sender);
///     let mut buffer = [0; 16];
///     assert_eq!(receiver.read(&mut buffer).await?, 5);
///     assert_eq!(receiver.read(&mut buffer).await?, 0);
///     Ok(())
/// })
/// # }
/// ```
#[track_caller]
pub fn pipe() -> io::Result<(Sender, Receiver)> {
    let (receiver, sender) = sys::pipe()?;
    Ok((
        Sender::attach(sender, Ready::WRITABLE)?,
        Receiver::attach(receiver, Ready::EMPTY)?,
    ))
}

/// The writing end of a pipe.
///
/// Dropping it closes it. Once all senders are gone, a reader reads the end of the stream. A write
/// without a reader fails with [`BrokenPipe`](io::ErrorKind::BrokenPipe), and also raises SIGPIPE,
/// which Rust's runtime ignores.
pub struct Sender {
    fd: AsyncFd<OwnedFd>,
}

/// The reading end of a pipe.
///
/// A read of fewer bytes than requested proves nothing, because a writer may have used packet mode
/// (O_DIRECT). So a reader detects an empty pipe by EAGAIN.
pub struct Receiver {
    fd: AsyncFd<OwnedFd>,
}

impl Receiver {
    fn short_read(&self) -> ShortTransfer {
        ShortTransfer::SaysNothing
    }
}

/// Constructors and conversions of an end. `$interest` is its registered interest, `$mode` the
/// access mode that its descriptor needs.
macro_rules! end_of_pipe {
    ($end:ident, $interest:expr, $mode:expr, $open:literal) => {
        impl $end {
            /// Registers a pipe end that was opened elsewhere, and sets it to non-blocking mode.
            ///
            /// # Errors
            ///
            /// Returns [`InvalidInput`](io::ErrorKind::InvalidInput) if it is not a pipe, or not
            #[doc = concat!("open for ", $open, "; the errors of registering.")]
            ///
            /// # Panics
            ///
            /// Panics when there is no current reactor.
            #[track_caller]
            pub fn from_file(file: File) -> io::Result<Self> {
                Self::from_owned_fd(file.into())
            }

            /// Like [`from_file`](Self::from_file), from a descriptor.
            ///
            /// # Errors
            ///
            /// Returns the same errors as [`from_file`](Self::from_file).
            ///
            /// # Panics
            ///
            /// Panics when there is no current reactor.
            #[track_caller]
            pub fn from_owned_fd(fd: OwnedFd) -> io::Result<Self> {
                check(&fd, $mode)?;
                rustix::io::ioctl_fionbio(&fd, true)?;
                Self::attach(fd, Ready::EMPTY)
            }

            /// Like [`from_file`](Self::from_file), for a file that is known to fit: it checks
            /// nothing and does not set the mode.
            ///
            /// # Errors
            ///
            /// Returns the errors of registering.
            ///
            /// # Panics
            ///
            /// Panics when there is no current reactor.
            #[track_caller]
            pub fn from_file_unchecked(file: File) -> io::Result<Self> {
                Self::from_owned_fd_unchecked(file.into())
            }

            /// Like [`from_file_unchecked`](Self::from_file_unchecked), from a descriptor.
            ///
            /// # Errors
            ///
            /// Returns the errors of registering.
            ///
            /// # Panics
            ///
            /// Panics when there is no current reactor.
            #[track_caller]
            pub fn from_owned_fd_unchecked(fd: OwnedFd) -> io::Result<Self> {
                Self::attach(fd, Ready::EMPTY)
            }

            #[track_caller]
            fn attach(fd: OwnedFd, initial: Ready) -> io::Result<Self> {
                Ok(Self {
                    fd: attach(fd, $interest, initial)?,
                })
            }

            /// Ends the registration and returns the descriptor in blocking mode, for instance to
            /// pass it to a child process.
            ///
            /// The mode belongs to the pipe's open file, so every process that shares the file sees
            /// the change.
            ///
            /// # Errors
            ///
            /// Returns the errors of setting the mode.
            pub fn into_blocking_fd(self) -> io::Result<OwnedFd> {
                let fd = self.into_nonblocking_fd()?;
                rustix::io::ioctl_fionbio(&fd, false)?;
                Ok(fd)
            }

            /// Ends the registration and returns the descriptor, still in non-blocking mode.
            ///
            /// # Errors
            ///
            /// Returns no error today.
            pub fn into_nonblocking_fd(self) -> io::Result<OwnedFd> {
                Ok(self.fd.into_inner())
            }
        }

        own_operations!($end);
        descriptor_traits!($end, OwnedFd);

        /// Like `from_owned_fd`.
        impl TryFrom<OwnedFd> for $end {
            type Error = io::Error;

            #[track_caller]
            fn try_from(fd: OwnedFd) -> io::Result<Self> {
                Self::from_owned_fd(fd)
            }
        }
    };
}

write_io!(Sender);
waits_for!(writable, Sender, poll_write_ready);
end_of_pipe!(Sender, Interest::WRITABLE, OFlags::WRONLY, "writing");

read_io!(Receiver);
waits_for!(readable, Receiver, poll_read_ready);
end_of_pipe!(Receiver, Interest::READABLE, OFlags::RDONLY, "reading");

/// Checks that this is a pipe that is open in `mode` or for both directions.
fn check(fd: &OwnedFd, mode: OFlags) -> io::Result<()> {
    let kind = FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode);
    let access = rustix::fs::fcntl_getfl(fd)? & OFlags::RWMODE;
    if kind != FileType::Fifo {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "this is not a pipe",
        ));
    }
    if access != mode && access != OFlags::RDWR {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "this pipe is not open in the requested direction",
        ));
    }
    Ok(())
}
