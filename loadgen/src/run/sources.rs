//! Sockets to connect with, and the addresses they connect from.
//!
//! The system chooses the source address until a connection finds no free port. One pair of
//! addresses has about 28,000 ports for connections to one server port, minus those that churn
//! keeps in TIME_WAIT. Then this and all later connections use the next source. A loopback target
//! has the addresses of 127.0.0.0/8 as further sources, beginning at a random one in each run.
//! Other targets have none. `--source` names the addresses instead. Tests: `sources/tests.rs` and
//! `tests/embedded.rs`.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// The number of addresses in 127.0.0.0/8, without the network's and the broadcast address.
const LOOPBACK_SOURCES: u64 = (1 << 24) - 2;

/// The address of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// An IP address and port.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl Address {
    /// Converts to the system's form.
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

/// Writes the form of the command line.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The maker of a shard's sockets.
#[derive(Debug, Clone)]
pub struct Sources {
    /// `None` for a Unix socket.
    target: Option<SocketAddr>,
    /// The requested addresses; empty if the system chooses.
    named: Vec<IpAddr>,
    /// The first further source in 127.0.0.0/8; `None` if there are none.
    first: Option<u64>,
    /// The current source. The ports of those before it are used up.
    current: Cell<u32>,
}

impl Sources {
    /// Makes sources for connections to `target`. `named` are the addresses to use. `seed`
    /// determines the first further one in 127.0.0.0/8.
    #[must_use]
    pub fn new(target: &Address, named: &[IpAddr], seed: u64) -> Self {
        let target = match target {
            Address::Tcp(target) => Some(*target),
            Address::Unix(_) => None,
        };
        let loopback =
            |target: SocketAddr| matches!(target.ip(), IpAddr::V4(ip) if ip.is_loopback());
        let rotates = cfg!(target_os = "linux") && named.is_empty() && target.is_some_and(loopback);
        Self {
            target,
            named: named.to_vec(),
            first: rotates.then_some(seed % LOOPBACK_SOURCES),
            current: Cell::new(0),
        }
    }

    /// Returns source number `nth`, or `None` if the system chooses.
    fn source(&self, nth: u32) -> Option<IpAddr> {
        if let Some(named) = self.named.get(nth as usize) {
            return Some(*named);
        }
        let (first, further) = (self.first?, u64::from(nth.checked_sub(1)?));
        let nth = |offset: u64| {
            let host = (first + offset) % LOOPBACK_SOURCES + 1;
            IpAddr::from(Ipv4Addr::from(
                0x7f00_0000 | u32::try_from(host).expect("below 2^24"),
            ))
        };
        let source = nth(further);
        // A socket that connects from its target's address and port connects to itself.
        if self.target.is_some_and(|target| target.ip() == source) {
            Some(nth(further + 104_729))
        } else {
            Some(source)
        }
    }

    /// Changes to the next source, because the current one has no port left. Returns false if there
    /// is none.
    pub(crate) fn next(&self, used_up: u32) -> bool {
        if self.current.get() > used_up {
            return true;
        }
        let next = used_up + 1;
        let is_there = self.first.is_some() || (next as usize) < self.named.len();
        if is_there {
            self.current.set(next);
        }
        is_there
    }

    /// Returns the number of sources used so far.
    pub(crate) fn used(&self) -> u32 {
        self.current.get() + 1
    }

    /// Returns a non-blocking socket, ready for `connect`, and the number of its source. `connect`
    /// chooses the port.
    ///
    /// # Errors
    /// No descriptor is left, or the system refused the address.
    pub fn socket(&self) -> io::Result<(Socket, u32)> {
        let nth = self.current.get();
        let Some(target) = self.target else {
            return Ok((nonblocking(Domain::UNIX, None)?, nth));
        };
        let socket = nonblocking(Domain::for_address(target), Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        if let Some(source) = self.source(nth) {
            late_port(&socket)?;
            socket.bind(&SockAddr::from(SocketAddr::from((source, 0))))?;
        }
        Ok((socket, nth))
    }
}

/// Returns a non-blocking stream socket that is closed on exec.
fn nonblocking(domain: Domain, protocol: Option<Protocol>) -> io::Result<Socket> {
    #[cfg(not(target_vendor = "apple"))]
    return Socket::new(domain, Type::STREAM.nonblocking().cloexec(), protocol);
    #[cfg(target_vendor = "apple")]
    {
        let socket = Socket::new(domain, Type::STREAM, protocol)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    }
}

/// Leaves the choice of the port to `connect`, which knows the target and can use a port once per
/// target.
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
