//! Registration of the socket types, on the current shard if there is one.

#![forbid(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use reactor::{Handle, Interest, Placement, Ready, ShardId};

use crate::async_fd::AsyncFd;
use crate::nonblocking;

/// Registers a socket as the documentation of `net` says, with the readiness that is assumed at
/// creation.
#[track_caller]
pub(super) fn attach<T: AsFd + AsRawFd>(
    inner: T,
    interest: Interest,
    initial: Ready,
) -> io::Result<AsyncFd<T>> {
    let handle = Handle::current();
    let placement = match ShardId::current() {
        Some(_) => Placement::Current,
        None => handle.placement(),
    };
    let fd = AsyncFd::tie(&handle, placement, inner, interest, initial)?;
    nonblocking::check_borrowed(fd.get_ref());
    Ok(fd)
}

pub(super) const READ_WRITE: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// The initial readiness of a socket whose peer may have sent already. A wrong guess costs one
/// EAGAIN.
pub(super) fn ready_at_birth() -> Ready {
    Ready::READABLE | Ready::WRITABLE
}
