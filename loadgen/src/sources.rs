//! Sockets to connect with, and the addresses they connect from.
//!
//! One pair of addresses has some 28,000 ports for connections to one server port, and those of a run that just ended are
//! blocked for a minute. To a loopback target the source therefore moves through 127.0.0.0/8: a new address every
//! thousand connections, from a start that differs per run. Other targets get what the system chooses. Tests:
//! `sources/tests.rs`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Connections that share a source address.
const CONNECTIONS_PER_SOURCE: u32 = 1_000;
/// Addresses in 127.0.0.0/8 without the network's and the broadcast address.
const LOOPBACK_SOURCES: u32 = (1 << 24) - 2;

/// Makes the sockets of a run.
#[derive(Debug, Clone, Copy)]
pub struct Sources {
    target: SocketAddr,
    /// The first source of this run within 127.0.0.0/8; `None` where the system chooses.
    first: Option<u32>,
}

impl Sources {
    /// Sources for connections to `target`; `seed` says where in 127.0.0.0/8 they begin.
    #[must_use]
    pub fn new(target: SocketAddr, seed: u64) -> Self {
        let rotates =
            cfg!(target_os = "linux") && matches!(target.ip(), IpAddr::V4(ip) if ip.is_loopback());
        let first =
            u32::try_from(seed % u64::from(LOOPBACK_SOURCES)).expect("a remainder of a u32");
        Self {
            target,
            first: rotates.then_some(first),
        }
    }

    /// The address connection number `connection` comes from; each further `attempt` gives another one.
    #[must_use]
    pub fn source(&self, connection: u32, attempt: u32) -> Option<Ipv4Addr> {
        let offset = connection / CONNECTIONS_PER_SOURCE + attempt * 7_919;
        let nth = |offset: u32| {
            let host =
                (u64::from(self.first?) + u64::from(offset)) % u64::from(LOOPBACK_SOURCES) + 1;
            Some(Ipv4Addr::from(
                0x7f00_0000 | u32::try_from(host).expect("below 2^24"),
            ))
        };
        // A socket that connects from its target's address and port meets itself.
        nth(offset).and_then(|source| {
            if source == self.target.ip() {
                nth(offset + 104_729)
            } else {
                Some(source)
            }
        })
    }

    /// A non-blocking socket, bound to its source and ready for `connect`; the port is chosen then.
    ///
    /// # Errors
    /// No descriptor is left, or the system refused the address.
    pub fn socket(&self, connection: u32, attempt: u32) -> io::Result<Socket> {
        let socket = Socket::new(
            Domain::for_address(self.target),
            Type::STREAM.nonblocking().cloexec(),
            Some(Protocol::TCP),
        )?;
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
