//! Two questions about a descriptor that is known by its number alone.
//!
//! `io.rs` asks them for events with an error, which mio's view does not tell apart. The number may have been closed, or
//! mean something else by now: then the answer is about that, or no. Such a number is no `BorrowedFd`, whose owner promises
//! that it stays open, and rustix takes nothing less; so these are two calls of libc. Tests are in `io/tests.rs`.
#![expect(
    unsafe_code,
    reason = "poll(2) and fstat(2) on a number that nobody promises is open"
)]

use std::mem::MaybeUninit;
use std::os::fd::RawFd;

/// Whether both halves of whatever has this number are closed: POLLHUP.
pub(crate) fn has_hung_up(fd: RawFd) -> bool {
    let mut asked = libc::pollfd {
        fd,
        events: 0,
        revents: 0,
    };
    // SAFETY: `asked` is one pollfd, alive and exclusive for the call; any number is allowed in it, a closed one answers
    // POLLNVAL. With a zero timeout the call does not wait.
    let answered = unsafe { libc::poll(&raw mut asked, 1, 0) };
    answered == 1 && asked.revents & libc::POLLHUP != 0
}

/// Whether this is a pipe or a FIFO.
pub(crate) fn is_fifo(fd: RawFd) -> bool {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `stat` has room for what the call writes; any number is allowed, a closed one answers EBADF.
    let answered = unsafe { libc::fstat(fd, stat.as_mut_ptr()) };
    if answered != 0 {
        return false;
    }
    // SAFETY: the call succeeded, so it filled the whole of `stat`.
    let stat = unsafe { stat.assume_init() };
    stat.st_mode & libc::S_IFMT == libc::S_IFIFO
}
