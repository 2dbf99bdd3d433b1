//! The list of a shard's live tasks. The shard's end waits for them, and a reactor that gives up on
//! the shard uses the list to wake the tasks' waiters.

use slab::Slab;

use crate::shard::ShardRef;
use crate::sync::{Mutex, Ordering};
use crate::task::{TaskId, TaskRef};

/// The live tasks. They are added from any thread and removed on their shard.
#[derive(Debug)]
pub(crate) struct LiveTasks(Mutex<List>);

#[derive(Debug)]
struct List {
    /// True once the shard accepts no more tasks.
    closed: bool,
    /// The number of tasks added so far.
    adopted: u64,
    tasks: Slab<TaskRef<ShardRef>>,
}

/// The state of the list after a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remaining {
    Some,
    None,
}

impl LiveTasks {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(List {
            closed: false,
            adopted: 0,
            tasks: Slab::new(),
        }))
    }

    /// Adds a task, or returns it if the shard has ended.
    pub(crate) fn adopt(&self, task: TaskRef<ShardRef>) -> Result<(), TaskRef<ShardRef>> {
        let mut list = self.0.lock();
        if list.closed {
            return Err(task);
        }
        let entry = list.tasks.vacant_entry();
        let index = u32::try_from(entry.key())
            .expect("a shard has fewer than 2^32 tasks, each of 64 bytes or more");
        // Relaxed: `remove` reads it under the same lock.
        task.live_index().store(index, Ordering::Relaxed);
        entry.insert(task);
        list.adopted += 1;
        Ok(())
    }

    /// Removes a completed task. A refused task is not in the list, and neither is one that was
    /// removed after `close`.
    pub(crate) fn remove(&self, task: &TaskRef<ShardRef>) -> Remaining {
        let mut list = self.0.lock();
        let index = task.live_index().load(Ordering::Relaxed) as usize;
        let removed = if list.tasks.get(index).is_some_and(|live| live.is_same(task)) {
            Some(list.tasks.remove(index))
        } else {
            None
        };
        let remaining = if list.tasks.is_empty() {
            Remaining::None
        } else {
            Remaining::Some
        };
        drop(list);
        drop(removed);
        remaining
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().tasks.len()
    }

    /// Returns true if the list accepts no more tasks.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.lock().closed
    }

    /// Refuses new tasks from now on.
    pub(crate) fn close(&self) {
        self.0.lock().closed = true;
    }

    /// Returns the live task with this id, if any. It searches the whole list, for a report.
    pub(crate) fn find(&self, id: TaskId) -> Option<TaskRef<ShardRef>> {
        let list = self.0.lock();
        let (_, task) = list.tasks.iter().find(|(_, task)| task.id() == id)?;
        Some(TaskRef::clone(task))
    }

    /// Returns the number of tasks added so far if none is left.
    pub(crate) fn idle_since(&self) -> Option<u64> {
        let list = self.0.lock();
        list.tasks.is_empty().then_some(list.adopted)
    }

    /// Returns all live tasks, so that their waiters can be woken.
    pub(crate) fn all(&self) -> Vec<TaskRef<ShardRef>> {
        self.0
            .lock()
            .tasks
            .iter()
            .map(|(_, task)| TaskRef::clone(task))
            .collect()
    }
}
