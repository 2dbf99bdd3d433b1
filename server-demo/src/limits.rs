//! The process's descriptor limit. Programs that open many sockets call this once at their start.
//!
//! It makes two calls of rustix, which the programs use anyway. The crate `rlimit` would be a
//! second way to make the same two calls.

use std::fmt;
use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The soft limit on open descriptors, before and after it was raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct NofileLimit {
    /// The soft limit before the call; `u64::MAX` means none.
    pub before: u64,
    /// The soft limit now; `u64::MAX` means none.
    pub now: u64,
}

impl fmt::Display for NofileLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.now, self.before) {
            (u64::MAX, _) => write!(f, "descriptor limit: none"),
            (now, before) if now == before => {
                write!(f, "descriptor limit: {now} (already the hard limit)")
            }
            (now, before) => write!(f, "descriptor limit: {now} (raised from {before})"),
        }
    }
}

/// Returns the current soft limit on open descriptors; `u64::MAX` means none.
#[must_use]
pub fn nofile() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Raises the soft limit on open descriptors to the hard limit, and returns both values.
///
/// # Errors
///
/// The system refused; the limit is unchanged.
///
/// # Examples
///
/// ```
/// let limit = server_demo::limits::raise_nofile()?;
/// assert!(limit.now >= limit.before);
/// assert_eq!(limit.now, server_demo::limits::nofile());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn raise_nofile() -> io::Result<NofileLimit> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        setrlimit(
            Resource::Nofile,
            Rlimit {
                current: maximum,
                maximum,
            },
        )?;
    }
    Ok(NofileLimit {
        before: current.unwrap_or(u64::MAX),
        now: nofile(),
    })
}
