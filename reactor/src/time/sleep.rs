//! [`Sleep`]: one deadline, armed where it is polled.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use crate::budget;
use crate::handle::Handle;
use crate::shard::inbox::Command;
use crate::shard::{Shard, ShardRef, current};
use crate::time::{RemoteTimer, TimerKey, clock};

/// What counts as "never" where a deadline is too far off for the clock to name: about thirty years.
const FAR_FUTURE: Duration = Duration::from_secs(86_400 * 365 * 30);

/// Waits for a duration to pass. Grain one millisecond; never early, but for the end of the reactor.
///
/// # Panics
///
/// Panics off a shard where there is no current reactor: see [`Handle::enter`](crate::Handle::enter).
///
/// # Cancel safety
///
/// Dropping it disarms the timer.
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

/// Waits until a point in time. Otherwise as [`sleep`].
///
/// # Panics
///
/// Panics off a shard where there is no current reactor: see [`Handle::enter`](crate::Handle::enter).
///
/// # Cancel safety
///
/// Dropping it disarms the timer.
#[track_caller]
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep::new(home(), deadline)
}

/// The shard that will keep a timer which is made here.
#[track_caller]
fn home() -> ShardRef {
    let home = current::with(|shard| shard.map(|shard| ShardRef::clone(shard.shared_ref())));
    match home {
        Some(home) => home,
        None => Handle::current().any_shard(),
    }
}

/// A point in time so much later, or a far one where the clock cannot name it.
pub(super) fn after(start: Instant, duration: Duration) -> Instant {
    start
        .checked_add(duration)
        .unwrap_or_else(|| start + FAR_FUTURE)
}

/// The time as the current shard's turn saw it: never later than the clock, and at most one turn old.
///
/// The first caller of a turn reads the clock, where the turn has not done so for its timers, and the others get what it saw. So a
/// server that moves an idle timeout with every request reads the clock once per turn and not once per request. A deadline counted
/// from it comes early by as much as the turn has lasted. Off a shard it is the clock itself.
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
        None => Instant::now(),
    })
}

/// A wait for a deadline, from [`sleep`] or [`sleep_until`].
///
/// `Unpin`, so that it can be kept in a struct and [`reset`](Self::reset): that is how an idle timeout is re-armed on every request
/// at the cost of a few instructions. `Send` and `Sync`: it may be made, polled, reset and dropped on different threads, of which
/// the shard that polls it keeps its timer.
#[must_use = "a sleep does nothing unless it is awaited"]
pub struct Sleep {
    deadline: Instant,
    /// The shard that keeps the timer.
    home: ShardRef,
    armed: Armed,
    /// Whether the deadline was moved to an earlier one, which may have passed though the timer has not fired.
    moved_up: bool,
}

// With its entry in the store, of which doubling leaves a part unused, a million of them take less than 100 bytes each.
const _: () = assert!(size_of::<Sleep>() <= 48);

/// Where the timer is.
enum Armed {
    No,
    /// In the store of `home`, put there by `home` itself, under this deadline or an earlier one. It may have fired since.
    AtHome(TimerKey),
    /// `home` was asked by another thread to keep it, under this deadline or an earlier one.
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

    /// When the wait ends.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether the deadline has passed, by the clock of now.
    pub fn is_elapsed(&self) -> bool {
        self.now() >= self.deadline
    }

    /// What the clock that the wait goes by says.
    pub(super) fn now(&self) -> Instant {
        self.home.clock.now()
    }

    /// Moves the deadline, also of a wait that ended.
    ///
    /// A later deadline is one store, on any thread: the timer stays armed for the earlier one, at which the task is woken, polls,
    /// and is armed again for the rest, once however often the deadline was moved meanwhile. An earlier deadline is O(1) and
    /// without a lock, a system call or an allocation on the shard that keeps the timer; from elsewhere it is a message to it. A task
    /// that waits need not be polled for either to hold.
    #[inline]
    pub fn reset(mut self: Pin<&mut Self>, deadline: Instant) {
        let earlier = deadline < self.deadline;
        self.deadline = deadline;
        if earlier {
            self.move_up();
        }
    }

    /// Has an armed timer fire at the new deadline, which is earlier than the last one.
    #[cold]
    fn move_up(&mut self) {
        self.moved_up = true;
        let deadline = self.deadline;
        match &self.armed {
            Armed::No => {}
            Armed::AtHome(key) => {
                let still_armed = on_shard(&self.home, |shard| {
                    shard.timers().borrow_mut().reset(*key, deadline)
                });
                match still_armed {
                    Some(true) => {}
                    // It fired: its task was woken, and the next poll arms it anew.
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
            Armed::AtHome(key) => {
                if on_shard(&self.home, |shard| shard.disarm(key)).is_none() && !self.is_forked() {
                    self.home.inbox.send(Command::Disarm(key));
                }
            }
            Armed::Remotely(_) if self.is_forked() => {}
            Armed::Remotely(timer) => {
                timer.cancel();
                self.home.remote_timers.unlist(&timer);
                self.home.inbox.send(Command::Timer(timer));
            }
        }
    }

    /// In a forked child the shard is the parent's, and whoever held a lock at the fork is not there.
    fn is_forked(&self) -> bool {
        self.home.io.is_forked()
    }

    /// Whether a timer that has not fired will wake this task, so that there is nothing to do.
    #[inline(always)]
    fn is_armed_for(&self, cx: &Context<'_>) -> bool {
        let Armed::AtHome(key) = self.armed else {
            return false;
        };
        let waits = |shard: &Shard| {
            let timers = shard.timers().borrow();
            let waker = timers.wheel.waker(key);
            waker.is_some_and(|waker| waker.will_wake(cx.waker()))
        };
        !self.moved_up && on_shard(&self.home, waits) == Some(true)
    }

    fn poll_on(&mut self, shard: &Shard, cx: &mut Context<'_>) -> Poll<()> {
        if let Armed::AtHome(key) = self.armed {
            let waker = cx.waker().clone();
            let replaced = shard.timers().borrow_mut().wheel.replace_waker(key, waker);
            // It has not fired, so the deadline has not passed by the turn's clock. The waker is dropped with the store let go.
            if replaced.is_ok() {
                return Poll::Pending;
            }
            self.armed = Armed::No;
        }
        if self.is_elapsed() || self.home.keeps_no_timers() {
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        let key = shard.timers().borrow_mut().insert(self.deadline, waker);
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
        if let Armed::Remotely(timer) = &self.armed {
            if timer.wait(cx) {
                return Poll::Pending;
            }
        }
        self.disarm();
        self.home.io.refuse_forked();
        let timer = RemoteTimer::new(self.deadline, cx.waker().clone());
        self.home.remote_timers.list(&timer);
        self.armed = Armed::Remotely(Arc::clone(&timer));
        self.home.inbox.send(Command::Timer(timer));
        // The look after the put: a shard that had ended by then never saw it.
        if self.home.keeps_no_timers() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

/// Calls `f` with `home`'s shard where the calling thread is that shard.
#[inline]
fn on_shard<R>(home: &ShardRef, f: impl FnOnce(&Shard) -> R) -> Option<R> {
    current::with(|shard| {
        shard
            .filter(|shard| Arc::ptr_eq(shard.shared_ref(), home))
            .map(f)
    })
}

impl Shard {
    /// Takes a timer out of the store, if it has not fired.
    pub(crate) fn disarm(&self, key: TimerKey) {
        let waker = self.timers().borrow_mut().remove(key);
        self.count_timers();
        drop(waker);
    }
}

impl Future for Sleep {
    type Output = ();

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // The way of an idle timeout, once for each request: no budget is asked for where nothing is given.
        if self.is_armed_for(cx) {
            return Poll::Pending;
        }
        ready!(budget::poll_budget(cx));
        self.poll_slow(cx)
    }
}

impl Sleep {
    /// As `poll`, also for a task that has used its budget up.
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
            // With no timer armed, what follows looks at the clock itself.
            this.disarm();
        }
        let polled = current::with(|shard| match shard {
            Some(shard) => {
                // The shard that polls it keeps it, in its own store.
                let is_home = Arc::ptr_eq(shard.shared_ref(), &this.home);
                if !is_home || matches!(this.armed, Armed::Remotely(_)) {
                    this.disarm();
                    this.home = ShardRef::clone(shard.shared_ref());
                }
                this.poll_on(shard, cx)
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
