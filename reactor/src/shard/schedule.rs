//! The destination of woken tasks: the queue of the home, or its inbox from another thread.

use super::{ShardId, ShardRef, current};
use crate::hooks::TaskPanic;
use crate::shard::live::Remaining;
use crate::task::{Runnable, Schedule, TaskRef};

#[expect(unsafe_code, reason = "tasks rely on `is_home` to name one thread")]
// SAFETY: `current::set` binds a thread to one shard for good, and each shard to the one thread
// that calls `run` on it. So two references to one shard have the same home for good.
unsafe impl Schedule for ShardRef {
    #[inline]
    fn is_home(&self) -> bool {
        current::is(self)
    }

    #[inline(always)]
    fn shares_home(&self, other: &Self) -> bool {
        Self::ptr_eq(self, other)
    }

    fn adopt(&self, task: TaskRef<Self>) -> Result<(), TaskRef<Self>> {
        self.live.adopt(task)
    }

    fn first_home(&self) -> u16 {
        self.id.0
    }

    fn is_ending(&self) -> bool {
        self.live.is_closed()
    }

    #[inline]
    fn schedule(task: Runnable<Self>) {
        if let Err(task) = current::push_if_home(task) {
            schedule_slow(task);
        }
    }

    fn completed(&self, task: &TaskRef<Self>) {
        // This check comes before the lock below. In a forked child, a thread that does not exist
        // there may hold that lock.
        self.io.process().abort_child();
        // A refused task ends on its spawner's thread and never belonged to this shard.
        if self.is_home() {
            self.counters.tasks_completed.add_own(1);
        } else if task.is_mobile() {
            current::with_peer_of(self, |here| {
                here.shared.counters.tasks_completed.add_own(1);
            });
        }
        if self.live.remove(task) == Remaining::None {
            self.lifecycle.is_idle();
        }
    }

    #[cold]
    fn task_panicked(&self, panic: &TaskPanic<'_>) {
        self.panics.add_shared(1);
        self.hooks.task_panicked(panic);
    }

    #[cold]
    fn panic_unhandled(&self, panic: &TaskPanic<'_>) {
        self.hooks.panic_unhandled(panic);
    }

    #[cold]
    fn waker_panicked(&self) {
        self.panics.add_shared(1);
    }

    fn is_forked(&self) -> bool {
        self.io.is_forked()
    }

    fn shard(&self, home: u16) -> Option<ShardId> {
        Some(ShardId(home))
    }

    fn abandoned(&self) -> bool {
        self.is_abandoned()
    }
}

/// Wakes a task whose home is not the calling thread. It is a separate function so that a local
/// wake does not pay for it.
#[inline(never)]
fn schedule_slow(task: Runnable<ShardRef>) {
    if task.task().scheduler().io.is_forked() {
        // The shard does not exist in this process, and its eventfd is the parent's.
        return;
    }
    let Some(task) = current::keep_if_dispatched(task) else {
        return;
    };
    // This needs a reference of its own: the task may end and release the shard before `wake`
    // returns.
    let birth = ShardRef::clone(task.task().scheduler());
    let home = task.task().home();
    let sent = if home == birth.id.0 {
        birth.inbox.wake(task)
    } else {
        match birth.peer(home) {
            Some(home) => home.inbox.wake(task),
            None => Err(task),
        }
    };
    if let Err(task) = sent {
        if !crate::sync::mutant("ended_home_drops_task") {
            send_back(task);
        }
    }
}

/// Returns a mobile task whose home has ended to the shard that it was spawned on. That shard waits
/// for its tasks before it ends. A task that arrives later is only a reference to free.
#[cold]
pub(super) fn send_back(task: Runnable<ShardRef>) {
    let birth = ShardRef::clone(task.task().scheduler());
    if task.task().is_mobile() {
        task.set_home(birth.id.0);
    }
    drop(birth.inbox.wake(task));
}
