//! The two directions of a connection in memory, for protocol libraries that need a stream.
//!
//! The library reads bytes that the socket received, and writes bytes for the socket to send. No
//! call waits. Used by `http2.rs` and `websocket.rs`. Tests: at the end of this file.

use std::io::{self, ErrorKind, Read, Write};

/// Waiting bytes, and the number of those that were used.
#[derive(Debug, Default)]
struct Queue {
    bytes: Vec<u8>,
    at: usize,
}

impl Queue {
    fn waiting(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    fn use_up(&mut self, bytes: usize) {
        self.at += bytes;
        if self.at == self.bytes.len() {
            self.bytes.clear();
            self.at = 0;
        }
    }

    fn copy_to(&self, out: &mut [u8]) -> usize {
        let bytes = self.waiting().len().min(out.len());
        out[..bytes].copy_from_slice(&self.waiting()[..bytes]);
        bytes
    }
}

/// Both directions of one connection.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    incoming: Queue,
    outgoing: Queue,
}

impl Pipe {
    /// Adds bytes from the peer.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.incoming.bytes.extend_from_slice(bytes);
    }

    /// Returns true if bytes wait for the peer.
    pub(crate) fn has_output(&self) -> bool {
        !self.outgoing.waiting().is_empty()
    }

    /// Copies the next bytes for the peer, as many as fit, and returns their number.
    pub(crate) fn fill(&self, out: &mut [u8]) -> usize {
        self.outgoing.copy_to(out)
    }

    /// Records that `bytes` of those for the peer were sent.
    pub(crate) fn wrote(&mut self, bytes: usize) {
        self.outgoing.use_up(bytes);
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.incoming.copy_to(buffer);
        if bytes == 0 && !buffer.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.incoming.use_up(bytes);
        Ok(bytes)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_pass_in_order_and_in_pieces() {
        let mut pipe = Pipe::default();
        pipe.push(b"abc");
        let mut two = [0; 2];
        assert_eq!(pipe.read(&mut two).expect("bytes"), 2);
        pipe.push(b"d");
        assert_eq!(pipe.read(&mut two).expect("bytes"), 2);
        assert_eq!(&two, b"cd");
        let nothing = pipe.read(&mut two).expect_err("all is read");
        assert_eq!(nothing.kind(), ErrorKind::WouldBlock);

        pipe.write_all(b"hello").expect("memory");
        assert_eq!(pipe.fill(&mut two), 2);
        assert_eq!(&two, b"he", "the same until it is said to be written");
        assert_eq!(pipe.fill(&mut two), 2);
        pipe.wrote(2);
        let mut rest = [0; 9];
        assert_eq!(pipe.fill(&mut rest), 3);
        assert_eq!(&rest[..3], b"llo");
        pipe.wrote(3);
        assert!(!pipe.has_output());
    }
}
