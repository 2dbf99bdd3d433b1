//! Detects that the current process is a forked child.
//!
//! A forked child has a copy of every registration, and shares the parent's epoll instances.
//! Calling getpid(2) at every drop would be a system call each time. A handler that counts forks in
//! the child costs one load. fork(3) runs the handler; the bare system call does not, and its child
//! may not call into this library. Tests are in `tests/fork.rs`.
#![expect(unsafe_code, reason = "pthread_atfork has no safe door")]
#![expect(clippy::disallowed_types, reason = "loom's cannot be static")]

use std::io;
use std::process;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::shard::current;

/// The number of forks between this process and the one that loaded the library. The handler writes
/// it in a child that has only one thread, so no ordering is needed.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// A process, as of the time this value was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process(u32);

impl Process {
    /// Returns the calling process.
    pub(crate) fn current() -> Self {
        static HANDLER: Once = Once::new();
        HANDLER.call_once(|| {
            // SAFETY: the handler is a function of this library. It writes an atomic and plain
            // thread-locals, which is safe after a fork.
            let refused = unsafe { libc::pthread_atfork(None, None, Some(forked)) };
            // The call fails only if a few bytes of memory cannot be allocated. Forked children
            // then go undetected, as without this module.
            debug_assert_eq!(refused, 0, "pthread_atfork");
        });
        Self(FORKS.load(Ordering::Relaxed))
    }

    /// Returns true if the caller is in that process, and not in a child forked from it.
    ///
    /// One load is enough in a process that is not a forked child. `self` is a reference, so that
    /// this case does not load the value.
    #[inline(always)]
    pub(crate) fn is_current(&self) -> bool {
        !is_child() || self.is_current_child()
    }

    #[cold]
    #[inline(never)]
    fn is_current_child(&self) -> bool {
        FORKS.load(Ordering::Relaxed) == self.0
    }

    /// Aborts a forked child of that process. A thread of the reactor calls this each time that
    /// foreign code (a poll, a job, a hook, a waker) has returned to it. That code may have forked,
    /// and the child must not continue the parent's work.
    #[inline(always)]
    pub(crate) fn abort_child(&self) {
        if !self.is_current() {
            abort_slow();
        }
    }
}

/// Returns true in a child that was forked after the first reactor of the program was made.
#[inline(always)]
pub(crate) fn is_child() -> bool {
    FORKS.load(Ordering::Relaxed) != 0
}

/// Aborts the process with one line on standard error.
#[cold]
fn abort_slow() -> ! {
    // A bare write: `eprintln` takes a lock, and a thread that does not exist in this process may
    // hold it.
    let _ = rustix::io::write(
        io::stderr(),
        b"shard-reactor: a forked child returned from a task, job or hook of its parent's reactor: end it with exec or _exit\n",
    );
    process::abort()
}

extern "C" fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    current::leave();
}
