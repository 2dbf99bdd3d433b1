//! [`BufReader`] and [`Lines`].

#![forbid(unsafe_code)]

use std::{fmt, io, mem, str};

use super::bytes::{BUFFER_BYTES, ReadBytes};

/// A reader with a buffer, for text that is read by lines.
///
/// Same as tokio's type of this name, with the methods that need a buffer.
///
/// # Examples
///
/// ```
/// use asyncfd::io::BufReader;
/// use asyncfd::net::UnixStream;
///
/// # fn main() -> std::io::Result<()> {
/// let reactor = reactor::Reactor::builder().shards(1).build()?;
/// reactor.block_on(async {
///     let (a, b) = UnixStream::pair()?;
///     b.write_all(b"one\ntwo\r\nthree").await?;
///     b.shutdown().await?;
///     let mut lines = BufReader::new(a).lines();
///     while let Some(line) = lines.next_line().await? {
///         println!("{line}");
///     }
///     Ok(())
/// })
/// # }
/// ```
pub struct BufReader<R> {
    reader: R,
    buffer: Box<[u8]>,
    /// The bytes that were read and not consumed yet are `buffer[start..end]`.
    start: usize,
    end: usize,
}

impl<R: ReadBytes> BufReader<R> {
    /// Wraps a reader, with a buffer of 8 KiB.
    pub fn new(reader: R) -> Self {
        Self::with_capacity(BUFFER_BYTES, reader)
    }

    /// Wraps a reader, with a buffer of `capacity` bytes.
    pub fn with_capacity(capacity: usize, reader: R) -> Self {
        Self {
            reader,
            buffer: vec![0; capacity.max(1)].into(),
            start: 0,
            end: 0,
        }
    }

    /// Returns the lines as they arrive.
    pub fn lines(self) -> Lines<R> {
        Lines {
            reader: self,
            line: Vec::new(),
        }
    }

    /// Reads up to and including `byte`, or to the end, appends the bytes to `bytes`, and returns
    /// their number, which is 0 at the end.
    ///
    /// # Errors
    ///
    /// Returns the errors of reading. The bytes that were read before the error are in `bytes`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the bytes that it has read in `bytes`.
    pub async fn read_until(&mut self, byte: u8, bytes: &mut Vec<u8>) -> io::Result<usize> {
        let before = bytes.len();
        while self.fill().await? {
            let available = &self.buffer[self.start..self.end];
            let found = available.iter().position(|&b| b == byte);
            let taken = found.map_or(available.len(), |at| at + 1);
            bytes.extend_from_slice(&available[..taken]);
            self.start += taken;
            if found.is_some() {
                break;
            }
        }
        Ok(bytes.len() - before)
    }

    /// Reads a line with its end, `\n` or `\r\n`, appends it to `text`, and returns the number of
    /// bytes, which is 0 at the end.
    ///
    /// # Errors
    ///
    /// Returns the errors of reading, and [`InvalidData`](io::ErrorKind::InvalidData) if the line
    /// is not valid UTF-8. `text` is unchanged in that case.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: dropping the future loses the part of the line that it has read.
    pub async fn read_line(&mut self, text: &mut String) -> io::Result<usize> {
        let mut line = Vec::new();
        let n = self.read_until(b'\n', &mut line).await?;
        text.push_str(str::from_utf8(&line).map_err(invalid)?);
        Ok(n)
    }

    /// Reads more if the buffer is empty. Returns false at the end.
    async fn fill(&mut self) -> io::Result<bool> {
        if self.start == self.end {
            // Both change after the wait only: a wait that is dropped has changed nothing.
            self.end = self.reader.read_bytes(&mut self.buffer).await?;
            self.start = 0;
        }
        Ok(self.start < self.end)
    }

    /// Returns the bytes that were read and not consumed yet.
    pub fn buffer(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Returns the reader inside.
    pub fn get_ref(&self) -> &R {
        &self.reader
    }

    /// Returns the reader inside, for changes.
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.reader
    }

    /// Returns the reader. The bytes in the buffer are lost.
    pub fn into_inner(self) -> R {
        self.reader
    }
}

impl<R: fmt::Debug> fmt::Debug for BufReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufReader")
            .field("reader", &self.reader)
            .field("buffered", &(self.end - self.start))
            .finish()
    }
}

/// The lines of a reader, from [`BufReader::lines`].
///
/// A line may be as long as memory. Where the peer is not trusted, read with
/// [`BufReader::read_until`] in pieces, or limit the time.
#[derive(Debug)]
pub struct Lines<R> {
    reader: BufReader<R>,
    /// The part of the next line that was read.
    line: Vec<u8>,
}

impl<R: ReadBytes> Lines<R> {
    /// Returns the next line without its end, `\n` or `\r\n`, or `None` at the end.
    ///
    /// # Errors
    ///
    /// Returns the errors of reading, and [`InvalidData`](io::ErrorKind::InvalidData) if the line
    /// is not valid UTF-8. The line is lost then, and the next call returns the next one.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: the part of a line that it has read is kept.
    pub async fn next_line(&mut self) -> io::Result<Option<String>> {
        self.reader.read_until(b'\n', &mut self.line).await?;
        if self.line.is_empty() {
            return Ok(None);
        }
        let mut line = mem::take(&mut self.line);
        if line.ends_with(b"\n") {
            line.pop();
            if line.ends_with(b"\r") {
                line.pop();
            }
        }
        String::from_utf8(line).map(Some).map_err(invalid)
    }

    /// Returns the reader inside.
    pub fn get_ref(&self) -> &BufReader<R> {
        &self.reader
    }

    /// Returns the reader inside, for changes.
    pub fn get_mut(&mut self) -> &mut BufReader<R> {
        &mut self.reader
    }

    /// Returns the reader. A part of a line that was read is lost.
    pub fn into_inner(self) -> BufReader<R> {
        self.reader
    }
}

/// The error for a line that is not text.
fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
