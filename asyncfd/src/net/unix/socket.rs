//! [`UnixSocket`].

#![forbid(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::{fmt, io};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::net::sys;

/// A Unix socket that is neither connected nor listens yet, for options that have to be set before.
///
/// It is not registered, so it needs no reactor; [`connect`](Self::connect),
/// [`listen`](Self::listen) and [`datagram`](Self::datagram) register. Options are set through
/// [`AsFd`], for instance with socket2's `SockRef::from(&socket)`. A socket that was created
/// elsewhere converts from [`OwnedFd`].
///
/// Same as tokio's type of this name.
///
/// # Examples
///
/// ```
/// use asyncfd::net::UnixSocket;
/// use socket2::SockRef;
///
/// # fn main() -> std::io::Result<()> {
/// # let path = std::env::temp_dir().join(format!("unix-socket-{}", std::process::id()));
/// let reactor = reactor::Reactor::builder().shards(1).build()?;
/// reactor.block_on(async {
///     let socket = UnixSocket::new_stream()?;
///     socket.bind(&path)?;
///     let listener = socket.listen(128)?;
///
///     let socket = UnixSocket::new_stream()?;
///     SockRef::from(&socket).set_send_buffer_size(65_536)?;
///     let client = socket.connect(&path).await?;
///     let (server, _) = listener.accept().await?;
///     client.write_all(b"hello").await?;
///     assert_eq!(server.read(&mut [0; 16]).await?, 5);
///     std::fs::remove_file(&path)
/// })
/// # }
/// ```
pub struct UnixSocket {
    pub(super) socket: Socket,
}

impl UnixSocket {
    /// Creates a socket for messages.
    ///
    /// # Errors
    ///
    /// Returns the errors of socket(2).
    pub fn new_datagram() -> io::Result<Self> {
        let socket = sys::socket(Domain::UNIX, Type::DGRAM, None)?;
        Ok(Self { socket })
    }

    /// Creates a socket for a stream or a listener.
    ///
    /// # Errors
    ///
    /// Returns the errors of socket(2).
    pub fn new_stream() -> io::Result<Self> {
        let socket = sys::stream_socket(Domain::UNIX, None)?;
        Ok(Self { socket })
    }

    pub(crate) fn from_nonblocking(fd: OwnedFd) -> Self {
        Self { socket: fd.into() }
    }

    /// Binds to `path`, which stays in the file system after the socket is dropped.
    ///
    /// # Errors
    ///
    /// Returns the errors of bind(2).
    pub fn bind(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.socket.bind(&SockAddr::unix(path)?)
    }

    pub(super) fn check(&self, method: &str, needs: Type) -> io::Result<()> {
        if self.socket.r#type()? == needs {
            return Ok(());
        }
        let needed = if needs == Type::STREAM {
            "new_stream"
        } else {
            "new_datagram"
        };
        Err(io::Error::other(format!(
            "UnixSocket::{method} needs a socket from UnixSocket::{needed}"
        )))
    }
}

impl AsFd for UnixSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for UnixSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl fmt::Debug for UnixSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UnixSocket")
            .field(&self.as_raw_fd())
            .finish()
    }
}

impl From<UnixSocket> for OwnedFd {
    fn from(socket: UnixSocket) -> Self {
        socket.socket.into()
    }
}

/// Sets the socket to non-blocking mode. It must be a Unix socket that is not connected yet, which
/// is not checked.
impl TryFrom<OwnedFd> for UnixSocket {
    type Error = io::Error;

    fn try_from(fd: OwnedFd) -> io::Result<Self> {
        let socket = Socket::from(fd);
        socket.set_nonblocking(true)?;
        Ok(Self { socket })
    }
}

#[cfg(test)]
mod tests {
    use super::{Type, UnixSocket};

    #[test]
    fn an_error_names_the_socket_that_a_method_needs() {
        let stream = UnixSocket::new_stream().unwrap();
        stream.check("listen", Type::STREAM).unwrap();
        assert_eq!(
            stream
                .check("datagram", Type::DGRAM)
                .unwrap_err()
                .to_string(),
            "UnixSocket::datagram needs a socket from UnixSocket::new_datagram"
        );
        let messages = UnixSocket::new_datagram().unwrap();
        assert_eq!(
            messages
                .check("listen", Type::STREAM)
                .unwrap_err()
                .to_string(),
            "UnixSocket::listen needs a socket from UnixSocket::new_stream"
        );
    }
}
