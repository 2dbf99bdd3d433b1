//! The state that a server's shards share: counters, the connection limit, and the drain.
//!
//! Each shard has a [`Part`] on cache lines of its own. While the server serves, only that shard
//! writes there, except when another one hands it a connection. Any thread may begin a drain: it
//! sets each part's phase, then wakes the tasks that the part lists.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst, fence};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use reactor::{Handle, ShardId};
use slab::Slab;

use super::stats::{Counters, Ended, Stats};
use super::timeouts::Timeouts;
use crate::lock::lock;

/// The phases of a server, in this order.
pub(super) const SERVES: u8 = 0;
pub(super) const DRAINS: u8 = 1;
/// The drain's deadline has passed: connections that are left end now.
pub(super) const CUTS: u8 = 2;

/// The state of a server.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) handle: Handle,
    pub(super) parts: Box<[Arc<Part>]>,
    pub(super) timeouts: Timeouts,
    /// The limit on open connections.
    open_max: Option<usize>,
    /// Open connections on all shards; counted only where there is a limit. It publishes nothing.
    open: AtomicUsize,
    /// Accept loops that have not ended.
    accepting: AtomicUsize,
    /// The deadline of the drain, from its start on.
    deadline: OnceLock<Option<Instant>>,
    /// The task that waits for the drain, and for its end.
    supervisor: Mutex<Option<Waker>>,
}

/// The state of a server on one shard.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Part {
    pub(super) counters: Counters,
    pub(super) shard: ShardId,
    /// Written when a drain begins and when it ends. The lock of `listed` orders it with the tasks
    /// that wait.
    phase: AtomicU8,
    /// The tasks to wake when the phase changes. A task keeps one waker here for its life, so
    /// waiting neither inserts nor removes anything.
    listed: Mutex<Slab<Waker>>,
}

impl Shared {
    pub(super) fn new(
        handle: &Handle,
        open_max: Option<usize>,
        accepting: usize,
        timeouts: Timeouts,
    ) -> Self {
        let part = |shard| {
            Arc::new(Part {
                counters: Counters::default(),
                shard,
                phase: AtomicU8::new(SERVES),
                listed: Mutex::default(),
            })
        };
        Self {
            handle: handle.clone(),
            parts: handle.shards().map(part).collect(),
            timeouts,
            open_max,
            open: AtomicUsize::new(0),
            accepting: AtomicUsize::new(accepting),
            deadline: OnceLock::new(),
            supervisor: Mutex::default(),
        }
    }

    pub(super) fn stats(&self) -> Stats {
        let parts = self.parts.iter();
        Stats {
            shards: parts.map(|part| part.counters.read(part.shard)).collect(),
        }
    }

    /// Counts a new connection on a shard. Returns false if the server has reached its limit.
    pub(super) fn admit(&self, part: &Part) -> bool {
        if let Some(max) = self.open_max {
            let one_more = |open| (open < max).then_some(open + 1);
            if self.open.fetch_update(Relaxed, Relaxed, one_more).is_err() {
                return false;
            }
        }
        Counters::bump(&part.counters.accepted);
        true
    }

    /// Removes a connection from the counts.
    pub(super) fn leave(&self, part: &Part) {
        if self.open_max.is_some() {
            self.open.fetch_sub(1, Relaxed);
        }
        Counters::bump(&part.counters.closed);
        if part.phase() != SERVES {
            self.wake_at_end();
        }
    }

    /// Removes an accept loop from the count.
    pub(super) fn stop_accepting(&self) {
        self.accepting.fetch_sub(1, Relaxed);
        self.wake_at_end();
    }

    /// Begins the drain, or shortens the time of one that runs. Called by any thread.
    pub(super) fn begin_drain(&self, allowed: Duration) {
        let deadline = Instant::now().checked_add(allowed);
        if self.deadline.set(deadline).is_ok() {
            self.set_phase(DRAINS);
        }
        if allowed.is_zero() {
            self.set_phase(CUTS);
        }
    }

    pub(super) fn set_phase(&self, phase: u8) {
        for part in &self.parts {
            part.phase.fetch_max(phase, Relaxed);
        }
        for part in &self.parts {
            // The wakers are cloned under the lock and woken after it: a waker may run code that
            // lists or unlists a task.
            let wakers: Vec<Waker> = lock(&part.listed)
                .iter()
                .map(|(_, waker)| waker.clone())
                .collect();
            wakers.into_iter().for_each(Waker::wake);
        }
        self.wake_supervisor();
    }

    /// Returns the deadline of the drain: `None` before it begins, `Some(None)` if it has no end.
    pub(super) fn deadline(&self) -> Option<Option<Instant>> {
        self.deadline.get().copied()
    }

    fn has_ended(&self) -> bool {
        // ORDERING [serve-ended], partner [serve-ended] on the other threads. Each thread changes
        // its count first and passes this fence next. A thread that passes the fence later sees the
        // counts that were made before earlier fences. So the last thread sees them all.
        fence(SeqCst);
        self.accepting.load(Relaxed) == 0 && self.parts.iter().all(|part| part.counters.live() == 0)
    }

    #[cold]
    fn wake_at_end(&self) {
        if self.has_ended() {
            self.wake_supervisor();
        }
    }

    fn wake_supervisor(&self) {
        let waker = lock(&self.supervisor).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Polls for the start of the drain. Only the supervisor calls it.
    pub(super) fn poll_drain(&self, cx: &Context<'_>) -> Poll<()> {
        self.poll_supervised(cx, || self.deadline.get().is_some())
    }

    /// Polls until no accept loop and no connection is left. Only the supervisor calls it.
    pub(super) fn poll_end(&self, cx: &Context<'_>) -> Poll<()> {
        self.poll_supervised(cx, || self.has_ended())
    }

    fn poll_supervised(&self, cx: &Context<'_>, is_so: impl Fn() -> bool) -> Poll<()> {
        if is_so() {
            return Poll::Ready(());
        }
        let replaced = lock(&self.supervisor).replace(cx.waker().clone());
        drop(replaced);
        // This check follows the store: a wake in between may have found no waker here.
        if is_so() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Part {
    #[inline(always)]
    pub(super) fn phase(&self) -> u8 {
        self.phase.load(Relaxed)
    }

    /// Adds a task to those that a change of phase wakes. The caller checks the phase after this.
    pub(super) fn list(&self, waker: Waker) -> u32 {
        let key = lock(&self.listed).insert(waker);
        u32::try_from(key).expect("tasks that wait on a shard fit in 32 bits")
    }

    pub(super) fn unlist(&self, key: u32) {
        let waker = lock(&self.listed).try_remove(key as usize);
        // Dropped outside the lock.
        drop(waker);
    }
}

/// A task's entry in the list that a change of phase wakes.
#[derive(Debug)]
pub(super) struct Listed {
    part: Arc<Part>,
    key: u32,
}

impl Listed {
    const UNLISTED: u32 = u32::MAX;

    pub(super) fn new(part: Arc<Part>) -> Self {
        Self {
            part,
            key: Self::UNLISTED,
        }
    }

    /// Lists the task of `cx`, once for the life of this entry.
    #[inline(always)]
    pub(super) fn list(&mut self, cx: &Context<'_>) {
        if self.key == Self::UNLISTED {
            self.key = self.part.list(cx.waker().clone());
        }
    }
}

impl Listed {
    pub(super) fn is_draining(&self) -> bool {
        self.part.phase() != SERVES
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        if self.key != Self::UNLISTED {
            self.part.unlist(self.key);
        }
    }
}

/// A connection's permit: counted under the limit and on its shard until this is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    shared: Arc<Shared>,
    listed: Listed,
    has_ended: bool,
}

impl Permit {
    /// Takes a permit for a shard, unless the limit is reached.
    pub(super) fn take(shared: &Arc<Shared>, shard: usize) -> Option<Self> {
        let part = &shared.parts[shard];
        shared.admit(part).then(|| Self {
            shared: Arc::clone(shared),
            listed: Listed::new(Arc::clone(part)),
            has_ended: false,
        })
    }

    pub(super) fn part(&self) -> &Arc<Part> {
        &self.listed.part
    }

    /// Lists the task of `cx` on its first call. Returns true if the connection has to end now.
    #[inline(always)]
    pub(super) fn is_cut(&mut self, cx: &Context<'_>) -> bool {
        self.listed.list(cx);
        self.part().phase() == CUTS
    }

    /// Gives the permit back. Called once. If the handler's outcome holds the socket, this happens
    /// before the socket closes. A peer that sees the close and connects again is then not refused
    /// because of its own old connection.
    pub(super) fn end(&mut self, ended: Ended) {
        self.has_ended = true;
        let part = &self.listed.part;
        match ended {
            Ended::Finished => {}
            Ended::Failed => Counters::bump(&part.counters.failed),
            Ended::CutOff => Counters::bump(&part.counters.cut_off),
        }
        self.shared.leave(part);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        // The deadline, the end of the reactor, or a panic dropped it.
        let is_cut = self.part().phase() == CUTS || self.shared.handle.is_shutting_down();
        self.end(if is_cut { Ended::CutOff } else { Ended::Failed });
    }
}
