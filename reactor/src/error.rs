//! The errors that callers must tell apart, as `io::Error`s.

use std::error::Error;
use std::{fmt, io};

use crate::JoinError;

/// The inner error of a wait on a reactor that has shut down.
#[derive(Debug)]
struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the reactor has shut down: this descriptor gets no more events")
    }
}

impl Error for Gone {}

/// Returns the error of every call to a reactor that has shut down.
#[cold]
pub(crate) fn shutdown_error() -> io::Error {
    io::Error::other(Gone)
}

/// Returns true if the error says that the reactor has shut down.
///
/// Every wait on a descriptor, and every attempt to register one, ends with this error once the
/// reactor is gone. It is also recognised inside other `io::Error`s that wrap it. The same holds
/// for a [`JoinError`] for which [`is_shutdown`](JoinError::is_shutdown) is true.
///
/// # Examples
///
/// ```
/// use std::io;
///
/// assert!(!reactor::is_shutdown_error(&io::Error::other("something else")));
/// ```
#[must_use]
pub fn is_shutdown_error(error: &io::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = error.get_ref().map(|inner| inner as _);
    while let Some(inner) = cause {
        let of_task = inner.downcast_ref::<JoinError>();
        if inner.is::<Gone>() || of_task.is_some_and(JoinError::is_shutdown) {
            return true;
        }
        // The source of an `io::Error` that wraps another is the inner one's source. This skips the
        // inner error itself.
        cause = match inner
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(wrapped) => Some(wrapped),
            None => inner.source(),
        };
    }
    false
}

/// Returns the error of a registration that lost its descriptor number: the descriptor was closed
/// while it was registered, and the number now belongs to another registration, or to none.
#[cold]
pub(crate) fn dispossessed_error() -> io::Error {
    io::Error::new(
        io::ErrorKind::NotFound,
        "this registration no longer owns its descriptor number: the descriptor was closed while \
         registered",
    )
}

/// Returns the error of a table without a free slot.
#[cold]
pub(crate) fn table_full_error() -> io::Error {
    io::Error::new(
        io::ErrorKind::QuotaExceeded,
        "the registration table of this shard is full",
    )
}

/// Returns the error of a call from a forked child.
#[cold]
pub(crate) fn forked_error() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "this reactor belongs to the parent process: a forked child cannot use it",
    )
}

/// Panics with the same error, for calls that cannot return one. Their caller would wait for
/// threads that do not exist in the child.
#[cold]
#[track_caller]
pub(crate) fn forked() -> ! {
    panic!(
        "this reactor belongs to the parent process, and its threads do not exist in this one: \
         fork before the reactor is built, or exec in the child"
    )
}

/// Returns the error of a wait for both directions with one closure, which can do only one of them.
#[cold]
pub(crate) fn two_directions_error() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "async_io takes one direction: with both, a closure that blocks in one would clear the \
         other",
    )
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::{is_shutdown_error, shutdown_error};

    #[test]
    fn the_shutdown_error_is_recognised_through_wrappers() {
        let error = shutdown_error();
        assert_eq!(error.kind(), io::ErrorKind::Other);
        assert!(is_shutdown_error(&error));
        let wrapped = io::Error::new(io::ErrorKind::BrokenPipe, error);
        assert!(is_shutdown_error(&wrapped));
        assert!(is_shutdown_error(&io::Error::other(wrapped)));
    }

    #[test]
    fn other_errors_are_not_the_shutdown_error() {
        assert!(!is_shutdown_error(&io::Error::other(
            "reactor has shut down"
        )));
        assert!(!is_shutdown_error(&io::Error::from(io::ErrorKind::Other)));
        assert!(!is_shutdown_error(&io::Error::from_raw_os_error(9)));
    }
}
