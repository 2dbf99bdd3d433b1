//! A mutex that takes no lock while one thread alone can reach the value.
//!
//! A reactor whose shards steal work keeps each shard's queue and timers behind a real lock,
//! because an idle sibling may take from them. Without stealing, the shard's thread is the only
//! one that comes here, and the lock would be pure cost: then `with` is one predictable branch.
//! Used by `shard/`; tests are at the end.

#![expect(unsafe_code, reason = "the private form is Sync without a lock")]

use std::fmt;

use crate::sync::{Mutex, UnsafeCell};

/// A value with an owner thread, and perhaps other threads that visit it under the lock.
pub(crate) struct OwnerMutex<T> {
    /// Never locked while `is_shared` is false.
    lock: Mutex<()>,
    is_shared: bool,
    value: UnsafeCell<T>,
}

// SAFETY: `with` is the only way to the value. A shared one hands it out under the lock, so one
// thread at a time has it. A private one is reached by one thread only: its maker promised that.
unsafe impl<T: Send> Sync for OwnerMutex<T> {}

impl<T> OwnerMutex<T> {
    /// Wraps a value that several threads visit. Every visit takes the lock.
    pub(crate) fn shared(value: T) -> Self {
        Self {
            lock: Mutex::new(()),
            is_shared: true,
            value: UnsafeCell::new(value),
        }
    }

    /// Wraps a value that one thread visits. No visit takes a lock.
    ///
    /// # Safety
    ///
    /// 1. All calls of `with` come from one thread, or are ordered as if they did.
    pub(crate) unsafe fn private(value: T) -> Self {
        Self {
            lock: Mutex::new(()),
            is_shared: false,
            value: UnsafeCell::new(value),
        }
    }

    /// Calls `visit` with the value. It must not call foreign code, which could come back here.
    #[inline(always)]
    pub(crate) fn with<R>(&self, visit: impl FnOnce(&T) -> R) -> R {
        let locks = self.is_shared && !crate::sync::mutant("owner_mutex_no_lock");
        let _guard = locks.then(|| self.lock.lock());
        self.value.with_mut(|value| {
            // SAFETY: under the lock, or on the one thread that comes here, nobody else has the
            // value. Nothing ever has a `&mut` to it.
            visit(unsafe { &*value })
        })
    }

    /// Returns true if threads other than the owner may visit.
    pub(crate) fn is_shared(&self) -> bool {
        self.is_shared
    }
}

impl<T> fmt::Debug for OwnerMutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnerMutex")
            .field("is_shared", &self.is_shared)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(reactor_loom)))]
mod tests {
    use std::cell::Cell;
    use std::thread;

    use super::OwnerMutex;

    #[test]
    fn a_shared_value_is_visited_by_one_thread_at_a_time() {
        const VISITS: u64 = 20_000;
        let count = OwnerMutex::shared(Cell::new(0_u64));
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..VISITS {
                        count.with(|count| count.set(count.get() + 1));
                    }
                });
            }
        });
        assert_eq!(count.with(Cell::get), 2 * VISITS);
    }
}
