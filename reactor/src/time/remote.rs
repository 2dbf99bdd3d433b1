//! A timer that a shard keeps for a wait on another thread.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Instant;

use slab::Slab;

use crate::panics::caught;
use crate::shard::Shard;
use crate::sync::Mutex;
use crate::time::TimerKey;

/// What the waiting thread and the shard share. Either side locks it for a few instructions, and no waker is cloned, dropped or
/// woken meanwhile.
pub(crate) struct RemoteTimer(Mutex<State>);

struct State {
    deadline: Instant,
    /// Who waits; none after the timer fired or was cancelled.
    waker: Option<Waker>,
    /// Where it is in the shard's store. The shard alone uses it.
    key: Option<TimerKey>,
    /// Where it is listed; set when it is.
    place: usize,
}

/// The timers that a shard keeps for other threads, so that they can be told where the shard is given up.
#[derive(Debug)]
pub(crate) struct RemoteTimers(Mutex<Slab<Arc<RemoteTimer>>>);

impl RemoteTimers {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Slab::new()))
    }

    /// Lists a timer, once.
    pub(crate) fn list(&self, timer: &Arc<RemoteTimer>) {
        let place = self.0.lock().insert(Arc::clone(timer));
        timer.0.lock().place = place;
    }

    /// Takes a listed timer out.
    pub(crate) fn unlist(&self, timer: &RemoteTimer) {
        let place = timer.0.lock().place;
        let timer = self.0.lock().remove(place);
        drop(timer);
    }

    /// Wakes everybody who waits. Returns how many wakers panicked.
    pub(crate) fn wake_all(&self) -> u32 {
        let timers: Vec<_> = self
            .0
            .lock()
            .iter()
            .map(|(_, timer)| Arc::clone(timer))
            .collect();
        timers
            .into_iter()
            .map(|timer| caught(|| timer.wake()).1)
            .sum()
    }
}

impl RemoteTimer {
    pub(crate) fn new(deadline: Instant, waker: Waker) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            deadline,
            waker: Some(waker),
            key: None,
            place: usize::MAX,
        })))
    }

    /// Sees to it that the firing wakes this task. `false` where it has fired.
    pub(crate) fn wait(&self, cx: &mut Context<'_>) -> bool {
        let waker = cx.waker().clone();
        let mut state = self.0.lock();
        let fired = state.waker.is_none();
        let unused = if fired {
            Some(waker)
        } else {
            state.waker.replace(waker)
        };
        drop(state);
        drop(unused);
        !fired
    }

    /// Moves the deadline; the shard is told by a message that follows.
    pub(crate) fn reset(&self, deadline: Instant) {
        self.0.lock().deadline = deadline;
    }

    /// Lets go of the waker; the shard is told by a message that follows.
    pub(crate) fn cancel(&self) {
        let waker = self.0.lock().waker.take();
        drop(waker);
    }

    /// Makes the shard's store agree with what is asked for. On the shard.
    pub(crate) fn apply(self: Arc<Self>, shard: &Shard) {
        let (deadline, wanted, key) = {
            let state = self.0.lock();
            (state.deadline, state.waker.is_some(), state.key)
        };
        if shard.shared().has_ended() {
            self.wake();
            return;
        }
        if !wanted {
            if let Some(key) = key {
                shard.disarm(key);
            }
            return;
        }
        let still_armed = key.is_some_and(|key| shard.timers().borrow_mut().reset(key, deadline));
        if !still_armed {
            let waker = Waker::from(Arc::clone(&self));
            let key = shard.timers().borrow_mut().insert(deadline, waker);
            self.0.lock().key = Some(key);
            shard.count_timers();
        }
    }
}

impl Wake for RemoteTimer {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let waker = self.0.lock().waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl fmt::Debug for RemoteTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteTimer").finish_non_exhaustive()
    }
}
