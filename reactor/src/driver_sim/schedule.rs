//! The seeded schedule of a simulation: one thread runs at a time, and a seed chooses the thread.
//!
//! The threads are the shards and those that a test adds with [`Clock::act`]. The thread that runs
//! holds the baton. It passes the baton on when it waits, when it meets a lock that another thread
//! holds, and at some of the points at which `crate::sync` takes a lock or passes a fence. All
//! choices come from one generator, and only the holder of the baton draws from it, so a seed
//! always gives the same schedule. When no thread can go on, the time moves to the next deadline.
//! When there is no deadline either, the play is at rest, and the test looks at the result.

use std::cell::{Cell, OnceCell};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{Clock, REST_WITHIN, State, World};

/// The number of stops after which a play counts as endless.
const STOPS_MAX: u64 = 50_000;

/// A thread is held back at one of this many stops, as if the operating system ran other threads.
const HOLD_ONE_IN: u64 = 40;

/// The largest number of stops for which a thread is held back.
const HOLD_MAX: u64 = 150;

thread_local! {
    /// The thread's part in a play. Set once.
    static PART: OnceCell<Part> = const { OnceCell::new() };
}

/// A thread's place among the actors. Its end marks the actor as gone.
struct Part {
    world: Arc<World>,
    index: usize,
    /// The number of points to pass before the next stop.
    points: Cell<u64>,
}

impl Drop for Part {
    fn drop(&mut self) {
        let mut state = self.world.lock();
        state.actors[self.index].doing = Doing::Gone;
        if state.play.is_some() {
            let next = self.world.pass_baton(&mut state, None);
            drop(state);
            next.notify();
        } else {
            drop(state);
            self.world.changed.notify_all();
        }
    }
}

/// A thread of a simulation.
#[derive(Debug)]
pub(super) struct Actor {
    pub(super) doing: Doing,
    /// Tells the thread that it may be able to go on.
    pub(super) go: Arc<Condvar>,
    /// The stop until which the schedule prefers other threads.
    held_until: u64,
}

impl Actor {
    pub(super) fn new(doing: Doing) -> Self {
        Self {
            doing,
            go: Arc::default(),
            held_until: 0,
        }
    }
}

/// The activity of an actor.
#[derive(Debug, Clone, Copy)]
pub(super) enum Doing {
    Running,
    /// A shard, in the wait of its own epoll.
    Waiting(Option<Instant>),
    Sleeping(Instant),
    /// In the middle of something.
    Stopped,
    Gone,
}

/// A play of one seed.
#[derive(Debug)]
pub(super) struct Play {
    random: Random,
    baton: Option<usize>,
    stops: u64,
    /// The mean number of points between two stops.
    points_mean: u64,
    /// A hash of the schedule so far.
    trace: u64,
}

/// A generator of pseudo-random numbers (SplitMix64).
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// Returns a number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// Binds the calling thread to its actor, once.
pub(super) fn enlist(world: &Arc<World>, index: usize) {
    PART.with(|part| {
        part.get_or_init(|| Part {
            world: Arc::clone(world),
            index,
            points: Cell::new(0),
        });
    });
}

/// A point at which another thread may go on. Does nothing outside of a play.
pub(crate) fn point() {
    with_part(|part| {
        let points = part.points.get();
        if points > 0 {
            part.points.set(points - 1);
            return;
        }
        let mut state = part.world.lock();
        if let Some(play) = &mut state.play {
            part.points.set(play.random.below(2 * play.points_mean));
            drop(part.world.stop(state, part.index, Doing::Stopped));
        }
    });
}

/// Lets other threads go on, if the schedule prefers them. Does nothing outside of a play.
pub(crate) fn pause() {
    with_part(|part| {
        let state = part.world.lock();
        drop(part.world.stop(state, part.index, Doing::Stopped));
    });
}

/// Lets other threads go on, because the caller waits for a lock. Returns false outside of a play.
pub(crate) fn blocked() -> bool {
    with_part(|part| {
        let mut state = part.world.lock();
        if state.play.is_some() {
            state.actors[part.index].doing = Doing::Stopped;
            let next = part.world.pass_baton(&mut state, Some(part.index));
            drop(state);
            next.notify();
            drop(part.world.take_baton(part.world.lock(), part.index));
        }
    })
    .is_some()
}

fn with_part<R>(f: impl FnOnce(&Part) -> R) -> Option<R> {
    let call = |part: &OnceCell<Part>| {
        let part = part.get();
        part.filter(|part| part.world.is_playing.load(Relaxed))
            .map(f)
    };
    PART.try_with(call).ok().flatten()
}

impl World {
    /// Stops the calling actor until it can go on and the schedule chooses it.
    pub(super) fn stop<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        me: usize,
        doing: Doing,
    ) -> MutexGuard<'a, State> {
        state.actors[me].doing = doing;
        if state.play.is_none() {
            self.changed.notify_all();
        } else if let next @ Next::Other(_) = self.pass_baton(&mut state, None) {
            drop(state);
            next.notify();
            state = self.lock();
        }
        self.take_baton(state, me)
    }

    fn take_baton<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        me: usize,
    ) -> MutexGuard<'a, State> {
        let go = Arc::clone(&state.actors[me].go);
        while !match &state.play {
            Some(play) => play.baton == Some(me),
            None => state.can_go_on(me),
        } {
            state = go.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.actors[me].doing = Doing::Running;
        state
    }

    /// Passes the baton to an actor that can go on, other than `blocked`. The caller tells it after
    /// it has released the lock, since the actor would wait for the lock at once.
    fn pass_baton(&self, state: &mut State, blocked: Option<usize>) -> Next {
        match state.next_actor(blocked) {
            Ok(next) => {
                let play = state.play.as_mut().expect("a play is on");
                let before = std::mem::replace(&mut play.baton, next);
                match next {
                    Some(next) if Some(next) != before => {
                        return Next::Other(Arc::clone(&state.actors[next].go));
                    }
                    Some(_) => {}
                    None => self.changed.notify_all(),
                }
            }
            Err(failure) => {
                state.failure = Some(failure);
                self.end_play(state);
            }
        }
        Next::Same
    }

    /// Lets all threads run freely again.
    fn end_play(&self, state: &mut State) {
        self.is_playing.store(false, Relaxed);
        state.play = None;
        state.tell_actors();
        self.changed.notify_all();
    }
}

impl State {
    /// Chooses the next actor, and moves the time if none could go on now. Returns `None` at rest.
    fn next_actor(&mut self, blocked: Option<usize>) -> Result<Option<usize>, String> {
        loop {
            let all = 0..self.actors.len();
            let able = all.filter(|index| Some(*index) != blocked && self.can_go_on(*index));
            let able: Vec<_> = able.collect();
            if !able.is_empty() {
                return self.choose(&able).map(Some);
            }
            if blocked.is_some() {
                return Err(format!("a lock is never released: {self:?}"));
            }
            let deadlines = self.actors.iter().filter_map(|actor| match actor.doing {
                Doing::Waiting(until) => until,
                Doing::Sleeping(until) => Some(until),
                _ => None,
            });
            match deadlines.min() {
                Some(deadline) => self.now = deadline,
                None => return Ok(None),
            }
        }
    }

    fn choose(&mut self, able: &[usize]) -> Result<usize, String> {
        let play = self.play.as_mut().expect("a play is on");
        play.stops += 1;
        if play.stops > STOPS_MAX {
            return Err(format!("the play does not come to rest: {self:?}"));
        }
        let random = &mut play.random;
        let pick = |random: &mut Random, of: &[usize]| of[random.below(of.len() as u64) as usize];
        if random.below(HOLD_ONE_IN) == 0 {
            let held = pick(random, able);
            self.actors[held].held_until = play.stops + random.below(HOLD_MAX);
        }
        let free = able.iter().copied();
        let free: Vec<_> = free
            .filter(|index| self.actors[*index].held_until <= play.stops)
            .collect();
        let next = pick(random, if free.is_empty() { able } else { &free });
        play.trace = (play.trace ^ next as u64).wrapping_mul(0x0000_0100_0000_01b3);
        Ok(next)
    }
}

/// The actor that goes on.
enum Next {
    /// The actor that had the baton, or none.
    Same,
    /// Another actor, which is notified.
    Other(Arc<Condvar>),
}

impl Next {
    fn notify(&self) {
        if let Self::Other(go) = self {
            go.notify_all();
        }
    }
}

/// The extent of a play at rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Played {
    pub(crate) stops: u64,
    /// A hash of the order in which the threads went on.
    pub(crate) trace: u64,
}

impl Clock {
    /// Begins a play. All threads stop until [`Clock::play`].
    pub(crate) fn begin_play(&self, seed: u64) {
        self.rest();
        let mut random = Random::new(seed);
        let points_mean = [2, 10, 40, 200, 1_000][random.below(5) as usize];
        let mut state = self.0.lock();
        state.play = Some(Play {
            random,
            baton: None,
            stops: 0,
            points_mean,
            trace: 0,
        });
        self.0.is_playing.store(true, Relaxed);
    }

    /// Adds a thread to the play.
    pub(crate) fn act(&self, act: impl FnOnce() + Send + 'static) -> thread::JoinHandle<()> {
        let world = Arc::clone(&self.0);
        let mut state = world.lock();
        let index = state.actors.len();
        state.actors.push(Actor::new(Doing::Stopped));
        drop(state);
        thread::spawn(move || {
            enlist(&world, index);
            drop(world.take_baton(world.lock(), index));
            act();
        })
    }

    /// Plays until no thread can go on and no deadline is left.
    ///
    /// # Errors
    ///
    /// Describes the state of a play that does not come to rest. All threads run freely then.
    pub(crate) fn play(&self) -> Result<Played, String> {
        let world = &*self.0;
        let mut state = world.lock();
        let next = world.pass_baton(&mut state, None);
        drop(state);
        next.notify();
        let mut state = world.lock();
        let mut stops_before = 0;
        loop {
            if let Some(failure) = state.failure.take() {
                return Err(failure);
            }
            let play = state.play.as_ref().expect("a play is on");
            if play.baton.is_none() {
                let Play { stops, trace, .. } = *play;
                return Ok(Played { stops, trace });
            }
            let stops = play.stops;
            let (next, waited) = world
                .changed
                .wait_timeout(state, REST_WITHIN)
                .unwrap_or_else(PoisonError::into_inner);
            if waited.timed_out() && std::mem::replace(&mut stops_before, stops) == stops {
                return Err(format!("a thread does not stop: {next:?}"));
            }
            state = next;
        }
    }

    /// Lets all threads run freely again.
    pub(crate) fn end_play(&self) {
        self.0.end_play(&mut self.0.lock());
    }

    /// Returns true if all threads of the simulation have ended.
    pub(crate) fn all_gone(&self) -> bool {
        let state = self.0.lock();
        let mut actors = state.actors.iter();
        actors.all(|actor| matches!(actor.doing, Doing::Gone))
    }

    /// Lets the calling thread sleep for this time, while others go on.
    pub(crate) fn idle(&self, time: Duration) {
        let asleep = with_part(|part| {
            let state = part.world.lock();
            let until = state.now + time;
            drop(part.world.stop(state, part.index, Doing::Sleeping(until)));
        });
        if asleep.is_none() {
            thread::sleep(time);
        }
    }
}
