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

use crate::sync::{AtomicPtr, Ordering};
use crate::task::header::{Header, Runnable, Schedule, TaskRef};

/// A shard's local queue, oldest first. It stays on one thread. Entries left at its end are leaked:
/// the shard empties it before.
pub(crate) struct LocalQueue<S: Schedule> {
    /// The oldest entry, or null.
    head: Cell<*mut Header<S>>,
    /// The newest entry. Meaningless while `head` is null.
    tail: Cell<*mut Header<S>>,
    /// The number of pushes so far.
    pushed: Cell<u64>,
}

impl<S: Schedule> LocalQueue<S> {
    pub(crate) const fn new() -> Self {
        Self {
            head: Cell::new(ptr::null_mut()),
            tail: Cell::new(ptr::null_mut()),
            pushed: Cell::new(0),
        }
    }

    /// Returns the number of tasks pushed so far.
    #[inline]
    pub(crate) fn pushed(&self) -> u64 {
        self.pushed.get()
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
        Some(Runnable(unsafe { TaskRef::from_raw(node) }))
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

    /// Hands a task to the shard. If the shard has ended, its tasks' futures are already dropped,
    /// and the entry is dropped too.
    pub(crate) fn push(&self, task: Runnable<S>) {
        let node = task.0.into_raw();
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            if head == closed() {
                // SAFETY: the pointer was made above and was not stored anywhere.
                drop(unsafe { TaskRef::from_raw(node) });
                return;
            }
            // SAFETY: this side still owns the reference that it turned into `node`, so the header
            // is alive.
            unsafe { node.as_ref() }.next.store(head, Ordering::Relaxed);
            // ORDERING [remote-push], partner [remote-take], [remote-close]: the link, and
            // everything that the waker wrote, is published before the head.
            match self.head.compare_exchange_weak(
                head,
                node.as_ptr(),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
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
        let newest = self.head.swap(ptr::null_mut(), Ordering::Acquire);
        oldest_first(newest, take);
    }

    /// Closes the queue and passes its entries to `take`. Later pushes drop their tasks. Called by
    /// the shard only.
    pub(crate) fn close(&self, take: impl FnMut(Runnable<S>)) {
        // ORDERING [remote-close], partner [remote-push].
        let newest = self.head.swap(closed(), Ordering::Acquire);
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
