//! Addresses as users type them: a TCP address, or the path of a Unix socket.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The address of an endpoint. A text with a slash is the path of a Unix socket; any other text is
/// an IP address with a port.
///
/// # Examples
///
/// ```
/// use asyncfd::observe::Address;
///
/// assert_eq!("127.0.0.1:9100".parse(), Ok(Address::Tcp(([127, 0, 0, 1], 9100).into())));
/// assert_eq!("./app.sock".parse(), Ok(Address::Unix("./app.sock".into())));
/// assert!("localhost".parse::<Address>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A TCP address.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        if text.contains('/') {
            return Ok(Self::Unix(text.into()));
        }
        let address = text.parse();
        address
            .map(Self::Tcp)
            .map_err(|_| InvalidAddress(text.to_owned()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// The error for a text that is no [`Address`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidAddress(String);

impl fmt::Display for InvalidAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is neither an IP address with a port, such as 127.0.0.1:9100, nor a path with a slash",
            self.0
        )
    }
}

impl Error for InvalidAddress {}

impl From<InvalidAddress> for io::Error {
    fn from(error: InvalidAddress) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}

/// Removes a socket file on which no process listens any more.
pub(super) fn remove_abandoned(path: &Path) -> io::Result<()> {
    let is_socket = path
        .symlink_metadata()
        .is_ok_and(|file| file.file_type().is_socket());
    let is_refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    if is_socket && UnixStream::connect(path).is_err_and(is_refused) {
        std::fs::remove_file(path)?;
    }
    Ok(())
}
