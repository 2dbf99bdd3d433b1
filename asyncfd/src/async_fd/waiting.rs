//! Waits on an [`AsyncFd`], and operations that run on it.
//!
//! All of it goes through the registration. Nothing here keeps state between calls.

#![forbid(unsafe_code)]

use std::io;
use std::marker::PhantomPinned;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use reactor::{Direction, Interest, Ready, ReadyEvent};

use super::AsyncFd;
use crate::guard::{AsyncFdReadyGuard, AsyncFdReadyMutGuard};

pin_project! {
    /// The registration's wait, which returns a guard.
    ///
    /// It is a type, not an async function: the state machine of an async function would cost more
    /// instructions than the rest of a wait that ends at once.
    struct Waiting<'a, T: AsRawFd, W> {
        async_fd: &'a AsyncFd<T>,
        #[pin]
        wait: W,
        #[pin]
        pinned: PhantomPinned,
    }
}

impl<'a, T, W> Future for Waiting<'a, T, W>
where
    T: AsRawFd,
    W: Future<Output = io::Result<ReadyEvent>>,
{
    type Output = io::Result<AsyncFdReadyGuard<'a, T>>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let event = ready!(this.wait.poll(cx))?;
        Poll::Ready(Ok(AsyncFdReadyGuard::new(this.async_fd, event)))
    }
}

impl<T: AsRawFd> AsyncFd<T> {
    /// Polls for readiness to read, for code that implements `poll` by hand. Same as tokio.
    ///
    /// # Errors
    ///
    /// Returns the shutdown error.
    ///
    /// # Wakeups
    ///
    /// If the result is `Pending`, the task of `cx` is woken once the descriptor is readable or its
    /// read side is closed. This method and [`poll_read_ready_mut`](Self::poll_read_ready_mut)
    /// share one slot: the newest waker replaces the one before, which is not woken. The slot for
    /// writing and the `async` waits are separate.
    #[inline]
    pub fn poll_read_ready<'a>(
        &'a self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncFdReadyGuard<'a, T>>> {
        let event = ready!(self.registration.poll_ready(cx, Direction::Read))?;
        Poll::Ready(Ok(AsyncFdReadyGuard::new(self, event)))
    }

    /// Like [`poll_read_ready`](Self::poll_read_ready), with a guard that gives exclusive access.
    /// Same as tokio.
    ///
    /// # Errors
    ///
    /// Returns the shutdown error.
    #[inline]
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
    /// Returns the shutdown error.
    ///
    /// # Wakeups
    ///
    /// If the result is `Pending`, the task of `cx` is woken once the descriptor is writable or its
    /// write side is closed. This method and [`poll_write_ready_mut`](Self::poll_write_ready_mut)
    /// share one slot: the newest waker replaces the one before, which is not woken. The slot for
    /// reading and the `async` waits are separate.
    #[inline]
    pub fn poll_write_ready<'a>(
        &'a self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncFdReadyGuard<'a, T>>> {
        let event = ready!(self.registration.poll_ready(cx, Direction::Write))?;
        Poll::Ready(Ok(AsyncFdReadyGuard::new(self, event)))
    }

    /// Like [`poll_write_ready`](Self::poll_write_ready), with a guard that gives exclusive access.
    /// Same as tokio.
    ///
    /// # Errors
    ///
    /// Returns the shutdown error.
    #[inline]
    pub fn poll_write_ready_mut<'a>(
        &'a mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncFdReadyMutGuard<'a, T>>> {
        let event = ready!(self.registration.poll_ready(cx, Direction::Write))?;
        Poll::Ready(Ok(AsyncFdReadyMutGuard::new(self, event)))
    }

    /// Waits for any of the states in `interest`. Same as tokio.
    ///
    /// The guard tells which states were seen. It can hold none, because a woken waiter completes
    /// even if another one cleared the readiness meanwhile: check, and wait again if needed. After
    /// an operation that would have blocked, clear only the state that blocked, with
    /// [`clear_ready_matching`](AsyncFdReadyGuard::clear_ready_matching).
    ///
    /// Any number of tasks may wait, for the same state or for different ones.
    ///
    /// # Errors
    ///
    /// Returns the shutdown error once the reactor shuts down, even if the descriptor is ready.
    ///
    /// # Cancel safety
    ///
    /// Dropping the wait removes it; readiness that was seen stays cached.
    ///
    /// # Wakeups
    ///
    /// An event wakes every waiter it matches. A wait for reading also ends when the read side is
    /// closed, and a wait for writing when the write side is closed.
    #[inline]
    pub fn ready(
        &self,
        interest: Interest,
    ) -> impl Future<Output = io::Result<AsyncFdReadyGuard<'_, T>>> {
        self.guarded(self.registration.ready(interest))
    }

    #[inline]
    fn guarded<W>(&self, wait: W) -> Waiting<'_, T, W> {
        Waiting {
            async_fd: self,
            wait,
            pinned: PhantomPinned,
        }
    }

    /// Like [`ready`](Self::ready), with a guard that gives exclusive access. Same as tokio.
    ///
    /// # Errors
    ///
    /// Returns the shutdown error.
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
    /// Returns the shutdown error.
    ///
    /// # Cancel safety
    ///
    /// Dropping the wait removes it; readiness that was seen stays cached.
    #[inline]
    pub fn readable(&self) -> impl Future<Output = io::Result<AsyncFdReadyGuard<'_, T>>> {
        self.guarded(self.registration.readable())
    }

    /// Like [`readable`](Self::readable), with a guard that gives exclusive access. Same as tokio.
    ///
    /// # Errors
    ///
    /// Returns the shutdown error.
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
    /// Returns the shutdown error.
    ///
    /// # Cancel safety
    ///
    /// Dropping the wait removes it; readiness that was seen stays cached.
    #[inline]
    pub fn writable(&self) -> impl Future<Output = io::Result<AsyncFdReadyGuard<'_, T>>> {
        self.guarded(self.registration.writable())
    }

    /// Like [`writable`](Self::writable), with a guard that gives exclusive access. Same as tokio.
    ///
    /// # Errors
    ///
    /// Returns the shutdown error.
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
    /// Pass the one state that the operation needs. The closure should perform one operation on the
    /// object, and return [`WouldBlock`](io::ErrorKind::WouldBlock) only when the system did: that
    /// clears the readiness.
    ///
    /// # Errors
    ///
    /// Returns the closure's errors other than `WouldBlock`; the shutdown error; and
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for READABLE and WRITABLE together, where
    /// tokio may sleep for ever.
    ///
    /// # Cancel safety
    ///
    /// Dropping the wait removes it. The closure itself never waits, so it has either run to its
    /// end or not run.
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

    /// Like [`async_io`](Self::async_io), with a closure that may change the object. Same as tokio.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`async_io`](Self::async_io).
    ///
    /// # Cancel safety
    ///
    /// The same as for [`async_io`](Self::async_io).
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

    /// Runs an operation if `interest` is cached as ready, without waiting. Same as tokio.
    ///
    /// It never charges the task's budget, because a call that cannot wait has no way to yield.
    ///
    /// # Errors
    ///
    /// Returns [`WouldBlock`](io::ErrorKind::WouldBlock), without calling the closure, if nothing
    /// is cached; the closure's errors, of which `WouldBlock` also clears the readiness; the
    /// shutdown error.
    #[inline]
    pub fn try_io<R>(
        &self,
        interest: Interest,
        f: impl FnOnce(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.registration.try_io(interest, || f(&self.inner))
    }

    /// Like [`try_io`](Self::try_io), with a closure that may change the object. Same as tokio.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`try_io`](Self::try_io).
    #[inline]
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

    /// Waits until the peer has hung up or shut down a direction, without reading, and returns the
    /// closed sides.
    ///
    /// Not in tokio. A closed bit from before connect(2) is checked with the system once before it
    /// counts.
    ///
    /// # Errors
    ///
    /// Returns the shutdown error, if the reactor shuts down first.
    ///
    /// # Cancel safety
    ///
    /// Dropping the wait removes it; nothing is lost.
    pub async fn closed(&self) -> io::Result<Ready> {
        self.registration.closed().await
    }

    /// Clears the closed bits, and asks the system to report again the ones that are still true.
    /// Not in tokio.
    ///
    /// It is for descriptors whose closed side can open again, such as a FIFO with a new writer.
    /// The `clear_ready` methods of the guards keep these bits.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`set_interest`](Self::set_interest).
    pub fn clear_closed(&self) -> io::Result<()> {
        self.registration.clear_closed()
    }
}
