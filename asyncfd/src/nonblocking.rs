//! The check for O_NONBLOCK in debug builds, which reports the most common set-up mistake in one
//! line.
//!
//! A blocking descriptor registers like any other, and the first operation that blocks then stops a
//! whole shard. The constructors of `async_fd.rs` call this check. It never fails, never panics,
//! and is empty in release builds. Tests are in `tests/nonblocking.rs`.

#![forbid(unsafe_code)]

#[cfg(debug_assertions)]
pub(crate) use debug::{check_borrowed, check_number};

#[cfg(not(debug_assertions))]
pub(crate) use release::{check_borrowed, check_number};

#[cfg(debug_assertions)]
mod debug {
    use std::os::fd::{AsFd, AsRawFd, RawFd};
    use std::sync::atomic::{AtomicBool, Ordering};

    use rustix::fs::OFlags;

    /// Set by the first warning, so that a process prints one. Relaxed: it publishes nothing.
    static WARNED: AtomicBool = AtomicBool::new(false);

    /// Checks a descriptor that is known to be open.
    pub(crate) fn check_borrowed(fd: &impl AsFd) {
        if WARNED.load(Ordering::Relaxed) {
            return;
        }
        if let Ok(flags) = rustix::fs::fcntl_getfl(fd) {
            if !flags.contains(OFlags::NONBLOCK) {
                warn(fd.as_fd().as_raw_fd());
            }
        }
    }

    /// Checks a bare number.
    ///
    /// A borrow for fcntl(2) would promise that the descriptor stays open, and nothing here can
    /// promise that. The kernel's text under /proc needs no such promise. Systems without that text
    /// get no warning.
    pub(crate) fn check_number(fd: RawFd) {
        if WARNED.load(Ordering::Relaxed) {
            return;
        }
        let Ok(info) = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")) else {
            return;
        };
        let flags = info
            .lines()
            .find_map(|line| line.strip_prefix("flags:"))
            .and_then(|octal| u32::from_str_radix(octal.trim(), 8).ok());
        if let Some(flags) = flags {
            if !OFlags::from_bits_retain(flags).contains(OFlags::NONBLOCK) {
                warn(fd);
            }
        }
    }

    #[cold]
    fn warn(fd: RawFd) {
        if !WARNED.swap(true, Ordering::Relaxed) {
            // `write`, not `eprintln`: a closed stderr must not cause a panic.
            let _ = std::io::Write::write_fmt(
                &mut std::io::stderr(),
                format_args!(
                    "asyncfd: descriptor {fd} was registered without O_NONBLOCK, so an operation \
                     on it can stop a whole shard; call set_nonblocking(true) first (said once \
                     per process, in debug builds only)\n"
                ),
            );
        }
    }
}

#[cfg(not(debug_assertions))]
mod release {
    use std::os::fd::{AsFd, RawFd};

    pub(crate) fn check_borrowed(_: &impl AsFd) {}
    pub(crate) fn check_number(_: RawFd) {}
}
