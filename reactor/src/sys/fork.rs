//! Whether this process is still the one that made something.
//!
//! A forked child has a copy of every registration, and the parent's very epoll instances under it. Asking getpid(2) at
//! every drop would be a system call each; a handler that counts forks in the child costs one load. It is run by fork(3),
//! not by the bare system call, whose child may not call into this library. Tests are in `tests/fork.rs`.
#![expect(unsafe_code, reason = "pthread_atfork has no safe door")]
#![expect(clippy::disallowed_types, reason = "loom's cannot be static")]

use std::io;
use std::process;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many forks lie between this process and the one that loaded the library. Written by the handler in a child that has
/// one thread only, so nothing needs ordering.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// A process, as of when this value was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process(u32);

impl Process {
    /// The calling process.
    pub(crate) fn current() -> Self {
        static HANDLER: Once = Once::new();
        HANDLER.call_once(|| {
            // SAFETY: the handler is a function of this library that does one atomic addition, which is safe after a fork.
            let refused = unsafe { libc::pthread_atfork(None, None, Some(count_fork)) };
            // Out of memory for a few bytes: forked children go unrecognised, as without this module.
            debug_assert_eq!(refused, 0, "pthread_atfork");
        });
        Self(FORKS.load(Ordering::Relaxed))
    }

    /// Whether the caller is in that process, and not in a child forked off it.
    #[inline]
    pub(crate) fn is_current(self) -> bool {
        FORKS.load(Ordering::Relaxed) == self.0
    }

    /// Aborts a forked child of that process. A thread of the reactor calls this each time that foreign code (a poll, a job,
    /// a hook, a waker) has returned to it: that code may have forked, and the child must not go on with the parent's work.
    #[inline(always)]
    pub(crate) fn abort_child(self) {
        if !self.is_current() {
            abort_slow();
        }
    }
}

/// Aborts the process with one line on standard error.
#[cold]
fn abort_slow() -> ! {
    // A bare write: `eprintln` takes a lock, which a thread that is not in this process may hold.
    let _ = rustix::io::write(
        io::stderr(),
        b"shard-reactor: a forked child returned from a task, job or hook of its parent's reactor: end it with exec or _exit\n",
    );
    process::abort()
}

extern "C" fn count_fork() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}
