//! [`AsyncFd`]: an object with a descriptor, tied to a shard.
//!
//! It owns a `reactor::Registration` and the object, in that order, and the registration makes
//! every decision about readiness. It never reads, writes or closes the descriptor itself.
//! `tests/parity` tests its behaviour, side by side with tokio's type of the same name.

#![expect(
    unsafe_code,
    reason = "declares `unsafe fn register`, a contract for callers; no unsafe operation is here"
)]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::{fmt, io};

use reactor::{Handle, Interest, Placement, Ready, Registration, ShardId};

use crate::error::AsyncFdRegisterError;
use crate::nonblocking;

mod waiting;

/// An object with a file descriptor, tied to a reactor so that tasks can wait for it to be ready.
///
/// The descriptor must be of a kind that the system can poll (sockets, pipes, terminals, eventfd,
/// timerfd and the like, not regular files), and must be in non-blocking mode.
///
/// # Where to begin
///
/// Create one with [`from_fd`](Self::from_fd), and run operations through
/// [`async_io`](Self::async_io), which waits, calls and clears as often as needed.
/// [`readable`](Self::readable) and [`writable`](Self::writable) return a guard instead, for code
/// that decides itself when to clear; see [`AsyncFdReadyGuard`](crate::AsyncFdReadyGuard). For
/// sockets, the types in [`net`](crate::net) save a system call per message compared to both.
///
/// # Readiness is cached
///
/// The system reports a change once. The `AsyncFd` caches the report until an operation blocks, and
/// a wait ends at once while readiness is cached. This leads to one rule: clear readiness if, and
/// only if, an operation ended with [`WouldBlock`](io::ErrorKind::WouldBlock). `async_io` and the
/// guards' `try_io` do so by themselves.
///
/// # Ownership
///
/// The `AsyncFd` owns the object, and the object owns the descriptor. Dropping the `AsyncFd` first
/// ends the registration and then drops the object, which closes the descriptor if the object does
/// that. The descriptor's number is read once, at creation. If an object changes its descriptor
/// later, only its own `AsyncFd` loses notifications.
///
/// The waits may run on any thread and under any executor. On a task of the descriptor's own shard,
/// no other thread takes part.
///
/// Same as tokio's `AsyncFd`; the table in the [crate's documentation](crate) lists the
/// differences.
///
/// # Examples
///
/// ```
/// use std::io::{self, Read, Write};
/// use std::os::unix::net::UnixStream;
///
/// use asyncfd::{AsyncFd, Interest};
///
/// # fn main() -> io::Result<()> {
/// let reactor = reactor::Reactor::builder().shards(1).build()?;
/// let (a, mut b) = UnixStream::pair()?;
/// a.set_nonblocking(true)?;
///
/// let _entered = reactor.enter();
/// let a = AsyncFd::from_fd(a)?;
/// b.write_all(b"hello")?;
///
/// let mut buffer = [0; 16];
/// let n = reactor.block_on(a.async_io(Interest::READABLE, |mut a| a.read(&mut buffer)))?;
/// assert_eq!(&buffer[..n], b"hello");
/// # Ok(()) }
/// ```
pub struct AsyncFd<T: AsRawFd> {
    // Fields drop in this order: the registration ends while the descriptor is still open. Only
    // this order is needed, so there is no `Drop` of our own, and `into_inner` can take the value
    // apart.
    registration: Registration,
    number: RawFd,
    inner: T,
}

/// The interest of `new` and similar constructors.
const READ_WRITE: Interest = Interest::READABLE.add(Interest::WRITABLE);

impl<T: AsRawFd> AsyncFd<T> {
    /// Registers an object that owns, or validly borrows, its descriptor, for reading and writing.
    ///
    /// This is the recommended constructor: unlike [`AsRawFd`], [`AsFd`] promises that the
    /// descriptor is open and stays open. The reactor's placement chooses the shard. Not in tokio.
    ///
    /// # Errors
    ///
    /// The error holds the object and the system's reason: EPERM for a file or directory, EEXIST
    /// for a descriptor that is already registered (under `Placement::Hash`), ENOMEM or ENOSPC at
    /// the system's limits. After the reactor's shutdown it holds the error that
    /// [`reactor::is_shutdown_error`] recognises. Nothing stays registered.
    ///
    /// # Panics
    ///
    /// Panics when there is no current reactor; the message says how to get one.
    #[track_caller]
    pub fn from_fd(inner: T) -> Result<Self, AsyncFdRegisterError<T>>
    where
        T: AsFd,
    {
        Self::from_fd_with_interest(inner, READ_WRITE)
    }

    /// Like [`from_fd`](Self::from_fd), for the given interest. Not in tokio.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`from_fd`](Self::from_fd).
    ///
    /// # Panics
    ///
    /// Panics when there is no current reactor.
    #[track_caller]
    pub fn from_fd_with_interest(
        inner: T,
        interest: Interest,
    ) -> Result<Self, AsyncFdRegisterError<T>>
    where
        T: AsFd,
    {
        let fd = Self::tie_current(inner, interest)?;
        nonblocking::check_borrowed(&fd.inner);
        Ok(fd)
    }

    /// Registers an object with a descriptor, for reading and writing.
    ///
    /// Prefer [`from_fd`](Self::from_fd) where `T` has [`AsFd`]. Same as tokio, where this
    /// constructor is deprecated as unsound since 1.53.3; here it is sound, see the [crate's
    /// documentation](crate).
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`from_fd`](Self::from_fd); the object is dropped.
    ///
    /// # Panics
    ///
    /// Panics when there is no current reactor.
    #[track_caller]
    pub fn new(inner: T) -> io::Result<Self> {
        Ok(Self::try_with_interest(inner, READ_WRITE)?)
    }

    /// Like [`new`](Self::new), for the given interest. Same as tokio.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`from_fd`](Self::from_fd); the object is dropped.
    ///
    /// # Panics
    ///
    /// Panics when there is no current reactor.
    #[track_caller]
    pub fn with_interest(inner: T, interest: Interest) -> io::Result<Self> {
        Ok(Self::try_with_interest(inner, interest)?)
    }

    /// Like [`new`](Self::new), but hands the object back on failure. Same as tokio.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`from_fd`](Self::from_fd).
    ///
    /// # Panics
    ///
    /// Panics when there is no current reactor.
    #[track_caller]
    pub fn try_new(inner: T) -> Result<Self, AsyncFdRegisterError<T>> {
        Self::try_with_interest(inner, READ_WRITE)
    }

    /// Like [`with_interest`](Self::with_interest), but hands the object back on failure. Same as
    /// tokio.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`from_fd`](Self::from_fd).
    ///
    /// # Panics
    ///
    /// Panics when there is no current reactor.
    #[track_caller]
    pub fn try_with_interest(
        inner: T,
        interest: Interest,
    ) -> Result<Self, AsyncFdRegisterError<T>> {
        let fd = Self::tie_current(inner, interest)?;
        nonblocking::check_number(fd.number);
        Ok(fd)
    }

    /// Registers an object with a descriptor, for reading and writing, on a promise about that
    /// descriptor.
    ///
    /// It exists for code written against tokio 1.53.3 or later, where it replaces the safe
    /// constructors. It does the same as [`try_new`](Self::try_new). Same as tokio.
    ///
    /// # Safety
    ///
    /// 1. `inner.as_raw_fd()` returns the same number whenever it is called during the life of the
    ///    `AsyncFd`.
    /// 2. That number names an open descriptor until the `AsyncFd` is dropped or consumed by
    ///    [`into_inner`](Self::into_inner), and it is not closed and reopened meanwhile.
    ///
    /// Breaking these does no harm in this implementation. They are tokio's demands, so that code
    /// stays portable.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`from_fd`](Self::from_fd).
    ///
    /// # Panics
    ///
    /// Panics when there is no current reactor.
    #[track_caller]
    pub unsafe fn register(inner: T) -> Result<Self, AsyncFdRegisterError<T>> {
        Self::try_with_interest(inner, READ_WRITE)
    }

    /// Like [`register`](Self::register), for the given interest. Same as tokio.
    ///
    /// # Safety
    ///
    /// The two demands of [`register`](Self::register).
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`from_fd`](Self::from_fd).
    ///
    /// # Panics
    ///
    /// Panics when there is no current reactor.
    #[track_caller]
    pub unsafe fn register_with_interest(
        inner: T,
        interest: Interest,
    ) -> Result<Self, AsyncFdRegisterError<T>> {
        Self::try_with_interest(inner, interest)
    }

    /// Registers an object, for reading and writing, with the given reactor and on the shard that
    /// `placement` chooses.
    ///
    /// It needs no current reactor. Not in tokio.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`from_fd`](Self::from_fd).
    ///
    /// # Examples
    ///
    /// An accept loop on a shard keeps a connection on that shard:
    ///
    /// ```
    /// # use std::net::TcpStream;
    /// # use asyncfd::AsyncFd;
    /// use reactor::{Handle, Placement};
    ///
    /// # fn accepted(stream: TcpStream) -> std::io::Result<AsyncFd<TcpStream>> {
    /// let fd = AsyncFd::new_on(&Handle::current(), Placement::Current, stream)?;
    /// # Ok(fd) }
    /// ```
    pub fn new_on(
        handle: &Handle,
        placement: Placement,
        inner: T,
    ) -> Result<Self, AsyncFdRegisterError<T>> {
        let fd = Self::tie(handle, placement, inner, READ_WRITE, Ready::EMPTY)?;
        nonblocking::check_number(fd.number);
        Ok(fd)
    }

    /// Registers with the current reactor.
    #[track_caller]
    fn tie_current(inner: T, interest: Interest) -> Result<Self, AsyncFdRegisterError<T>> {
        let number = inner.as_raw_fd();
        let registration = Registration::new_current(&number, interest, Ready::EMPTY);
        Self::tied(registration, number, inner)
    }

    /// Registers with a given reactor. `initial` is the readiness that is assumed at creation.
    pub(crate) fn tie(
        handle: &Handle,
        placement: Placement,
        inner: T,
        interest: Interest,
        initial: Ready,
    ) -> Result<Self, AsyncFdRegisterError<T>> {
        let number = inner.as_raw_fd();
        let registration = Registration::new(handle, placement, &number, interest, initial);
        Self::tied(registration, number, inner)
    }

    fn tied(
        registration: io::Result<Registration>,
        number: RawFd,
        inner: T,
    ) -> Result<Self, AsyncFdRegisterError<T>> {
        match registration {
            Ok(registration) => Ok(Self {
                registration,
                number,
                inner,
            }),
            Err(cause) => Err(AsyncFdRegisterError::new(inner, cause)),
        }
    }

    pub(crate) fn registration(&self) -> &Registration {
        &self.registration
    }

    /// Returns the object. Same as tokio.
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    /// Returns the object for changing it. Same as tokio.
    ///
    /// The object must keep its descriptor. Replacing the object leaves the registration on the old
    /// number.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// Ends the registration and returns the object, which can be registered again at once. Same as
    /// tokio.
    pub fn into_inner(self) -> T {
        let Self {
            registration,
            inner,
            number: _,
        } = self;
        drop(registration);
        inner
    }

    /// Returns the shard whose thread polls this descriptor. Not in tokio.
    pub fn shard(&self) -> ShardId {
        self.registration.shard()
    }

    /// Changes the interest of the registration. Not in tokio.
    ///
    /// The system then reports the current readiness again.
    ///
    /// # Errors
    ///
    /// Returns the errors of epoll_ctl(2), and an error if the descriptor was closed without this
    /// `AsyncFd`'s knowledge and its number now belongs to another registration. The interest is
    /// then unchanged.
    pub fn set_interest(&mut self, interest: Interest) -> io::Result<()> {
        self.registration.set_interest(interest)
    }
}

impl<T: AsRawFd> AsRawFd for AsyncFd<T> {
    /// Returns the number that was read at creation.
    fn as_raw_fd(&self) -> RawFd {
        self.number
    }
}

/// Calls the object's `as_fd`: only the object can promise that its descriptor is open. (tokio
/// makes the promise itself, for every `T`.)
impl<T: AsRawFd + AsFd> AsFd for AsyncFd<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl<T: fmt::Debug + AsRawFd> fmt::Debug for AsyncFd<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The same form as tokio's type, down to the `Some`.
        f.debug_struct("AsyncFd")
            .field("inner", &Some(&self.inner))
            .finish()
    }
}

// A registration holds locks and cells, which the compiler considers unsafe to observe after a
// panic. No caller's code runs while one of them is half changed, so only the unwind safety of `T`
// matters.
impl<T: AsRawFd + UnwindSafe> UnwindSafe for AsyncFd<T> {}
impl<T: AsRawFd + RefUnwindSafe> RefUnwindSafe for AsyncFd<T> {}
