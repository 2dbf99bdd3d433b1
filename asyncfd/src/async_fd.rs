//! [`AsyncFd`]: an object with a descriptor, tied to a shard.
//!
//! It owns a `reactor::Registration` and the object, in that order, and leaves every decision about
//! readiness to the registration. It never reads, writes or closes the descriptor itself. Behaviour
//! is tested in `tests/parity`, beside tokio's type of the same name.

#![expect(
    unsafe_code,
    reason = "declares `unsafe fn register`, a contract for callers; no unsafe operation is here"
)]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::task::{Context, Poll, ready};
use std::{fmt, io};

use reactor::{Direction, Handle, Interest, Placement, Ready, Registration, ShardId};

use crate::{AsyncFdReadyGuard, AsyncFdReadyMutGuard, AsyncFdRegisterError, nonblocking};

/// Ties an object with a file descriptor to a reactor, so that tasks can wait for it to be ready.
///
/// The descriptor must be of a kind that the system can poll (sockets, pipes, terminals, eventfd,
/// timerfd and the like, not regular files), and must be in non-blocking mode.
///
/// # Where to begin
///
/// Make one with [`from_fd`](Self::from_fd), and run operations through
/// [`async_io`](Self::async_io), which waits, calls and clears as often as it takes.
/// [`readable`](Self::readable) and [`writable`](Self::writable) return a guard instead, for code
/// that wants to decide itself; see [`AsyncFdReadyGuard`]. For sockets, the types in
/// [`net`](crate::net) save a system call per message over both.
///
/// # Readiness is cached
///
/// The system announces a change once. What it announced is remembered until an operation was found
/// to block, and a wait ends at once while something is remembered. Hence the one rule: clear
/// readiness when, and only when, an operation ended with
/// [`WouldBlock`](io::ErrorKind::WouldBlock). `async_io` and the guards' `try_io` do that by
/// themselves.
///
/// # Ownership
///
/// The `AsyncFd` owns the object, and the object owns the descriptor: dropping the `AsyncFd` first
/// ends the registration and then drops the object, which closes the descriptor if that is what the
/// object does. The descriptor's number is read once, at creation. An object that changes its
/// descriptor later costs this `AsyncFd` its own notifications, and never another's.
///
/// The waits may run on any thread and under any executor. On a task of the shard the descriptor is
/// registered with, no other thread takes part.
///
/// Same as tokio's `AsyncFd`; the table in the [crate's documentation](crate) lists what differs.
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
    // Fields drop in this order: the registration ends while the descriptor is still open. Because
    // nothing but that order is needed, there is no `Drop` of our own, and `into_inner` can take
    // the value apart.
    registration: Registration,
    number: RawFd,
    inner: T,
}

/// What `new` and its kin register.
const READ_WRITE: Interest = Interest::READABLE.add(Interest::WRITABLE);

impl<T: AsRawFd> AsyncFd<T> {
    /// Registers an object that owns, or validly borrows, its descriptor, for reading and writing.
    ///
    /// The recommended door: [`AsFd`] promises what [`AsRawFd`] does not, that the descriptor is
    /// open and stays so. The reactor's placement chooses the shard. Not in tokio.
    ///
    /// # Errors
    ///
    /// The object comes back with the system's reason: EPERM for a file or directory, EEXIST for a
    /// descriptor that is registered already (under `Placement::Hash`), ENOMEM or ENOSPC at the
    /// system's limits; or, on a reactor that has shut down, the error that
    /// [`reactor::is_shutdown_error`] recognises. Nothing stays registered.
    ///
    /// # Panics
    ///
    /// When there is no current reactor; the message says how to get one.
    #[track_caller]
    pub fn from_fd(inner: T) -> Result<Self, AsyncFdRegisterError<T>>
    where
        T: AsFd,
    {
        Self::from_fd_with_interest(inner, READ_WRITE)
    }

    /// As [`from_fd`](Self::from_fd), for the given interest. Not in tokio.
    ///
    /// # Errors
    ///
    /// As [`from_fd`](Self::from_fd).
    ///
    /// # Panics
    ///
    /// When there is no current reactor.
    #[track_caller]
    pub fn from_fd_with_interest(
        inner: T,
        interest: Interest,
    ) -> Result<Self, AsyncFdRegisterError<T>>
    where
        T: AsFd,
    {
        let handle = Handle::current();
        let fd = Self::tie(&handle, handle.placement(), inner, interest, Ready::EMPTY)?;
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
    /// As [`from_fd`](Self::from_fd); the object is dropped.
    ///
    /// # Panics
    ///
    /// When there is no current reactor.
    #[track_caller]
    pub fn new(inner: T) -> io::Result<Self> {
        Ok(Self::try_with_interest(inner, READ_WRITE)?)
    }

    /// As [`new`](Self::new), for the given interest. Same as tokio.
    ///
    /// # Errors
    ///
    /// As [`from_fd`](Self::from_fd); the object is dropped.
    ///
    /// # Panics
    ///
    /// When there is no current reactor.
    #[track_caller]
    pub fn with_interest(inner: T, interest: Interest) -> io::Result<Self> {
        Ok(Self::try_with_interest(inner, interest)?)
    }

    /// As [`new`](Self::new), but hands the object back on failure. Same as tokio.
    ///
    /// # Errors
    ///
    /// As [`from_fd`](Self::from_fd).
    ///
    /// # Panics
    ///
    /// When there is no current reactor.
    #[track_caller]
    pub fn try_new(inner: T) -> Result<Self, AsyncFdRegisterError<T>> {
        Self::try_with_interest(inner, READ_WRITE)
    }

    /// As [`with_interest`](Self::with_interest), but hands the object back on failure. Same as
    /// tokio.
    ///
    /// # Errors
    ///
    /// As [`from_fd`](Self::from_fd).
    ///
    /// # Panics
    ///
    /// When there is no current reactor.
    #[track_caller]
    pub fn try_with_interest(
        inner: T,
        interest: Interest,
    ) -> Result<Self, AsyncFdRegisterError<T>> {
        let handle = Handle::current();
        let fd = Self::tie(&handle, handle.placement(), inner, interest, Ready::EMPTY)?;
        nonblocking::check_number(fd.number);
        Ok(fd)
    }

    /// Registers an object with a descriptor, for reading and writing, on a promise about that
    /// descriptor.
    ///
    /// Here for code written against tokio 1.53.3 or later, where it replaces the safe
    /// constructors. It does what [`try_new`](Self::try_new) does. Same as tokio.
    ///
    /// # Safety
    ///
    /// 1. `inner.as_raw_fd()` returns the same number whenever it is called during the life of the
    ///    `AsyncFd`.
    /// 2. That number names an open descriptor until the `AsyncFd` is dropped or taken apart with
    ///    [`into_inner`](Self::into_inner), and it is not closed and opened anew meanwhile.
    ///
    /// Breaking these does no harm in this implementation; the demands are tokio's, so that code
    /// stays portable.
    ///
    /// # Errors
    ///
    /// As [`from_fd`](Self::from_fd).
    ///
    /// # Panics
    ///
    /// When there is no current reactor.
    #[track_caller]
    pub unsafe fn register(inner: T) -> Result<Self, AsyncFdRegisterError<T>> {
        Self::try_with_interest(inner, READ_WRITE)
    }

    /// As [`register`](Self::register), for the given interest. Same as tokio.
    ///
    /// # Safety
    ///
    /// The two demands of [`register`](Self::register).
    ///
    /// # Errors
    ///
    /// As [`from_fd`](Self::from_fd).
    ///
    /// # Panics
    ///
    /// When there is no current reactor.
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
    /// Needs no current reactor. Not in tokio.
    ///
    /// # Errors
    ///
    /// As [`from_fd`](Self::from_fd).
    ///
    /// # Examples
    ///
    /// An accept loop that runs on a shard keeps a connection there:
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

    /// The one place where a registration is made. `initial` is the readiness assumed at birth.
    pub(crate) fn tie(
        handle: &Handle,
        placement: Placement,
        inner: T,
        interest: Interest,
        initial: Ready,
    ) -> Result<Self, AsyncFdRegisterError<T>> {
        let number = inner.as_raw_fd();
        match Registration::new(handle, placement, &number, interest, initial) {
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
    /// It must keep its descriptor; putting another object in its place leaves the registration on
    /// the old number.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// Ends the registration and returns the object, which may be registered again at once. Same as
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

    /// Changes what the descriptor is registered for. Not in tokio.
    ///
    /// The system then reports anew what is ready.
    ///
    /// # Errors
    ///
    /// Those of epoll_ctl(2), and an error when the descriptor was closed behind this `AsyncFd`'s
    /// back and its number belongs to another one now. The interest stays as it was.
    pub fn set_interest(&mut self, interest: Interest) -> io::Result<()> {
        self.registration.set_interest(interest)
    }

    /// Waits until a peer has hung up or shut down a direction, without reading, and says which
    /// side is closed.
    ///
    /// Not in tokio. A closed bit that predates connect(2) is checked with the system once before
    /// it is believed.
    ///
    /// # Errors
    ///
    /// The shutdown error, when the reactor shuts down first.
    ///
    /// # Cancel safety
    ///
    /// Dropping the wait removes it; nothing is lost.
    pub async fn closed(&self) -> io::Result<Ready> {
        self.registration.closed().await
    }

    /// Forgets the closed bits, and asks the system to report again what is still true. Not in
    /// tokio.
    ///
    /// For descriptors that come back to life, such as a FIFO with a new writer. The `clear_ready`
    /// methods of the guards leave these bits alone.
    ///
    /// # Errors
    ///
    /// As [`set_interest`](Self::set_interest).
    pub fn clear_closed(&self) -> io::Result<()> {
        self.registration.clear_closed()
    }

    /// Polls for readiness to read, for code that implements `poll` by hand. Same as tokio.
    ///
    /// # Errors
    ///
    /// The shutdown error.
    ///
    /// # Wakeups
    ///
    /// When pending, the task of `cx` is woken once the descriptor is readable or its read side is
    /// closed. This method and [`poll_read_ready_mut`](Self::poll_read_ready_mut) share one slot:
    /// the newest waker replaces the one before, which is not woken. The slot for writing and the
    /// `async` waits are apart.
    pub fn poll_read_ready<'a>(
        &'a self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncFdReadyGuard<'a, T>>> {
        let event = ready!(self.registration.poll_ready(cx, Direction::Read))?;
        Poll::Ready(Ok(AsyncFdReadyGuard::new(self, event)))
    }

    /// As [`poll_read_ready`](Self::poll_read_ready), with a guard that gives exclusive access.
    /// Same as tokio.
    ///
    /// # Errors
    ///
    /// The shutdown error.
    pub fn poll_read_ready_mut<'a>(
        &'a mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncFdReadyMutGuard<'a, T>>> {
        let event = ready!(self.registration.poll_ready(cx, Direction::Read))?;
        Poll::Ready(Ok(AsyncFdReadyMutGuard::new(self, event)))
    }

    /// Polls for readiness to write, for code that implements `poll` by hand. Same as tokio.
    ///
    /// # Errors
    ///
    /// The shutdown error.
    ///
    /// # Wakeups
    ///
    /// When pending, the task of `cx` is woken once the descriptor is writable or its write side is
    /// closed. This method and [`poll_write_ready_mut`](Self::poll_write_ready_mut) share one slot:
    /// the newest waker replaces the one before, which is not woken. The slot for reading and the
    /// `async` waits are apart.
    pub fn poll_write_ready<'a>(
        &'a self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncFdReadyGuard<'a, T>>> {
        let event = ready!(self.registration.poll_ready(cx, Direction::Write))?;
        Poll::Ready(Ok(AsyncFdReadyGuard::new(self, event)))
    }

    /// As [`poll_write_ready`](Self::poll_write_ready), with a guard that gives exclusive access.
    /// Same as tokio.
    ///
    /// # Errors
    ///
    /// The shutdown error.
    pub fn poll_write_ready_mut<'a>(
        &'a mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncFdReadyMutGuard<'a, T>>> {
        let event = ready!(self.registration.poll_ready(cx, Direction::Write))?;
        Poll::Ready(Ok(AsyncFdReadyMutGuard::new(self, event)))
    }

    /// Waits for any of the states in `interest`. Same as tokio.
    ///
    /// The guard says which states were seen. It can hold none: a waiter that was woken completes
    /// even if another one cleared the readiness meanwhile, so look, and wait again if need be.
    /// After an operation that would have blocked, clear only the state that blocked, with
    /// [`clear_ready_matching`](AsyncFdReadyGuard::clear_ready_matching).
    ///
    /// Any number of tasks may wait, for the same or for different states.
    ///
    /// # Errors
    ///
    /// The shutdown error, once the reactor shuts down, whatever is ready.
    ///
    /// # Cancel safety
    ///
    /// Dropping the wait removes it; readiness that was seen stays cached.
    ///
    /// # Wakeups
    ///
    /// An event wakes every waiter it matches. A wait for reading also ends when the read side is
    /// closed, one for writing when the write side is.
    pub async fn ready(&self, interest: Interest) -> io::Result<AsyncFdReadyGuard<'_, T>> {
        let event = self.registration.ready(interest).await?;
        Ok(AsyncFdReadyGuard::new(self, event))
    }

    /// As [`ready`](Self::ready), with a guard that gives exclusive access. Same as tokio.
    ///
    /// # Errors
    ///
    /// The shutdown error.
    ///
    /// # Cancel safety
    ///
    /// Dropping the wait removes it; readiness that was seen stays cached.
    pub async fn ready_mut(
        &mut self,
        interest: Interest,
    ) -> io::Result<AsyncFdReadyMutGuard<'_, T>> {
        let event = self.registration.ready(interest).await?;
        Ok(AsyncFdReadyMutGuard::new(self, event))
    }

    /// Waits until the descriptor is readable or its read side is closed. Same as tokio.
    ///
    /// # Errors
    ///
    /// The shutdown error.
    ///
    /// # Cancel safety
    ///
    /// Dropping the wait removes it; readiness that was seen stays cached.
    pub async fn readable(&self) -> io::Result<AsyncFdReadyGuard<'_, T>> {
        self.ready(Interest::READABLE).await
    }

    /// As [`readable`](Self::readable), with a guard that gives exclusive access. Same as tokio.
    ///
    /// # Errors
    ///
    /// The shutdown error.
    ///
    /// # Cancel safety
    ///
    /// Dropping the wait removes it; readiness that was seen stays cached.
    pub async fn readable_mut(&mut self) -> io::Result<AsyncFdReadyMutGuard<'_, T>> {
        self.ready_mut(Interest::READABLE).await
    }

    /// Waits until the descriptor is writable or its write side is closed. Same as tokio.
    ///
    /// # Errors
    ///
    /// The shutdown error.
    ///
    /// # Cancel safety
    ///
    /// Dropping the wait removes it; readiness that was seen stays cached.
    pub async fn writable(&self) -> io::Result<AsyncFdReadyGuard<'_, T>> {
        self.ready(Interest::WRITABLE).await
    }

    /// As [`writable`](Self::writable), with a guard that gives exclusive access. Same as tokio.
    ///
    /// # Errors
    ///
    /// The shutdown error.
    ///
    /// # Cancel safety
    ///
    /// Dropping the wait removes it; readiness that was seen stays cached.
    pub async fn writable_mut(&mut self) -> io::Result<AsyncFdReadyMutGuard<'_, T>> {
        self.ready_mut(Interest::WRITABLE).await
    }

    /// Waits for `interest`, runs an operation, and waits again for as long as it would block. Same
    /// as tokio.
    ///
    /// Ask for the one state that the operation needs. The closure should perform one operation on
    /// the object, and return [`WouldBlock`](io::ErrorKind::WouldBlock) only when the system said
    /// so: that clears the readiness.
    ///
    /// # Errors
    ///
    /// Those of the closure other than `WouldBlock`; the shutdown error; and
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for READABLE and WRITABLE together, where
    /// tokio may sleep for ever.
    ///
    /// # Cancel safety
    ///
    /// Dropping the wait removes it. The closure runs without a wait inside, so it has either run
    /// to its end or not run.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io;
    /// use std::net::UdpSocket;
    ///
    /// use asyncfd::{AsyncFd, Interest};
    ///
    /// # async fn f() -> io::Result<()> {
    /// let socket = UdpSocket::bind("127.0.0.1:0")?;
    /// socket.set_nonblocking(true)?;
    /// let socket = AsyncFd::from_fd(socket)?;
    /// let mut buffer = [0; 1500];
    /// let (n, from) = socket
    ///     .async_io(Interest::READABLE, |socket| socket.recv_from(&mut buffer))
    ///     .await?;
    /// # Ok(()) }
    /// ```
    pub async fn async_io<R>(
        &self,
        interest: Interest,
        mut f: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.registration
            .async_io(interest, || f(&self.inner))
            .await
    }

    /// As [`async_io`](Self::async_io), with a closure that may change the object. Same as tokio.
    ///
    /// # Errors
    ///
    /// As [`async_io`](Self::async_io).
    ///
    /// # Cancel safety
    ///
    /// As [`async_io`](Self::async_io).
    pub async fn async_io_mut<R>(
        &mut self,
        interest: Interest,
        mut f: impl FnMut(&mut T) -> io::Result<R>,
    ) -> io::Result<R> {
        let Self {
            registration,
            inner,
            ..
        } = self;
        registration.async_io(interest, || f(inner)).await
    }

    /// Runs an operation if the descriptor is cached as ready for `interest`, without waiting. Same
    /// as tokio.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock), without a call of the closure, when nothing is
    /// cached; those of the closure, where `WouldBlock` also clears the readiness; the shutdown
    /// error.
    pub fn try_io<R>(
        &self,
        interest: Interest,
        f: impl FnOnce(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.registration.try_io(interest, || f(&self.inner))
    }

    /// As [`try_io`](Self::try_io), with a closure that may change the object. Same as tokio.
    ///
    /// # Errors
    ///
    /// As [`try_io`](Self::try_io).
    pub fn try_io_mut<R>(
        &mut self,
        interest: Interest,
        f: impl FnOnce(&mut T) -> io::Result<R>,
    ) -> io::Result<R> {
        let Self {
            registration,
            inner,
            ..
        } = self;
        registration.try_io(interest, || f(inner))
    }
}

impl<T: AsRawFd> AsRawFd for AsyncFd<T> {
    /// Returns the number that was read at creation.
    fn as_raw_fd(&self) -> RawFd {
        self.number
    }
}

/// Asks the object, which alone can promise that its descriptor is open. (tokio makes the promise
/// itself, for every `T`.)
impl<T: AsRawFd + AsFd> AsFd for AsyncFd<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl<T: fmt::Debug + AsRawFd> fmt::Debug for AsyncFd<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The form tokio's type shows, down to the `Some`.
        f.debug_struct("AsyncFd")
            .field("inner", &Some(&self.inner))
            .finish()
    }
}

// A registration holds locks and cells, which the compiler takes for unsafe to see after a panic.
// No caller's code runs while one of them is half changed, so what remains is the question whether
// `T` is.
impl<T: AsRawFd + UnwindSafe> UnwindSafe for AsyncFd<T> {}
impl<T: AsRawFd + RefUnwindSafe> RefUnwindSafe for AsyncFd<T> {}
