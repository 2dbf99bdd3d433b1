//! The two queues of woken tasks: the shard's local queue, and the remote queue that other threads
//! push to.
//!
//! Both are intrusive: the tasks themselves are linked, so a push never allocates, and never fails
//! while the shard lives. One link is enough, because a task is in at most one queue, once. Only
//! the wake that set SCHEDULED pushes, and that flag stays set until the task is out of the queue
//! and runs (`JOIN.md`).
//!
//! The remote queue is a stack, and a push is one compare-and-swap. The shard takes the whole stack
//! at once and runs it oldest first. Therefore the ABA problem of popped and pushed nodes cannot
//! arise.

#![expect(unsafe_code, reason = "tasks are linked through their headers")]

use std::cell::Cell;
use std::ptr::{self, NonNull};

use crate::sync::{AtomicPtr, Ordering, unless_mutant};
use crate::task::header::{Header, Schedule, TaskRef};
use crate::task::runnable::Runnable;

/// The maximum number of entries that a thief checks. It holds the owner's lock meanwhile, and each
/// entry of another shard is a cache miss (about 100 ns).
const SCAN_MAX: usize = 128;

/// A shard's local queue, oldest first. The shard pushes and pops. A sibling that steals takes
/// mobile tasks; the queue is then behind a lock (`OwnerMutex`). Entries left when the queue is
/// dropped are leaked: the shard empties it before.
pub(crate) struct LocalQueue<S: Schedule> {
    /// The oldest entry, or null.
    head: Cell<*mut Header<S>>,
    /// The newest entry. Meaningless while `head` is null.
    tail: Cell<*mut Header<S>>,
    /// The number of pushes so far.
    pushed: Cell<u64>,
    /// The number of removals so far.
    taken: Cell<u64>,
}

// SAFETY: the pointers are to task headers, and the queue owns one reference to each. A `TaskRef`
// is `Send`, and so is a queue of them.
unsafe impl<S: Schedule> Send for LocalQueue<S> {}

impl<S: Schedule> LocalQueue<S> {
    pub(crate) const fn new() -> Self {
        Self {
            head: Cell::new(ptr::null_mut()),
            tail: Cell::new(ptr::null_mut()),
            pushed: Cell::new(0),
            taken: Cell::new(0),
        }
    }

    /// Returns the number of pushes and the number of removals so far.
    #[inline]
    pub(crate) fn pushed_and_taken(&self) -> (u64, u64) {
        (self.pushed.get(), self.taken.get())
    }

    /// Returns the number of tasks in the queue.
    #[inline]
    pub(crate) fn len(&self) -> u64 {
        self.pushed.get() - self.taken.get()
    }

    /// Returns true if one of the oldest entries is a mobile task. It checks at most `SCAN_MAX`
    /// entries, as [`LocalQueue::take_mobile`] does. A count would cost each push and pop.
    pub(crate) fn has_mobile(&self) -> bool {
        let mut entry = self.head.get();
        for _ in 0..SCAN_MAX {
            let Some(node) = NonNull::new(entry) else {
                return false;
            };
            // SAFETY: the queue holds a reference to each of its entries.
            let header = unsafe { node.as_ref() };
            if header.state.is_mobile() {
                return true;
            }
            entry = header.next.load(Ordering::Relaxed);
        }
        false
    }

    #[inline]
    fn count_out(&self) {
        self.taken.set(self.taken.get() + 1);
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.get().is_null()
    }

    /// Appends a task.
    #[inline]
    pub(crate) fn push(&self, task: Runnable<S>) {
        self.pushed.set(self.pushed.get() + 1);
        let node = task.0.into_raw();
        // SAFETY: the queue now owns the reference that became `node`, so the header is alive.
        let next = &unsafe { node.as_ref() }.next;
        // Relaxed, here and below: when a task moves to another queue, and so to another thread,
        // its state word hands it over.
        next.store(ptr::null_mut(), Ordering::Relaxed);
        let newest = self.tail.replace(node.as_ptr());
        if self.is_empty() {
            self.head.set(node.as_ptr());
        } else {
            // SAFETY: the queue is not empty, so `newest` is in it, and the queue holds a reference
            // to each of its entries.
            let newest = unsafe { &*newest };
            newest.next.store(node.as_ptr(), Ordering::Relaxed);
        }
    }

    /// Removes and returns the oldest task.
    #[inline]
    pub(crate) fn pop(&self) -> Option<Runnable<S>> {
        let node = NonNull::new(self.head.get())?;
        // SAFETY: the queue holds a reference to each of its entries.
        let next = unsafe { node.as_ref() }.next.load(Ordering::Relaxed);
        self.head.set(next);
        // SAFETY: `push` made it with `into_raw`, and it is no longer in the queue.
        let task = Runnable(unsafe { TaskRef::from_raw(node) });
        self.count_out();
        Some(task)
    }

    /// Removes up to `tasks_max` mobile tasks, oldest first, and checks at most `SCAN_MAX` entries.
    /// Pinned tasks keep their places.
    pub(crate) fn take_mobile(&self, tasks_max: usize, mut take: impl FnMut(Runnable<S>)) {
        let mut left = tasks_max;
        let mut before: *mut Header<S> = ptr::null_mut();
        let mut entry = self.head.get();
        for _ in 0..SCAN_MAX {
            let Some(node) = NonNull::new(entry).filter(|_| left > 0) else {
                break;
            };
            // SAFETY: the queue holds a reference to each of its entries.
            let header = unsafe { node.as_ref() };
            let next = header.next.load(Ordering::Relaxed);
            if header.state.is_mobile() {
                match NonNull::new(before) {
                    // SAFETY: this is an entry of the queue too, and it stays.
                    Some(kept) => unsafe { kept.as_ref() }.next.store(next, Ordering::Relaxed),
                    None => self.head.set(next),
                }
                if next.is_null() && !crate::sync::mutant("theft_keeps_tail") {
                    self.tail.set(before);
                }
                left -= 1;
                self.count_out();
                // SAFETY: `push` made it with `into_raw`, and it is no longer in the queue.
                take(Runnable(unsafe { TaskRef::from_raw(node) }));
            } else {
                before = entry;
            }
            entry = next;
        }
    }
}

impl<S: Schedule> std::fmt::Debug for LocalQueue<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalQueue")
            .field("is_empty", &self.is_empty())
            .finish()
    }
}

/// The queue that other threads push to.
pub(crate) struct RemoteQueue<S: Schedule> {
    /// The newest entry, null, or CLOSED. Written by every waker of this shard's tasks and by the
    /// shard.
    head: AtomicPtr<Header<S>>,
}

/// Returns the head of a queue whose shard has ended: an address that no header can have.
fn closed<S>() -> *mut Header<S> {
    ptr::without_provenance_mut(1)
}

impl<S: Schedule> RemoteQueue<S> {
    pub(crate) fn new() -> Self {
        Self {
            head: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Hands a task to the shard.
    ///
    /// # Errors
    ///
    /// Returns the task if the shard has ended.
    pub(crate) fn push(&self, task: Runnable<S>) -> Result<(), Runnable<S>> {
        let node = task.0.into_raw();
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            if head == closed() {
                // SAFETY: the pointer was made above and was not stored anywhere.
                return Err(Runnable(unsafe { TaskRef::from_raw(node) }));
            }
            // SAFETY: this side still owns the reference that it turned into `node`, so the header
            // is alive.
            unsafe { node.as_ref() }.next.store(head, Ordering::Relaxed);
            // ORDERING [remote-push], partner [remote-take], [remote-close]: the link, and
            // everything that the waker wrote, is published before the head.
            match self.head.compare_exchange_weak(
                head,
                node.as_ptr(),
                unless_mutant("remote_push_relaxed", Ordering::Release),
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(()),
                Err(seen) => head = seen,
            }
        }
    }

    /// Returns true if there is nothing to take. This is the parker's last check, whose fence
    /// orders this load.
    pub(crate) fn is_empty(&self) -> bool {
        self.head.load(Ordering::Relaxed).is_null()
    }

    /// Takes all entries, oldest first. Called by the shard only.
    pub(crate) fn take_all(&self, take: impl FnMut(Runnable<S>)) {
        let head = self.head.load(Ordering::Relaxed);
        if head.is_null() || head == closed() {
            return;
        }
        // ORDERING [remote-take], partner [remote-push].
        let newest = self.head.swap(
            ptr::null_mut(),
            unless_mutant("remote_take_relaxed", Ordering::Acquire),
        );
        oldest_first(newest, take);
    }

    /// Closes the queue and passes its entries to `take`. Later pushes return their tasks. Called
    /// by the shard only.
    pub(crate) fn close(&self, take: impl FnMut(Runnable<S>)) {
        // ORDERING [remote-close], partner [remote-push].
        let newest = self.head.swap(
            closed(),
            unless_mutant("remote_close_relaxed", Ordering::Acquire),
        );
        oldest_first(newest, take);
    }
}

/// Reverses a stack that the caller took, and passes its entries to `take`.
fn oldest_first<S: Schedule>(newest: *mut Header<S>, mut take: impl FnMut(Runnable<S>)) {
    let mut reversed: Option<NonNull<Header<S>>> = None;
    let mut rest = if newest == closed() {
        None
    } else {
        NonNull::new(newest)
    };
    while let Some(node) = rest {
        // SAFETY: the stack holds one reference per node, and this side owns it now.
        let next = &unsafe { node.as_ref() }.next;
        rest = NonNull::new(next.load(Ordering::Relaxed));
        next.store(
            reversed.map_or(ptr::null_mut(), NonNull::as_ptr),
            Ordering::Relaxed,
        );
        reversed = Some(node);
    }
    while let Some(node) = reversed {
        // SAFETY: as above. The link is read before the entry is passed on, since `take` may queue
        // the task again.
        reversed = NonNull::new(unsafe { node.as_ref() }.next.load(Ordering::Relaxed));
        // SAFETY: `push` made it with `into_raw`, and each node is visited once here.
        take(Runnable(unsafe { TaskRef::from_raw(node) }));
    }
}

impl<S: Schedule> std::fmt::Debug for RemoteQueue<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteQueue")
            .field("is_empty", &self.is_empty())
            .finish()
    }
}
