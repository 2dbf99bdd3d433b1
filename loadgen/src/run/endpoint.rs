//! The server of a run as it was named, before its name is looked up.

use std::net::ToSocketAddrs;
use std::path::PathBuf;

use crate::exit_error::ExitError;
use crate::run::sources::Address;

/// A server by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// A host, in brackets where it is an IPv6 address, and a port.
    Tcp { host: String, port: u16 },
    /// A Unix socket.
    Unix(PathBuf),
}

impl Endpoint {
    /// Looks the host up.
    ///
    /// # Errors
    /// The name has no address.
    pub(crate) fn look_up(&self) -> Result<Address, ExitError> {
        let (host, port) = match self {
            Self::Unix(path) => return Ok(Address::Unix(path.clone())),
            Self::Tcp { host, port } => (host, port),
        };
        let whole = format!("{host}:{port}");
        if let Ok(address) = whole.parse() {
            return Ok(Address::Tcp(address));
        }
        let found = whole.to_socket_addrs().map_err(|error| {
            ExitError::run(format!(
                "{whole}: {error}: check the name, or give an address"
            ))
        })?;
        match { found }.next() {
            Some(address) => Ok(Address::Tcp(address)),
            None => Err(ExitError::run(format!("{whole}: the name has no address"))),
        }
    }
}
