//! The driver of a simulation, in the place of `driver.rs` under `--cfg reactor_sim`: no system call, and a test says what is
//! ready and when.
//!
//! It keeps the contract of the real one. A registration lives under its descriptor number, which nothing opens; an event is
//! reported once (edge-triggered), to the interest that asked for it; a wait ends with an event, a notification or its time. The
//! tests that run on it are in `sim.rs`; `scripts/sim.sh` builds them.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::RawFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::owners::Ctl;
use crate::shard::parker::Notify;
use crate::token::Token;
use crate::{Interest, Ready};

/// Every simulated epoll there is, so that a test can report to a descriptor without knowing its shard.
static EPOLLS: Mutex<Vec<Weak<Epoll>>> = Mutex::new(Vec::new());

/// Reports readiness of a descriptor number to every shard that has it registered. Returns to how many.
pub(crate) fn report(fd: RawFd, ready: Ready) -> usize {
    let epolls: Vec<_> = lock(&EPOLLS).iter().filter_map(Weak::upgrade).collect();
    epolls
        .iter()
        .filter(|epoll| epoll.report(fd, ready))
        .count()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug, Default)]
struct Epoll {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    registered: BTreeMap<RawFd, (Token, Interest)>,
    /// Reported, and not fetched by a wait yet.
    reported: Vec<OsEvent>,
    notified: bool,
}

impl Epoll {
    fn report(&self, fd: RawFd, ready: Ready) -> bool {
        let mut state = lock(&self.state);
        let Some(&(token, interest)) = state.registered.get(&fd) else {
            return false;
        };
        // What epoll reports whether it was asked for or not.
        let asked_for = Ready::from_interest(interest) | Ready::ERROR | Ready::CLOSED;
        if !ready.intersects(asked_for) {
            return false;
        }
        state.reported.push(OsEvent {
            token,
            ready: ready & asked_for,
        });
        self.changed.notify_all();
        true
    }
}

/// One shard's simulated epoll, and its batch of events.
#[derive(Debug)]
pub(crate) struct Driver {
    epoll: Arc<Epoll>,
    batch: Vec<OsEvent>,
    batch_max: usize,
}

/// What was reported of one registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OsEvent {
    pub(crate) token: Token,
    pub(crate) ready: Ready,
}

/// The door to a shard's simulated epoll for all threads.
#[derive(Debug)]
pub(crate) struct Registry(Arc<Epoll>);

/// Ends a shard's wait.
#[derive(Debug)]
pub(crate) struct Notifier(Arc<Epoll>);

impl Driver {
    /// Makes a simulated epoll whose waits return at most `events_per_poll` events. It cannot fail.
    pub(crate) fn new(events_per_poll: usize) -> io::Result<(Self, Registry, Notifier)> {
        let epoll = Arc::new(Epoll::default());
        let mut epolls = lock(&EPOLLS);
        epolls.retain(|epoll| epoll.strong_count() > 0);
        epolls.push(Arc::downgrade(&epoll));
        let driver = Self {
            epoll: Arc::clone(&epoll),
            batch: Vec::new(),
            batch_max: events_per_poll,
        };
        Ok((driver, Registry(Arc::clone(&epoll)), Notifier(epoll)))
    }

    /// Replaces the batch: waits for an event, a notification, or until the time is over; `None` waits without end.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = lock(&self.epoll.state);
        while state.reported.is_empty() && !state.notified {
            state = match deadline {
                None => self
                    .epoll
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break;
                    }
                    self.epoll
                        .changed
                        .wait_timeout(state, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
        state.notified = false;
        let fetched = state.reported.len().min(self.batch_max);
        self.batch.clear();
        self.batch.extend(state.reported.drain(..fetched));
        Ok(())
    }

    /// The batch.
    pub(crate) fn events(&self) -> impl Iterator<Item = OsEvent> + '_ {
        self.batch.iter().copied()
    }
}

impl Ctl for Registry {
    fn add(&self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        let mut state = lock(&self.0.state);
        if state.registered.contains_key(&fd) {
            return Err(rustix::io::Errno::EXIST.into());
        }
        state.registered.insert(fd, (token, interest));
        Ok(())
    }

    fn modify(&self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        match lock(&self.0.state).registered.get_mut(&fd) {
            Some(registered) => {
                *registered = (token, interest);
                Ok(())
            }
            None => Err(rustix::io::Errno::NOENT.into()),
        }
    }

    fn delete(&self, fd: RawFd) -> io::Result<()> {
        match lock(&self.0.state).registered.remove(&fd) {
            Some(_) => Ok(()),
            None => Err(rustix::io::Errno::NOENT.into()),
        }
    }
}

impl Notify for Notifier {
    fn notify(&self) {
        lock(&self.0.state).notified = true;
        self.0.changed.notify_all();
    }
}
