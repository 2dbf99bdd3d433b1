//! The state word of a task: its life cycle, its join handle, its reference count, and every
//! transition between them.
//!
//! All of this is in one word, so that each decision is the result of one atomic read-modify-write.
//! The decisions are: which thread queues a woken task, which side drops an output without a
//! waiter, and which thread frees the memory. `JOIN.md` beside this file has the table of
//! transitions and the proof sketch. The model is `loom::task`.

use crate::sync::{AtomicUsize, Ordering, fence, unless_mutant};
use crate::task::info::TaskState;

#[cfg(all(test, not(reactor_loom)))]
mod tests;

/// A wake came after the last run began. If a thread sets this bit on a task that neither runs nor
/// has completed, that thread queues the task.
const SCHEDULED: usize = 1;
/// The shard is polling the task.
const RUNNING: usize = 1 << 1;
/// The future is gone. The output is stored, or was dropped because no handle waits for it.
const COMPLETED: usize = 1 << 2;
/// The next run drops the future instead of polling it.
const CANCELLED: usize = 1 << 3;
/// The `JoinHandle` exists, and owns the output once COMPLETED is set.
const JOIN: usize = 1 << 4;
/// The future is `Send`: any shard may run the task. Set when the task is made, or never.
const MOBILE: usize = 1 << 5;
/// The index of the task's home, above the flags: the shard that queues the task after a wake.
/// Changed only by the thread that holds the task's queue entry.
const HOME_SHIFT: u32 = 6;
const HOME_BITS: u32 = 10;
const HOME_MASK: usize = ((1 << HOME_BITS) - 1) << HOME_SHIFT;
/// One reference. The count uses all bits above the home.
const REF_ONE: usize = 1 << (HOME_SHIFT + HOME_BITS);
/// Counts beyond this abort the process. Only an endless leak gets there, and wrapping to zero
/// would free a live task.
const REFS_MAX: usize = usize::MAX >> 1;

/// The action that a wake requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wake {
    /// The caller set SCHEDULED on an idle task: it puts the task into its shard's queue.
    Enqueue,
    /// The task is queued already, will be queued again by the current run, or has completed.
    Nothing,
}

/// The outcome of starting a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    Poll,
    /// The task was cancelled: drop the future.
    Cancel,
    /// The task ended while it was queued (its shard shut down).
    Completed,
}

/// The outcome of a run that ended with `Pending`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paused {
    /// The runner's reference is released.
    Idle,
    /// The task was woken while it ran: the runner queues it again, with its reference.
    Requeue,
}

/// The owner of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// The output belongs to the join handle, which has to be woken.
    ForHandle,
    /// No handle will take the output: the caller drops it.
    Unwanted,
}

/// The threads that may run a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mobility {
    /// Any shard: the future is `Send`.
    Mobile,
    /// Only its home.
    Pinned,
}

/// The bits of a shard's index in the word.
fn home_bits(home: u16) -> usize {
    let bits = usize::from(home) << HOME_SHIFT;
    debug_assert_eq!(bits & !HOME_MASK, 0, "a reactor has fewer shards");
    bits
}

#[derive(Debug)]
pub(crate) struct State(AtomicUsize);

impl State {
    /// Creates the state of a task that is about to be queued for the first time. It has `refs`
    /// references, one of them the join handle's.
    pub(crate) fn new(refs: usize, mobility: Mobility, home: u16) -> Self {
        let mobile = match mobility {
            Mobility::Mobile => MOBILE,
            Mobility::Pinned => 0,
        };
        let word = SCHEDULED | JOIN | mobile | home_bits(home) | (refs * REF_ONE);
        Self(AtomicUsize::new(word))
    }

    /// Returns true if any shard may run the task.
    #[inline]
    pub(crate) fn is_mobile(&self) -> bool {
        // Relaxed: the bit never changes.
        self.0.load(Ordering::Relaxed) & MOBILE != 0
    }

    /// Returns the index of the task's home.
    #[inline]
    pub(crate) fn home(&self) -> u16 {
        // Relaxed: a waker that reads the home has set SCHEDULED on this very word, so it sees the
        // home that the last run left.
        #[expect(clippy::cast_possible_truncation, reason = "ten bits are left")]
        let home = ((self.0.load(Ordering::Relaxed) & HOME_MASK) >> HOME_SHIFT) as u16;
        home
    }

    /// Makes another shard the task's home. Only the holder of the task's queue entry may call it.
    pub(crate) fn set_home(&self, home: u16) {
        let change = home_bits(self.home()) ^ home_bits(home);
        if crate::sync::mutant("home_overwrites") {
            let word = self.0.load(Ordering::Relaxed);
            self.0.store(word ^ change, Ordering::Relaxed);
            return;
        }
        // Relaxed: a thread that reads the home is ordered by its own transition of this word.
        let before = self.0.fetch_xor(change, Ordering::Relaxed);
        debug_assert_eq!(
            before & (SCHEDULED | RUNNING),
            SCHEDULED,
            "a task moves while it is queued"
        );
    }

    /// Wakes the task, from any thread.
    #[inline]
    pub(crate) fn wake(&self) -> Wake {
        self.schedule(SCHEDULED)
    }

    /// Wakes the task and makes the resulting run end it. Called from any thread.
    pub(crate) fn cancel(&self) -> Wake {
        self.schedule(SCHEDULED | CANCELLED)
    }

    #[inline]
    fn schedule(&self, bits: usize) -> Wake {
        // ORDERING [task-wake], partner [task-start], [task-pause] below: the poll that follows a
        // wake sees all that the waker wrote before it. This also holds when the task was queued
        // already, so this is a read-modify-write in every case.
        let before = self
            .0
            .fetch_or(bits, unless_mutant("task_wake_relaxed", Ordering::AcqRel));
        if before & (SCHEDULED | RUNNING | COMPLETED) == 0 {
            Wake::Enqueue
        } else {
            Wake::Nothing
        }
    }

    /// Begins a run. Called by the shard thread only, with the task out of its queue.
    #[inline]
    pub(crate) fn start(&self) -> Start {
        // ORDERING [task-start], partner [task-wake]. SCHEDULED is set (the task was queued) and
        // RUNNING is not, so adding their difference swaps the two. x86 has an instruction for
        // that. An exclusive-or would compile to a loop.
        let before = self.0.fetch_add(RUNNING - SCHEDULED, Ordering::AcqRel);
        debug_assert_eq!(
            before & (SCHEDULED | RUNNING),
            SCHEDULED,
            "a task runs from its queue, once"
        );
        // One test covers the common case of a poll.
        if before & (COMPLETED | CANCELLED) == 0 {
            Start::Poll
        } else if before & COMPLETED == 0 {
            Start::Cancel
        } else {
            Start::Completed
        }
    }

    /// Ends a run whose poll was `Pending`. If the task is idle now, this also releases the
    /// reference that came out of the queue. It is never the last reference, because the list of
    /// live tasks holds one until the future is gone.
    #[inline]
    pub(crate) fn pause(&self) -> Paused {
        // ORDERING [task-pause], partner [task-wake]: a wake during the run saw RUNNING and left
        // the queueing to this side. A later wake sees the task idle and queues it.
        let before = self.0.fetch_sub(
            RUNNING + REF_ONE,
            unless_mutant("task_pause_relaxed", Ordering::AcqRel),
        );
        debug_assert!(
            before & RUNNING != 0 && before / REF_ONE >= 2,
            "the thread that began a run ends it, while the task is alive"
        );
        if before & SCHEDULED == 0 || crate::sync::mutant("task_pause_forgets_wake") {
            Paused::Idle
        } else {
            // SCHEDULED keeps other threads from queueing the task meanwhile, and no other thread
            // runs it.
            self.retain();
            Paused::Requeue
        }
    }

    /// Publishes the stored output. Called by the shard thread only, after the future was dropped.
    pub(crate) fn complete(&self) -> Output {
        // ORDERING [task-complete], partner [join-look], [join-drop]: the output is written before
        // it is announced.
        let before = self.0.fetch_or(
            COMPLETED,
            unless_mutant("task_complete_relaxed", Ordering::AcqRel),
        );
        if before & JOIN == 0 {
            Output::Unwanted
        } else {
            Output::ForHandle
        }
    }

    /// Returns true if the output is stored. The join handle owns it from then on.
    pub(crate) fn is_completed(&self) -> bool {
        // ORDERING [join-look], partner [task-complete].
        self.0.load(Ordering::Acquire) & COMPLETED != 0
    }

    /// Drops the join handle's interest. Returns the owner of the output: the handle has to drop it
    /// if the task has completed.
    pub(crate) fn detach(&self) -> Output {
        // ORDERING [join-drop], partner [task-complete]. The later of `detach` and `complete` sees
        // the earlier one, and drops the output.
        if crate::sync::mutant("task_detach_forgets_output") {
            self.0.fetch_and(!JOIN, Ordering::AcqRel);
            return Output::Unwanted;
        }
        let before = self.0.fetch_and(!JOIN, Ordering::AcqRel);
        if before & COMPLETED == 0 {
            Output::Unwanted
        } else {
            Output::ForHandle
        }
    }

    /// Returns the part of its life that a task is in, or `None` once it has completed.
    pub(crate) fn phase(&self) -> Option<TaskState> {
        // Relaxed: only reports use the result.
        let word = self.0.load(Ordering::Relaxed);
        if word & COMPLETED != 0 {
            None
        } else if word & RUNNING != 0 {
            Some(TaskState::Running)
        } else if word & SCHEDULED != 0 {
            Some(TaskState::Ready)
        } else {
            Some(TaskState::Waiting)
        }
    }

    #[inline]
    pub(crate) fn retain(&self) {
        // Relaxed: a new reference comes from an existing one, which orders everything it needs.
        let before = self.0.fetch_add(REF_ONE, Ordering::Relaxed);
        // This compares the new value: the addition leaves its sign in a CPU flag.
        if before.wrapping_add(REF_ONE) > REFS_MAX {
            std::process::abort();
        }
    }

    /// Releases one reference. Returns true if it was the last one.
    #[inline]
    #[must_use]
    pub(crate) fn release(&self) -> bool {
        // ORDERING [task-release], partner [task-free].
        let before = self.0.fetch_sub(
            REF_ONE,
            unless_mutant("task_release_relaxed", Ordering::Release),
        );
        if before / REF_ONE != 1 {
            return false;
        }
        // ORDERING [task-free], partner [task-release]: everything done through other references is
        // complete before the memory is freed.
        if crate::sync::mutant("task_free_no_fence") {
            return true;
        }
        if cfg!(reactor_sanitize) {
            // ThreadSanitizer does not model fences. A load of the word gives the same order.
            let _ = self.0.load(Ordering::Acquire);
        } else {
            fence(Ordering::Acquire);
        }
        true
    }
}
