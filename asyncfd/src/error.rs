//! The two errors of the crate: a failed registration, which hands its object back, and an
//! operation that would have blocked. `async_fd.rs` and `guard.rs` create them. `tests/parity`
//! tests them.

#![forbid(unsafe_code)]

use std::error::Error;
use std::{fmt, io};

/// The error of a failed registration, which hands the object back.
///
/// The constructors of [`AsyncFd`](crate::AsyncFd) that keep the object on failure return it.
/// `Debug` and `Display` show its cause and need no bound on `T`. In a function that returns
/// [`io::Error`], `?` converts it into the cause and drops the object.
///
/// Same as tokio.
pub struct AsyncFdRegisterError<T> {
    inner: T,
    cause: io::Error,
}

/// The first name of [`AsyncFdRegisterError`]. Both names are the same type.
pub type AsyncFdTryNewError<T> = AsyncFdRegisterError<T>;

impl<T> AsyncFdRegisterError<T> {
    pub(crate) fn new(inner: T, cause: io::Error) -> Self {
        Self { inner, cause }
    }

    /// Splits the error into the object and the cause.
    pub fn into_parts(self) -> (T, io::Error) {
        (self.inner, self.cause)
    }
}

impl<T> fmt::Debug for AsyncFdRegisterError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.cause, f)
    }
}

impl<T> fmt::Display for AsyncFdRegisterError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.cause, f)
    }
}

impl<T> Error for AsyncFdRegisterError<T> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.cause)
    }
}

impl<T> From<AsyncFdRegisterError<T>> for io::Error {
    fn from(error: AsyncFdRegisterError<T>) -> Self {
        error.cause
    }
}

/// The error of a guard's `try_io` whose closure returned
/// [`WouldBlock`](io::ErrorKind::WouldBlock).
///
/// The readiness that the guard saw is already cleared: wait again.
///
/// Same as tokio; the [`Error`] and [`Display`](fmt::Display) implementations are additions.
#[derive(Debug)]
pub struct TryIoError(());

impl TryIoError {
    pub(crate) fn new() -> Self {
        Self(())
    }
}

impl fmt::Display for TryIoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the operation would block")
    }
}

impl Error for TryIoError {}
