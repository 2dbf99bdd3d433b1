//! Pipes: an anonymous one from [`pipe`], or a FIFO in the file system through [`OpenOptions`].
//!
//! Same as tokio's module `net::unix::pipe`, with the reading and writing that its types have from
//! traits.

#![forbid(unsafe_code)]

mod options;

use std::fmt;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::task::{Context, Poll};

use reactor::{Interest, Ready, ShardId};
use rustix::fs::{FileType, OFlags};

use super::forms::three_forms;
use super::operations::{Receive, ReceiveVectored, Transmit, TransmitVectored};
use super::socket::{descriptor_traits, own_operations, waits_for};
use super::stream::{read_io, write_io};
use super::{attach, sys};
use crate::AsyncFd;
use crate::io::ShortTransfer;

pub use options::OpenOptions;

/// Makes a pipe: what is written to the one end is read from the other.
///
/// # Errors
///
/// Those of pipe2(2) and of registering.
///
/// # Panics
///
/// When there is no current reactor.
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

/// The end of a pipe that is written to.
///
/// Dropping it closes it; a reader then finds the end, once all senders are gone. Writing where
/// nobody reads any more is [`BrokenPipe`](io::ErrorKind::BrokenPipe), and a SIGPIPE besides, which
/// Rust's runtime ignores.
pub struct Sender {
    fd: AsyncFd<OwnedFd>,
}

/// The end of a pipe that is read from.
///
/// A read that returns fewer bytes than asked for proves nothing: a writer may have asked for
/// packets, with O_DIRECT. So a reader finds out by EAGAIN that the pipe is empty.
pub struct Receiver {
    fd: AsyncFd<OwnedFd>,
}

impl Receiver {
    fn short_read(&self) -> ShortTransfer {
        ShortTransfer::SaysNothing
    }
}

/// Where an end comes from and goes to. `$interest` is what it is registered for, `$mode` the access
/// that its descriptor needs.
macro_rules! end_of_pipe {
    ($end:ident, $interest:expr, $mode:expr, $open:literal) => {
        impl $end {
            /// Registers an end that was opened elsewhere, and sets it to non-blocking mode.
            ///
            /// # Errors
            ///
            /// [`InvalidInput`](io::ErrorKind::InvalidInput) where it is no pipe, or not open for
            #[doc = concat!($open, "; those of registering.")]
            ///
            /// # Panics
            ///
            /// When there is no current reactor.
            #[track_caller]
            pub fn from_file(file: File) -> io::Result<Self> {
                Self::from_owned_fd(file.into())
            }

            /// As [`from_file`](Self::from_file), from a descriptor.
            ///
            /// # Errors
            ///
            /// As [`from_file`](Self::from_file).
            ///
            /// # Panics
            ///
            /// When there is no current reactor.
            #[track_caller]
            pub fn from_owned_fd(fd: OwnedFd) -> io::Result<Self> {
                check(&fd, $mode)?;
                rustix::io::ioctl_fionbio(&fd, true)?;
                Self::attach(fd, Ready::EMPTY)
            }

            /// As [`from_file`](Self::from_file), of a file that is known to be fit: nothing is
            /// checked, and the mode is not set.
            ///
            /// # Errors
            ///
            /// Those of registering.
            ///
            /// # Panics
            ///
            /// When there is no current reactor.
            #[track_caller]
            pub fn from_file_unchecked(file: File) -> io::Result<Self> {
                Self::from_owned_fd_unchecked(file.into())
            }

            /// As [`from_file_unchecked`](Self::from_file_unchecked), from a descriptor.
            ///
            /// # Errors
            ///
            /// Those of registering.
            ///
            /// # Panics
            ///
            /// When there is no current reactor.
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

            /// Ends the registration and returns the descriptor, in blocking mode, to be given to
            /// a child process for instance.
            ///
            /// The mode belongs to the pipe's open file, so whoever shares that sees the change.
            ///
            /// # Errors
            ///
            /// Those of setting the mode.
            pub fn into_blocking_fd(self) -> io::Result<OwnedFd> {
                let fd = self.into_nonblocking_fd()?;
                rustix::io::ioctl_fionbio(&fd, false)?;
                Ok(fd)
            }

            /// Ends the registration and returns the descriptor, still in non-blocking mode.
            ///
            /// # Errors
            ///
            /// None today.
            pub fn into_nonblocking_fd(self) -> io::Result<OwnedFd> {
                Ok(self.fd.into_inner())
            }
        }

        own_operations!($end);
        descriptor_traits!($end, OwnedFd);

        /// As `from_owned_fd`.
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

/// Whether this is a pipe that is open in `mode`, or for both directions.
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
            "this pipe is not open in the direction that is asked for",
        ));
    }
    Ok(())
}
