//! Listening sockets, and the settings of accepted connections.
//!
//! `asyncfd::serve` sets up its listeners in the same way. The baselines do not use it, so they
//! stay independent of what they are compared with.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use server_demo::limits::raise_nofile;
use socket2::{Domain, Protocol, Socket, Type};

/// Length of the accept queue, the same as `server-demo`'s.
pub const BACKLOG: i32 = 1024;

/// Opens `count` non-blocking listeners on one address, which share it by `SO_REUSEPORT`.
///
/// With port 0, the first one takes a free port, and the others use the same port.
///
/// # Errors
/// The errors of the socket calls; nothing stays open then.
pub fn listeners(addr: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    let mut listeners = Vec::with_capacity(count);
    let mut addr = addr;
    for _ in 0..count {
        let listener = listener(addr)?;
        addr = listener.local_addr()?;
        listeners.push(listener);
    }
    Ok(listeners)
}

fn listener(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Sets the options that all servers use for an accepted connection: non-blocking, without Nagle's
/// delay.
///
/// # Errors
/// The errors of the two socket calls.
pub fn set_up(stream: &TcpStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)
}

/// Raises the soft descriptor limit to the hard one, so that many connections fit.
pub fn raise_descriptor_limit() {
    if let Err(error) = raise_nofile() {
        eprintln!("warning: could not raise the descriptor limit: {error}");
    }
}

/// Prints the line with the server's address, and flushes it, even into a pipe.
///
/// # Errors
/// The errors of the address lookup and of standard output.
pub fn announce(listener: &TcpListener) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "listening on {}", listener.local_addr()?)?;
    out.flush()
}
