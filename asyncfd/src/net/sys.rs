//! The system calls of the socket types, in their cheapest form: accept4(2) sets both flags, sends
//! raise no signal, vectored calls report the number of bytes that the kernel received.
//!
//! If a platform lacks one of these, the difference ends in this file.

#![forbid(unsafe_code)]

use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
#[cfg(target_os = "linux")]
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::path::Path;

use rustix::buffer::Buffer;
use rustix::net::{RecvFlags, SendFlags};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// The backlog of a listener: Linux's SOMAXCONN, which the system lowers to `net.core.somaxconn`.
pub(crate) const BACKLOG: i32 = 4096;

/// The maximum number of slices that one vectored call takes: UIO_MAXIOV on Linux, IOV_MAX
/// elsewhere.
const SLICES_MAX: usize = 1024;

#[cfg(not(target_vendor = "apple"))]
const SEND_FLAGS: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
const SEND_FLAGS: SendFlags = SendFlags::empty();

/// Converts the error of a failed operation. It is out of line because the compiler otherwise
/// builds the error before it checks for one.
#[cold]
fn failed(error: rustix::io::Errno) -> io::Error {
    error.into()
}

#[inline]
pub(crate) fn recv<B: Buffer<u8>>(fd: impl AsFd, buffer: B) -> io::Result<B::Output> {
    let (output, _) = rustix::net::recv(fd, buffer, RecvFlags::empty()).map_err(failed)?;
    Ok(output)
}

#[cfg(feature = "bytes")]
pub(crate) fn recv_from<B: Buffer<u8>>(
    fd: impl AsFd,
    buffer: B,
) -> io::Result<(B::Output, SocketAddr)> {
    let (output, _, address) = rustix::net::recvfrom(fd, buffer, RecvFlags::empty())?;
    let address = address.ok_or(rustix::io::Errno::AFNOSUPPORT)?;
    Ok((output, SocketAddr::try_from(address)?))
}

pub(crate) fn peek(fd: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    let (n, _) = rustix::net::recv(fd, buffer, RecvFlags::PEEK)?;
    Ok(n)
}

/// Returns true if the socket was shut down for reading.
pub(crate) fn is_shut_for_reading(fd: impl AsFd) -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut fds = [PollFd::new(&fd, PollFlags::RDHUP)];
        let polled = poll(&mut fds, Some(&Timespec::default()));
        polled == Ok(1) && fds[0].revents().contains(PollFlags::RDHUP)
    }
    // Elsewhere such a call returns 0 by itself.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _ = fd;
        false
    }
}

/// Returns an address without a name, for a message without a sender.
pub(crate) fn no_unix_address() -> io::Result<UnixAddr> {
    UnixAddr::from_pathname("")
}

/// Returns the error of a receive that has to return an address, on a socket that was shut down for
/// reading.
pub(crate) fn shut_for_reading() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the socket was shut down for reading",
    )
}

#[inline]
pub(crate) fn send(fd: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    rustix::net::send(fd, bytes, SEND_FLAGS).map_err(failed)
}

pub(crate) fn recv_vectored(fd: impl AsFd, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    let given = buffers.len().min(SLICES_MAX);
    Ok(rustix::io::readv(fd, &mut buffers[..given])?)
}

/// Reads from a descriptor that is not a socket.
pub(crate) fn read<B: Buffer<u8>>(fd: impl AsFd, buffer: B) -> io::Result<B::Output> {
    Ok(rustix::io::read(fd, buffer)?)
}

/// Like [`read`], in the other direction. Writing to a pipe without a reader raises SIGPIPE, which
/// Rust's runtime ignores.
pub(crate) fn write(fd: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::io::write(fd, bytes)?)
}

/// Like [`write()`], from several slices.
pub(crate) fn write_vectored(fd: impl AsFd, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let given = slices.len().min(SLICES_MAX);
    Ok(rustix::io::writev(fd, &slices[..given])?)
}

/// The maximum number of bytes that are copied together, to send them in one piece.
const JOINED_MAX: usize = 512;

/// Calls sendmsg(2), because writev(2) has no flags and may raise SIGPIPE.
///
/// The system takes longer for a list of pieces than for one piece, by more than a copy of a few
/// bytes takes. So small pieces, such as the head and the body of a small answer, are joined first.
pub(crate) fn send_vectored(fd: impl AsFd, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let mut joined = [0; JOINED_MAX];
    if let Some(bytes) = join(slices, &mut joined) {
        return send(fd, bytes);
    }
    let given = slices.len().min(SLICES_MAX);
    let mut no_descriptors = rustix::net::SendAncillaryBuffer::default();
    Ok(rustix::net::sendmsg(
        fd,
        &slices[..given],
        &mut no_descriptors,
        SEND_FLAGS,
    )?)
}

/// Returns the only slice, or copies all of them into `buffer` if they fit.
fn join<'a>(slices: &'a [IoSlice<'_>], buffer: &'a mut [u8; JOINED_MAX]) -> Option<&'a [u8]> {
    if let [bytes] = slices {
        return Some(bytes);
    }
    let mut filled = 0;
    for slice in slices {
        let free = buffer.get_mut(filled..filled + slice.len())?;
        free.copy_from_slice(slice);
        filled += slice.len();
    }
    Some(&buffer[..filled])
}

/// Returns the number of bytes of these slices that one call passes to the kernel.
pub(crate) fn given<S: std::ops::Deref<Target = [u8]>>(slices: &[S]) -> usize {
    slices
        .iter()
        .take(SLICES_MAX)
        .fold(0, |sum, slice| sum.saturating_add(slice.len()))
}

/// Creates a pipe, non-blocking and closed on exec. Returns the reading end, then the writing end.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    #[cfg(not(target_vendor = "apple"))]
    return Ok(rustix::pipe::pipe_with(
        rustix::pipe::PipeFlags::NONBLOCK | rustix::pipe::PipeFlags::CLOEXEC,
    )?);
    #[cfg(target_vendor = "apple")]
    {
        let (reader, writer) = rustix::pipe::pipe()?;
        Ok((set_flags(reader)?, set_flags(writer)?))
    }
}

/// Creates a socket for a stream or a listener. Otherwise the same as [`socket`].
pub(crate) fn stream_socket(domain: Domain, protocol: Option<Protocol>) -> io::Result<Socket> {
    socket(domain, Type::STREAM, protocol)
}

/// Creates a socket that is non-blocking and closed on exec from the start.
pub(crate) fn socket(domain: Domain, kind: Type, protocol: Option<Protocol>) -> io::Result<Socket> {
    #[cfg(not(target_vendor = "apple"))]
    return Socket::new(domain, kind.nonblocking(), protocol);
    #[cfg(target_vendor = "apple")]
    {
        let socket = Socket::new(domain, kind, protocol)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    }
}

/// Converts an address of the standard library. One without a name has the system choose a name on
/// Linux, where it is bound.
pub(crate) fn unix_address(address: &UnixAddr) -> io::Result<SockAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = std::os::linux::net::SocketAddrExt::as_abstract_name(address) {
        let name = [&[0], name].concat();
        return SockAddr::unix(std::ffi::OsStr::from_bytes(&name));
    }
    SockAddr::unix(address.as_pathname().unwrap_or_else(|| Path::new("")))
}

/// Returns the result of a shutdown(2). It is no error if the peer has gone first.
pub(crate) fn unless_gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
        result => result,
    }
}

/// Starts a connection. Returns `true` if it is already established, and `false` if it is in
/// progress.
pub(crate) fn start_connect(socket: &Socket, address: &SockAddr) -> io::Result<bool> {
    match socket.connect(address) {
        Ok(()) => Ok(true),
        Err(error) => match rustix::io::Errno::from_io_error(&error) {
            // After EINTR the connection continues by itself, and another connect(2) would only
            // return EALREADY.
            Some(rustix::io::Errno::INPROGRESS | rustix::io::Errno::INTR) => Ok(false),
            _ => Err(error),
        },
    }
}

/// Converts the result of accept(2) for the loops in `drain.rs`.
///
/// A connection that ended before it could be accepted is reported as an interruption. The loops
/// then try again, within the task's budget.
fn accepted<T>(result: rustix::io::Result<T>) -> io::Result<T> {
    use rustix::io::Errno;
    result.map_err(|error| match error {
        Errno::CONNABORTED => Errno::INTR.into(),
        error => error.into(),
    })
}

/// Takes a connection from a listener, non-blocking and closed on exec.
pub(crate) fn accept_tcp(
    fd: &std::net::TcpListener,
) -> io::Result<(std::net::TcpStream, SocketAddr)> {
    #[cfg(not(target_vendor = "apple"))]
    let (socket, address) = accepted(rustix::net::acceptfrom_with(fd, ACCEPT_FLAGS))?;
    #[cfg(target_vendor = "apple")]
    let (socket, address) = {
        let (socket, address) = accepted(rustix::net::acceptfrom(fd))?;
        (set_flags(socket)?, address)
    };
    let address = address.ok_or(rustix::io::Errno::AFNOSUPPORT)?;
    Ok((socket.into(), SocketAddr::try_from(address)?))
}

/// Like [`accept_tcp`], for Unix sockets.
///
/// The peer's name needs a separate call. A peer may choose a path that fills its address to the
/// last byte, and only the standard library's `peer_addr` handles that.
pub(crate) fn accept_unix(
    fd: &std::os::unix::net::UnixListener,
) -> io::Result<(std::os::unix::net::UnixStream, UnixAddr)> {
    #[cfg(not(target_vendor = "apple"))]
    let socket = accepted(rustix::net::accept_with(fd, ACCEPT_FLAGS))?;
    #[cfg(target_vendor = "apple")]
    let socket = set_flags(accepted(rustix::net::accept(fd))?)?;
    let stream = std::os::unix::net::UnixStream::from(socket);
    // A missing name is no reason to lose the connection.
    let address = match stream.peer_addr() {
        Ok(address) => address,
        Err(_) => no_unix_address()?,
    };
    Ok((stream, address))
}

#[cfg(not(target_vendor = "apple"))]
const ACCEPT_FLAGS: rustix::net::SocketFlags =
    rustix::net::SocketFlags::NONBLOCK.union(rustix::net::SocketFlags::CLOEXEC);

/// There is no accept4(2) here, so a fork in another thread before this call can leak the
/// descriptor.
#[cfg(target_vendor = "apple")]
fn set_flags(socket: OwnedFd) -> io::Result<OwnedFd> {
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::io;

    use rustix::io::Errno;

    use super::accepted;

    #[test]
    fn a_connection_that_ended_before_it_was_accepted_is_no_error_of_accept() {
        // The loops of `drain.rs` try again after an interruption.
        let kind = |errno| accepted::<()>(Err(errno)).map_err(|error| error.kind());
        assert_eq!(kind(Errno::CONNABORTED), Err(io::ErrorKind::Interrupted));
        assert_eq!(kind(Errno::AGAIN), Err(io::ErrorKind::WouldBlock));
        let full = accepted::<()>(Err(Errno::MFILE)).unwrap_err();
        assert_eq!(full.raw_os_error(), Some(Errno::MFILE.raw_os_error()));
    }
}
