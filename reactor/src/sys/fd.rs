//! Two questions about a descriptor that is known only by its number.
//!
//! `io.rs` asks them for events with an error, whose causes mio does not distinguish. The number
//! may have been closed or reused by now. Then the answer is about the new descriptor, or false.
//! `BorrowedFd` requires that its owner keeps the descriptor open, and rustix accepts nothing less,
//! so these are two calls of libc. Tests are in `io/tests.rs`.
#![expect(
    unsafe_code,
    reason = "poll(2) and fstat(2) on a number that nobody promises is open"
)]

use std::mem::MaybeUninit;
use std::os::fd::RawFd;

/// Returns true if both halves of the descriptor with this number are closed: POLLHUP.
pub(crate) fn has_hung_up(fd: RawFd) -> bool {
    let mut asked = libc::pollfd {
        fd,
        events: 0,
        revents: 0,
    };
    // SAFETY: `asked` is one pollfd, alive and exclusive for the call. Any number is allowed in it;
    // a closed one answers POLLNVAL. With a zero timeout the call does not wait.
    let answered = unsafe { libc::poll(&raw mut asked, 1, 0) };
    answered == 1 && asked.revents & libc::POLLHUP != 0
}

/// Returns true if this is a pipe or a FIFO.
pub(crate) fn is_fifo(fd: RawFd) -> bool {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `stat` has room for the call's result. Any number is allowed; a closed one answers
    // EBADF.
    let answered = unsafe { libc::fstat(fd, stat.as_mut_ptr()) };
    if answered != 0 {
        return false;
    }
    // SAFETY: the call succeeded, so it filled the whole of `stat`.
    let stat = unsafe { stat.assume_init() };
    stat.st_mode & libc::S_IFMT == libc::S_IFIFO
}
