//! recv(2) and send(2) as direct system calls, for the baselines that choose their calls themselves.
//!
//! The C library's wrappers, which the standard library uses, are cancellation points: 20 instructions a call, and 60 in
//! a process with several threads. server-demo does without them, so what it is compared with does too.

use std::io;
use std::os::fd::AsFd;

use rustix::net::{RecvFlags, SendFlags};

/// Receives what there is, at most as much as the buffer takes; 0 is the end of the stream.
///
/// # Errors
///
/// The system's.
#[inline]
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    let (len, _) = rustix::net::recv(socket, buffer, RecvFlags::empty())?;
    Ok(len)
}

/// Sends what the socket takes.
///
/// # Errors
///
/// The system's. A closed connection raises no signal.
#[inline]
pub fn send(socket: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(socket, bytes, SendFlags::NOSIGNAL)?)
}
