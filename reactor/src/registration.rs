//! The link between a descriptor and the shard that reports its readiness. `AsyncFd` is built on
//! it.
//!
//! Any thread and any executor may use it. The hot paths (`try_ready`, `clear`, a wait that ends at
//! once) are a few loads and a compare-and-swap on the slot's word. Only a wait that blocks takes
//! the slot's lock, and only changes of interest make a system call. Tests are in
//! `tests/registration.rs` and, with real descriptors, in `io/tests.rs`.

mod async_io;
mod event;
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
use crate::error::forked_error;
use crate::handle::no_reactor;
use crate::io::ShardIo;
use crate::readiness::{ClosedStates, Readiness, Side, Snapshot, WaiterId};
use crate::seat::Follow;
use crate::shard::current;
use crate::table::SlotRef;
use crate::token::Token;
use crate::{Handle, Interest, Placement, Ready, ShardId};

pub use event::{Direction, ReadyEvent};
use wait::{Mask, ReadSide, Wait, WriteSide};

/// A descriptor registered on a shard, for your own I/O types.
///
/// This is the layer under `AsyncFd`, without the I/O object: the caller keeps the descriptor open
/// for as long as it is registered. If the descriptor is closed first, this registration may lose
/// its notifications. No other registration is affected.
///
/// Readiness is the state that the system last reported, until the caller clears it. A caller tries
/// the operation first, clears the readiness when the descriptor is drained, and waits only then.
/// [`try_io`](Self::try_io) and [`async_io`](Self::async_io) do that in the right order.
///
/// Dropping a registration deregisters it and ignores errors. [`deregister`](Self::deregister)
/// reports them. Both work from any thread, and after the reactor is gone.
///
/// # Platform notes
///
/// A child made by `fork` shares the parent's epoll instances. Dropping its copy of a registration
/// does nothing there. Calls that would change a registration fail with an error of kind
/// `Unsupported`.
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
    /// [`Token::NOTIFIER`], which belongs to no registration, once this has deregistered.
    token: Token,
    fd: RawFd,
    interest: Interest,
}

#[cfg(not(reactor_loom))]
const _: () = assert!(size_of::<Registration>() <= 32);

impl Registration {
    /// Registers a descriptor on the shard that `placement` chooses.
    ///
    /// `initial` is the readiness assumed until the system reports more: [`Ready::EMPTY`], or a
    /// state that the caller knows. For example, a socket that was just accepted is worth trying
    /// before its first event. The descriptor number is read from `source` once, here.
    ///
    /// # Errors
    ///
    /// Nothing is registered in these cases:
    ///
    /// - `AlreadyExists`: this shard has a registration of the descriptor. With a placement other
    ///   than by hash, another shard may have one too, and both get its events.
    /// - `PermissionDenied`: the file cannot be waited for, such as a regular file.
    /// - The error that [`is_shutdown_error`](crate::is_shutdown_error) recognises: the shard has
    ///   shut down.
    /// - Any other error of the system.
    pub fn new(
        handle: &Handle,
        placement: Placement,
        source: &impl AsRawFd,
        interest: Interest,
        initial: Ready,
    ) -> io::Result<Self> {
        let fd = source.as_raw_fd();
        let shard = handle.place(placement, fd)?;
        let registration = Self::on(handle.io(shard), fd, interest, initial)?;
        if matches!(placement, Placement::Shard(_)) {
            registration.slot.slot().seat().fix();
        }
        Ok(registration)
    }

    /// Registers a descriptor with the current reactor and its placement. Otherwise the same as
    /// [`Registration::new`]. See [`Handle::current`] and [`Handle::placement`]. On a shard, this
    /// touches no reference count that other shards also write.
    ///
    /// # Errors
    ///
    /// As [`Registration::new`].
    ///
    /// # Panics
    ///
    /// Panics if there is no current reactor.
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

    /// Registers a descriptor on a given shard. Otherwise the same as [`Registration::new`].
    pub(crate) fn on(
        io: &Arc<ShardIo>,
        fd: RawFd,
        interest: Interest,
        initial: Ready,
    ) -> io::Result<Self> {
        let (slot, token) = ShardIo::register(io, fd, interest, initial)?;
        if interest.is_exclusive() {
            // The system cannot modify such an entry.
            slot.slot().seat().fix();
        }
        Ok(Self {
            slot,
            token,
            fd,
            interest,
        })
    }

    /// Returns the shard that reports the descriptor's readiness.
    #[must_use]
    pub fn shard(&self) -> ShardId {
        ShardIo::seat_of(&self.slot)
    }

    /// Returns the interest that the system was asked to report.
    #[must_use]
    pub fn interest(&self) -> Interest {
        self.interest
    }

    /// Changes the interest. Readiness that was already reported stays.
    ///
    /// # Errors
    ///
    /// On an error, the interest is unchanged. Returns `NotFound` if the descriptor was closed
    /// while registered and its number now belongs to another registration; otherwise the system's
    /// error.
    ///
    /// # Wakeups
    ///
    /// The system reports the current states again. This wakes every matching waiter, perhaps
    /// spuriously.
    pub fn set_interest(&mut self, interest: Interest) -> io::Result<()> {
        ShardIo::rearm(&self.slot, self.fd, self.token, interest)?;
        self.interest = interest;
        Ok(())
    }

    /// Ends the registration, as a drop does, and returns the result.
    ///
    /// # Errors
    ///
    /// The registration is over in any case. Returns `NotFound` if the descriptor was closed while
    /// registered and its number now belongs to another registration, which is not changed;
    /// otherwise the system's error.
    pub fn deregister(mut self) -> io::Result<()> {
        self.leave()
    }

    /// Waits for any state of `interest`, or for a state that makes the wait pointless (see
    /// [`Ready::from_interest`]).
    ///
    /// Any number of tasks may wait. The wait may end with an empty result if another task clears
    /// the state that ended it. In that case check again and wait again.
    ///
    /// # Errors
    ///
    /// Returns the shutdown error once the reactor has shut down, whatever was reported.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the wait and loses nothing: readiness stays until it is cleared.
    ///
    /// # Wakeups
    ///
    /// The shard's thread wakes every matching waiter. On a shard, a wait counts against the task's
    /// budget.
    pub fn ready(
        &self,
        interest: Interest,
    ) -> impl Future<Output = io::Result<ReadyEvent>> + Send + Sync + '_ {
        self.wait_for(Ready::from_interest(interest))
    }

    /// Waits for readability. Like [`ready`](Self::ready), but a little cheaper, since the compiler
    /// knows the states.
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

    /// Waits for writability. The counterpart of [`readable`](Self::readable).
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

    /// Polls for readiness in one of two slots, one for reading and one for writing. The caller
    /// keeps no future.
    ///
    /// The waker of the last call in a direction is the one that is woken. An older waker is
    /// dropped and not woken. The two slots are independent of each other and of the async waits.
    ///
    /// # Errors
    ///
    /// As [`ready`](Self::ready).
    ///
    /// # Wakeups
    ///
    /// The shard's thread wakes the waker. On a shard, a call that does not wait counts against the
    /// task's budget. When the budget is used up, the call wakes its own task and returns
    /// `Pending`.
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
            seen = match ready!(self.wait_side::<SIDE>(cx)) {
                Some(seen) => seen,
                None => return Poll::Ready(Err(forked_error())),
            };
        }
        budget::charge();
        Poll::Ready(ReadyEvent::new(seen, mask))
    }

    /// Waits in the poll slot of a direction. Returns `None` in a forked child. It is not inlined,
    /// so a poll that does not wait compiles to a few instructions in its caller.
    #[inline(never)]
    fn wait_side<const SIDE: usize>(&self, cx: &Context<'_>) -> Poll<Option<Snapshot>> {
        if self.is_settled_here() {
            return self.readiness().poll_side::<SIDE>(cx.waker()).map(Some);
        }
        self.wait_side_away::<SIDE>(cx)
    }

    /// Waits on a thread that is not the registration's shard, or after other shards had waits.
    #[inline(never)]
    fn wait_side_away<const SIDE: usize>(&self, cx: &Context<'_>) -> Poll<Option<Snapshot>> {
        if self.slot.io().is_forked() {
            return Poll::Ready(None);
        }
        let polled = self.readiness().poll_side::<SIDE>(cx.waker());
        if polled.is_pending() {
            self.follow();
        }
        polled.map(Some)
    }

    /// Returns the part of `interest` that is ready now, which may be empty. Never waits, and
    /// counts against no budget.
    ///
    /// # Errors
    ///
    /// As [`ready`](Self::ready).
    #[inline]
    pub fn try_ready(&self, interest: Interest) -> io::Result<ReadyEvent> {
        ReadyEvent::new(self.readiness().load(), Ready::from_interest(interest))
    }

    /// Clears the readiness that `event` observed. States that were reported again since then stay,
    /// and so do the closed states.
    ///
    /// Call it after an operation found the descriptor drained, with the event from before it.
    #[inline]
    pub fn clear(&self, event: ReadyEvent) {
        self.readiness().clear(event.0);
    }

    /// Clears like [`clear`](Self::clear), after an operation that failed with `error`.
    ///
    /// If the error is the system's own EAGAIN and `event` observed closed states, those states are
    /// in doubt: a closed descriptor does not block. Then they are cleared too, unless they were
    /// reported again since, and the system is asked to report the current state once more.
    #[inline]
    pub fn clear_blocked(&self, event: ReadyEvent, error: &io::Error) {
        if event.ready().intersects(Ready::CLOSED) && is_kernels_eagain(error) {
            self.clear_with_closed_slow(event);
        } else {
            self.clear(event);
        }
    }

    /// Clears the closed states, and asks the system to report the current state once more.
    ///
    /// # Errors
    ///
    /// As [`set_interest`](Self::set_interest). The states are cleared in any case.
    pub fn clear_closed(&self) -> io::Result<()> {
        self.readiness().forget_closed();
        self.rearm()
    }

    /// Calls `operation` if `interest` is ready, and clears the readiness if it would block.
    ///
    /// Never waits, and counts against no budget. The operation should do one kind of I/O, on this
    /// descriptor, and return `WouldBlock` only if the descriptor did.
    ///
    /// # Errors
    ///
    /// Returns `WouldBlock`, without a call, if nothing is ready; the shutdown error; otherwise the
    /// error of `operation`.
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

    /// Waits for the peer to close, without reading, and returns the halves that are closed.
    ///
    /// A closed state that was reported earlier may date from before the descriptor was connected.
    /// Therefore the system is asked once more before such a state is returned.
    ///
    /// # Errors
    ///
    /// As [`ready`](Self::ready) and [`set_interest`](Self::set_interest).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Platform notes
    ///
    /// A peer that only shuts down its writing half is detected if the registration's interest is
    /// readable.
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
    fn clear_with_closed_slow(&self, event: ReadyEvent) {
        if self.readiness().clear_with_closed(event.0) == ClosedStates::Removed {
            // This fails if the descriptor was closed while it was registered. Its notifications
            // are lost then, as documented, and the caller's next attempt returns the error of that
            // number.
            let _ = self.rearm();
        }
    }

    /// Ends a wait whose future is dropped while it is pending.
    #[cold]
    fn give_up_slow(&self, id: WaiterId) {
        // In a forked child, a thread that does not exist there may hold the lock.
        if !self.slot.io().is_forked() {
            self.readiness().end_wait(id);
        }
    }

    fn rearm(&self) -> io::Result<()> {
        ShardIo::rearm(&self.slot, self.fd, self.token, self.interest)
    }

    /// Returns true if this thread is the registration's shard and no wait elsewhere is counted. A
    /// true result excludes a forked child, where no thread has the index of a shard.
    #[inline(always)]
    fn is_settled_here(&self) -> bool {
        self.slot.slot().seat().is_settled_on(current::index())
    }

    /// Counts a wait that begins on this thread. If a registration's tasks keep waiting on another
    /// shard, it moves there.
    fn follow(&self) {
        current::with(|shard| {
            let Some(shard) = shard.filter(|shard| shard.moves_registrations_of(self.slot.io()))
            else {
                return;
            };
            let seat = self.slot.slot().seat();
            let here = shard.shared();
            let elapsed = here
                .clock
                .now()
                .saturating_duration_since(here.clock.epoch());
            if seat.count_wait(here.id.index(), elapsed) == Follow::Stay {
                return;
            }
            match ShardIo::relocate(&self.slot, &here.io, self.fd, self.token, self.interest) {
                Ok(()) => here.counters.moved_in.add_own(1),
                // Another attempt would fail as well: the number is lost, or the limit of epoll
                // entries is reached.
                Err(_) => seat.fix(),
            }
        });
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
        // The error cannot be reported, and the bookkeeping is done in any case.
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
