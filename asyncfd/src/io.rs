//! Copying and reading lines, for the streams of [`net`](crate::net), without another library's
//! traits.
//!
//! Reading and writing themselves are methods of the streams. The items here have the names and
//! signatures of `tokio::io`. Programs that need more of tokio's or of futures' combinators use
//! them through the features of [`compat`](crate::compat).

#![forbid(unsafe_code)]

mod bytes;
mod lines;

use std::io;

use bytes::BUFFER_BYTES;

pub(crate) use bytes::sealed::Sealed;
pub use bytes::{ReadBytes, WriteBytes};
pub use lines::{BufReader, Lines};

/// Copies from `reader` to `writer` until the reader's end, and returns the number of bytes.
///
/// It does not shut the writer down. Same as tokio's function of this name.
///
/// # Errors
///
/// Returns the errors of reading and of writing.
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
