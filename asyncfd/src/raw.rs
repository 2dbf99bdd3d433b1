//! The parts of `net` that need unsafe code, which `net` itself forbids: sockets from bare
//! descriptor numbers, and the credentials of a peer.
//!
//! Tests are in `tests/net/cases`.

#![expect(
    unsafe_code,
    reason = "bare descriptor numbers promise nothing, and libc's calls take pointers"
)]

use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd, RawFd};

use crate::net::{TcpSocket, UnixSocket};
#[cfg(any(target_os = "linux", target_os = "android"))]
use crate::net::{UnixStream, unix::UCred};

macro_rules! raw_fd_traits {
    ($socket:ident) => {
        impl FromRawFd for $socket {
            /// Converts a bare descriptor number.
            ///
            /// # Safety
            ///
            /// The number is an open socket of this kind, in non-blocking mode, and the result
            /// becomes its only owner.
            unsafe fn from_raw_fd(fd: RawFd) -> Self {
                // SAFETY: the caller promises it.
                Self::from_nonblocking(unsafe { OwnedFd::from_raw_fd(fd) })
            }
        }

        impl IntoRawFd for $socket {
            fn into_raw_fd(self) -> RawFd {
                OwnedFd::from(self).into_raw_fd()
            }
        }
    };
}

raw_fd_traits!(TcpSocket);
raw_fd_traits!(UnixSocket);

#[cfg(any(target_os = "linux", target_os = "android"))]
impl UnixStream {
    /// Returns the credentials of the peer's process.
    ///
    /// # Errors
    ///
    /// Returns the errors of getsockopt(2).
    ///
    /// # Platform notes
    ///
    /// Linux and Android only.
    pub fn peer_cred(&self) -> std::io::Result<UCred> {
        peer_cred(std::os::fd::AsFd::as_fd(self)).map(UCred::new)
    }
}

/// Returns SO_PEERCRED.
///
/// Not through rustix, whose type of a process id cannot be 0. The kernel returns 0 for a process
/// that is outside of this process's pid namespace.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn peer_cred(socket: std::os::fd::BorrowedFd<'_>) -> std::io::Result<libc::ucred> {
    use std::os::fd::AsRawFd;

    let mut cred = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    let mut length = libc::socklen_t::try_from(size_of_val(&cred)).expect("it is a few bytes");
    // SAFETY: both pointers are to variables of this function, `length` is the size of the first,
    // and every bit pattern is a valid `ucred`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut cred).cast(),
            &raw mut length,
        )
    };
    if result == 0 {
        Ok(cred)
    } else {
        Err(std::io::Error::last_os_error())
    }
}
