//! Sockets that know about draining: the standard library's types on an
//! [`AsyncFd`], with the operations one expects of them.
//!
//! They cost one system call less per message than a loop of guards: after a transfer that proves
//! the socket buffer empty or full they clear the readiness themselves, so no call is spent on
//! being told EAGAIN. That proof exists only for some transfers:
//!
//! | readiness is cleared after | for |
//! |---|---|
//! | a transfer of `0 < n < len` bytes | TCP reads and writes, Unix-stream writes |
//! | EAGAIN only | `peek`, `accept`, Unix-stream reads (a message that carries descriptors ends a read early) |
//!
//! Urgent data and kernel TLS end TCP reads early too; see [`TcpStream::set_short_read_drains`].
//!
//! A socket registers on the current shard when there is one, so that the task that made it and the
//! socket share a thread; elsewhere by the current reactor's placement. What
//! [`accept`](TcpListener::accept) returns is tried before its first event.
//!
//! The [`AsyncFd`] inside is reachable through `as_async_fd`, and `into_std` leads
//! back.

#![forbid(unsafe_code)]

mod operations;
mod split;
mod stream;
mod sys;
pub mod tcp;
pub mod unix;

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use reactor::{Handle, Interest, Placement, Ready, ShardId};

use crate::{AsyncFd, nonblocking};

pub use tcp::{TcpListener, TcpStream};
pub use unix::{UnixListener, UnixStream};

/// Registers a socket where the module's documentation says, with the readiness that is assumed at
/// birth.
#[track_caller]
fn attach<T: AsFd + AsRawFd>(
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

const READ_WRITE: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// What a socket is born with when its peer may have sent already. A wrong guess costs one EAGAIN.
fn ready_at_birth() -> Ready {
    Ready::READABLE | Ready::WRITABLE
}
