//! Listeners that a service manager opened and handed over: systemd's socket activation.
//!
//! The manager sets `LISTEN_PID` to the process that the sockets are for and `LISTEN_FDS` to their
//! number. They are the descriptors from 3 on. Tests: `tests/serve_inherited.rs`.
#![expect(
    unsafe_code,
    reason = "descriptors that another process handed over are known by number"
)]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The first descriptor that is handed over: SD_LISTEN_FDS_START of sd_listen_fds(3).
const FIRST: i32 = 3;

/// True once the descriptors have an owner.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Takes the sockets that the service manager handed over, in its order.
///
/// Returns an empty list if this process was not started so, and in each call after the first.
///
/// # Errors
///
/// Returns `InvalidData` if the variables hold no numbers.
pub(super) fn take() -> io::Result<Vec<OwnedFd>> {
    let variable = |name: &str| -> io::Result<Option<i32>> {
        let Some(value) = std::env::var_os(name) else {
            return Ok(None);
        };
        let number = value.to_str().and_then(|value| value.parse().ok());
        let wrong = || {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{name} is not a number"),
            )
        };
        number.map(Some).ok_or_else(wrong)
    };
    let (Some(pid), Some(count)) = (variable("LISTEN_PID")?, variable("LISTEN_FDS")?) else {
        return Ok(Vec::new());
    };
    let ours = i64::from(pid) == i64::from(std::process::id());
    if !ours || TAKEN.swap(true, Relaxed) {
        return Ok(Vec::new());
    }
    let sockets = (FIRST..FIRST.saturating_add(count)).map(|fd| {
        // SAFETY: `LISTEN_PID` names this process, so by the protocol the manager opened this
        // descriptor for it and nothing else in it owns the number. `TAKEN` lets one caller come
        // here. A number that is not open makes the calls on it fail with EBADF.
        unsafe { OwnedFd::from_raw_fd(fd) }
    });
    let sockets: Vec<OwnedFd> = sockets.collect();
    for socket in &sockets {
        // The manager cannot set this flag, and the sockets are not for children.
        rustix::io::fcntl_setfd(socket, rustix::io::FdFlags::CLOEXEC)?;
    }
    Ok(sockets)
}
