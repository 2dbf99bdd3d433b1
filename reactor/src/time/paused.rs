//! The clock that tests can pause, with the feature `test-util`. It replaces the clock of
//! `clock.rs`.
//!
//! One lock guards the time. On a reactor that never pauses, a read of the time checks only a flag
//! and takes no lock. A shard that has nothing to do asks [`Clock::wait_for`] before it sleeps. If
//! the clock is paused, the shard first polls the OS once more, and then moves the clock to its
//! next timer. It does not do so while an [`Inhibitor`] is in use: while a blocking job runs, or a
//! future of `block_on` is polled. Tests are in `tests/paused.rs`, on tokio as well.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::budget::yield_now;
use crate::context;
use crate::handle::Handle;
use crate::shard::parker::Parker;
use crate::sync::{AtomicBool, Mutex, Ordering};
use crate::time::clock;

const NOT_PAUSED: &str = "time is not paused";

/// A reactor's clock, which its shards share.
#[derive(Clone, Debug)]
pub(crate) struct Clock(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    epoch: Instant,
    /// Set by the first pause. Written and read by any thread.
    was_paused: AtomicBool,
    state: Mutex<State>,
    /// The shard that sleeps by this clock. Other threads wake it after a change.
    shard: OnceLock<Arc<Parker>>,
}

#[derive(Debug)]
struct State {
    /// The clock's time at the last change.
    base: Instant,
    /// The system's time at which the clock began to run from `base`. `None` while it is paused.
    runs_since: Option<Instant>,
    /// The number of inhibitors in use.
    inhibitors: usize,
    /// The shard's count of work when it last had nothing to do.
    idle_at: Option<u64>,
}

impl State {
    fn now(&self) -> Instant {
        let ran = self.runs_since.map(|since| since.elapsed());
        self.base + ran.unwrap_or_default()
    }

    fn advance(&mut self, by: Duration) {
        let later = self.base.checked_add(by);
        self.base = later.expect("the time to advance by must not overflow the clock");
    }
}

impl Clock {
    /// Returns the clock of a reactor that starts now.
    pub(crate) fn start() -> Self {
        let epoch = Instant::now();
        Self(Arc::new(Shared {
            epoch,
            was_paused: AtomicBool::new(false),
            state: Mutex::new(State {
                base: epoch,
                runs_since: Some(epoch),
                inhibitors: 0,
                idle_at: None,
            }),
            shard: OnceLock::new(),
        }))
    }

    /// Returns the reactor's start time.
    pub(crate) fn epoch(&self) -> Instant {
        self.0.epoch
    }

    /// Returns the current time.
    pub(crate) fn now(&self) -> Instant {
        // Relaxed: the thread that pauses sees its own store, and so does every thread that it
        // tells about the pause.
        if self.0.was_paused.load(Ordering::Relaxed) {
            self.0.state.lock().now()
        } else {
            Instant::now()
        }
    }

    /// Sleeps for this time. A shard calls it when other threads have to act before the shard can
    /// continue.
    pub(crate) fn idle(&self, time: Duration) {
        crate::sync::sleep(time);
    }

    /// Sets the shard that sleeps by this clock.
    pub(crate) fn serves(&self, shard: &Arc<Parker>) {
        let _first = self.0.shard.set(Arc::clone(shard));
    }

    /// Stops the clock at the reactor's start time. Called before the shard starts.
    pub(crate) fn start_paused(&self) {
        self.0.was_paused.store(true, Ordering::Relaxed);
        self.0.state.lock().runs_since = None;
    }

    /// Returns true if the clock is paused.
    pub(crate) fn is_paused(&self) -> bool {
        self.0.was_paused.load(Ordering::Relaxed) && self.0.state.lock().runs_since.is_none()
    }

    /// Returns the sleep time of an idle shard whose next timer is due in `time`. `None` means that
    /// only an event ends the sleep. `done` is any number that grows with the shard's work.
    pub(crate) fn wait_for(&self, time: Duration, done: impl FnOnce() -> u64) -> Option<Duration> {
        if !self.0.was_paused.load(Ordering::Relaxed) {
            return Some(time);
        }
        let mut state = self.0.state.lock();
        if state.runs_since.is_some() {
            return Some(time);
        }
        if state.inhibitors != 0 {
            // The end of the last inhibitor wakes the shard.
            return None;
        }
        let done = Some(done());
        if state.idle_at == done {
            state.advance(time);
        }
        // The shard first handles the events that the OS has now.
        state.idle_at = done;
        Some(Duration::ZERO)
    }

    pub(crate) fn inhibitor(&self) -> Inhibitor {
        Inhibitor(self.clone())
    }

    fn pause(&self) {
        self.0.was_paused.store(true, Ordering::Relaxed);
        self.change(|state| {
            let now = state.now();
            if state.runs_since.take().is_none() {
                return Err("time is already paused");
            }
            state.base = now;
            Ok(())
        });
    }

    fn resume(&self) {
        self.change(|state| {
            if state.runs_since.is_some() {
                return Err(NOT_PAUSED);
            }
            state.runs_since = Some(Instant::now());
            Ok(())
        });
    }

    fn advance(&self, by: Duration) {
        self.change(|state| {
            if state.runs_since.is_some() {
                return Err(NOT_PAUSED);
            }
            state.advance(by);
            Ok(())
        });
    }

    #[track_caller]
    fn change(&self, change: impl FnOnce(&mut State) -> Result<(), &'static str>) {
        let changed = change(&mut self.0.state.lock());
        if let Err(message) = changed {
            panic!("{message}");
        }
        // The rest of this turn sees the new time.
        clock::forget_turn();
        self.wake_shard();
    }

    fn wake_shard(&self) {
        if let Some(shard) = self.0.shard.get() {
            shard.unpark();
        }
    }
}

/// A lock on auto-advance: between `begin` and `end`, a paused clock does not advance by itself.
#[derive(Clone, Debug)]
pub(crate) struct Inhibitor(Clock);

impl Inhibitor {
    pub(crate) fn begin(&self) {
        self.0.0.state.lock().inhibitors += 1;
    }

    pub(crate) fn end(&self) {
        let mut state = self.0.0.state.lock();
        state.inhibitors -= 1;
        let is_last = state.inhibitors == 0 && state.runs_since.is_none();
        drop(state);
        if is_last {
            self.0.wake_shard();
        }
    }
}

/// Returns the current time on a thread that runs no shard.
pub(super) fn now_elsewhere() -> Instant {
    let clock = context::with(|handle| handle.map(Handle::clock));
    clock.map_or_else(Instant::now, |clock| clock.now())
}

/// Returns the clock of the current reactor, which tests may pause.
#[track_caller]
fn pausable() -> Clock {
    let handle = Handle::current();
    assert!(
        handle.shards().len() == 1,
        "time can be paused on a reactor with one shard only, since it advances when that shard is \
         idle: use `#[reactor::test]` or `Builder::shards(1)`"
    );
    handle.clock()
}

/// Pauses the clock of the current reactor, for tests. Same as tokio's.
///
/// Sleeps, timeouts and intervals then wait by the paused clock. [`advance`] moves it.
/// `std::time::Instant::now` still returns the system's time;
/// [`coarse_now`](crate::time::coarse_now) returns the clock's. `#[reactor::test(start_paused =
/// true)]` and [`Builder::start_paused`](crate::Builder::start_paused) start a reactor with a
/// paused clock.
///
/// # Auto-advance
///
/// If the shard has nothing to do, the clock jumps to its next timer. So a test that sleeps for an
/// hour ends at once, and timers still fire in order. The shard has something to do while a task is
/// ready, an event has arrived, a job of [`spawn_blocking`](crate::spawn_blocking) is queued or
/// runs, or a future of `block_on` is polled. Threads that the reactor does not know about do not
/// count: to keep the clock still while one works, wait for it in `spawn_blocking`.
///
/// # Panics
///
/// Panics if the clock is already paused, if the current reactor has more than one shard, or if
/// there is no current reactor.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use reactor::time;
///
/// let reactor = reactor::Reactor::builder().shards(1).build()?;
/// let task = reactor.spawn(async {
///     time::pause();
///     let start = time::coarse_now();
///     time::sleep(Duration::from_secs(3600)).await;
///     assert!(time::coarse_now() - start >= Duration::from_secs(3600));
/// });
/// reactor.block_on(task)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn pause() {
    pausable().pause();
}

/// Lets the clock of the current reactor run again, from its current time. Same as tokio's.
///
/// # Panics
///
/// Panics if the clock is not paused, if the current reactor has more than one shard, or if there
/// is no current reactor.
#[track_caller]
pub fn resume() {
    pausable().resume();
}

/// Moves the paused clock of the current reactor forward, in one jump, and yields once. Same as
/// tokio's.
///
/// Timers whose deadline the jump passes fire together. The call does not wait until their tasks
/// have run. To let all timers up to a time fire in order, [`sleep`](crate::time::sleep) until that
/// time instead.
///
/// # Panics
///
/// Panics if the clock is not paused, if the current reactor has more than one shard, if there is
/// no current reactor, or if the clock cannot represent the new time.
///
/// # Cancel safety
///
/// The clock moves at the first poll. A later drop of the future does not undo that.
pub async fn advance(duration: Duration) {
    pausable().advance(duration);
    yield_now().await;
}
