//! The driver of a simulation. It makes no system call. A test sets the readiness and the time.
//!
//! `driver.rs` lists what a driver module provides. Here a registration is stored under its
//! descriptor number, which need not be open. The only states are those that a test sets. The time
//! is the reactor's [`Clock`], which stands still until [`Clock::advance`] moves it. A test can
//! also let a seed choose the schedule of all threads (`schedule.rs`). The tests that use this
//! driver are in `sim/`; `scripts/sim.sh` builds them.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use crate::owners::Ctl;
use crate::shard::parker::Notify;
use crate::token::Token;
use crate::{Interest, Ready};

#[path = "driver_sim/schedule.rs"]
mod schedule;

use schedule::{Actor, Doing, Play, enlist};
pub(crate) use schedule::{Played, Random, blocked, pause, point};

/// All existing simulations, so that a test can report to a descriptor without knowing its reactor.
static WORLDS: Mutex<Vec<Weak<World>>> = Mutex::new(Vec::new());

/// The time, on the system's clock, within which the threads must come to rest.
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
    /// Signals any change of `state` to the test.
    changed: Condvar,
    epoch: Instant,
    /// True while a seed chooses the schedule: a copy of `State::play` that needs no lock.
    is_playing: AtomicBool,
}

#[derive(Debug)]
struct State {
    now: Instant,
    epolls: Vec<Epoll>,
    /// The states that each descriptor has now.
    levels: BTreeMap<RawFd, Ready>,
    /// The shards, in the order of their epolls, and then the other threads that a test plays.
    actors: Vec<Actor>,
    play: Option<Play>,
    /// The reason for which a play ended early.
    failure: Option<String>,
}

#[derive(Debug, Default)]
struct Epoll {
    registered: BTreeMap<RawFd, (Token, Interest)>,
    /// Reported events that no wait has fetched yet.
    reported: Vec<OsEvent>,
    notified: bool,
    /// The shard's thread. Set at its first wait.
    thread: Option<ThreadId>,
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

    /// Reports the states that the descriptor has now, as epoll_ctl does.
    fn report_level(&mut self, fd: RawFd, levels: &BTreeMap<RawFd, Ready>) {
        let level = levels.get(&fd).copied();
        self.report(fd, level.unwrap_or(Ready::EMPTY));
    }

    /// Returns true if a wait with this deadline is over.
    fn wait_is_over(&self, until: Option<Instant>, now: Instant) -> bool {
        !self.reported.is_empty() || self.notified || until.is_some_and(|until| until <= now)
    }
}

impl State {
    /// Returns true if the actor could go on now.
    fn can_go_on(&self, index: usize) -> bool {
        match self.actors[index].doing {
            Doing::Running | Doing::Stopped => true,
            Doing::Waiting(until) => self.epolls[index].wait_is_over(until, self.now),
            Doing::Sleeping(until) => until <= self.now,
            Doing::Gone => false,
        }
    }

    fn report(&mut self, fd: RawFd, ready: Ready) -> usize {
        let reported = self.epolls.iter_mut();
        let reported = reported.filter_map(|epoll| epoll.report(fd, ready).then_some(()));
        let reported = reported.count();
        self.tell_actors();
        reported
    }

    /// Lets each actor check if it can go on. In a play, the schedule decides instead.
    fn tell_actors(&self) {
        if self.play.is_none() {
            self.actors.iter().for_each(|actor| actor.go.notify_all());
        }
    }
}

impl World {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn report(&self, fd: RawFd, ready: Ready) -> usize {
        let reported = self.lock().report(fd, ready);
        self.tell_test();
        reported
    }

    /// Lets the test check if all threads are at rest. In a play, the schedule knows that.
    fn tell_test(&self) {
        if !self.is_playing.load(Relaxed) {
            self.changed.notify_all();
        }
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
            levels: BTreeMap::new(),
            actors: Vec::new(),
            play: None,
            failure: None,
        };
        let world = Arc::new(World {
            state: Mutex::new(state),
            changed: Condvar::new(),
            epoch,
            is_playing: AtomicBool::new(false),
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
        self.0.lock().now
    }

    /// Advances the time and does not wait for the effects.
    pub(crate) fn pass(&self, by: Duration) {
        let mut state = self.0.lock();
        state.now += by;
        state.tell_actors();
        drop(state);
        self.0.tell_test();
    }

    /// Waits until every shard waits for an event or a later time. Shards at rest stay so until
    /// something from outside arrives.
    pub(crate) fn rest(&self) {
        let started = Instant::now();
        let mut state = self.0.lock();
        while (0..state.actors.len()).any(|index| state.can_go_on(index)) {
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

    /// Sets states of a descriptor, which are reported to each shard that has it registered, as
    /// after a write by its peer.
    pub(crate) fn raise(&self, fd: RawFd, ready: Ready) {
        let mut state = self.0.lock();
        let level = state.levels.entry(fd).or_insert(Ready::EMPTY);
        *level = *level | ready;
        state.report(fd, ready);
        drop(state);
        self.0.tell_test();
    }

    /// Ends states of a descriptor, as a read that drains it does.
    pub(crate) fn lower(&self, fd: RawFd, ready: Ready) {
        let mut state = self.0.lock();
        let level = state.levels.entry(fd).or_insert(Ready::EMPTY);
        *level = *level - ready;
    }

    /// Returns the number of descriptors that are registered with any shard.
    pub(crate) fn registered(&self) -> usize {
        let state = self.0.lock();
        state
            .epolls
            .iter()
            .map(|epoll| epoll.registered.len())
            .sum()
    }

    /// Waits until the shards are at rest, advances the time, and waits until all effects are done.
    pub(crate) fn advance(&self, by: Duration) {
        self.rest();
        self.pass(by);
        self.rest();
    }
}

/// A sibling may fetch events during a wait.
pub(crate) const SIBLINGS_FETCH: bool = true;

/// One shard's simulated epoll, and its batch of events.
#[derive(Debug)]
pub(crate) struct Driver {
    epoll: EpollRef,
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
struct EpollRef {
    world: Arc<World>,
    index: usize,
}

impl EpollRef {
    fn with<R>(&self, f: impl FnOnce(&mut Epoll, &BTreeMap<RawFd, Ready>) -> R) -> R {
        let mut state = self.world.lock();
        let State { epolls, levels, .. } = &mut *state;
        let result = f(&mut epolls[self.index], levels);
        state.tell_actors();
        drop(state);
        self.world.tell_test();
        result
    }
}

/// Registers descriptor numbers with a shard's simulated epoll, from any thread.
#[derive(Debug)]
pub(crate) struct Registry(EpollRef);

/// Ends a shard's wait.
#[derive(Debug)]
pub(crate) struct Notifier(EpollRef);

impl Driver {
    /// Creates a simulated epoll whose waits return at most `events_per_poll` events and use
    /// `clock`. It cannot fail.
    pub(crate) fn new(
        events_per_poll: usize,
        clock: &Clock,
    ) -> io::Result<(Self, Registry, Notifier)> {
        let world = Arc::clone(&clock.0);
        let index = {
            let mut state = world.lock();
            state.epolls.push(Epoll::default());
            state.actors.push(Actor::new(Doing::Running));
            state.epolls.len() - 1
        };
        let epoll = EpollRef { world, index };
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
        let EpollRef { world, index } = &self.epoll;
        let mut state = world.lock();
        let me = thread::current().id();
        // If a sibling serves the shard, it reads the events while the shard itself does something
        // else.
        let is_shard = *state.epolls[*index].thread.get_or_insert(me) == me;
        if is_shard {
            enlist(world, *index);
            let until = timeout.and_then(|timeout| state.now.checked_add(timeout));
            state = world.stop(state, *index, Doing::Waiting(until));
        }
        let epoll = &mut state.epolls[*index];
        epoll.notified = false;
        let fetched = epoll.reported.len().min(self.batch_max);
        self.batch.clear();
        self.batch.extend(epoll.reported.drain(..fetched));
        drop(state);
        // Others may go on between the return of the system call and the dispatch.
        point();
        Ok(())
    }

    /// Returns the batch.
    pub(crate) fn events(&self) -> impl Iterator<Item = OsEvent> + '_ {
        self.batch.iter().copied()
    }
}

impl Registry {
    /// Fetches events in the place of the shard, also while it waits.
    pub(crate) fn fetch(&self, into: &mut Fetched) -> io::Result<()> {
        self.0.with(|epoll, _| {
            into.has_notice = std::mem::take(&mut epoll.notified);
            into.events.clear();
            into.events.append(&mut epoll.reported);
        });
        // As in `Driver::wait`.
        point();
        Ok(())
    }
}

/// Events that a sibling fetched.
#[derive(Debug, Default)]
pub(crate) struct Fetched {
    events: Vec<OsEvent>,
    has_notice: bool,
}

impl Fetched {
    pub(crate) fn with_room() -> Self {
        Self::default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty() && !self.has_notice
    }

    pub(crate) fn has_notice(&self) -> bool {
        self.has_notice
    }

    pub(crate) fn events(&self) -> impl Iterator<Item = OsEvent> + '_ {
        self.events.iter().copied()
    }
}

impl Ctl for Registry {
    fn add(&self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        self.0.with(|epoll, levels| {
            if epoll.registered.contains_key(&fd) {
                return Err(rustix::io::Errno::EXIST.into());
            }
            epoll.registered.insert(fd, (token, interest));
            epoll.report_level(fd, levels);
            Ok(())
        })
    }

    fn modify(&self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        self.0
            .with(|epoll, levels| match epoll.registered.get_mut(&fd) {
                Some(registered) => {
                    *registered = (token, interest);
                    epoll.report_level(fd, levels);
                    Ok(())
                }
                None => Err(rustix::io::Errno::NOENT.into()),
            })
    }

    fn delete(&self, fd: RawFd) -> io::Result<()> {
        self.0.with(|epoll, _| match epoll.registered.remove(&fd) {
            Some((token, _)) => {
                epoll.reported.retain(|event| event.token != token);
                Ok(())
            }
            None => Err(rustix::io::Errno::NOENT.into()),
        })
    }
}

impl Notify for Notifier {
    fn notify(&self) {
        self.0.with(|epoll, _| epoll.notified = true);
    }
}
