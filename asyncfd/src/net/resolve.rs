//! Addresses to bind and to connect to: given as an address, or as a name that needs a lookup.
//!
//! A given address costs nothing and waits for nothing. A name goes to the reactor's blocking
//! threads, because getaddrinfo(3) can take seconds and has no other form. No shard ever calls it.
//! The constructors of `net` use this module. It is tested in `resolve/tests.rs` with test
//! resolvers, and in `tests/net/cases/names.rs`.

#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::{io, option, vec};

use reactor::{JoinError, JoinHandle};

use sealed::{Given, Target};

#[cfg(test)]
mod tests;

/// The types that [`net`](crate::net) accepts as an address.
///
/// - [`SocketAddr`], [`SocketAddrV4`], [`SocketAddrV6`]
/// - an address and a port, such as `(Ipv4Addr::LOCALHOST, 80)`
/// - text: `"127.0.0.1:80"`, `"[::1]:80"`, `"localhost:80"`, or a host and a port, such as
///   `("localhost", 80)`
/// - a slice of [`SocketAddr`], whose addresses are tried in order
/// - a reference to one of these
///
/// A name is looked up on a blocking thread of the current reactor, and its addresses are tried in
/// order. A written-out address needs no lookup.
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

    /// The result of reading an address: one or several addresses, or a name.
    #[derive(Debug)]
    pub enum Target {
        One(SocketAddr),
        Several(Vec<SocketAddr>),
        /// A name and port that need a lookup.
        Name(String, u16),
    }

    pub trait Given {
        /// Reads the given value, without a lookup.
        fn target(&self) -> io::Result<Target>;
    }
}

/// Implements the trait for types that are an address.
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

/// Text in the form `host:port`: an address, or a name.
impl Given for str {
    fn target(&self) -> io::Result<Target> {
        if let Ok(address) = self.parse() {
            return Ok(Target::One(address));
        }
        let (host, port) = self
            .rsplit_once(':')
            .ok_or_else(|| invalid("an address is written host:port"))?;
        let port = port
            .parse()
            .map_err(|_| invalid("the port is not a number up to 65535"))?;
        Ok(Target::Name(host.to_owned(), port))
    }
}

impl Given for String {
    fn target(&self) -> io::Result<Target> {
        (**self).target()
    }
}

impl Given for (&str, u16) {
    fn target(&self) -> io::Result<Target> {
        let (host, port) = *self;
        Ok(match host.parse::<IpAddr>() {
            Ok(address) => Target::One((address, port).into()),
            Err(_) => Target::Name(host.to_owned(), port),
        })
    }
}

impl Given for (String, u16) {
    fn target(&self) -> io::Result<Target> {
        (&*self.0, self.1).target()
    }
}

/// Looks a name up with the system's resolver, on a blocking thread.
///
/// An address is returned as it is. Same as tokio's.
///
/// # Errors
///
/// Returns [`InvalidInput`](io::ErrorKind::InvalidInput) if the text is neither an address nor a
/// name and a port; the resolver's error; the shutdown error.
///
/// # Panics
///
/// Panics when there is no current reactor and `host` is a name.
///
/// # Cancel safety
///
/// Dropping the future cancels the lookup if it has not started yet.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// let reactor = reactor::Reactor::builder().shards(1).build()?;
/// reactor.block_on(async {
///     for address in asyncfd::net::lookup_host("localhost:80").await? {
///         assert!(address.ip().is_loopback() && address.port() == 80);
///     }
///     Ok(())
/// })
/// # }
/// ```
pub async fn lookup_host(host: impl ToSocketAddrs) -> io::Result<impl Iterator<Item = SocketAddr>> {
    resolve(host.target()?, ask_the_system).await
}

/// Calls `attempt` with one address after the other until it succeeds, or returns the last error.
///
/// # Errors
///
/// Returns `InvalidInput` when there is no address at all.
pub(super) async fn each<R>(
    address: impl ToSocketAddrs,
    attempt: impl AsyncFn(SocketAddr) -> io::Result<R>,
) -> io::Result<R> {
    let mut failure = None;
    for address in resolve(address.target()?, ask_the_system).await? {
        match attempt(address).await {
            Ok(done) => return Ok(done),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(no_address))
}

/// Returns the first address.
///
/// # Errors
///
/// Returns `InvalidInput` when there is none.
pub(super) async fn first(address: impl ToSocketAddrs) -> io::Result<SocketAddr> {
    let mut addresses = resolve(address.target()?, ask_the_system).await?;
    addresses.next().ok_or_else(no_address)
}

/// Returns the addresses of a target. `look_up` resolves a name, on a blocking thread.
async fn resolve<F>(target: Target, look_up: F) -> io::Result<Addresses>
where
    F: FnOnce(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + 'static,
{
    Ok(match target {
        Target::One(address) => Addresses::One(Some(address).into_iter()),
        Target::Several(addresses) => Addresses::Several(addresses.into_iter()),
        Target::Name(host, port) => {
            let job = reactor::spawn_blocking(move || look_up(&host, port));
            let job = AbortOnDrop(job);
            Addresses::Several(job.await??.into_iter())
        }
    })
}

fn ask_the_system(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok(std::net::ToSocketAddrs::to_socket_addrs(&(host, port))?.collect())
}

/// The addresses found. The usual case of one address takes no allocation.
enum Addresses {
    One(option::IntoIter<SocketAddr>),
    Several(vec::IntoIter<SocketAddr>),
}

impl Iterator for Addresses {
    type Item = SocketAddr;

    fn next(&mut self) -> Option<SocketAddr> {
        match self {
            Self::One(one) => one.next(),
            Self::Several(several) => several.next(),
        }
    }
}

/// Cancels a queued lookup when its future is dropped.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Future for AbortOnDrop<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn no_address() -> io::Error {
    invalid("no address was given")
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}
