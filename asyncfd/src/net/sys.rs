//! The system calls of the socket types, in the form that costs the fewest: accept4(2) sets both
//! flags, sends raise no signal, vectored calls say how much the kernel was really given.
//!
//! Where a platform lacks one of these the difference ends in this file.

#![forbid(unsafe_code)]

use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::SocketAddr as UnixAddr;

use rustix::net::{RecvFlags, SendFlags, SocketAddrAny, SocketAddrUnix};
use socket2::{Domain, Protocol, Socket, Type};

/// How many connections may wait to be accepted: Linux's SOMAXCONN, which the system lowers to
/// `net.core.somaxconn`.
pub(crate) const BACKLOG: i32 = 4096;

/// How many slices one vectored call takes: UIO_MAXIOV of Linux, IOV_MAX elsewhere.
const SLICES_MAX: usize = 1024;

#[cfg(not(target_vendor = "apple"))]
const SEND_FLAGS: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
const SEND_FLAGS: SendFlags = SendFlags::empty();

#[inline]
pub(crate) fn recv(fd: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    let (n, _) = rustix::net::recv(fd, buffer, RecvFlags::empty())?;
    Ok(n)
}

pub(crate) fn peek(fd: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    let (n, _) = rustix::net::recv(fd, buffer, RecvFlags::PEEK)?;
    Ok(n)
}

#[inline]
pub(crate) fn send(fd: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(fd, bytes, SEND_FLAGS)?)
}

pub(crate) fn recv_vectored(fd: impl AsFd, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    let given = buffers.len().min(SLICES_MAX);
    Ok(rustix::io::readv(fd, &mut buffers[..given])?)
}

/// sendmsg(2), because writev(2) has no flags and so may raise SIGPIPE.
pub(crate) fn send_vectored(fd: impl AsFd, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let given = slices.len().min(SLICES_MAX);
    let mut no_descriptors = rustix::net::SendAncillaryBuffer::default();
    Ok(rustix::net::sendmsg(
        fd,
        &slices[..given],
        &mut no_descriptors,
        SEND_FLAGS,
    )?)
}

/// How many bytes the kernel is given of these slices.
pub(crate) fn given<S: std::ops::Deref<Target = [u8]>>(slices: &[S]) -> usize {
    slices
        .iter()
        .take(SLICES_MAX)
        .fold(0, |sum, slice| sum.saturating_add(slice.len()))
}

/// Makes a socket that is non-blocking and closed on exec from birth.
pub(crate) fn stream_socket(domain: Domain, protocol: Option<Protocol>) -> io::Result<Socket> {
    #[cfg(not(target_vendor = "apple"))]
    return Socket::new(domain, Type::STREAM.nonblocking(), protocol);
    #[cfg(target_vendor = "apple")]
    {
        let socket = Socket::new(domain, Type::STREAM, protocol)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    }
}

/// Starts a connection. `true`: it is made already; `false`: it is under way.
pub(crate) fn start_connect(socket: &Socket, address: &socket2::SockAddr) -> io::Result<bool> {
    match socket.connect(address) {
        Ok(()) => Ok(true),
        Err(error) => match rustix::io::Errno::from_io_error(&error) {
            // After EINTR the connection goes on by itself, and another connect(2) would only say
            // EALREADY.
            Some(rustix::io::Errno::INPROGRESS | rustix::io::Errno::INTR) => Ok(false),
            _ => Err(error),
        },
    }
}

/// Takes a connection from a listener, non-blocking and closed on exec.
///
/// A connection that was gone before it could be taken is reported as an interruption: the loops in
/// `io.rs` try again, by way of the task's budget.
fn accept(fd: impl AsFd) -> io::Result<(OwnedFd, Option<SocketAddrAny>)> {
    use rustix::io::Errno;
    accept_once(fd.as_fd()).map_err(|error| match error {
        Errno::CONNABORTED => Errno::INTR.into(),
        error => error.into(),
    })
}

#[cfg(not(target_vendor = "apple"))]
fn accept_once(
    fd: std::os::fd::BorrowedFd<'_>,
) -> rustix::io::Result<(OwnedFd, Option<SocketAddrAny>)> {
    use rustix::net::SocketFlags;
    rustix::net::acceptfrom_with(fd, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)
}

/// Between the calls another thread may fork and leak the socket; there is no accept4(2) to prevent
/// that.
#[cfg(target_vendor = "apple")]
fn accept_once(
    fd: std::os::fd::BorrowedFd<'_>,
) -> rustix::io::Result<(OwnedFd, Option<SocketAddrAny>)> {
    let (socket, address) = rustix::net::acceptfrom(fd)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok((socket, address))
}

pub(crate) fn accept_tcp(fd: impl AsFd) -> io::Result<(std::net::TcpStream, SocketAddr)> {
    let (socket, address) = accept(fd)?;
    let address = address.ok_or(rustix::io::Errno::AFNOSUPPORT)?;
    Ok((socket.into(), SocketAddr::try_from(address)?))
}

pub(crate) fn accept_unix(fd: impl AsFd) -> io::Result<(std::os::unix::net::UnixStream, UnixAddr)> {
    let (socket, address) = accept(fd)?;
    let address = match address {
        Some(address) => unix_address(&SocketAddrUnix::try_from(address)?)?,
        None => unnamed()?,
    };
    Ok((socket.into(), address))
}

/// std's form of an address; it has no constructor from the raw one.
fn unix_address(address: &SocketAddrUnix) -> io::Result<UnixAddr> {
    use std::os::unix::ffi::OsStrExt;
    if let Some(path) = address.path() {
        return UnixAddr::from_pathname(std::ffi::OsStr::from_bytes(path.to_bytes()));
    }
    #[cfg(target_os = "linux")]
    if let Some(name) = address.abstract_name() {
        use std::os::linux::net::SocketAddrExt;
        return UnixAddr::from_abstract_name(name);
    }
    unnamed()
}

fn unnamed() -> io::Result<UnixAddr> {
    UnixAddr::from_pathname("")
}
