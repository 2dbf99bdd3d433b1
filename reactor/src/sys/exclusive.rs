//! Registers a descriptor that several epoll instances share, such that an event wakes only one of
//! them.
//!
//! mio has no `EPOLLEXCLUSIVE`, and an epoll instance inside another one loses the flag's effect:
//! the kernel counts a wake only for a thread that sleeps on the inner one. So `driver.rs` adds
//! such a descriptor to mio's epoll instance with this call. Tests are in `tests/exclusive.rs`.
#![expect(
    unsafe_code,
    reason = "epoll_ctl(2) on a number that nobody promises is open"
)]

use std::io;
use std::os::fd::RawFd;

/// Adds `fd` to `epoll` for readability, level-triggered and exclusive. Its events carry `data`.
///
/// Edge-triggered, an acceptor would have to call accept(2) until it says EAGAIN, which is one call
/// more for each connection of a calm listener.
pub(crate) fn add_exclusive(epoll: RawFd, fd: RawFd, data: u64) -> io::Result<()> {
    let flags = libc::EPOLLIN | libc::EPOLLEXCLUSIVE;
    let mut event = libc::epoll_event {
        events: flags as u32,
        u64: data,
    };
    // SAFETY: `event` is alive for the call. Any number is allowed for both descriptors; a closed
    // one answers EBADF.
    let answered = unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &raw mut event) };
    if answered == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
