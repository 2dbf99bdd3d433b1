//! Copying and reading lines, for the streams of [`net`](crate::net), without another library's
//! traits.
//!
//! Reading and writing themselves are methods of the streams. What is here has the names and
//! signatures of `tokio::io`. Programs that need more of tokio's or of futures' combinators use them
//! through the features of [`compat`](crate::compat).

#![forbid(unsafe_code)]

mod lines;

use std::io;

use crate::net::{TcpStream, UnixStream, pipe, tcp, unix};

pub use lines::{BufReader, Lines};

#[expect(
    unnameable_types,
    reason = "a type that cannot name it cannot implement the traits"
)]
mod sealed {
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
    /// The errors of the type's `read`.
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
    /// The errors of the type's `write_all`.
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

/// The number of bytes that [`copy`] and a [`BufReader`] hold at most.
const BUFFER_BYTES: usize = 8 * 1024;

/// Copies from `reader` to `writer` until the reader's end, and returns the number of bytes.
///
/// It does not shut the writer down. Same as tokio's function of the name.
///
/// # Errors
///
/// The errors of reading and of writing.
///
/// # Cancel safety
///
/// Not cancel safe: dropping the future loses the bytes that were read and not written yet.
///
/// # Examples
///
/// ```
/// use asyncfd::io;
/// use asyncfd::net::UnixStream;
///
/// # fn main() -> std::io::Result<()> {
/// let reactor = reactor::Reactor::builder().shards(1).build()?;
/// reactor.block_on(async {
///     let (mut a, b) = UnixStream::pair()?;
///     let (mut c, d) = UnixStream::pair()?;
///     b.write_all(b"hello").await?;
///     b.shutdown().await?;
///     assert_eq!(io::copy(&mut a, &mut c).await?, 5);
///     let mut came = [0; 5];
///     d.read_exact(&mut came).await?;
///     assert_eq!(&came, b"hello");
///     Ok(())
/// })
/// # }
/// ```
pub async fn copy<R, W>(reader: &mut R, writer: &mut W) -> io::Result<u64>
where
    R: ReadBytes + ?Sized,
    W: WriteBytes + ?Sized,
{
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut copied = 0;
    loop {
        let n = reader.read_bytes(&mut buffer).await?;
        if n == 0 {
            return Ok(copied);
        }
        writer.write_bytes(&buffer[..n]).await?;
        copied += n as u64;
    }
}
