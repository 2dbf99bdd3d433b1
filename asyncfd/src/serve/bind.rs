//! Binding: the listeners of a server, made on the caller's thread, so that errors are known before
//! a shard accepts.

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, Socket};

use super::policy::AcceptPolicy;
use super::transport::Transport;
use crate::net::sys;

/// The sockets on which a server will listen.
pub(super) enum Source<L> {
    /// Addresses to try in order.
    Tcp(Vec<SocketAddr>, fn(std::net::TcpListener) -> L),
    Unix(PathBuf, fn(UnixListener) -> L),
    /// A socket that listens already.
    Given(L),
}

/// Returns one listener per shard that accepts.
pub(super) fn listeners<T: Transport>(
    source: Source<T::Listener>,
    policy: AcceptPolicy,
    shards: usize,
    backlog: i32,
) -> io::Result<Vec<T::Listener>> {
    let first = match source {
        Source::Tcp(addresses, make) if policy.binds_on_every_shard() => {
            let listeners = bind_first(&addresses, |addr| reuse_port(addr, shards, backlog))?;
            return Ok(listeners.into_iter().map(make).collect());
        }
        Source::Tcp(addresses, make) => {
            make(bind_first(&addresses, |addr| listen(addr, false, backlog))?)
        }
        Source::Unix(..) | Source::Given(_) if policy.binds_on_every_shard() => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "the policy {policy} binds a TCP address once per shard; \
                     for a single socket, use another policy, such as exclusive"
                ),
            ));
        }
        Source::Unix(path, make) => make(listen_unix(&path, backlog)?),
        Source::Given(listener) => listener,
    };
    let mut listeners = Vec::new();
    if policy == AcceptPolicy::Exclusive {
        for _ in 1..shards {
            listeners.push(T::duplicate(&first)?);
        }
    }
    listeners.push(first);
    Ok(listeners)
}

/// Binds the first address that can be bound. If none can, returns the error of the last address.
fn bind_first<R>(
    addresses: &[SocketAddr],
    bind: impl Fn(SocketAddr) -> io::Result<R>,
) -> io::Result<R> {
    let mut last = None;
    for &addr in addresses {
        match bind(addr) {
            Ok(bound) => return Ok(bound),
            Err(error) => {
                let text = format!("cannot listen on {addr}: {error}");
                last = Some(io::Error::new(error.kind(), text));
            }
        }
    }
    let none = || {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "there is no address to listen on",
        )
    };
    Err(last.unwrap_or_else(none))
}

/// Binds one listener per shard to an address.
fn reuse_port(
    addr: SocketAddr,
    shards: usize,
    backlog: i32,
) -> io::Result<Vec<std::net::TcpListener>> {
    // With SO_REUSEPORT the kernel would let this server share the address with another one of the
    // same user, and each would get part of the clients. So the address is bound once without it,
    // and released: this fails if the address is in use. A port that the kernel chooses is free.
    if addr.port() != 0 {
        bound(addr, false)?;
    }
    let first = listen(addr, true, backlog)?;
    let addr = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..shards {
        listeners.push(listen(addr, true, backlog)?);
    }
    Ok(listeners)
}

fn listen(addr: SocketAddr, shared: bool, backlog: i32) -> io::Result<std::net::TcpListener> {
    let socket = bound(addr, shared)?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

fn bound(addr: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = sys::stream_socket(Domain::for_address(addr), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&addr.into())?;
    Ok(socket)
}

fn listen_unix(path: &Path, backlog: i32) -> io::Result<UnixListener> {
    let listen = || {
        let socket = sys::stream_socket(Domain::UNIX, None)?;
        socket.bind(&socket2::SockAddr::unix(path)?)?;
        socket.listen(backlog)?;
        Ok(socket.into())
    };
    let named = |error: io::Error| {
        let text = format!("cannot listen on {}: {error}", path.display());
        io::Error::new(error.kind(), text)
    };
    listen().map_err(named)
}
