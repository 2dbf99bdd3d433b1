//! The driver of a simulation. It makes no system call. A test sets the readiness and the time.
//!
//! `driver.rs` lists what a driver module provides. Here a registration is stored under its
//! descriptor number, which need not be open. The only states are those that a test reports, so
//! `add` and `modify` report none. The time is the reactor's [`Clock`], which stands still until
//! [`Clock::advance`] moves it. The tests that use this driver are in `sim/`; `scripts/sim.sh`
//! builds them.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::RawFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use crate::owners::Ctl;
use crate::shard::parker::Notify;
use crate::token::Token;
use crate::{Interest, Ready};

thread_local! {
    /// Set by the first wait of a shard's thread.
    static LIFE: OnceCell<Life> = const { OnceCell::new() };
}

/// The life of a shard's thread: marks the shard as gone when the thread ends.
struct Life(Door);

impl Drop for Life {
    fn drop(&mut self) {
        self.0.with(|epoll| {
            epoll.shard = Shard::Gone;
            epoll.may_go = false;
        });
    }
}

/// All existing simulations, so that a test can report to a descriptor without knowing its reactor.
static WORLDS: Mutex<Vec<Weak<World>>> = Mutex::new(Vec::new());

/// The time, on the system's clock, within which the shards must come to rest.
const REST_WITHIN: Duration = Duration::from_secs(20);

/// Reports readiness of a descriptor number to every shard that has it registered. Returns the
/// number of those shards.
pub(crate) fn report(fd: RawFd, ready: Ready) -> usize {
    let worlds: Vec<_> = lock(&WORLDS).iter().filter_map(Weak::upgrade).collect();
    worlds.iter().map(|world| world.report(fd, ready)).sum()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A reactor's simulated epoll instances and its time. One lock guards all of it, so that a test
/// can observe all shards at rest at the same time.
#[derive(Debug)]
struct World {
    state: Mutex<State>,
    /// Signals any change of `state`.
    changed: Condvar,
    epoch: Instant,
}

#[derive(Debug)]
struct State {
    now: Instant,
    epolls: Vec<Epoll>,
    /// True if a shard continues only when the test steps it.
    is_stepped: bool,
}

#[derive(Debug, Default)]
struct Epoll {
    registered: BTreeMap<RawFd, (Token, Interest)>,
    /// Reported events that no wait has fetched yet.
    reported: Vec<OsEvent>,
    notified: bool,
    shard: Shard,
    /// The shard's thread. Set at its first wait.
    thread: Option<ThreadId>,
    /// True if the shard may continue to its next stop.
    may_go: bool,
}

/// The activity of an epoll's thread.
#[derive(Debug, Default, Clone, Copy)]
enum Shard {
    #[default]
    Running,
    Waiting(Option<Instant>),
    /// In [`Clock::pause`].
    Paused,
    Gone,
}

impl Epoll {
    fn report(&mut self, fd: RawFd, ready: Ready) -> bool {
        let Some(&(token, interest)) = self.registered.get(&fd) else {
            return false;
        };
        // epoll also reports errors and closed states that were not requested.
        let asked_for = Ready::from_interest(interest) | Ready::ERROR | Ready::CLOSED;
        if !ready.intersects(asked_for) {
            return false;
        }
        self.reported.push(OsEvent {
            token,
            ready: ready & asked_for,
        });
        true
    }

    /// Returns true if a wait with this deadline is over.
    fn wait_is_over(&self, until: Option<Instant>, now: Instant) -> bool {
        !self.reported.is_empty() || self.notified || until.is_some_and(|until| until <= now)
    }

    fn is_at_rest(&self, now: Instant) -> bool {
        match self.shard {
            Shard::Running | Shard::Paused => false,
            Shard::Waiting(until) => !self.wait_is_over(until, now),
            Shard::Gone => true,
        }
    }
}

/// The state of a shard that is stepped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Between two turns, with an event, a notification or an expired timeout.
    Ready,
    /// Asleep. It has to be woken before it can go on.
    Asleep,
    /// In the middle of a poll, or of its end.
    Paused,
    Gone,
}

impl World {
    fn report(&self, fd: RawFd, ready: Ready) -> usize {
        let mut state = lock(&self.state);
        let reported = state.epolls.iter_mut();
        let reported = reported.filter_map(|epoll| epoll.report(fd, ready).then_some(()));
        let reported = reported.count();
        self.changed.notify_all();
        reported
    }
}

/// A reactor's simulated time.
#[derive(Clone, Debug)]
pub(crate) struct Clock(Arc<World>);

impl Clock {
    /// Returns the clock of a reactor that starts now.
    pub(crate) fn start() -> Self {
        let epoch = Instant::now();
        let state = State {
            now: epoch,
            epolls: Vec::new(),
            is_stepped: false,
        };
        let world = Arc::new(World {
            state: Mutex::new(state),
            changed: Condvar::new(),
            epoch,
        });
        let mut worlds = lock(&WORLDS);
        worlds.retain(|world| world.strong_count() > 0);
        worlds.push(Arc::downgrade(&world));
        Self(world)
    }

    pub(crate) fn epoch(&self) -> Instant {
        self.0.epoch
    }

    pub(crate) fn now(&self) -> Instant {
        lock(&self.0.state).now
    }

    /// Advances the time and does not wait for the effects.
    pub(crate) fn pass(&self, by: Duration) {
        lock(&self.0.state).now += by;
        self.0.changed.notify_all();
    }

    /// Waits until every shard waits for an event or a later time. Shards at rest stay so until
    /// something from outside arrives.
    pub(crate) fn rest(&self) {
        let started = Instant::now();
        let mut state = lock(&self.0.state);
        while !state.epolls.iter().all(|epoll| epoll.is_at_rest(state.now)) {
            let left = REST_WITHIN.saturating_sub(started.elapsed());
            assert!(!left.is_zero(), "a shard does not rest: {state:?}");
            state = self
                .0
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// From now on each shard stops at every wait until [`Clock::step`] lets it go on. So one
    /// thread runs at a time, and a test that chooses the steps by a seed plays the same schedule
    /// again.
    pub(crate) fn begin_steps(&self) {
        self.rest();
        lock(&self.0.state).is_stepped = true;
    }

    /// Lets the shards run freely again.
    pub(crate) fn end_steps(&self) {
        lock(&self.0.state).is_stepped = false;
        self.0.changed.notify_all();
    }

    /// Returns the state of a shard that is stepped.
    pub(crate) fn stop(&self, shard: usize) -> Stop {
        let state = lock(&self.0.state);
        let epoll = &state.epolls[shard];
        match epoll.shard {
            Shard::Running => unreachable!("a stepped shard runs only in a step"),
            Shard::Waiting(until) if epoll.wait_is_over(until, state.now) => Stop::Ready,
            Shard::Waiting(_) => Stop::Asleep,
            Shard::Paused => Stop::Paused,
            Shard::Gone => Stop::Gone,
        }
    }

    /// Lets a shard go on from its stop to the next one. The shard is ready or paused.
    pub(crate) fn step(&self, shard: usize) {
        let mut state = lock(&self.0.state);
        state.epolls[shard].may_go = true;
        self.0.changed.notify_all();
        let started = Instant::now();
        while state.epolls[shard].may_go || matches!(state.epolls[shard].shard, Shard::Running) {
            let left = REST_WITHIN.saturating_sub(started.elapsed());
            assert!(!left.is_zero(), "a step does not end: {state:?}");
            state = self
                .0
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Stops the calling shard, in the middle of whatever it does, until its next step.
    pub(crate) fn pause(&self) {
        let me = Some(thread::current().id());
        let mut state = lock(&self.0.state);
        let Some(index) = state.epolls.iter().position(|epoll| epoll.thread == me) else {
            return;
        };
        state.epolls[index].shard = Shard::Paused;
        self.0.changed.notify_all();
        while state.is_stepped && !state.epolls[index].may_go {
            state = self
                .0
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.epolls[index].may_go = false;
        state.epolls[index].shard = Shard::Running;
    }

    /// Lets other shards act, in the middle of the calling shard's end.
    pub(crate) fn idle(&self, time: Duration) {
        if lock(&self.0.state).is_stepped {
            self.pause();
        } else {
            thread::sleep(time);
        }
    }

    /// Waits until the shards are at rest, advances the time, and waits until all effects are done.
    pub(crate) fn advance(&self, by: Duration) {
        self.rest();
        self.pass(by);
        self.rest();
    }
}

/// One shard's simulated epoll, and its batch of events.
#[derive(Debug)]
pub(crate) struct Driver {
    epoll: Door,
    batch: Vec<OsEvent>,
    batch_max: usize,
}

/// An event that was reported for one registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OsEvent {
    pub(crate) token: Token,
    pub(crate) ready: Ready,
}

/// One epoll of a world.
#[derive(Clone, Debug)]
struct Door {
    world: Arc<World>,
    index: usize,
}

impl Door {
    fn with<R>(&self, f: impl FnOnce(&mut Epoll) -> R) -> R {
        let result = f(&mut lock(&self.world.state).epolls[self.index]);
        self.world.changed.notify_all();
        result
    }
}

/// Registers descriptor numbers with a shard's simulated epoll, from any thread.
#[derive(Debug)]
pub(crate) struct Registry(Door);

/// Ends a shard's wait.
#[derive(Debug)]
pub(crate) struct Notifier(Door);

impl Driver {
    /// Creates a simulated epoll whose waits return at most `events_per_poll` events and use
    /// `clock`. It cannot fail.
    pub(crate) fn new(
        events_per_poll: usize,
        clock: &Clock,
    ) -> io::Result<(Self, Registry, Notifier)> {
        let world = Arc::clone(&clock.0);
        let index = {
            let mut state = lock(&world.state);
            state.epolls.push(Epoll::default());
            state.epolls.len() - 1
        };
        let epoll = Door { world, index };
        let driver = Self {
            epoll: epoll.clone(),
            batch: Vec::new(),
            batch_max: events_per_poll,
        };
        Ok((driver, Registry(epoll.clone()), Notifier(epoll)))
    }

    /// Does nothing: simulated time has no resolution.
    pub(crate) fn wait_precisely(&mut self) {}

    /// Waits for an event, a notification, or the end of the timeout, and replaces the batch.
    /// `None` waits without a limit.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let Door { world, index } = &self.epoll;
        let mut state = lock(&world.state);
        let me = thread::current().id();
        // A sibling that serves the shard looks at the events. The shard itself does something else
        // meanwhile.
        let is_shard = *state.epolls[*index].thread.get_or_insert(me) == me;
        if is_shard {
            LIFE.with(|life| {
                life.get_or_init(|| Life(self.epoll.clone()));
            });
            let until = timeout.and_then(|timeout| state.now.checked_add(timeout));
            state.epolls[*index].shard = Shard::Waiting(until);
            world.changed.notify_all();
            while !state.epolls[*index].wait_is_over(until, state.now)
                || state.is_stepped && !state.epolls[*index].may_go
            {
                state = world
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            let epoll = &mut state.epolls[*index];
            epoll.shard = Shard::Running;
            epoll.may_go = false;
        }
        let epoll = &mut state.epolls[*index];
        epoll.notified = false;
        let fetched = epoll.reported.len().min(self.batch_max);
        self.batch.clear();
        self.batch.extend(epoll.reported.drain(..fetched));
        Ok(())
    }

    /// Returns the batch.
    pub(crate) fn events(&self) -> impl Iterator<Item = OsEvent> + '_ {
        self.batch.iter().copied()
    }
}

impl Ctl for Registry {
    fn add(&self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        self.0.with(|epoll| {
            if epoll.registered.contains_key(&fd) {
                return Err(rustix::io::Errno::EXIST.into());
            }
            epoll.registered.insert(fd, (token, interest));
            Ok(())
        })
    }

    fn modify(&self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        self.0.with(|epoll| match epoll.registered.get_mut(&fd) {
            Some(registered) => {
                *registered = (token, interest);
                Ok(())
            }
            None => Err(rustix::io::Errno::NOENT.into()),
        })
    }

    fn delete(&self, fd: RawFd) -> io::Result<()> {
        self.0.with(|epoll| match epoll.registered.remove(&fd) {
            Some(_) => Ok(()),
            None => Err(rustix::io::Errno::NOENT.into()),
        })
    }
}

impl Notify for Notifier {
    fn notify(&self) {
        self.0.with(|epoll| epoll.notified = true);
    }
}
