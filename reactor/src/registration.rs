//! The tie between a descriptor and the shard that reports on it: what `AsyncFd` is made of.
//!
//! Called from any thread and under any executor. The paths of every echo (`try_ready`, `clear`, a wait) are a few loads and
//! a compare-and-swap on the slot's word; only a wait that has to wait takes the slot's lock, and only changes of interest
//! speak to the system. Tests are in `tests/registration.rs` and, over real descriptors, in `io/tests.rs`.

mod wait;

use std::fmt;
use std::future::Future;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::budget;
use crate::context;
use crate::error::{shutdown_error, two_directions_error};
use crate::handle::no_reactor;
use crate::io::ShardIo;
use crate::readiness::{Doubt, Readiness, Side, Snapshot, WaiterId};
use crate::table::SlotRef;
use crate::token::Token;
use crate::{Handle, Interest, Placement, Ready, ShardId};

use wait::{Mask, ReadSide, Wait, WriteSide};

/// A descriptor registered on a shard, for I/O types of your own.
///
/// This is the layer under `AsyncFd`, without the object: the caller keeps the descriptor open for as long as it is
/// registered. If it is closed first, this registration may lose its notifications; no other ever does.
///
/// Readiness is what the system last reported, until the caller clears it. So a caller tries first, clears when the
/// descriptor turns out to be drained, and waits only then. [`try_io`](Self::try_io) and [`async_io`](Self::async_io) do
/// that in the right order.
///
/// Dropping it deregisters, and ignores errors; [`deregister`](Self::deregister) reports them. Both work from any thread,
/// and after the reactor is gone.
///
/// # Platform notes
///
/// A child made by `fork` shares the parent's epoll instances. Dropping its copy of a registration does nothing there, and
/// what would change one is an error of kind `Unsupported`.
///
/// # Examples
///
/// ```
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
///
/// use reactor::{Interest, Placement, Reactor, Ready, Registration};
///
/// let reactor = Reactor::builder().shards(1).build()?;
/// let (mut near, far) = UnixStream::pair()?;
/// far.set_nonblocking(true)?;
/// let registration = Registration::new(
///     reactor.handle(), Placement::Hash, &far, Interest::READABLE, Ready::EMPTY,
/// )?;
///
/// near.write_all(b"hello")?;
/// let mut buffer = [0; 8];
/// let received = reactor.block_on(
///     registration.async_io(Interest::READABLE, || (&far).read(&mut buffer)),
/// )?;
/// assert_eq!(&buffer[..received], b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Registration {
    slot: SlotRef,
    /// [`Token::NOTIFIER`], which is nobody's, once this has deregistered.
    token: Token,
    fd: RawFd,
    interest: Interest,
}

#[cfg(not(reactor_loom))]
const _: () = assert!(size_of::<Registration>() <= 32);

/// What one look at a registration saw: its readiness, and how fresh that is.
///
/// Clearing with it removes nothing that was reported after the look.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ReadyEvent(Snapshot);

/// Which of a registration's two poll places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Waits for readable and read-closed.
    Read,
    /// Waits for writable and write-closed.
    Write,
}

impl ReadyEvent {
    /// What was seen.
    #[inline]
    #[must_use]
    pub const fn ready(self) -> Ready {
        self.0.ready()
    }

    /// The same look, but of these states only.
    #[inline]
    #[must_use]
    pub const fn restricted_to(self, states: Ready) -> Self {
        Self(self.0.restricted_to(states))
    }

    /// What a look that saw `seen` tells somebody who asked for `mask`.
    #[inline]
    fn new(seen: Snapshot, mask: Ready) -> io::Result<Self> {
        if seen.is_shutdown() {
            return Err(shutdown_error());
        }
        Ok(Self(seen.restricted_to(mask)))
    }
}

impl fmt::Debug for ReadyEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadyEvent")
            .field("ready", &self.ready())
            .finish_non_exhaustive()
    }
}

impl Registration {
    /// Registers a descriptor on the shard that `placement` chooses.
    ///
    /// `initial` is assumed of the descriptor until the system says more: [`Ready::EMPTY`], or what the caller knows. A
    /// socket that was just accepted is worth trying before its first event. The number is read from `source` here, once.
    ///
    /// # Errors
    ///
    /// Nothing is registered then.
    ///
    /// - `AlreadyExists`: this shard has a registration of the descriptor. With a placement other than by hash another shard
    ///   may have one, and both get its events.
    /// - `PermissionDenied`: the kind of file cannot be waited for, such as a regular file.
    /// - the error that [`is_shutdown_error`](crate::is_shutdown_error) recognises: the shard has shut down.
    /// - whatever else the system says.
    pub fn new(
        handle: &Handle,
        placement: Placement,
        source: &impl AsRawFd,
        interest: Interest,
        initial: Ready,
    ) -> io::Result<Self> {
        let fd = source.as_raw_fd();
        let shard = handle.place(placement, fd)?;
        Self::on(handle.io(shard), fd, interest, initial)
    }

    /// As [`Registration::new`], with the current reactor and its placement (see [`Handle::current`] and
    /// [`Handle::placement`]). On a shard no count is touched that other shards write too.
    ///
    /// # Errors
    ///
    /// As [`Registration::new`].
    ///
    /// # Panics
    ///
    /// When there is no current reactor.
    #[track_caller]
    pub fn new_current(
        source: &impl AsRawFd,
        interest: Interest,
        initial: Ready,
    ) -> io::Result<Self> {
        let registered = context::with(|handle| {
            handle.map(|handle| Self::new(handle, handle.placement(), source, interest, initial))
        });
        match registered {
            Some(registered) => registered,
            None => no_reactor(),
        }
    }

    /// As [`Registration::new`], on a shard that is known.
    pub(crate) fn on(
        io: &Arc<ShardIo>,
        fd: RawFd,
        interest: Interest,
        initial: Ready,
    ) -> io::Result<Self> {
        let (slot, token) = ShardIo::register(io, fd, interest, initial)?;
        Ok(Self {
            slot,
            token,
            fd,
            interest,
        })
    }

    /// The shard that reports on the descriptor.
    #[must_use]
    pub fn shard(&self) -> ShardId {
        self.slot.io().shard()
    }

    /// What the system was asked to report.
    #[must_use]
    pub fn interest(&self) -> Interest {
        self.interest
    }

    /// Asks the system to report something else from now on. What was reported already stays.
    ///
    /// # Errors
    ///
    /// The interest is as it was then. `NotFound` where the descriptor was closed while registered, and its number belongs to
    /// another registration by now; else the system's error.
    ///
    /// # Wakeups
    ///
    /// The system reports again what is true at present, so everybody who waits for that is woken, spuriously perhaps.
    pub fn set_interest(&mut self, interest: Interest) -> io::Result<()> {
        self.slot.io().rearm(self.fd, self.token, interest)?;
        self.interest = interest;
        Ok(())
    }

    /// Ends the registration as a drop does, and says how that went.
    ///
    /// # Errors
    ///
    /// The registration is over in any case. `NotFound` where the descriptor was closed while registered and the number
    /// belongs to another registration by now, which is not touched; else the system's error.
    pub fn deregister(mut self) -> io::Result<()> {
        self.leave()
    }

    /// Waits for any state of `interest`, or one that makes waiting for it pointless (see [`Ready::from_interest`]).
    ///
    /// Any number of tasks may wait. It may end with nothing seen, when another clears what this wait was woken for: look,
    /// and wait again.
    ///
    /// # Errors
    ///
    /// The shutdown error, once the reactor has shut down, whatever was reported.
    ///
    /// # Cancel safety
    ///
    /// Dropping it gives the wait up and loses nothing: readiness stays until it is cleared.
    ///
    /// # Wakeups
    ///
    /// Every matching waiter is woken by the shard's thread. On a shard a wait counts against the task's budget.
    pub fn ready(
        &self,
        interest: Interest,
    ) -> impl Future<Output = io::Result<ReadyEvent>> + Send + Sync + '_ {
        self.wait_for(Ready::from_interest(interest))
    }

    /// As [`ready`](Self::ready), for reading. A little cheaper, since what is waited for is known to the compiler.
    ///
    /// # Errors
    ///
    /// As [`ready`](Self::ready).
    ///
    /// # Cancel safety
    ///
    /// As [`ready`](Self::ready).
    #[inline]
    pub fn readable(&self) -> impl Future<Output = io::Result<ReadyEvent>> + Send + Sync + '_ {
        self.wait_for(ReadSide)
    }

    /// As [`readable`](Self::readable), for writing.
    ///
    /// # Errors
    ///
    /// As [`ready`](Self::ready).
    ///
    /// # Cancel safety
    ///
    /// As [`ready`](Self::ready).
    #[inline]
    pub fn writable(&self) -> impl Future<Output = io::Result<ReadyEvent>> + Send + Sync + '_ {
        self.wait_for(WriteSide)
    }

    /// Waits in one of two places that need no future to be kept: one for reading, one for writing.
    ///
    /// The waker of the last call in a direction is the one that is woken; an older one is dropped, and not woken. The two
    /// places know nothing of each other, nor of the async waits.
    ///
    /// # Errors
    ///
    /// As [`ready`](Self::ready).
    ///
    /// # Wakeups
    ///
    /// By the shard's thread. On a shard a call that does not wait counts against the task's budget; when that is used
    /// up, the call wakes its own task and says `Pending`.
    #[inline]
    pub fn poll_ready(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
    ) -> Poll<io::Result<ReadyEvent>> {
        match direction {
            Direction::Read => self.poll_side::<{ Side::READ }>(cx),
            Direction::Write => self.poll_side::<{ Side::WRITE }>(cx),
        }
    }

    #[inline(always)]
    fn poll_side<const SIDE: usize>(&self, cx: &mut Context<'_>) -> Poll<io::Result<ReadyEvent>> {
        ready!(budget::poll_budget(cx));
        let mask = const { Side::mask(SIDE) };
        let mut seen = self.readiness().load();
        if !seen.ends_wait(mask) {
            seen = ready!(self.readiness().poll_side::<SIDE>(cx.waker()));
        }
        budget::charge();
        Poll::Ready(ReadyEvent::new(seen, mask))
    }

    /// What there is of `interest` now, which may be nothing. Never waits, and counts against no budget.
    ///
    /// # Errors
    ///
    /// As [`ready`](Self::ready).
    #[inline]
    pub fn try_ready(&self, interest: Interest) -> io::Result<ReadyEvent> {
        ReadyEvent::new(self.readiness().load(), Ready::from_interest(interest))
    }

    /// Forgets what `event` saw, but for what was reported again since, and for the closed states, which stay.
    ///
    /// For a caller who found the descriptor drained after that look.
    #[inline]
    pub fn clear(&self, event: ReadyEvent) {
        self.readiness().clear(event.0);
    }

    /// As [`clear`](Self::clear), for a caller who was told so by `error`.
    ///
    /// Where that error is the system's own EAGAIN, and `event` saw closed states, they are in doubt: a descriptor that is
    /// closed does not block. Then they go too, unless reported again since, and the system is asked to report once more
    /// what is still true.
    #[inline]
    pub fn clear_blocked(&self, event: ReadyEvent, error: &io::Error) {
        if event.ready().intersects(Ready::CLOSED) && is_kernels_eagain(error) {
            self.doubt_slow(event);
        } else {
            self.clear(event);
        }
    }

    /// Forgets the closed states, and has the system report once more what is true.
    ///
    /// # Errors
    ///
    /// As [`set_interest`](Self::set_interest). The states are forgotten in any case.
    pub fn clear_closed(&self) -> io::Result<()> {
        self.readiness().forget_closed();
        self.rearm()
    }

    /// Calls `operation` if `interest` is ready, and clears if it blocks.
    ///
    /// Never waits, and counts against no budget. The operation should do one kind of I/O, on this descriptor, and say
    /// `WouldBlock` only when the descriptor did.
    ///
    /// # Errors
    ///
    /// `WouldBlock`, without a call, where nothing is ready; the shutdown error; else what `operation` returns.
    #[inline]
    pub fn try_io<R>(
        &self,
        interest: Interest,
        operation: impl FnOnce() -> io::Result<R>,
    ) -> io::Result<R> {
        let event = self.try_ready(interest)?;
        if event.ready().is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.io_seeing(event, operation)
    }

    /// Waits for `interest` and calls `operation`, as often as it takes for it not to block.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an interest that is both readable and writable: one operation does one of them, and waiting for
    /// both would clear the other's readiness, or not sleep. The shutdown error; else what `operation` returns, `WouldBlock`
    /// excepted.
    ///
    /// # Cancel safety
    ///
    /// It waits only after an operation that did nothing, so dropping it loses nothing.
    ///
    /// # Wakeups
    ///
    /// As [`ready`](Self::ready).
    pub async fn async_io<R>(
        &self,
        interest: Interest,
        mut operation: impl FnMut() -> io::Result<R>,
    ) -> io::Result<R> {
        if interest.is_readable() && interest.is_writable() {
            return Err(two_directions_error());
        }
        loop {
            let event = self.wait_for(Ready::from_interest(interest)).await?;
            if event.ready().is_empty() {
                continue;
            }
            match self.io_seeing(event, &mut operation) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
        }
    }

    /// Waits for the peer to close, without reading; says which halves are closed.
    ///
    /// A state that was reported before may be from before the descriptor was connected, so before it is believed the
    /// system is asked once more.
    ///
    /// # Errors
    ///
    /// As [`ready`](Self::ready) and [`set_interest`](Self::set_interest).
    ///
    /// # Cancel safety
    ///
    /// Dropping it loses nothing.
    ///
    /// # Platform notes
    ///
    /// A peer that shuts only its writing half down is noticed where the registration's interest is readable.
    pub async fn closed(&self) -> io::Result<Ready> {
        let mut asked_again = false;
        loop {
            let event = self.wait_for(Ready::CLOSED).await?;
            if event.ready().is_empty() {
                continue;
            }
            if asked_again {
                return Ok(event.ready());
            }
            self.clear_closed()?;
            asked_again = true;
        }
    }

    #[inline]
    fn wait_for<M: Mask>(&self, mask: M) -> Wait<'_, M> {
        Wait {
            registration: self,
            id: None,
            mask,
        }
    }

    #[inline]
    fn io_seeing<R>(
        &self,
        event: ReadyEvent,
        operation: impl FnOnce() -> io::Result<R>,
    ) -> io::Result<R> {
        let result = operation();
        match &result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.clear_blocked(event, error);
            }
            _ => {}
        }
        result
    }

    #[cold]
    fn doubt_slow(&self, event: ReadyEvent) {
        if self.readiness().clear_with_closed(event.0) == Doubt::Raised {
            // It fails where the descriptor was closed behind this registration's back: the notifications are lost then,
            // as documented, and the caller's next try says what became of the number.
            let _ = self.rearm();
        }
    }

    /// Ends a wait that is dropped before its end.
    #[cold]
    fn give_up_slow(&self, id: WaiterId) {
        // In a forked child the lock may be held by a thread that is not there.
        if !self.slot.io().is_forked() {
            self.readiness().end_wait(id);
        }
    }

    fn rearm(&self) -> io::Result<()> {
        self.slot.io().rearm(self.fd, self.token, self.interest)
    }

    fn leave(&mut self) -> io::Result<()> {
        match mem::replace(&mut self.token, Token::NOTIFIER) {
            Token::NOTIFIER => Ok(()),
            token => ShardIo::deregister(&self.slot, self.fd, token),
        }
    }

    #[inline(always)]
    fn readiness(&self) -> &Readiness {
        self.slot.slot().readiness()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // Nobody is left to tell, and the bookkeeping is done in any case.
        let _ = self.leave();
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration")
            .field("fd", &self.fd)
            .field("shard", &self.shard())
            .field("interest", &self.interest)
            .field("ready", &self.readiness().load().ready())
            .finish_non_exhaustive()
    }
}

fn is_kernels_eagain(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::AGAIN.raw_os_error())
}
