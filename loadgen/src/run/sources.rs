//! Sockets to connect with, and the addresses they connect from.
//!
//! One pair of addresses has some 28,000 ports for connections to one server port. Whoever closes first keeps the pair in
//! TIME_WAIT for a minute, and that is this program: the server is left with nothing. To a loopback target the source
//! therefore moves through 127.0.0.0/8: a new address every thousand connections, from a start that differs per run, so
//! that neither churn nor the run before uses its ports up. Other targets get what the system chooses. Tests:
//! `sources/tests.rs`.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Connections that share a source address.
const CONNECTIONS_PER_SOURCE: u64 = 1_000;
/// Addresses in 127.0.0.0/8 without the network's and the broadcast address.
const LOOPBACK_SOURCES: u64 = (1 << 24) - 2;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// At an address and port.
    Tcp(SocketAddr),
    /// At a path.
    Unix(PathBuf),
}

impl Address {
    /// For the system.
    ///
    /// # Errors
    /// The path is too long for a socket.
    pub fn to_sock_addr(&self) -> io::Result<SockAddr> {
        match self {
            Self::Tcp(address) => Ok(SockAddr::from(*address)),
            Self::Unix(path) => SockAddr::unix(path),
        }
    }
}

/// As the command line takes it.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Makes the sockets of a run.
#[derive(Debug, Clone, Copy)]
pub struct Sources {
    /// `None` for a Unix socket.
    target: Option<SocketAddr>,
    /// The first source of this run within 127.0.0.0/8; `None` where the system chooses.
    first: Option<u64>,
}

impl Sources {
    /// Sources for connections to `target`; `seed` says where in 127.0.0.0/8 they begin.
    #[must_use]
    pub fn new(target: &Address, seed: u64) -> Self {
        let target = match target {
            Address::Tcp(target) => Some(*target),
            Address::Unix(_) => None,
        };
        let loopback =
            |target: SocketAddr| matches!(target.ip(), IpAddr::V4(ip) if ip.is_loopback());
        let rotates = cfg!(target_os = "linux") && target.is_some_and(loopback);
        Self {
            target,
            first: rotates.then_some(seed % LOOPBACK_SOURCES),
        }
    }

    /// The address connection number `connection` comes from; each further `attempt` gives another one.
    #[must_use]
    pub fn source(&self, connection: u64, attempt: u32) -> Option<Ipv4Addr> {
        let first = self.first?;
        let offset = connection / CONNECTIONS_PER_SOURCE + u64::from(attempt) * 7_919;
        let nth = |offset: u64| {
            let host = (first + offset) % LOOPBACK_SOURCES + 1;
            Ipv4Addr::from(0x7f00_0000 | u32::try_from(host).expect("below 2^24"))
        };
        let source = nth(offset);
        // A socket that connects from its target's address and port meets itself.
        if self.target.is_some_and(|target| target.ip() == source) {
            Some(nth(offset + 104_729))
        } else {
            Some(source)
        }
    }

    /// A non-blocking socket, bound to its source and ready for `connect`; the port is chosen then.
    ///
    /// # Errors
    /// No descriptor is left, or the system refused the address.
    pub fn socket(&self, connection: u64, attempt: u32) -> io::Result<Socket> {
        let kind = Type::STREAM.nonblocking().cloexec();
        let Some(target) = self.target else {
            return Socket::new(Domain::UNIX, kind, None);
        };
        let socket = Socket::new(Domain::for_address(target), kind, Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        if let Some(source) = self.source(connection, attempt) {
            late_port(&socket)?;
            socket.bind(&SockAddr::from(SocketAddr::from((source, 0))))?;
        }
        Ok(socket)
    }
}

/// Leaves the choice of the port to `connect`, which knows the target and can use a port once per target.
#[cfg(target_os = "linux")]
fn late_port(socket: &Socket) -> io::Result<()> {
    use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
    Ok(setsockopt(socket, IpBindAddressNoPort, &true)?)
}

#[cfg(not(target_os = "linux"))]
fn late_port(_socket: &Socket) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests;
