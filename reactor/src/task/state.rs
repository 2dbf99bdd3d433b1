//! The state word of a task: its life cycle, its join handle and its reference count, and every transition between them.
//!
//! One word, so that each decision (who queues a woken task, who drops an output that nobody waits for, who frees the
//! memory) is the result of one atomic read-modify-write. `JOIN.md` beside this file has the table of transitions and the
//! proof sketch; `loom::task` is the model.

use crate::sync::{AtomicUsize, Ordering, fence};

/// A wake came since the last run began. Whoever sets it on a task that neither runs nor has completed queues the task.
const SCHEDULED: usize = 1;
/// The shard polls the task now.
const RUNNING: usize = 1 << 1;
/// The future is gone; the output is stored, or was dropped because no handle waits for it.
const COMPLETED: usize = 1 << 2;
/// The next run drops the future instead of polling it.
const CANCELLED: usize = 1 << 3;
/// The `JoinHandle` exists, and owns the output once COMPLETED is set.
const JOIN: usize = 1 << 4;
/// One reference; the count is all bits above the flags.
const REF_ONE: usize = 1 << 5;
/// Counts beyond this abort: only a leak loop gets there, and wrapping to zero would free a live task.
const REFS_MAX: usize = usize::MAX >> 1;

/// What a wake has to do about its task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wake {
    /// The caller set SCHEDULED on an idle task: it puts the task in its shard's queue.
    Enqueue,
    /// The task is queued already, will be queued again by the run under way, or has completed.
    Nothing,
}

/// What a run finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    Poll,
    /// Somebody asked for the task's end: drop the future.
    Cancel,
    /// The task ended while it was queued (its shard shut down).
    Completed,
}

/// What a run that ended with `Pending` leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paused {
    /// The runner has its reference no more.
    Idle,
    /// It was woken while it ran: the runner puts it in the queue again, with the reference it has.
    Requeue,
}

/// Who takes care of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// The join handle's, which is to be woken.
    ForHandle,
    /// Nobody will ask for it: the caller drops it.
    Unwanted,
}

#[derive(Debug)]
pub(crate) struct State(AtomicUsize);

impl State {
    /// A task that is about to be queued for the first time, with `refs` references, one of them the join handle's.
    pub(crate) fn new(refs: usize) -> Self {
        Self(AtomicUsize::new(SCHEDULED | JOIN | (refs * REF_ONE)))
    }

    /// A wake, from any thread.
    #[inline]
    pub(crate) fn wake(&self) -> Wake {
        self.schedule(SCHEDULED)
    }

    /// A wake that also asks the run it leads to for the task's end. From any thread.
    pub(crate) fn cancel(&self) -> Wake {
        self.schedule(SCHEDULED | CANCELLED)
    }

    #[inline]
    fn schedule(&self, bits: usize) -> Wake {
        // ORDERING [task-wake], partner [task-start], [task-pause] below: what the waker wrote before the wake is seen by the
        // poll that follows it, also when the task was queued already (so this is a read-modify-write in every case).
        let before = self.0.fetch_or(bits, Ordering::AcqRel);
        if before & (SCHEDULED | RUNNING | COMPLETED) == 0 {
            Wake::Enqueue
        } else {
            Wake::Nothing
        }
    }

    /// Begins a run. Only the shard thread, with the task out of its queue.
    #[inline]
    pub(crate) fn start(&self) -> Start {
        // ORDERING [task-start], partner [task-wake].
        // SCHEDULED is set (the task was queued) and RUNNING is not, so adding their difference swaps the two. x86 has an
        // instruction for that; with an exclusive-or it would be a loop.
        let before = self.0.fetch_add(RUNNING - SCHEDULED, Ordering::AcqRel);
        debug_assert_eq!(
            before & (SCHEDULED | RUNNING),
            SCHEDULED,
            "a task runs from its queue, once"
        );
        // One test where there is nothing but to poll.
        if before & (COMPLETED | CANCELLED) == 0 {
            Start::Poll
        } else if before & COMPLETED == 0 {
            Start::Cancel
        } else {
            Start::Completed
        }
    }

    /// Ends a run whose poll was `Pending`. Where the task is idle then, the reference that came out of the queue is given
    /// back too; it is never the last one, because the list of live tasks has one until the future is gone.
    #[inline]
    pub(crate) fn pause(&self) -> Paused {
        // ORDERING [task-pause], partner [task-wake]: a wake that came during the run saw RUNNING and left the queueing to
        // this side; one that comes after it sees the task idle and queues it itself.
        let before = self.0.fetch_sub(RUNNING + REF_ONE, Ordering::AcqRel);
        debug_assert!(
            before & RUNNING != 0 && before / REF_ONE >= 2,
            "a run is ended by who began it, and while the task lives"
        );
        if before & SCHEDULED == 0 || crate::sync::mutant("task_pause_forgets_wake") {
            Paused::Idle
        } else {
            // SCHEDULED keeps everybody else from queueing the task meanwhile, and nobody else runs it.
            self.retain();
            Paused::Requeue
        }
    }

    /// Publishes the stored output. Only the shard thread, after the future was dropped.
    pub(crate) fn complete(&self) -> Output {
        // ORDERING [task-complete], partner [join-look], [join-drop]: the output is written before it is announced.
        let before = self.0.fetch_or(COMPLETED, Ordering::AcqRel);
        if before & JOIN == 0 {
            Output::Unwanted
        } else {
            Output::ForHandle
        }
    }

    /// Whether the output is there to be taken (by the join handle, which owns it then).
    pub(crate) fn is_completed(&self) -> bool {
        // ORDERING [join-look], partner [task-complete].
        self.0.load(Ordering::Acquire) & COMPLETED != 0
    }

    /// The join handle goes. Says whether an output is left for it to drop.
    pub(crate) fn detach(&self) -> Output {
        // ORDERING [join-drop], partner [task-complete]. Of this and `complete` one comes second and sees the other: it drops the
        // output.
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

    #[inline]
    pub(crate) fn retain(&self) {
        // Relaxed: a new reference comes from an old one, which orders everything it needs.
        let before = self.0.fetch_add(REF_ONE, Ordering::Relaxed);
        if before > REFS_MAX {
            std::process::abort();
        }
    }

    /// Gives one reference back. `true` tells the caller that it was the last one.
    #[inline]
    #[must_use]
    pub(crate) fn release(&self) -> bool {
        // ORDERING [task-release], partner [task-free].
        let before = self.0.fetch_sub(REF_ONE, Ordering::Release);
        if before / REF_ONE != 1 {
            return false;
        }
        // ORDERING [task-free], partner [task-release]: everything done through other references is over before the memory goes.
        if cfg!(reactor_sanitize) {
            // ThreadSanitizer does not know fences; a load of the word orders the same.
            let _ = self.0.load(Ordering::Acquire);
        } else {
            fence(Ordering::Acquire);
        }
        true
    }
}
