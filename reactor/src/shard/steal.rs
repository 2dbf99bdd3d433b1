//! Work stealing: an idle shard takes ready tasks from a sibling, or dispatches in its place.
//!
//! The turn calls `offer_surplus` before the tasks run, and `search` before a sleep. The beacon of
//! a shard shows that the shard has work to give. `STEALING.md` beside this file has the reasons
//! and the races. Nothing here waits: this file only tries a sibling's poll lock. Models are in
//! `loom/steal.rs`, other tests in `tests/stealing.rs` of the crate.
//!
#![doc = include_str!("STEALING.md")]

use std::time::Duration;

use crossbeam_utils::CachePadded;

use crate::metrics::Counter;
use crate::panics::caught;
use crate::shard::commands::Commands;
use crate::shard::inbox::Command;
use crate::shard::load::{SURPLUS, nanos};
use crate::shard::parker::Unpark;
use crate::shard::patrol::PollMark;
use crate::shard::{Shard, ShardShared};
use crate::sync::{AtomicU8, AtomicUsize, Ordering, fence, mutant};
use crate::task::{LocalQueue, Runnable};
use crate::trace;

/// The number of turns that the oldest task must have waited before a shard offers short tasks. By
/// then the shard has finished a short burst, and also the tasks that became ready while its thread
/// had no CPU. Tasks whose single poll lasts for `SURPLUS` are offered at once. The simulation of
/// policies compares 0, 1 and 3 turns (`benches/docs/stealing-policy.md`).
const LASTING: u64 = 3;

/// The time without progress after which a shard takes a sibling's ready tasks too, and not only
/// its events. Until then, the sibling's thread may come back at any moment and run those tasks
/// itself.
const STUCK_FOR: Duration = Duration::from_millis(1);

/// The approximate length of a turn of a shard that shares its work. During the turn, no thread
/// polls the shard's epoll.
const TURN: u64 = nanos(Duration::from_micros(500));

/// The maximum number of tasks of one theft. The thief runs them in its next turn.
const STEAL_MAX: usize = 32;

/// The beacon's bits.
const OFFERS: u8 = 1;
const STUCK: u8 = 2;

/// The result of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Search {
    /// Tasks are now in the searcher's queue.
    Found,
    /// No sibling has work to give.
    Nothing,
    /// A sibling is stuck in a poll. Its epoll has to be polled again soon.
    Standby,
}

/// The state that the shards of one reactor share for stealing.
#[derive(Debug)]
pub(crate) struct StealGroup {
    is_stealing: bool,
    /// The number of shards that are searching. Written only while a beacon is lit.
    searchers: CachePadded<AtomicUsize>,
    searchers_max: usize,
}

impl StealGroup {
    /// Creates the shared state of a reactor with this number of shards.
    pub(crate) fn new(shards: usize, is_stealing: bool) -> Self {
        Self {
            is_stealing: is_stealing && shards > 1,
            searchers: CachePadded::new(AtomicUsize::new(0)),
            searchers_max: (shards / 2).max(1),
        }
    }

    /// Returns true if the shards share their work.
    #[inline]
    pub(crate) fn is_stealing(&self) -> bool {
        self.is_stealing
    }

    fn enter(&self) -> Option<Searching<'_>> {
        // Relaxed: a limit, which orders nothing.
        let before = self.searchers.fetch_add(1, Ordering::Relaxed);
        let searching = Searching(self);
        (before < self.searchers_max).then_some(searching)
    }

    fn has_searchers(&self) -> bool {
        self.searchers.load(Ordering::Relaxed) != 0
    }
}

/// A guard that counts one shard among the searchers.
struct Searching<'a>(&'a StealGroup);

impl Drop for Searching<'_> {
    fn drop(&mut self) {
        self.0.searchers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The sign that a shard has work to give. It is on a cache line of its own, which no thread writes
/// while load is even.
#[derive(Debug, Default)]
pub(crate) struct Beacon {
    /// Written by the shard, by the watch thread (STUCK), and by a thief that leaves no mobile
    /// task.
    lit: AtomicU8,
    /// The number of tasks that siblings took. Written by thieves.
    pub(crate) given: Counter,
}

impl Beacon {
    /// Returns true if one of these bits is lit.
    #[inline]
    fn has(&self, bits: u8) -> bool {
        self.lit.load(Ordering::Relaxed) & bits != 0
    }

    /// Lights a bit. Next, the caller reads a searcher count, a sleeper's state or a poll. Either
    /// that value is newer than the light, or its writer reads the beacon before it sleeps and sees
    /// the light.
    fn light(&self, bit: u8) {
        self.lit.fetch_or(bit, Ordering::Relaxed);
        // ORDERING [beacon], partner [park-shard]: the light comes before the caller's next read.
        if !mutant("beacon_no_fence") {
            fence(Ordering::SeqCst);
        }
    }

    /// Returns true if siblings consider the shard stuck in a poll.
    #[cfg(all(test, reactor_loom))]
    pub(super) fn is_stuck(&self) -> bool {
        self.has(STUCK)
    }

    /// Returns true if the shard offers tasks.
    #[cfg(test)]
    pub(super) fn is_offering(&self) -> bool {
        self.has(OFFERS)
    }

    fn put_out(&self, bit: u8) {
        self.lit.fetch_and(!bit, Ordering::Relaxed);
    }
}

impl ShardShared {
    /// Marks the shard as stuck in a poll, and wakes a sibling. The patrol calls this at each
    /// check, because the sibling that it woke before may have found other work.
    pub(crate) fn report_stuck<'a>(
        &self,
        poll: PollMark,
        siblings: impl Iterator<Item = &'a Self>,
    ) {
        if self.is_stopping() {
            return;
        }
        if !self.beacon.has(STUCK) {
            self.beacon.light(STUCK);
        }
        call_one(siblings);
        // If the poll ended before the light was on, the shard may be asleep now, and siblings
        // would serve it for nothing.
        if self.poll_under_way() != Some(poll) && !mutant("stuck_stays_lit") {
            self.beacon.put_out(STUCK);
        }
    }

    /// Records that the poll has ended. The shard calls this after its polls, and once more after
    /// it has announced its sleep.
    pub(crate) fn report_unstuck(&self) {
        if self.beacon.has(STUCK) {
            self.beacon.put_out(STUCK);
        }
    }

    /// Removes mobile tasks from the queue, up to half of its length, oldest first, and returns
    /// them.
    fn give_half(&self) -> LocalQueue<super::ShardRef> {
        // The queue's lock is released before the thief's queue is locked, because two shards may
        // steal from each other.
        let taken = LocalQueue::new();
        self.queue.with(|queue| {
            let half = usize::try_from(queue.len().div_ceil(2)).unwrap_or(usize::MAX);
            queue.take_mobile(half.min(STEAL_MAX), |task| taken.push(task));
            if self.beacon.has(OFFERS) && !queue.has_mobile() {
                self.beacon.put_out(OFFERS);
            }
        });
        self.beacon.given.add_shared(taken.len());
        taken
    }
}

/// Wakes the first of these shards that sleeps. A shard that is falling asleep checks the beacons
/// after it has announced its sleep (`prepare_wait`).
fn call_one<'a>(shards: impl Iterator<Item = &'a ShardShared>) {
    for shard in shards {
        let parker = shard.inbox.parker();
        if parker.is_asleep() && parker.unpark() == Unpark::Notified {
            break;
        }
    }
}

impl Shard {
    /// Returns the other shards of the reactor, beginning with the next one.
    fn siblings(&self) -> impl Iterator<Item = &ShardShared> {
        let all = self.handle().all_shards();
        let (before, from) = all.split_at(self.shared.id.index());
        from[1..].iter().chain(before).map(AsRef::as_ref)
    }

    /// Lights the beacon if the queue holds more than the shard will reach soon, and wakes a
    /// sleeping sibling. `waited` is the number of turns that the oldest task has waited. Returns
    /// the number of tasks to poll in this turn.
    pub(super) fn offer_surplus(&self, polls_max: u32, waited: u64) -> u32 {
        let queue = &self.shared.queue;
        let ready = queue.with(LocalQueue::len);
        let waits = self.meter.expected(ready.saturating_sub(1));
        let is_lasting = waited >= LASTING || self.meter.expected(1) >= SURPLUS;
        let offers = waits >= SURPLUS && is_lasting && queue.with(LocalQueue::has_mobile);
        let beacon = &self.shared.beacon;
        if offers != beacon.has(OFFERS) {
            if offers {
                beacon.light(OFFERS);
            } else {
                beacon.put_out(OFFERS);
            }
        }
        if offers && !self.shared.group.has_searchers() {
            call_one(self.siblings());
        }
        self.meter.polls_within(TURN, polls_max)
    }

    /// Searches for work at the siblings. Called when nothing is left to run here.
    pub(super) fn search(&self) -> Search {
        let group = &self.shared.group;
        if !group.is_stealing() || self.shared.is_stopping() || !self.sees_call(OFFERS | STUCK) {
            return Search::Nothing;
        }
        let Some(_searching) = group.enter() else {
            return Search::Nothing;
        };
        let mut result = Search::Nothing;
        for sibling in self.siblings() {
            if !sibling.beacon.has(OFFERS | STUCK) || sibling.is_stopping() {
                continue;
            }
            if self.steal_from(sibling) {
                return Search::Found;
            }
            if sibling.beacon.has(STUCK) {
                self.serve(sibling);
                if !self.here().is_idle() || self.steal_from(sibling) {
                    return Search::Found;
                }
                result = Search::Standby;
            }
        }
        if result == Search::Nothing {
            self.shared.counters.failed_searches.add_own(1);
        }
        result
    }

    /// Returns true if a sibling has lit its beacon after a search with this result. Called after
    /// the shard has announced its sleep.
    pub(super) fn is_called_after(&self, search: Search) -> bool {
        if !self.shared.group.is_stealing() {
            return false;
        }
        self.shared.report_unstuck();
        self.sees_call(
            if search == Search::Standby || mutant("last_look_skips_stuck") {
                OFFERS
            } else {
                OFFERS | STUCK
            },
        )
    }

    /// Returns true if a sibling has lit one of these bits.
    fn sees_call(&self, bits: u8) -> bool {
        self.siblings()
            .any(|sibling| sibling.beacon.has(bits) && !sibling.is_stopping())
    }

    pub(super) fn steal_from(&self, victim: &ShardShared) -> bool {
        let taken = victim.give_half();
        self.shared.counters.stolen.add_own(taken.len());
        let found = !taken.is_empty();
        if found {
            caught(|| trace::stole(self.shared.id, victim.id, taken.len()));
        }
        while let Some(task) = taken.pop() {
            self.adopt(task);
        }
        found
    }

    /// Puts a mobile task of another shard into this shard's queue.
    pub(crate) fn adopt(&self, task: Runnable<super::ShardRef>) {
        task.set_home(self.shared.id.0);
        self.push_local(task);
    }

    /// Looks after a sibling that has begun no turn and no poll for some time: its thread waits for
    /// a CPU, is in a long poll, or sleeps. Returns true if work was found.
    pub(super) fn look_after_sibling(&self) -> bool {
        let now = self.meter.last_mark();
        let watch = &self.siblings_progress;
        let sibling = watch
            .is_due(now)
            .and_then(|index| self.siblings().nth(index));
        let Some(sibling) = sibling else {
            return false;
        };
        let Some(still) = watch.stands_still(sibling.progress(), now) else {
            return false;
        };
        let mut found_work = still >= STUCK_FOR && self.steal_from(sibling);
        if !found_work && !sibling.is_stopping() {
            self.serve(sibling);
            found_work = !self.here().is_idle();
        }
        watch.served(found_work, now);
        found_work
    }

    /// Runs the first half of a turn for a sibling that makes no progress: its events, due timers,
    /// inbox and yielded tasks. Mobile tasks that become ready go to this shard's queue, and pinned
    /// ones to the sibling's.
    pub(super) fn serve(&self, sibling: &ShardShared) {
        // The sibling holds the lock while it dispatches by itself.
        let Some(mut dispatch) = sibling.dispatch.try_lock() else {
            return;
        };
        if dispatch.is_waiting() {
            self.serve_waiting(sibling, &dispatch.commands);
            return;
        }
        // An error is ignored here: the sibling's own wait reports it.
        if dispatch.driver().wait(Some(Duration::ZERO)).is_ok() {
            self.here()
                .dispatch_for(sibling, dispatch.batch(), &dispatch.commands, || {
                    sibling.clock.now()
                });
            self.shared.counters.served.add_own(1);
        }
        if mutant("serve_releases_late") {
            drop(dispatch);
        }
        sibling.io.release_quarantine();
    }

    /// Serves a sibling that waits, or has fetched a batch and waits for a CPU. The caller holds
    /// the poll lock.
    #[inline(never)]
    fn serve_waiting(&self, sibling: &ShardShared, commands: &Commands<Command>) {
        let mut fetched = self.fetched.take();
        let found = sibling.io.fetch(&mut fetched).is_ok() && !fetched.is_empty();
        if found || sibling.has_timers() {
            let now = || sibling.clock.now();
            self.here()
                .dispatch_for(sibling, fetched.events(), commands, now);
            self.shared.counters.served.add_own(1);
        }
        // The sibling may not have seen the notification that was fetched here.
        if fetched.has_notice() && !mutant("serve_eats_notice") {
            sibling.inbox.parker().notify_again();
        }
        self.fetched.replace(fetched);
        // The sibling may have a batch that names freed slots. Only it releases them.
        if mutant("serve_releases_waiting") {
            sibling.io.release_quarantine();
        }
    }
}

#[cfg(all(test, not(reactor_loom)))]
mod tests {
    use super::*;

    #[test]
    fn at_most_half_of_the_shards_search_at_once() {
        for (shards, searchers_max) in [(2, 1), (3, 1), (4, 2), (16, 8)] {
            let group = StealGroup::new(shards, true);
            let mut searching: Vec<_> = (0..shards).filter_map(|_| group.enter()).collect();
            assert_eq!(searching.len(), searchers_max, "of {shards}");
            assert!(group.has_searchers());
            searching.pop();
            assert!(group.enter().is_some(), "one may search again");
            assert!(group.enter().is_some(), "as often as one has ended");
            searching.clear();
            assert!(!group.has_searchers(), "a refused search leaves no count");
        }
    }
}
