//! A timer that a shard keeps for a wait on another thread.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Instant;

use slab::Slab;

use crate::panics::caught;
use crate::shard::ShardShared;
use crate::sync::Mutex;
use crate::time::TimerKey;

/// The state shared by the waiting thread and the shard. Either side locks it for a few
/// instructions. No waker is cloned, dropped or woken under the lock.
pub(crate) struct RemoteTimer(Mutex<State>);

struct State {
    deadline: Instant,
    /// The waiter's waker. `None` after the timer fired or was cancelled.
    waker: Option<Waker>,
    /// The timer's key in the shard's store. Used by the shard only.
    key: Option<TimerKey>,
    /// The timer's index in the list. Set when it is added.
    index: usize,
}

/// The timers that a shard keeps for other threads. They are woken if the shard is abandoned.
#[derive(Debug)]
pub(crate) struct RemoteTimers(Mutex<Slab<Arc<RemoteTimer>>>);

impl RemoteTimers {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Slab::new()))
    }

    /// Adds a timer to the list, once.
    pub(crate) fn list(&self, timer: &Arc<RemoteTimer>) {
        let index = self.0.lock().insert(Arc::clone(timer));
        timer.0.lock().index = index;
    }

    /// Removes a timer from the list.
    pub(crate) fn unlist(&self, timer: &RemoteTimer) {
        let index = timer.0.lock().index;
        let timer = self.0.lock().remove(index);
        drop(timer);
    }

    /// Wakes all waiters. Returns the number of wakers that panicked.
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
            index: usize::MAX,
        })))
    }

    /// Stores the waker that the timer wakes. Returns false if the timer has fired.
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

    /// Moves the deadline. The caller then sends a message to the shard.
    pub(crate) fn reset(&self, deadline: Instant) {
        self.0.lock().deadline = deadline;
    }

    /// Drops the waker. The caller then sends a message to the shard.
    pub(crate) fn cancel(&self) {
        let waker = self.0.lock().waker.take();
        drop(waker);
    }

    /// Updates the shard's store to match the requested state. Called by the shard, or by a sibling
    /// that serves it.
    pub(crate) fn apply(self: Arc<Self>, shard: &ShardShared) {
        let (deadline, wanted, key) = {
            let state = self.0.lock();
            (state.deadline, state.waker.is_some(), state.key)
        };
        if shard.has_ended() {
            self.wake();
            return;
        }
        if !wanted {
            if let Some(key) = key {
                shard.disarm(key);
            }
            return;
        }
        let still_armed =
            key.is_some_and(|key| shard.with_timers(|timers| timers.reset(key, deadline)));
        if !still_armed {
            let waker = Waker::from(Arc::clone(&self));
            let key = shard.with_timers(|timers| timers.insert(deadline, waker));
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
