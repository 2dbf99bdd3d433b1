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
use crate::time::{RemoteTimer, TimerKey};

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
    let now = Instant::now();
    sleep_until(now.checked_add(duration).unwrap_or(now + FAR_FUTURE))
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
    let home = current::with(|shard| shard.map(|shard| ShardRef::clone(shard.shared_ref())));
    let home = match home {
        Some(home) => home,
        None => Handle::current().any_shard(),
    };
    Sleep {
        deadline,
        home,
        armed: Armed::No,
    }
}

/// A wait for a deadline, from [`sleep`] or [`sleep_until`].
///
/// `Unpin`, so that it can be kept in a struct and [`reset`](Self::reset): that is how an idle timeout is re-armed on every request
/// at the cost of a few instructions.
#[must_use = "a sleep does nothing unless it is awaited"]
pub struct Sleep {
    deadline: Instant,
    /// The shard that keeps the timer.
    home: ShardRef,
    armed: Armed,
}

/// Where the timer is.
enum Armed {
    No,
    /// In the store of `home`, put there by `home` itself. It may have fired since.
    AtHome(TimerKey),
    /// `home` was asked by another thread to keep it.
    Remotely {
        timer: Arc<RemoteTimer>,
        /// Where `home` has it listed.
        place: usize,
    },
}

impl Sleep {
    /// When the wait ends.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether the deadline has passed, by the clock of now.
    pub fn is_elapsed(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Moves the deadline, also of a wait that ended.
    ///
    /// On the shard that keeps the timer this is O(1), without a lock, a system call or an allocation; a later deadline is one store.
    /// A task that waits is woken by the new deadline without being polled in between.
    pub fn reset(mut self: Pin<&mut Self>, deadline: Instant) {
        self.deadline = deadline;
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
                    None => self.home.inbox.send(Command::Reset(*key, deadline)),
                }
            }
            Armed::Remotely { timer, .. } => {
                timer.reset(deadline);
                self.home.inbox.send(Command::Timer(Arc::clone(timer)));
            }
        }
    }

    fn disarm(&mut self) {
        match std::mem::replace(&mut self.armed, Armed::No) {
            Armed::No => {}
            Armed::AtHome(key) => {
                if on_shard(&self.home, |shard| shard.disarm(key)).is_none() {
                    self.home.inbox.send(Command::Disarm(key));
                }
            }
            Armed::Remotely { timer, place } => {
                timer.cancel();
                self.home.remote_timers.unlist(place);
                self.home.inbox.send(Command::Timer(timer));
            }
        }
    }

    fn poll_on(&mut self, shard: &Shard, cx: &mut Context<'_>) -> Poll<()> {
        if let Armed::AtHome(key) = self.armed {
            match shard.refresh(key, cx) {
                // It has not fired, so the deadline has not passed by the turn's clock.
                Refreshed::Waiting => return Poll::Pending,
                Refreshed::Gone => self.armed = Armed::No,
            }
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
        if let Armed::Remotely { timer, .. } = &self.armed {
            if timer.wait(cx) {
                return Poll::Pending;
            }
        }
        self.disarm();
        let timer = RemoteTimer::new(self.deadline, cx.waker().clone());
        let place = self.home.remote_timers.list(&timer);
        self.armed = Armed::Remotely {
            timer: Arc::clone(&timer),
            place,
        };
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
fn on_shard<R>(home: &ShardRef, f: impl FnOnce(&Shard) -> R) -> Option<R> {
    current::with(|shard| {
        shard
            .filter(|shard| Arc::ptr_eq(shard.shared_ref(), home))
            .map(f)
    })
}

/// What `Shard::refresh` found.
enum Refreshed {
    Waiting,
    Gone,
}

impl Shard {
    /// Makes sure that an armed timer wakes this task.
    fn refresh(&self, key: TimerKey, cx: &mut Context<'_>) -> Refreshed {
        let wakes_this_task = self
            .timers()
            .borrow()
            .wheel
            .waker(key)
            .map(|waker| waker.will_wake(cx.waker()));
        match wakes_this_task {
            None => Refreshed::Gone,
            Some(true) => Refreshed::Waiting,
            Some(false) => {
                let waker = cx.waker().clone();
                let replaced = self.timers().borrow_mut().wheel.replace_waker(key, waker);
                // Dropped here, with the store let go.
                drop(replaced);
                Refreshed::Waiting
            }
        }
    }

    /// Takes a timer out of the store, if it has not fired.
    pub(crate) fn disarm(&self, key: TimerKey) {
        let waker = self.timers().borrow_mut().remove(key);
        self.count_timers();
        drop(waker);
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        ready!(budget::poll_budget(cx));
        self.poll_deadline(cx)
    }
}

impl Sleep {
    /// As `poll`, also for a task that has used its budget up.
    pub(super) fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let this = self;
        let polled = current::with(|shard| match shard {
            Some(shard) => {
                // The shard that polls it keeps it, in its own store.
                let is_home = Arc::ptr_eq(shard.shared_ref(), &this.home);
                if !is_home || matches!(this.armed, Armed::Remotely { .. }) {
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
