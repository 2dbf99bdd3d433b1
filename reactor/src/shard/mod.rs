//! A shard: one pinned thread and everything it owns.
//!
//! Other threads may access [`ShardShared`]. [`Shard`] belongs to the thread alone, holds plain
//! fields behind `Cell` and `RefCell`, and is reached through [`current`]. `turn.rs` has the loop.
//! Fields that the thread writes while it works share no cache line with fields that other threads
//! write (`inbox`).

mod arrivals;
mod backlog;
pub(crate) mod commands;
pub(crate) mod current;
mod dispatch;
pub(crate) mod inbox;
pub(crate) mod live;
mod load;
mod observe;
pub(crate) mod parker;
pub(crate) mod patrol;
mod progress;
mod schedule;
mod spin;
pub(crate) mod steal;
mod turn;

#[cfg(all(test, reactor_loom))]
pub(crate) mod model;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;

use crate::driver::{Driver, Fetched};
use crate::handle::Handle;
use crate::hooks::Hooks;
use crate::io::ShardIo;
use crate::metrics::{Counter, ShardCounters, ShardMetrics};
use crate::owner_mutex::OwnerMutex;
use crate::shard::backlog::Backlog;
use crate::shard::current::ShardThread;
use crate::shard::dispatch::Dispatch;
use crate::shard::inbox::Inbox;
use crate::shard::live::LiveTasks;
use crate::shard::load::LoadMeter;
use crate::shard::observe::{Observer, Recorders};
use crate::shard::parker::Parker;
use crate::shard::progress::ProgressWatch;
use crate::shard::spin::Spin;
use crate::shard::steal::{Beacon, StealGroup};
use crate::shutdown::Lifecycle;
use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering};
use crate::task::{LocalQueue, Runnable, TaskRef};
use crate::time::resolution::Resolution;
use crate::time::{Clock, RemoteTimers, ShardTimers, TimerKey};

pub(crate) use turn::run;

/// An identifier of one shard of a reactor.
///
/// # Examples
///
/// ```
/// let reactor = reactor::Reactor::builder().shards(2).build()?;
/// let shards: Vec<usize> = reactor.handle().shards().map(|shard| shard.index()).collect();
/// assert_eq!(shards, [0, 1]);
/// assert!(reactor::ShardId::current().is_none(), "this thread is no shard");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(u16);

impl ShardId {
    /// The maximum number of shards: each has a table, and a token names that table.
    pub(crate) const MAX_SHARDS: usize = crate::token::TABLES_MAX;

    pub(crate) fn from_index(index: usize) -> Self {
        debug_assert!(
            index < Self::MAX_SHARDS,
            "the builder checked the number of shards"
        );
        Self(u16::try_from(index).expect("the builder checked the number of shards"))
    }

    /// Returns the shard of the calling thread, or `None` on a thread that runs no shard.
    pub fn current() -> Option<Self> {
        current::with(|shard| shard.map(|shard| shard.shared.id))
    }

    /// Returns the shard's index in its reactor, from 0.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Debug for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShardId({})", self.0)
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A task's reference to its shard.
pub(crate) type ShardRef = Arc<ShardShared>;

/// The part of a shard that other threads may access.
#[derive(Debug)]
pub(crate) struct ShardShared {
    pub(crate) id: ShardId,
    /// The reactor's clock.
    pub(crate) clock: Clock,
    pub(crate) io: Arc<ShardIo>,
    /// Written by other threads.
    pub(crate) inbox: CachePadded<Inbox>,
    /// Written by the shard.
    pub(crate) counters: CachePadded<ShardCounters>,
    /// The woken tasks, in the order in which they run.
    queue: CachePadded<OwnerMutex<LocalQueue<ShardRef>>>,
    timers: OwnerMutex<RefCell<ShardTimers>>,
    /// The number of armed timers. Written while `timers` is visited.
    timers_armed: AtomicU64,
    /// Tasks that yielded. They are woken after the next poll of the OS.
    deferred: OwnerMutex<RefCell<Vec<Waker>>>,
    /// True if `deferred` is not empty. Written while `deferred` is visited.
    has_deferred: AtomicBool,
    /// The poll lock: its holder dispatches from this shard's epoll and inbox.
    dispatch: Mutex<Dispatch>,
    beacon: CachePadded<Beacon>,
    group: Arc<StealGroup>,
    /// All shards of the reactor, for wakes of tasks that moved. Set once, at the start.
    peers: OnceLock<Box<[Weak<Self>]>>,
    pub(crate) live: LiveTasks,
    pub(crate) panics: Counter,
    /// Written by the stall detector's thread.
    pub(crate) stalls: Counter,
    /// Timers of waits on other threads.
    pub(crate) remote_timers: RemoteTimers,
    /// Set once, by the thread that shuts the reactor down.
    stop: AtomicBool,
    /// Set once, by the shard, when it stops reading its inbox.
    ended: AtomicBool,
    /// Set once, by an ending shard that only waits for siblings which run its tasks.
    awaits_siblings: AtomicBool,
    /// Set once, if the shard did not stop in time.
    abandoned: AtomicBool,
    /// The shard's thread. Set when the thread starts.
    pub(crate) thread: OnceLock<ShardThread>,
    pub(crate) lifecycle: Arc<Lifecycle>,
    hooks: Hooks,
    /// The histograms, if they are on.
    recorders: Option<Box<Recorders>>,
}

/// The arguments of [`ShardShared::new`].
pub(crate) struct Parts {
    pub(crate) id: ShardId,
    pub(crate) io: Arc<ShardIo>,
    pub(crate) parker: Arc<Parker>,
    pub(crate) driver: Driver,
    pub(crate) clock: Clock,
    pub(crate) lifecycle: Arc<Lifecycle>,
    pub(crate) hooks: Hooks,
    pub(crate) group: Arc<StealGroup>,
    pub(crate) resolution: Resolution,
    pub(crate) settings: Settings,
}

impl ShardShared {
    pub(crate) fn new(parts: Parts) -> ShardRef {
        let Parts {
            id,
            io,
            parker,
            driver,
            clock,
            lifecycle,
            hooks,
            group,
            resolution,
            settings,
        } = parts;
        let (inbox, commands) = Inbox::new(parker, settings.histograms.then(|| clock.clone()));
        let timers = RefCell::new(ShardTimers::new(clock.epoch(), resolution));
        let live = LiveTasks::new(settings.task_tracking.then(|| clock.clone()), &hooks);
        let shared = Self {
            id,
            queue: CachePadded::new(owned(&group, LocalQueue::new())),
            // A list of tasks shows the timers that they wait for.
            timers: if settings.task_tracking {
                OwnerMutex::shared(timers)
            } else {
                owned(&group, timers)
            },
            timers_armed: AtomicU64::new(0),
            deferred: owned(&group, RefCell::default()),
            has_deferred: AtomicBool::new(false),
            dispatch: Mutex::new(Dispatch::new(driver, commands)),
            beacon: CachePadded::default(),
            group,
            peers: OnceLock::new(),
            clock,
            io,
            inbox: CachePadded::new(inbox),
            counters: CachePadded::default(),
            live,
            panics: Counter::new(),
            stalls: Counter::new(),
            remote_timers: RemoteTimers::new(),
            stop: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            awaits_siblings: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            thread: OnceLock::new(),
            lifecycle,
            hooks,
            recorders: settings.histograms.then(|| Box::new(Recorders::new())),
        };
        let shared = Arc::new(shared);
        shared.io.set_timers(Arc::downgrade(&shared));
        shared
    }

    /// Makes the shards of a reactor known to each other.
    pub(crate) fn introduce(shards: &[ShardRef]) {
        let ios: Vec<_> = shards.iter().map(|shard| Arc::clone(&shard.io)).collect();
        ShardIo::introduce(&ios);
        for shard in shards {
            let peers = shards.iter().map(Arc::downgrade).collect();
            shard.peers.get_or_init(|| peers);
        }
    }

    /// Returns the shard with this index, unless it is gone.
    fn peer(&self, index: u16) -> Option<ShardRef> {
        self.peers.get()?.get(usize::from(index))?.upgrade()
    }

    /// Returns true if both are shards of one reactor.
    fn is_peer(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.group, &other.group)
    }

    /// Requests that the shard thread drop its tasks and end.
    pub(crate) fn stop(&self) {
        // ORDERING [stop], partner [stop-look]: when the shard ends, it sees everything that the
        // stopping thread did before.
        self.stop.store(true, Ordering::Release);
        self.inbox.parker().unpark();
    }

    fn is_stopping(&self) -> bool {
        // ORDERING [stop-look], partner [stop].
        self.stop.load(Ordering::Acquire)
    }

    /// Returns true if the shard no longer reads its inbox. Called after a push, whose `unpark`
    /// contains the sender's fence.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Returns true if timers pushed here never fire. Called after a push, like `has_ended`.
    pub(crate) fn keeps_no_timers(&self) -> bool {
        self.has_ended() || self.is_abandoned()
    }

    fn is_abandoned(&self) -> bool {
        // ORDERING [abandon-look], partner [abandon].
        self.abandoned.load(Ordering::Acquire)
    }

    /// Returns true if the shard is ending and only waits for siblings that run its tasks. It also
    /// stops waiting when it is abandoned.
    pub(crate) fn awaits_siblings(&self) -> bool {
        self.awaits_siblings.load(Ordering::Relaxed)
    }

    /// Abandons the shard and its tasks: they never run again, and their handles end with an error.
    pub(crate) fn abandon(&self) {
        self.live.close();
        // ORDERING [abandon], partner [abandon-look]: a handle that stores its waker before the
        // loop below is woken by it. A handle that stores its waker later sees the flag. The join
        // waker's lock orders the two.
        self.abandoned.store(true, Ordering::Release);
        self.live.all().iter().for_each(TaskRef::wake_join);
        let panics = self.remote_timers.wake_all();
        self.panics.add_shared(u64::from(panics));
    }

    /// Calls `visit` with the shard's timers. Called on the shard's own thread, or by a sibling
    /// that serves it.
    #[inline]
    pub(crate) fn with_timers<R>(&self, visit: impl FnOnce(&mut ShardTimers) -> R) -> R {
        self.timers.with(|timers| visit(&mut timers.borrow_mut()))
    }

    /// Removes a timer from the store if it has not fired.
    pub(crate) fn disarm(&self, key: TimerKey) {
        let waker = self.with_timers(|timers| timers.remove(key));
        self.count_timers();
        drop(waker);
    }

    /// Visits the armed timers, if other threads than the shard's may access them.
    pub(crate) fn each_timer(&self, visit: impl FnMut(Instant, &Waker)) {
        if self.shares_timers() {
            self.with_timers(|timers| timers.each(visit));
        }
    }

    /// Returns true if any thread may access the timers.
    pub(crate) fn shares_timers(&self) -> bool {
        self.timers.is_shared()
    }

    /// Updates the gauge of armed timers.
    pub(crate) fn count_timers(&self) {
        // Stored inside the call, so that two threads store their counts in the order of their
        // changes.
        self.with_timers(|timers| {
            self.timers_armed
                .store(timers.len() as u64, Ordering::Relaxed);
        });
    }

    /// Returns true if a timer is armed. The shard itself, and a sibling that holds its poll lock,
    /// see their own changes and those that were made under the lock before. A sibling may miss a
    /// timer that the shard arms at the same time. The sibling finds that timer at its next call.
    #[inline(always)]
    fn has_timers(&self) -> bool {
        self.timers_armed.load(Ordering::Relaxed) != 0
    }

    /// Returns true if tasks have yielded. As exact as `has_timers`.
    #[inline(always)]
    fn has_deferred(&self) -> bool {
        self.has_deferred.load(Ordering::Relaxed)
    }

    /// Keeps the waker of a yielding task until the shard has polled the OS.
    fn defer(&self, waker: Waker) {
        self.deferred.with(|deferred| {
            deferred.borrow_mut().push(waker);
            self.has_deferred.store(true, Ordering::Relaxed);
        });
    }

    /// Removes the wakers of the tasks that have yielded.
    fn take_deferred(&self) -> Vec<Waker> {
        self.deferred.with(|deferred| {
            self.has_deferred.store(false, Ordering::Relaxed);
            deferred.take()
        })
    }

    /// Returns the emptied list of `take_deferred`, so that its memory is reused.
    fn give_back_deferred(&self, mut empty: Vec<Waker>) {
        self.deferred.with(|deferred| {
            empty.append(&mut deferred.borrow_mut());
            deferred.replace(empty);
        });
    }

    /// Returns true if siblings run this shard's tasks when it cannot.
    pub(crate) fn shares_work(&self) -> bool {
        self.group.is_stealing()
    }

    /// Returns an estimate of the time that the ready tasks take, as of the last turn.
    pub(crate) fn backlog(&self) -> Duration {
        let ready = u32::try_from(self.counters.ready.get()).unwrap_or(u32::MAX);
        Duration::from_nanos(self.counters.poll_ns.get()).saturating_mul(ready)
    }

    /// Returns a snapshot of the shard's counters.
    pub(crate) fn metrics(&self) -> ShardMetrics {
        let recorders = self.recorders.as_deref();
        ShardMetrics {
            cpu: self.thread.get().and_then(|thread| thread.cpu),
            registrations: self.io.live(),
            // In a forked child, a thread that does not exist there may hold the list's lock.
            tasks: if self.io.is_forked() {
                0
            } else {
                self.live.len() as u64
            },
            turns: self.counters.turns.get(),
            waits: self.counters.waits.get(),
            spins: self.counters.spins.get(),
            events: self.counters.events.get(),
            stale_events: self.counters.stale_events.get(),
            empty_batches: self.counters.empty_batches.get(),
            full_batches: self.counters.full_batches.get(),
            polls: self.counters.polls.get(),
            queued_turns_max: self.counters.queued_turns_max.get(),
            tasks_completed: self.counters.tasks_completed.get(),
            busy: Duration::from_nanos(self.counters.busy_ns.get()),
            ready_tasks: self.counters.ready.get(),
            tasks_stolen: self.counters.stolen.get(),
            tasks_given: self.beacon.given.get(),
            failed_searches: self.counters.failed_searches.get(),
            turns_served: self.counters.served.get(),
            registrations_moved_in: self.counters.moved_in.get(),
            registrations_moved_out: self.io.moved_out(),
            panics: self.panics.get() + self.io.waker_panics(),
            stalls: self.stalls.get(),
            remote_wakes_received: self.inbox.wakes_sent.get(),
            remote_wakes_coalesced: self.inbox.wakes_coalesced.get(),
            remote_spawns: self.inbox.spawns.get(),
            notifies: self.inbox.parker().notifies(),
            timers: self.timers_armed.load(Ordering::Relaxed),
            poll_time: recorders.map(|recorders| recorders.poll_time.read()),
            wake_to_poll: recorders.map(|recorders| recorders.wake_to_poll.read()),
            wait_time: recorders.map(|recorders| recorders.wait_time.read()),
            batch_events: recorders.map(|recorders| recorders.batch_events.read()),
        }
    }
}

/// Wraps a value of a shard. Siblings access it only if shards steal work. Otherwise only the
/// shard's own thread accesses it.
fn owned<T>(group: &StealGroup, value: T) -> OwnerMutex<T> {
    if group.is_stealing() {
        return OwnerMutex::shared(value);
    }
    // SAFETY: (1) siblings access a shard's parts only in `steal.rs`, after the same check as
    // above. All other code reaches them through `current`, and so on the shard's own thread.
    #[expect(unsafe_code, reason = "a shard that shares nothing pays for no lock")]
    unsafe {
        OwnerMutex::private(value)
    }
}

/// The part of a shard that only its thread accesses.
#[derive(Debug)]
pub(crate) struct Shard {
    shared: ShardRef,
    handle: Handle,
    /// A buffer for the wakers of expired timers. Kept to reuse the allocation.
    expired: RefCell<Vec<Waker>>,
    backlog: Backlog,
    /// Set between the hooks of `on_thread_park` and `on_thread_unpark`.
    parks: Cell<bool>,
    /// Set if something has to be done after the next wait.
    waited_hook: Cell<bool>,
    /// True if something has to be done before a sleep.
    has_park_step: bool,
    /// True if a turn polls its tasks without a hook and without observing them.
    has_plain_polls: bool,
    observer: Option<Observer>,
    spin: Spin,
    meter: LoadMeter,
    siblings_progress: ProgressWatch,
    /// The events that this shard fetched for a sibling. Kept to reuse the allocation.
    fetched: RefCell<Fetched>,
    settings: Settings,
}

/// The builder's settings that a turn needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) events_per_poll: usize,
    pub(crate) event_interval: u32,
    pub(crate) task_budget: u32,
    pub(crate) busy_poll: Duration,
    pub(crate) histograms: bool,
    pub(crate) task_tracking: bool,
}

impl Shard {
    pub(crate) fn new(shared: ShardRef, handle: Handle, settings: Settings) -> Self {
        let now = shared.clock.now();
        let meter = LoadMeter::new(now);
        let siblings = handle.all_shards().len() - 1;
        let observer = Observer::new(&shared, settings);
        let fetched = if shared.group.is_stealing() {
            Fetched::with_room()
        } else {
            Fetched::default()
        };
        Self {
            has_park_step: observer.is_some() || shared.hooks.has_park_hook(),
            has_plain_polls: observer.is_none() && shared.hooks.poll_tasks.is_none(),
            waited_hook: Cell::new(observer.is_some()),
            observer,
            shared,
            handle,
            expired: RefCell::default(),
            backlog: Backlog::default(),
            parks: Cell::new(false),
            spin: Spin::new(settings.busy_poll),
            meter,
            siblings_progress: ProgressWatch::new(siblings, now),
            fetched: RefCell::new(fetched),
            settings,
        }
    }

    #[inline]
    pub(crate) fn shared(&self) -> &ShardShared {
        &self.shared
    }

    pub(crate) fn shared_ref(&self) -> &ShardRef {
        &self.shared
    }

    #[inline]
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Returns true if registrations of this table may move to this shard.
    pub(crate) fn moves_registrations_of(&self, io: &Arc<ShardIo>) -> bool {
        let born_on = self.handle.all_shards().get(io.shard().index());
        self.shared.group.is_stealing() && born_on.is_some_and(|shard| Arc::ptr_eq(&shard.io, io))
    }

    /// Appends a task to the shard's own queue.
    #[inline]
    pub(crate) fn push_local(&self, task: Runnable<ShardRef>) {
        debug_assert!(current::is(&self.shared), "a shard never leaves its thread");
        self.shared.queue.with(|queue| queue.push(task));
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        current::unset(&self.shared);
    }
}
