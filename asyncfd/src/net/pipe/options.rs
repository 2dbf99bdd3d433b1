//! [`OpenOptions`].

#![forbid(unsafe_code)]

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::ends::{Receiver, Sender};

/// Options for opening a FIFO, also called a named pipe.
///
/// Same as tokio's type of this name.
///
/// # Examples
///
/// A reader that stays open while writers come and go:
///
/// ```no_run
/// use asyncfd::net::pipe;
///
/// # async fn read() -> std::io::Result<()> {
/// let receiver = pipe::OpenOptions::new().read_write(true).open_receiver("/run/commands")?;
/// let mut buffer = [0; 4096];
/// loop {
///     // Never 0: there is always one writer, which is this file itself.
///     let n = receiver.read(&mut buffer).await?;
///     println!("{:?}", &buffer[..n]);
/// }
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    read_write: bool,
    unchecked: bool,
}

impl OpenOptions {
    /// Returns the default options: one direction, and a check that the file is a FIFO.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the FIFO for both directions, although only one is used.
    ///
    /// A receiver then sees no end of the stream when the last writer leaves. A sender can open and
    /// write without a reader.
    ///
    /// # Platform notes
    ///
    /// POSIX does not define this; Linux supports it.
    pub fn read_write(&mut self, value: bool) -> &mut Self {
        self.read_write = value;
        self
    }

    /// Skips the check that the file is a FIFO, for files that are known to be one.
    pub fn unchecked(&mut self, value: bool) -> &mut Self {
        self.unchecked = value;
        self
    }

    /// Opens the FIFO at `path` for reading, without waiting for a writer.
    ///
    /// A read waits until the first writer comes. After the last writer has left, a read returns
    /// the end of the stream. It works again when another writer comes.
    ///
    /// # Errors
    ///
    /// Returns the errors of open(2), [`InvalidInput`](io::ErrorKind::InvalidInput) if it is not a
    /// FIFO, and the errors of registering.
    ///
    /// # Panics
    ///
    /// Panics when there is no current reactor.
    #[track_caller]
    pub fn open_receiver(&self, path: impl AsRef<Path>) -> io::Result<Receiver> {
        let fd = self.open(path, OFlags::RDONLY)?;
        if self.unchecked {
            Receiver::from_owned_fd_unchecked(fd)
        } else {
            Receiver::from_owned_fd(fd)
        }
    }

    /// Opens the FIFO at `path` for writing.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`open_receiver`](Self::open_receiver). open(2) also fails with
    /// ENXIO if there is no reader.
    ///
    /// # Panics
    ///
    /// Panics when there is no current reactor.
    #[track_caller]
    pub fn open_sender(&self, path: impl AsRef<Path>) -> io::Result<Sender> {
        let fd = self.open(path, OFlags::WRONLY)?;
        if self.unchecked {
            Sender::from_owned_fd_unchecked(fd)
        } else {
            Sender::from_owned_fd(fd)
        }
    }

    fn open(&self, path: impl AsRef<Path>, one_way: OFlags) -> io::Result<OwnedFd> {
        let access = if self.read_write {
            OFlags::RDWR
        } else {
            one_way
        };
        let flags = access | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(rustix::fs::open(path.as_ref(), flags, Mode::empty())?)
    }
}
