//! [`OpenOptions`].

#![forbid(unsafe_code)]

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::{Receiver, Sender};

/// How a FIFO is opened, which others call a named pipe.
///
/// Same as tokio's type of the name.
///
/// # Examples
///
/// A reader that does not care whether writers come and go:
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
    /// The usual: one direction, and a check that it is a FIFO.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the FIFO for both directions, although one is used.
    ///
    /// A receiver then finds no end when the last writer goes, and a sender opens, and writes, while
    /// nobody reads.
    ///
    /// # Platform notes
    ///
    /// POSIX leaves this open; Linux has it.
    pub fn read_write(&mut self, value: bool) -> &mut Self {
        self.read_write = value;
        self
    }

    /// Leaves out the check that it is a FIFO, for one that is known to be.
    pub fn unchecked(&mut self, value: bool) -> &mut Self {
        self.unchecked = value;
        self
    }

    /// Opens the FIFO at `path` for reading, without waiting for a writer.
    ///
    /// Until the first writer comes a read waits; after the last has gone it finds the end, and goes
    /// on when another comes.
    ///
    /// # Errors
    ///
    /// Those of open(2), [`InvalidInput`](io::ErrorKind::InvalidInput) where it is no FIFO, and those
    /// of registering.
    ///
    /// # Panics
    ///
    /// When there is no current reactor.
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
    /// As [`open_receiver`](Self::open_receiver); among those of open(2) is ENXIO where nobody reads.
    ///
    /// # Panics
    ///
    /// When there is no current reactor.
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
