//! Addresses to bind and to connect to: given outright, or as a name that somebody has to look up.
//!
//! What is given outright costs nothing and waits for nothing. Used by the constructors of `net`;
//! tests in `tests/net_names.rs`.

#![forbid(unsafe_code)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use sealed::{Given, Target};

/// What [`net`](crate::net) takes for an address.
///
/// - [`SocketAddr`], [`SocketAddrV4`], [`SocketAddrV6`]
/// - an address and a port, such as `(Ipv4Addr::LOCALHOST, 80)`
/// - a slice of [`SocketAddr`], of which the first that works is taken
/// - a reference to one of these
///
/// The trait cannot be implemented elsewhere. Same as tokio's.
pub trait ToSocketAddrs: Given {}

impl<T: Given + ?Sized> ToSocketAddrs for T {}

#[expect(
    unnameable_types,
    reason = "who cannot name these cannot implement the trait"
)]
mod sealed {
    use std::io;
    use std::net::SocketAddr;

    /// Where the text of an address, or the lack of one, ends up.
    #[derive(Debug)]
    pub enum Target {
        One(SocketAddr),
        Several(Vec<SocketAddr>),
    }

    pub trait Given {
        /// Reads what was given, without asking anybody.
        fn target(&self) -> io::Result<Target>;
    }
}

/// The types that are an address.
macro_rules! given_outright {
    ($($type:ty),+) => {
        $(impl Given for $type {
            fn target(&self) -> io::Result<Target> {
                Ok(Target::One((*self).into()))
            }
        })+
    };
}

given_outright!(
    SocketAddr,
    SocketAddrV4,
    SocketAddrV6,
    (IpAddr, u16),
    (Ipv4Addr, u16),
    (Ipv6Addr, u16)
);

impl Given for [SocketAddr] {
    fn target(&self) -> io::Result<Target> {
        Ok(Target::Several(self.to_vec()))
    }
}

impl<T: Given + ?Sized> Given for &T {
    fn target(&self) -> io::Result<Target> {
        (**self).target()
    }
}

/// Does something with one address after the other until it works, and returns what came of the
/// last.
///
/// # Errors
///
/// `InvalidInput` when there is no address at all.
pub(super) async fn each<R>(
    address: impl ToSocketAddrs,
    attempt: impl AsyncFn(SocketAddr) -> io::Result<R>,
) -> io::Result<R> {
    let addresses = match address.target()? {
        Target::One(address) => return attempt(address).await,
        Target::Several(addresses) => addresses,
    };
    let mut failure = no_address();
    for address in addresses {
        match attempt(address).await {
            Ok(done) => return Ok(done),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// The first address.
///
/// # Errors
///
/// `InvalidInput` when there is none.
pub(super) async fn first(address: impl ToSocketAddrs) -> io::Result<SocketAddr> {
    match address.target()? {
        Target::One(address) => Ok(address),
        Target::Several(addresses) => addresses.first().copied().ok_or_else(no_address),
    }
}

fn no_address() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "there is no address among what was given",
    )
}
