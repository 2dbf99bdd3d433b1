//! Events and spans for the crate `tracing`, behind the feature of that name. Without the feature
//! every function here is empty. None is called by an echo, with or without it.
//!
//! All events have the target `reactor`. The test is `tests/tracing.rs`.

use crate::shard::ShardId;
use crate::stall::Stall;
use crate::task::TaskMeta;

/// The span of a task. It is entered for each poll.
#[derive(Debug)]
pub(crate) struct TaskSpan(#[cfg(feature = "tracing")] tracing::Span);

#[cfg(feature = "tracing")]
impl TaskSpan {
    /// Creates the span of a task, as a child of the current span of its spawner.
    pub(crate) fn new(task: &TaskMeta) -> Self {
        let at = task.spawned_at().map(tracing::field::display);
        Self(tracing::info_span!(
            target: "reactor",
            "task",
            id = task.id().as_u64(),
            future = task.future(),
            spawned_at = at,
        ))
    }

    /// Calls `poll` inside the span.
    pub(crate) fn enter<R>(&self, poll: impl FnOnce() -> R) -> R {
        self.0.in_scope(poll)
    }
}

#[cfg(not(feature = "tracing"))]
impl TaskSpan {
    pub(crate) fn new(_: &TaskMeta) -> Self {
        Self()
    }

    pub(crate) fn enter<R>(&self, poll: impl FnOnce() -> R) -> R {
        poll()
    }
}

/// A stall began or is over.
pub(crate) fn stall(stall: &Stall) {
    #[cfg(all(feature = "tracing", feature = "stall-backtrace"))]
    let backtrace = stall.backtrace().filter(|_| !stall.is_over());
    #[cfg(all(feature = "tracing", not(feature = "stall-backtrace")))]
    let backtrace = None::<&str>;
    #[cfg(feature = "tracing")]
    tracing::warn!(
        target: "reactor",
        backtrace = backtrace.map(tracing::field::display),
        shard = stall.shard().index(),
        task = stall.task().map(|task| task.id().as_u64()),
        seconds = stall.duration().as_secs_f64(),
        is_over = stall.is_over(),
        "{stall}",
    );
    #[cfg(not(feature = "tracing"))]
    let _ = stall;
}

/// A shard took ready tasks from a sibling.
pub(crate) fn stole(thief: ShardId, victim: ShardId, tasks: u64) {
    #[cfg(feature = "tracing")]
    tracing::debug!(
        target: "reactor",
        shard = thief.index(),
        from = victim.index(),
        tasks,
        "stole tasks",
    );
    #[cfg(not(feature = "tracing"))]
    let _ = (thief, victim, tasks);
}

/// A registration moved to another shard.
pub(crate) fn moved(from: ShardId, to: ShardId, fd: i32) {
    #[cfg(feature = "tracing")]
    tracing::debug!(
        target: "reactor",
        shard = to.index(),
        from = from.index(),
        fd,
        "moved a registration",
    );
    #[cfg(not(feature = "tracing"))]
    let _ = (from, to, fd);
}

/// A reactor is about to stop its shards.
pub(crate) fn shuts_down(cut_off: &[TaskMeta]) {
    #[cfg(feature = "tracing")]
    tracing::info!(target: "reactor", tasks_cut_off = cut_off.len(), "shuts down");
    #[cfg(not(feature = "tracing"))]
    let _ = cut_off;
}
