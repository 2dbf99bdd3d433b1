//! The two ready guards. A wait on an [`AsyncFd`] returns one. Its user reports through the guard
//! if the readiness still holds.
//!
//! A guard holds the readiness of one observation with its ticks, and a reference to the `AsyncFd`.
//! It clears through the registration and never touches the descriptor itself. Tests are in
//! `tests/parity/cases/guards.rs`.

#![forbid(unsafe_code)]

use std::os::fd::AsRawFd;
use std::{fmt, io};

use reactor::{Ready, ReadyEvent, Registration};

use crate::async_fd::AsyncFd;
use crate::error::TryIoError;

/// The readiness that a wait observed, with shared access to the [`AsyncFd`].
///
/// The waits that take `&self` return it. Dropping the guard clears nothing, so the next wait ends
/// at once. Call [`try_io`](Self::try_io), which clears when needed; or one of the `clear_ready`
/// methods after an operation has ended with [`WouldBlock`](io::ErrorKind::WouldBlock); or
/// [`retain_ready`](Self::retain_ready) if it has not.
///
/// Same as tokio.
///
/// A guard cannot outlive its `AsyncFd`:
///
/// ```compile_fail,E0505
/// # async fn f(fd: asyncfd::AsyncFd<std::net::TcpStream>) -> std::io::Result<()> {
/// let mut guard = fd.readable().await?;
/// drop(fd);
/// guard.clear_ready();
/// # Ok(()) }
/// ```
///
/// An unused guard causes a warning that lists the choices:
///
/// ```compile_fail
/// #![deny(unused_must_use)]
/// # async fn f(fd: asyncfd::AsyncFd<std::net::TcpStream>) -> std::io::Result<()> {
/// fd.readable().await?;
/// # Ok(()) }
/// ```
#[must_use = "choose what becomes of the readiness: try_io, clear_ready or retain_ready"]
pub struct AsyncFdReadyGuard<'a, T: AsRawFd> {
    async_fd: &'a AsyncFd<T>,
    event: ReadyEvent,
}

/// The readiness that a wait observed, with exclusive access to the [`AsyncFd`].
///
/// The waits that take `&mut self` return it. See [`AsyncFdReadyGuard`] for its use.
///
/// Same as tokio.
///
/// While the guard lives, no other code can use the `AsyncFd`:
///
/// ```compile_fail,E0502
/// # async fn f(mut fd: asyncfd::AsyncFd<std::net::TcpStream>) -> std::io::Result<()> {
/// let mut guard = fd.readable_mut().await?;
/// fd.get_ref();
/// guard.clear_ready();
/// # Ok(()) }
/// ```
#[must_use = "choose what becomes of the readiness: try_io, clear_ready or retain_ready"]
pub struct AsyncFdReadyMutGuard<'a, T: AsRawFd> {
    async_fd: &'a mut AsyncFd<T>,
    event: ReadyEvent,
}

/// Takes all bits out of a guard's event, so that every later clear through it does nothing.
#[inline]
fn take(event: &mut ReadyEvent) -> ReadyEvent {
    let seen = *event;
    *event = seen.restricted_to(Ready::EMPTY);
    seen
}

#[inline]
fn clear(registration: &Registration, event: &mut ReadyEvent) {
    let seen = take(event);
    if !seen.ready().is_empty() {
        registration.clear(seen);
    }
}

fn clear_matching(registration: &Registration, event: &mut ReadyEvent, ready: Ready) {
    let seen = *event;
    *event = seen.restricted_to(seen.ready() - ready);
    let cleared = seen.restricted_to(ready);
    if !cleared.ready().is_empty() {
        registration.clear(cleared);
    }
}

/// Evaluates the result of a closure: `WouldBlock` clears the readiness that the guard saw, and
/// every other result passes through.
#[inline(always)]
fn settle<R>(
    registration: &Registration,
    event: &mut ReadyEvent,
    result: io::Result<R>,
) -> Result<io::Result<R>, TryIoError> {
    match result {
        Ok(value) => Ok(Ok(value)),
        // The system's own EAGAIN is the usual error: a textbook loop ends every second message
        // with it. So it is recognised by its number, and the readiness is cleared here.
        Err(error) if error.raw_os_error() == Some(EAGAIN) => {
            blocked(registration, event, &error);
            Err(TryIoError::new())
        }
        Err(error) => settle_other(registration, event, error).map(Err),
    }
}

const EAGAIN: i32 = rustix::io::Errno::AGAIN.raw_os_error();

#[inline]
fn blocked(registration: &Registration, event: &mut ReadyEvent, error: &io::Error) {
    let seen = take(event);
    if !seen.ready().is_empty() {
        registration.clear_blocked(seen, error);
    }
}

/// Handles every other error. It is not inlined, so that a successful closure costs its caller one
/// compare.
#[inline(never)]
fn settle_other(
    registration: &Registration,
    event: &mut ReadyEvent,
    error: io::Error,
) -> Result<io::Error, TryIoError> {
    if error.kind() != io::ErrorKind::WouldBlock {
        return Ok(error);
    }
    blocked(registration, event, &error);
    Err(TryIoError::new())
}

impl<'a, T: AsRawFd> AsyncFdReadyGuard<'a, T> {
    #[inline]
    pub(crate) fn new(async_fd: &'a AsyncFd<T>, event: ReadyEvent) -> Self {
        Self { async_fd, event }
    }

    /// Clears all the readiness this guard saw, on the descriptor and in the guard.
    ///
    /// Call it if an operation has ended with [`WouldBlock`](io::ErrorKind::WouldBlock), and only
    /// then: epoll reports a change once, so readiness that is cleared without `WouldBlock` may
    /// never be reported again. Events that arrived after the guard was created stay, and so do the
    /// closed bits. A second call does nothing.
    ///
    /// Events are counted modulo 2^19, for each direction. If exactly that many events of one
    /// direction, or a multiple, arrive before the clear, the clear mistakes the newest event for
    /// the one that the guard saw.
    ///
    /// Same as tokio.
    #[inline]
    pub fn clear_ready(&mut self) {
        clear(self.async_fd.registration(), &mut self.event);
    }

    /// Clears only `ready` of the readiness this guard saw, on the descriptor and in the guard.
    ///
    /// Use it after a wait for several states at once, when an operation for one of them blocked.
    /// See [`clear_ready`](Self::clear_ready).
    ///
    /// Same as tokio.
    pub fn clear_ready_matching(&mut self, ready: Ready) {
        clear_matching(self.async_fd.registration(), &mut self.event, ready);
    }

    /// Keeps the readiness. It does nothing, and states the intent in the code.
    ///
    /// Same as tokio.
    pub fn retain_ready(&mut self) {}

    /// Returns the readiness this guard saw, minus the bits cleared through it.
    ///
    /// It may be empty: a woken waiter completes even if another one cleared the readiness
    /// meanwhile.
    ///
    /// Same as tokio.
    pub fn ready(&self) -> Ready {
        self.event.ready()
    }

    /// Runs an operation on the descriptor, and clears the readiness if it would have blocked.
    ///
    /// The closure should perform the one operation this guard was obtained for, and return
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) only when the system did. Any other result clears
    /// nothing.
    ///
    /// Same as tokio, with one addition: if the error carries the kernel's own EAGAIN, the closed
    /// bits that the guard saw are checked as well. They are removed, and the kernel reports again
    /// the ones that are still true.
    ///
    /// # Errors
    ///
    /// Returns [`TryIoError`] when the closure returned `WouldBlock`: wait again. Every other error
    /// of the closure is in the inner result.
    #[inline]
    pub fn try_io<R>(
        &mut self,
        f: impl FnOnce(&'a AsyncFd<T>) -> io::Result<R>,
    ) -> Result<io::Result<R>, TryIoError> {
        let result = f(self.async_fd);
        settle(self.async_fd.registration(), &mut self.event, result)
    }

    /// Returns the [`AsyncFd`] this guard belongs to.
    pub fn get_ref(&self) -> &'a AsyncFd<T> {
        self.async_fd
    }

    /// Returns the object inside the [`AsyncFd`].
    pub fn get_inner(&self) -> &'a T {
        self.async_fd.get_ref()
    }
}

impl<'a, T: AsRawFd> AsyncFdReadyMutGuard<'a, T> {
    #[inline]
    pub(crate) fn new(async_fd: &'a mut AsyncFd<T>, event: ReadyEvent) -> Self {
        Self { async_fd, event }
    }

    /// Clears all the readiness this guard saw, on the descriptor and in the guard.
    ///
    /// Like [`AsyncFdReadyGuard::clear_ready`]. Same as tokio.
    #[inline]
    pub fn clear_ready(&mut self) {
        clear(self.async_fd.registration(), &mut self.event);
    }

    /// Clears only `ready` of the readiness this guard saw, on the descriptor and in the guard.
    ///
    /// Like [`AsyncFdReadyGuard::clear_ready_matching`]. Same as tokio.
    pub fn clear_ready_matching(&mut self, ready: Ready) {
        clear_matching(self.async_fd.registration(), &mut self.event, ready);
    }

    /// Keeps the readiness. It does nothing, and states the intent in the code.
    ///
    /// Same as tokio.
    pub fn retain_ready(&mut self) {}

    /// Returns the readiness this guard saw, minus the bits cleared through it.
    ///
    /// Like [`AsyncFdReadyGuard::ready`]. Same as tokio.
    pub fn ready(&self) -> Ready {
        self.event.ready()
    }

    /// Runs an operation on the descriptor, and clears the readiness if it would have blocked.
    ///
    /// Like [`AsyncFdReadyGuard::try_io`], with a closure that may change the object. Same as
    /// tokio.
    ///
    /// # Errors
    ///
    /// Returns [`TryIoError`] when the closure returned `WouldBlock`: wait again. Every other error
    /// of the closure is in the inner result.
    #[inline]
    pub fn try_io<R>(
        &mut self,
        f: impl FnOnce(&mut AsyncFd<T>) -> io::Result<R>,
    ) -> Result<io::Result<R>, TryIoError> {
        let result = f(self.async_fd);
        settle(self.async_fd.registration(), &mut self.event, result)
    }

    /// Returns the [`AsyncFd`] this guard belongs to.
    pub fn get_ref(&self) -> &AsyncFd<T> {
        self.async_fd
    }

    /// Returns the [`AsyncFd`] this guard belongs to, for changing it.
    pub fn get_mut(&mut self) -> &mut AsyncFd<T> {
        self.async_fd
    }

    /// Returns the object inside the [`AsyncFd`].
    pub fn get_inner(&self) -> &T {
        self.async_fd.get_ref()
    }

    /// Returns the object inside the [`AsyncFd`], for changing it.
    pub fn get_inner_mut(&mut self) -> &mut T {
        self.async_fd.get_mut()
    }
}

impl<T: fmt::Debug + AsRawFd> fmt::Debug for AsyncFdReadyGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncFdReadyGuard")
            .field("async_fd", &self.async_fd)
            .field("ready", &self.ready())
            .finish()
    }
}

impl<T: fmt::Debug + AsRawFd> fmt::Debug for AsyncFdReadyMutGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncFdReadyMutGuard")
            .field("async_fd", &self.async_fd)
            .field("ready", &self.ready())
            .finish()
    }
}
