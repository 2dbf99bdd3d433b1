//! Descriptions of live tasks, as [`Handle::tasks`](crate::Handle::tasks) returns them.

use std::collections::HashMap;
use std::os::fd::RawFd;
use std::panic::Location;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use crate::handle::Handle;
use crate::ready::Ready;
use crate::shard::{ShardId, ShardRef};
use crate::task::{TaskId, TaskRecord, TaskRef, TaskTimes};

/// A live task, from [`Handle::tasks`](crate::Handle::tasks).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TaskInfo {
    /// The task's id.
    pub id: TaskId,
    /// The name, if it was given one by [`TaskBuilder::name`](crate::TaskBuilder::name).
    pub name: Option<Arc<str>>,
    /// The type name of its future. See [`TaskMeta::future`](crate::TaskMeta::future).
    pub future: &'static str,
    /// The source location that spawned it. See
    /// [`TaskMeta::spawned_at`](crate::TaskMeta::spawned_at).
    pub spawned_at: Option<&'static Location<'static>>,
    /// The shard that runs it at present.
    pub shard: ShardId,
    /// Its state.
    pub state: TaskState,
    /// The times of its polls, if [`Builder::task_tracking`](crate::Builder::task_tracking) was on
    /// when it was spawned.
    pub times: Option<TaskTimes>,
    /// The descriptors and timers that wake it. The list is empty if the task waits only for
    /// something else, such as a channel, or through a combinator with its own wakers.
    pub waits: Vec<TaskWait>,
}

/// The state of a live task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TaskState {
    /// It was woken, and waits for its turn.
    Ready,
    /// A shard polls it.
    Running,
    /// It waits to be woken.
    Waiting,
}

impl TaskState {
    /// Returns the name of the state, in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Waiting => "waiting",
        }
    }
}

/// Something that wakes a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskWait {
    /// The readiness of a descriptor.
    Descriptor {
        /// The descriptor's number.
        fd: RawFd,
        /// The states that the task waits for: it wakes at any of them.
        ready: Ready,
    },
    /// A timer.
    Timer {
        /// The time at which it is due.
        deadline: Instant,
    },
}

/// Lists the live tasks of all shards.
pub(crate) fn list(handle: &Handle) -> Vec<TaskInfo> {
    let shards = handle.all_shards();
    let now = shards[0].clock.nanos();
    let live = shards
        .iter()
        .flat_map(|shard| shard.live.all_with_records());
    let live: Vec<(TaskRef<ShardRef>, TaskRecord)> = live.collect();
    let mut tasks: Vec<TaskInfo> = Vec::with_capacity(live.len());
    // A task's wakers carry the address of its header.
    let mut by_address = HashMap::with_capacity(live.len());
    for (task, record) in &live {
        let Some(state) = task.phase() else { continue };
        by_address.insert(task.as_ptr().cast::<()>(), tasks.len());
        let meta = task.meta();
        tasks.push(TaskInfo {
            id: meta.id,
            name: record.name.clone(),
            future: meta.future,
            spawned_at: meta.spawned_at,
            shard: meta.shard.expect("it is no blocking job"),
            state,
            times: record.stats.as_ref().map(|stats| stats.read(now)),
            waits: Vec::new(),
        });
    }
    let mut add = |waker: &Waker, wait: TaskWait| {
        if let Some(&index) = by_address.get(&waker.data()) {
            let waits = &mut tasks[index].waits;
            if !waits.contains(&wait) {
                waits.push(wait);
            }
        }
    };
    for shard in shards {
        shard.io.table().each_waiter(|fd, ready, waker| {
            add(waker, TaskWait::Descriptor { fd, ready });
        });
    }
    for shard in shards {
        shard.each_timer(|deadline, waker| add(waker, TaskWait::Timer { deadline }));
    }
    tasks
}
