//! The server of a run: the name that the user gave, and the address that the run uses.
//!
//! A name may have several addresses. They are tried in order, and the run uses the first at which
//! a server accepts a connection. Tests: at the end of this file and `tests/command_line.rs`.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use crate::exit_error::ExitError;
use crate::run::sources::Address;

/// The name of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// A host and a port. An IPv6 address is in brackets.
    Tcp { host: String, port: u16 },
    /// A Unix socket.
    Unix(PathBuf),
}

/// A version of the internet protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Endpoint {
    /// Looks the host up. Returns its addresses in the system's order, of only one family if that
    /// is given.
    ///
    /// # Errors
    /// The name has no address, or none of this family.
    pub(crate) fn look_up(&self, family: Option<Family>) -> Result<Vec<Address>, ExitError> {
        let (host, port) = match self {
            Self::Unix(path) => return Ok(vec![Address::Unix(path.clone())]),
            Self::Tcp { host, port } => (host, port),
        };
        let whole = format!("{host}:{port}");
        let found: Vec<SocketAddr> = match whole.parse() {
            Ok(address) => vec![address],
            Err(_) => {
                let found = whole.to_socket_addrs().map_err(|error| {
                    ExitError::run(format!(
                        "{whole}: {error}: check the name, or give an address"
                    ))
                })?;
                found.collect()
            }
        };
        let fits = |address: &SocketAddr| match family {
            None => true,
            Some(Family::V4) => address.is_ipv4(),
            Some(Family::V6) => address.is_ipv6(),
        };
        let mut fitting: Vec<_> = Vec::new();
        for address in found.into_iter().filter(fits).map(Address::Tcp) {
            if !fitting.contains(&address) {
                fitting.push(address);
            }
        }
        if fitting.is_empty() {
            let kind = match family {
                None => "no address",
                Some(Family::V4) => "no IPv4 address (-4)",
                Some(Family::V6) => "no IPv6 address (-6)",
            };
            return Err(ExitError::run(format!("{whole}: the name has {kind}")));
        }
        Ok(fitting)
    }
}

/// Returns the first of several addresses that accepts a connection, with a note on those that do
/// not. It does not try a single address: the run itself does that.
pub(crate) fn first_that_accepts(
    addresses: Vec<Address>,
    timeout: Duration,
) -> (Address, Option<String>) {
    let mut refused = Vec::new();
    if addresses.len() > 1 {
        for address in &addresses {
            let Address::Tcp(tcp) = address else { continue };
            match TcpStream::connect_timeout(tcp, timeout) {
                Ok(_) => {
                    let note = (!refused.is_empty())
                        .then(|| format!("the target is {address}: {}", refused.join("; ")));
                    return (address.clone(), note);
                }
                Err(error) => refused.push(format!("{address}: {error}")),
            }
        }
    }
    let first = addresses.into_iter().next();
    (first.expect("a name has an address"), None)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_first_address_that_accepts_is_used() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let live = listener.local_addr().expect("bound");
        let dead = SocketAddr::from(([127, 0, 0, 9], live.port()));
        let choose = |addresses: &[SocketAddr]| {
            let addresses = addresses.iter().copied().map(Address::Tcp).collect();
            first_that_accepts(addresses, Duration::from_secs(5))
        };
        let (chosen, note) = choose(&[dead, live]);
        assert_eq!(chosen, Address::Tcp(live));
        let note = note.expect("one was refused");
        assert!(note.contains(&dead.to_string()), "{note}");
        assert_eq!(choose(&[live, dead]), (Address::Tcp(live), None));
        assert_eq!(choose(&[dead]), (Address::Tcp(dead), None));
        let other = SocketAddr::from(([127, 0, 0, 8], live.port()));
        assert_eq!(choose(&[dead, other]), (Address::Tcp(dead), None));
    }

    #[test]
    fn a_family_leaves_only_its_addresses() {
        let endpoint = Endpoint::Tcp {
            host: "127.0.0.1".to_owned(),
            port: 80,
        };
        assert_eq!(
            endpoint.look_up(Some(Family::V4)).map(|all| all.len()).ok(),
            Some(1)
        );
        let refused = endpoint.look_up(Some(Family::V6)).expect_err("not IPv6");
        assert!(refused.message.contains("-6"), "{}", refused.message);
    }
}
