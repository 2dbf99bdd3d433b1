//! [`Sleep`]: one deadline, armed on the thread that polls it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::{Duration, Instant};

use crate::budget;
use crate::handle::Handle;
use crate::shard::inbox::Command;
use crate::shard::{ShardRef, ShardShared, current};
use crate::time::{RemoteTimer, TimerKey, clock};

/// A stand-in for "never", about thirty years ahead, for deadlines that the clock cannot represent.
const FAR_FUTURE: Duration = Duration::from_secs(86_400 * 365 * 30);

/// Waits for a duration to pass. The resolution is one millisecond, or the finer one of
/// [`Builder::timer_resolution`](crate::Builder::timer_resolution). The wait never ends early,
/// except when its reactor shuts down.
///
/// # Panics
///
/// Panics off a shard if there is no current reactor: see [`Handle::enter`](crate::Handle::enter).
///
/// # Cancel safety
///
/// Dropping the future disarms the timer.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let reactor = reactor::Reactor::builder().shards(1).build()?;
/// reactor.block_on(async {
///     reactor::time::sleep(Duration::from_millis(2)).await;
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn sleep(duration: Duration) -> Sleep {
    let home = home();
    let deadline = after(home.clock.now(), duration);
    Sleep::new(home, deadline)
}

/// Waits until a point in time. Otherwise the same as [`sleep`].
///
/// # Panics
///
/// Panics off a shard if there is no current reactor: see [`Handle::enter`](crate::Handle::enter).
///
/// # Cancel safety
///
/// Dropping the future disarms the timer.
#[track_caller]
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep::new(home(), deadline)
}

/// Returns the shard that keeps a timer made on this thread.
#[track_caller]
fn home() -> ShardRef {
    let home = current::with(|shard| shard.map(|shard| ShardRef::clone(shard.shared_ref())));
    match home {
        Some(home) => home,
        None => Handle::current().any_shard(),
    }
}

/// Returns `start + duration`, or a far point in time if the clock cannot represent it.
pub(super) fn after(start: Instant, duration: Duration) -> Instant {
    start
        .checked_add(duration)
        .unwrap_or_else(|| start + FAR_FUTURE)
}

/// Returns the time of the current shard's turn: never later than the clock, and at most one turn
/// old.
///
/// The first call in a turn reads the clock, unless the turn has already read it for its timers.
/// Later calls in the turn return the same value. A server that moves an idle timeout with every
/// request therefore reads the clock once per turn and not once per request. A deadline based on
/// this time is early by at most the time the turn has lasted. Off a shard, this reads the clock.
///
/// # Examples
///
/// ```
/// use std::{pin::Pin, time::Duration};
/// use reactor::time;
///
/// # let reactor = reactor::Reactor::builder().shards(1).build()?;
/// # let task = reactor.handle().spawn(async {
/// const LIMIT: Duration = Duration::from_secs(30);
/// let mut idle = time::sleep(LIMIT);
/// // Bytes have moved:
/// Pin::new(&mut idle).reset(time::coarse_now() + LIMIT);
/// # });
/// # reactor.block_on(task)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[inline]
pub fn coarse_now() -> Instant {
    clock::known_turn_time().unwrap_or_else(read_clock)
}

#[cold]
fn read_clock() -> Instant {
    current::with(|shard| match shard {
        Some(shard) => clock::turn_time(|| shard.shared().clock.now()),
        None => clock::now_elsewhere(),
    })
}

/// A wait for a deadline, from [`sleep`] or [`sleep_until`].
///
/// It is `Unpin`, so it can be kept in a struct and [`reset`](Self::reset): an idle timeout is
/// re-armed on every request at the cost of a few instructions. It is `Send` and `Sync`: it may be
/// made, polled, reset and dropped on different threads. The shard that polls it keeps its timer.
#[must_use = "a sleep does nothing unless it is awaited"]
pub struct Sleep {
    deadline: Instant,
    /// The shard that keeps the timer.
    home: ShardRef,
    armed: Armed,
    /// True if the deadline was moved earlier. The new deadline may have passed although the timer
    /// has not fired.
    moved_up: bool,
}

// With its entry in the store, a million of them take less than 100 bytes each. The figure includes
// the part of the store that doubling leaves unused.
const _: () = assert!(size_of::<Sleep>() <= 48);

/// The location of the timer.
enum Armed {
    No,
    /// In the store of `home`, armed by `home` itself, under this deadline or an earlier one. It
    /// may have fired since.
    AtHome(TimerKey),
    /// Kept by `home` at the request of another thread, under this deadline or an earlier one.
    Remotely(Arc<RemoteTimer>),
}

impl Sleep {
    fn new(home: ShardRef, deadline: Instant) -> Self {
        Self {
            deadline,
            home,
            armed: Armed::No,
            moved_up: false,
        }
    }

    /// Returns the deadline.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Returns true if the deadline has passed, by the current clock.
    pub fn is_elapsed(&self) -> bool {
        self.now() >= self.deadline
    }

    /// Returns the current time of the clock that this wait uses.
    pub(super) fn now(&self) -> Instant {
        self.home.clock.now()
    }

    /// Moves the deadline. This also works for a wait that has ended.
    ///
    /// A later deadline is one store, on any thread. The timer stays armed for the earlier
    /// deadline, at which the task is woken, polls, and arms the timer for the rest. This happens
    /// once, however often the deadline was moved meanwhile. On the shard that keeps the timer, an
    /// earlier deadline takes constant time, without a lock, a system call or an allocation. From
    /// another thread it is a message to that shard. A waiting task need not be polled for the new
    /// deadline to take effect.
    #[inline]
    pub fn reset(mut self: Pin<&mut Self>, deadline: Instant) {
        let earlier = deadline < self.deadline;
        self.deadline = deadline;
        if earlier {
            self.move_up();
        }
    }

    /// Makes an armed timer fire at the new deadline, which is earlier than the last one.
    #[cold]
    fn move_up(&mut self) {
        self.moved_up = true;
        let deadline = self.deadline;
        if self.is_forked() {
            return;
        }
        match &self.armed {
            Armed::No => {}
            Armed::AtHome(key) => {
                let still_armed = on_shard(&self.home, |shard| {
                    shard.with_timers(|timers| timers.reset(*key, deadline))
                });
                match still_armed {
                    Some(true) => {}
                    // The timer fired: its task was woken, and the next poll arms it again.
                    Some(false) => self.armed = Armed::No,
                    None => self.home.inbox.send(Command::MoveUp(*key, deadline)),
                }
            }
            Armed::Remotely(timer) => {
                timer.reset(deadline);
                self.home.inbox.send(Command::Timer(Arc::clone(timer)));
            }
        }
    }

    fn disarm(&mut self) {
        match std::mem::replace(&mut self.armed, Armed::No) {
            Armed::No => {}
            _ if self.is_forked() => {}
            Armed::AtHome(key) => {
                if on_shard(&self.home, |shard| shard.disarm(key)).is_some() {
                    return;
                }
                if self.home.shares_timers() {
                    self.home.disarm(key);
                } else {
                    self.home.inbox.send(Command::Disarm(key));
                }
            }
            Armed::Remotely(timer) => {
                timer.cancel();
                self.home.remote_timers.unlist(&timer);
                self.home.inbox.send(Command::Timer(timer));
            }
        }
    }

    /// Returns true in a forked child. The shard belongs to the parent there, and a thread that
    /// held a lock at the fork does not exist.
    fn is_forked(&self) -> bool {
        self.home.io.is_forked()
    }

    /// Returns true if a timer that has not fired will wake this task, so that there is nothing to
    /// do.
    #[inline(always)]
    fn is_armed_for(&self, cx: &Context<'_>) -> bool {
        let Armed::AtHome(key) = self.armed else {
            return false;
        };
        let waits = |shard: &ShardShared| {
            shard.with_timers(|timers| {
                let waker = timers.wheel.waker(key);
                waker.is_some_and(|waker| waker.will_wake(cx.waker()))
            })
        };
        !self.moved_up && on_shard(&self.home, waits) == Some(true)
    }

    fn poll_on(&mut self, shard: &ShardShared, cx: &mut Context<'_>) -> Poll<()> {
        if let Armed::AtHome(key) = self.armed {
            let waker = cx.waker().clone();
            let replaced = shard.with_timers(|timers| timers.wheel.replace_waker(key, waker));
            // The timer has not fired, so the deadline has not passed by the turn's clock. The
            // waker is dropped after the visit of the store ends.
            if replaced.is_ok() {
                return Poll::Pending;
            }
            self.armed = Armed::No;
        }
        if self.is_elapsed() || self.home.keeps_no_timers() {
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        let key = shard.with_timers(|timers| timers.insert(self.deadline, waker));
        shard.count_timers();
        self.armed = Armed::AtHome(key);
        Poll::Pending
    }

    fn poll_elsewhere(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Armed::AtHome(_) = self.armed {
            self.disarm();
        }
        if self.is_elapsed() || self.home.keeps_no_timers() {
            return Poll::Ready(());
        }
        self.home.io.refuse_forked();
        if let Armed::Remotely(timer) = &self.armed {
            if timer.wait(cx) {
                return Poll::Pending;
            }
        }
        self.disarm();
        let timer = RemoteTimer::new(self.deadline, cx.waker().clone());
        self.home.remote_timers.list(&timer);
        self.armed = Armed::Remotely(Arc::clone(&timer));
        self.home.inbox.send(Command::Timer(timer));
        // This check follows the push: a shard that had ended before the push may not have seen it.
        if self.home.keeps_no_timers() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

/// Wakes a task once `delay` has passed, by a timer of `shard` that cannot be disarmed. Wakes it at
/// once if the shard no longer keeps timers.
pub(crate) fn wake_after(shard: &ShardRef, delay: Duration, waker: Waker) {
    let timer = RemoteTimer::new(after(shard.clock.now(), delay), waker);
    if on_shard(shard, |here| Arc::clone(&timer).apply(here)).is_none() {
        shard.inbox.send(Command::Timer(Arc::clone(&timer)));
    }
    // This check follows the push: a shard that had ended before the push may not have seen the
    // timer.
    if shard.keeps_no_timers() {
        timer.wake();
    }
}

/// Calls `f` with `home`'s shard if the calling thread runs that shard.
#[inline]
fn on_shard<R>(home: &ShardRef, f: impl FnOnce(&ShardShared) -> R) -> Option<R> {
    current::with(|shard| {
        shard
            .filter(|shard| Arc::ptr_eq(shard.shared_ref(), home))
            .map(|shard| f(shard.shared()))
    })
}

impl Future for Sleep {
    type Output = ();

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // This is the path of an idle timeout, once per request. No budget is charged for a pending
        // result.
        if self.is_armed_for(cx) {
            return Poll::Pending;
        }
        ready!(budget::poll_budget(cx));
        self.poll_slow(cx)
    }
}

impl Sleep {
    /// Polls like `poll`, but ignores the task's budget.
    pub(super) fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_armed_for(cx) {
            return Poll::Pending;
        }
        self.poll_slow(cx)
    }

    #[inline(never)]
    fn poll_slow(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let this = self;
        if std::mem::take(&mut this.moved_up) && this.is_elapsed() {
            // With no timer armed, the code below checks the clock itself.
            this.disarm();
        }
        let polled = current::with(|shard| match shard {
            Some(shard) => {
                // The shard that polls a sleep keeps its timer, in the shard's own store.
                let is_home = Arc::ptr_eq(shard.shared_ref(), &this.home);
                if !is_home || matches!(this.armed, Armed::Remotely(_)) {
                    this.disarm();
                    this.home = ShardRef::clone(shard.shared_ref());
                }
                this.poll_on(shard.shared(), cx)
            }
            None => this.poll_elsewhere(cx),
        });
        if polled.is_ready() {
            this.disarm();
            budget::charge();
        }
        polled
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.disarm();
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep")
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
