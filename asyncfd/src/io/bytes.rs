//! [`ReadBytes`] and [`WriteBytes`].

#![forbid(unsafe_code)]

use std::io;

use crate::net::{TcpStream, UnixStream, pipe, tcp, unix};

#[expect(
    unnameable_types,
    reason = "a type that cannot name it cannot implement the traits"
)]
pub(crate) mod sealed {
    pub trait Sealed {}
}

/// A stream, a half of one, or an end of a pipe that bytes are read from; or a shared reference to
/// one.
///
/// No other types implement it.
pub trait ReadBytes: sealed::Sealed {
    /// Reads into `buffer`, and returns the number of bytes, which is 0 at the end of the stream.
    ///
    /// # Errors
    ///
    /// Returns the errors of the type's `read`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future reads nothing.
    fn read_bytes(&mut self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send;
}

/// A stream, a half of one, or an end of a pipe that bytes are written to; or a shared reference to
/// one.
///
/// No other types implement it.
pub trait WriteBytes: sealed::Sealed {
    /// Writes all of `bytes`.
    ///
    /// # Errors
    ///
    /// Returns the errors of the type's `write_all`.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: dropping the future loses the number of bytes written.
    fn write_bytes(&mut self, bytes: &[u8]) -> impl Future<Output = io::Result<()>> + Send;
}

macro_rules! reads {
    ($($type:ty),+ $(,)?) => {$(
        impl ReadBytes for $type {
            fn read_bytes(
                &mut self,
                buffer: &mut [u8],
            ) -> impl Future<Output = io::Result<usize>> + Send {
                self.read(buffer)
            }
        }

        impl ReadBytes for &$type {
            fn read_bytes(
                &mut self,
                buffer: &mut [u8],
            ) -> impl Future<Output = io::Result<usize>> + Send {
                self.read(buffer)
            }
        }
    )+};
}

macro_rules! writes {
    ($($type:ty),+ $(,)?) => {$(
        impl WriteBytes for $type {
            fn write_bytes(&mut self, bytes: &[u8]) -> impl Future<Output = io::Result<()>> + Send {
                self.write_all(bytes)
            }
        }

        impl WriteBytes for &$type {
            fn write_bytes(&mut self, bytes: &[u8]) -> impl Future<Output = io::Result<()>> + Send {
                self.write_all(bytes)
            }
        }
    )+};
}

macro_rules! seals {
    ($($type:ty),+ $(,)?) => {$(
        impl sealed::Sealed for $type {}
        impl sealed::Sealed for &$type {}
    )+};
}

reads!(
    TcpStream,
    tcp::ReadHalf<'_>,
    tcp::OwnedReadHalf,
    UnixStream,
    unix::ReadHalf<'_>,
    unix::OwnedReadHalf,
    pipe::Receiver,
);

writes!(
    TcpStream,
    tcp::WriteHalf<'_>,
    tcp::OwnedWriteHalf,
    UnixStream,
    unix::WriteHalf<'_>,
    unix::OwnedWriteHalf,
    pipe::Sender,
);

seals!(
    TcpStream,
    tcp::ReadHalf<'_>,
    tcp::WriteHalf<'_>,
    tcp::OwnedReadHalf,
    tcp::OwnedWriteHalf,
    UnixStream,
    unix::ReadHalf<'_>,
    unix::WriteHalf<'_>,
    unix::OwnedReadHalf,
    unix::OwnedWriteHalf,
    pipe::Receiver,
    pipe::Sender,
);

/// The maximum number of bytes that a copy, or a reader of lines, holds.
pub(super) const BUFFER_BYTES: usize = 8 * 1024;
