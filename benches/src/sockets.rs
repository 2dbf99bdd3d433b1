//! recv(2) and send(2) as direct system calls, for the baselines that choose their calls
//! themselves.
//!
//! The C library's wrappers, which the standard library uses, are cancellation points: 20
//! instructions a call, and 60 in a process with several threads. server-demo avoids them, so the
//! baselines avoid them too.

use std::io;
use std::os::fd::AsFd;

use rustix::net::{RecvFlags, SendFlags};

/// Receives available bytes, at most as many as fit in the buffer; 0 is the end of the stream.
///
/// # Errors
///
/// The system's error.
#[inline]
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    let (len, _) = rustix::net::recv(socket, buffer, RecvFlags::empty())?;
    Ok(len)
}

/// Sends as many bytes as the socket takes.
///
/// # Errors
///
/// The system's error. A closed connection raises no signal.
#[inline]
pub fn send(socket: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(socket, bytes, SendFlags::NOSIGNAL)?)
}
