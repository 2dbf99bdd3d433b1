//! The two errors of the surface: a registration that failed and hands its object back, and an
//! operation that would have blocked. Made by `async_fd.rs` and `guard.rs`; tested through them in
//! `tests/parity`.

#![forbid(unsafe_code)]

use std::error::Error;
use std::{fmt, io};

/// Tells that a descriptor could not be registered, and hands the object back.
///
/// Returned by the constructors of [`AsyncFd`](crate::AsyncFd) that keep the object on failure. It
/// shows its cause in `Debug` and `Display`, so neither asks anything of `T`, and `?` turns it into
/// the cause in a function that returns [`io::Error`] (the object is dropped then).
///
/// Same as tokio.
pub struct AsyncFdRegisterError<T> {
    inner: T,
    cause: io::Error,
}

/// The first name of [`AsyncFdRegisterError`]; one type under both names.
pub type AsyncFdTryNewError<T> = AsyncFdRegisterError<T>;

impl<T> AsyncFdRegisterError<T> {
    pub(crate) fn new(inner: T, cause: io::Error) -> Self {
        Self { inner, cause }
    }

    /// Takes the error apart into the object that was to be registered and the reason why it was
    /// not.
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

/// Tells that the closure of a guard's `try_io` ended with
/// [`WouldBlock`](io::ErrorKind::WouldBlock).
///
/// By the time it is returned the readiness that the guard saw is cleared: wait again.
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
