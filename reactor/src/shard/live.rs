//! The list of a shard's live tasks: what its end has to wait for, and what a reactor that gives up on the shard can still tell
//! the tasks' waiters.

use slab::Slab;

use crate::shard::ShardRef;
use crate::sync::{Mutex, Ordering};
use crate::task::{TaskId, TaskRef};

/// Tasks enter it from any thread and leave it on their shard.
#[derive(Debug)]
pub(crate) struct LiveTasks(Mutex<List>);

#[derive(Debug)]
struct List {
    /// The shard takes no more tasks.
    closed: bool,
    /// After `closed`, nothing is left below this place: the tasks are taken out in order.
    first: usize,
    /// How many tasks ever came in.
    adopted: u64,
    tasks: Slab<TaskRef<ShardRef>>,
}

/// What is left after a task went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remaining {
    Some,
    None,
}

impl LiveTasks {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(List {
            closed: false,
            first: 0,
            adopted: 0,
            tasks: Slab::new(),
        }))
    }

    /// Takes a task in, or gives it back where the shard has ended.
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

    /// Takes a task that ended out. A task that was refused is not in the list, nor is one after `close` took it.
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

    /// Refuses tasks from now on.
    pub(crate) fn close(&self) {
        self.0.lock().closed = true;
    }

    /// Some task that is still there.
    pub(crate) fn any(&self) -> Option<TaskRef<ShardRef>> {
        let mut list = self.0.lock();
        debug_assert!(list.closed, "a task may come in below `first`");
        while list.first < list.tasks.capacity() {
            if let Some(task) = list.tasks.get(list.first) {
                return Some(TaskRef::clone(task));
            }
            list.first += 1;
        }
        None
    }

    /// The live task of this id, if there is one. It looks at all of them, for a report.
    pub(crate) fn find(&self, id: TaskId) -> Option<TaskRef<ShardRef>> {
        let list = self.0.lock();
        let (_, task) = list.tasks.iter().find(|(_, task)| task.id() == id)?;
        Some(TaskRef::clone(task))
    }

    /// How many tasks ever came in, where none is left.
    pub(crate) fn idle_since(&self) -> Option<u64> {
        let list = self.0.lock();
        list.tasks.is_empty().then_some(list.adopted)
    }

    /// All that are there, for a report to their waiters.
    pub(crate) fn all(&self) -> Vec<TaskRef<ShardRef>> {
        self.0
            .lock()
            .tasks
            .iter()
            .map(|(_, task)| TaskRef::clone(task))
            .collect()
    }
}
