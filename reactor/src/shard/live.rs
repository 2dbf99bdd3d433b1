//! The list of a shard's live tasks. The shard's end waits for these tasks. A reactor that gives up
//! on the shard uses the list to wake the tasks' waiters. A report of tasks begins with the list.

use std::fmt;
use std::sync::Arc;

use slab::Slab;

use crate::hooks::{Hooks, TaskHook};
use crate::panics::caught;
use crate::shard::ShardRef;
use crate::sync::{Mutex, Ordering};
use crate::task::{TaskAddress, TaskRecord, TaskRef, TaskStats};
use crate::time::Clock;
use crate::trace::TaskSpan;

/// The live tasks. They are added from any thread and removed on their shard.
pub(crate) struct LiveTasks {
    list: Mutex<List>,
    /// The clock, if tasks are tracked.
    tracked_by: Option<Clock>,
    on_spawn: Option<TaskHook>,
    on_terminate: Option<TaskHook>,
}

#[derive(Debug)]
struct List {
    /// True once the shard accepts no more tasks.
    closed: bool,
    /// True if a change of the list needs extra steps: it is closed, tasks have records, or there
    /// are hooks.
    is_special: bool,
    /// The number of tasks added so far.
    adopted: u64,
    tasks: Slab<TaskRef<ShardRef>>,
    /// The records of tasks that have one, by their index. It ends with the last of them.
    records: Vec<TaskRecord>,
}

/// The state of the list after a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remaining {
    Some,
    None,
}

impl LiveTasks {
    pub(crate) fn new(tracked_by: Option<Clock>, hooks: &Hooks) -> Self {
        let is_special = tracked_by.is_some()
            || hooks.on_task_spawn.is_some()
            || hooks.on_task_terminate.is_some();
        Self {
            list: Mutex::new(List {
                closed: false,
                is_special,
                adopted: 0,
                tasks: Slab::new(),
                records: Vec::new(),
            }),
            tracked_by,
            on_spawn: hooks.on_task_spawn.clone(),
            on_terminate: hooks.on_task_terminate.clone(),
        }
    }

    /// Adds a task, or returns it if the shard has ended.
    pub(crate) fn adopt(&self, task: TaskRef<ShardRef>) -> Result<(), TaskRef<ShardRef>> {
        let mut list = self.list.lock();
        if list.is_special {
            drop(list);
            return self.adopt_slow(task);
        }
        list.insert(task);
        Ok(())
    }

    #[cold]
    fn adopt_slow(&self, task: TaskRef<ShardRef>) -> Result<(), TaskRef<ShardRef>> {
        // The span and the hook need only a description of the task, and no reference to it.
        let meta = task.meta();
        let now = self.tracked_by.as_ref().map(Clock::nanos);
        // A subscriber is foreign code, so the span is made before the lock.
        let stats = now.and_then(|now| {
            let (span, _) = caught(|| TaskSpan::new(&meta));
            Some(Arc::new(TaskStats::new(now, span?)))
        });
        let mut list = self.list.lock();
        if list.closed {
            return Err(task);
        }
        let index = list.insert(task);
        if stats.is_some() {
            list.record_mut(index).stats = stats;
        }
        drop(list);
        if let Some(hook) = &self.on_spawn {
            caught(|| hook(&meta));
        }
        Ok(())
    }

    /// Gives a live task a name.
    pub(crate) fn set_name(&self, task: &TaskRef<ShardRef>, name: Arc<str>) {
        let mut list = self.list.lock();
        if let Some(index) = list.index_of(task) {
            list.is_special = true;
            list.record_mut(index).name = Some(name);
        }
    }

    /// Returns the times of a task, if it is tracked.
    pub(crate) fn stats_of(&self, task: &TaskRef<ShardRef>) -> Option<Arc<TaskStats>> {
        let list = self.list.lock();
        let index = list.index_of(task)?;
        list.records.get(index)?.stats.clone()
    }

    /// Removes a completed task. A refused task is not in the list, and neither is one that was
    /// removed after `close`.
    pub(crate) fn remove(&self, task: &TaskRef<ShardRef>) -> Remaining {
        let mut list = self.list.lock();
        let removed = list.index_of(task).map(|index| list.tasks.remove(index));
        let remaining = if list.tasks.is_empty() {
            Remaining::None
        } else {
            Remaining::Some
        };
        if list.is_special {
            let index = task.live_index().load(Ordering::Relaxed) as usize;
            let record = removed.as_ref().and_then(|_| list.take_record(index));
            drop(list);
            drop(record);
            return self.report_end(removed, remaining);
        }
        drop(list);
        drop(removed);
        remaining
    }

    #[cold]
    fn report_end(&self, removed: Option<TaskRef<ShardRef>>, remaining: Remaining) -> Remaining {
        if let (Some(task), Some(hook)) = (removed, &self.on_terminate) {
            caught(|| hook(&task.meta()));
        }
        remaining
    }

    pub(crate) fn len(&self) -> usize {
        self.list.lock().tasks.len()
    }

    /// Returns true if the list accepts no more tasks.
    pub(crate) fn is_closed(&self) -> bool {
        self.list.lock().closed
    }

    /// Refuses new tasks from now on.
    pub(crate) fn close(&self) {
        let mut list = self.list.lock();
        list.closed = true;
        list.is_special = true;
    }

    /// Returns the live task at this address, if any. It searches the whole list, for a report.
    pub(crate) fn find(&self, address: TaskAddress) -> Option<TaskRef<ShardRef>> {
        let list = self.list.lock();
        let (_, task) = list
            .tasks
            .iter()
            .find(|(_, task)| task.address() == address)?;
        Some(TaskRef::clone(task))
    }

    /// Returns the number of tasks added so far if none is left.
    pub(crate) fn idle_since(&self) -> Option<u64> {
        let list = self.list.lock();
        list.tasks.is_empty().then_some(list.adopted)
    }

    /// Returns all live tasks, so that their waiters can be woken.
    pub(crate) fn all(&self) -> Vec<TaskRef<ShardRef>> {
        let list = self.list.lock();
        list.tasks
            .iter()
            .map(|(_, task)| TaskRef::clone(task))
            .collect()
    }

    /// Returns all live tasks with their records, for a report.
    pub(crate) fn all_with_records(&self) -> Vec<(TaskRef<ShardRef>, TaskRecord)> {
        let list = self.list.lock();
        let record = |index| list.records.get(index).cloned().unwrap_or_default();
        let tasks = list.tasks.iter();
        tasks
            .map(|(index, task)| (TaskRef::clone(task), record(index)))
            .collect()
    }
}

impl fmt::Debug for LiveTasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveTasks")
            .field("list", &self.list)
            .finish_non_exhaustive()
    }
}

impl List {
    #[inline(always)]
    fn insert(&mut self, task: TaskRef<ShardRef>) -> usize {
        let entry = self.tasks.vacant_entry();
        let key = entry.key();
        let index = u32::try_from(key)
            .expect("a shard has fewer than 2^32 tasks, each of 64 bytes or more");
        // Relaxed: it is read under the same lock.
        task.live_index().store(index, Ordering::Relaxed);
        entry.insert(task);
        self.adopted += 1;
        key
    }

    /// Returns the index of a task if it is in the list.
    fn index_of(&self, task: &TaskRef<ShardRef>) -> Option<usize> {
        let index = task.live_index().load(Ordering::Relaxed) as usize;
        let is_here = self.tasks.get(index).is_some_and(|live| live.is_same(task));
        is_here.then_some(index)
    }

    fn record_mut(&mut self, index: usize) -> &mut TaskRecord {
        if self.records.len() <= index {
            self.records.resize_with(index + 1, TaskRecord::default);
        }
        &mut self.records[index]
    }

    fn take_record(&mut self, index: usize) -> Option<TaskRecord> {
        self.records.get_mut(index).map(std::mem::take)
    }
}
