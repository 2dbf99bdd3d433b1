//! A mutex that takes no lock while only one thread can reach the value.
//!
//! In a reactor with work stealing, each shard's queue and timers are behind a real lock, because
//! an idle sibling may take from them. Without stealing, only the shard's thread accesses them and
//! the lock would be pure cost. `with` is then one predictable branch. Used by `shard/`; tests are
//! at the end.

#![expect(unsafe_code, reason = "the private form is Sync without a lock")]

use std::fmt;

use crate::sync::{Mutex, UnsafeCell};

/// A value with an owner thread. Other threads may access it too, under the lock.
pub(crate) struct OwnerMutex<T> {
    /// Never locked while `is_shared` is false.
    lock: Mutex<()>,
    is_shared: bool,
    value: UnsafeCell<T>,
}

// SAFETY: `with` is the only way to the value. A shared one is accessed under the lock, so by one
// thread at a time. A private one is reached by one thread only, as its maker promised.
unsafe impl<T: Send> Sync for OwnerMutex<T> {}

impl<T> OwnerMutex<T> {
    /// Wraps a value that several threads access. Every access takes the lock.
    pub(crate) fn shared(value: T) -> Self {
        Self {
            lock: Mutex::new(()),
            is_shared: true,
            value: UnsafeCell::new(value),
        }
    }

    /// Wraps a value that one thread accesses. No access takes a lock.
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

    /// Calls `visit` with the value. It must not call foreign code, which could call back into
    /// this.
    #[inline(always)]
    pub(crate) fn with<R>(&self, visit: impl FnOnce(&T) -> R) -> R {
        if self.is_shared && !crate::sync::mutant("owner_mutex_no_lock") {
            self.with_lock(visit)
        } else {
            self.with_value(visit)
        }
    }

    /// Calls `visit` under the lock. It is not inlined, so that the private form stays small enough
    /// to be inlined into its callers.
    #[inline(never)]
    fn with_lock<R>(&self, visit: impl FnOnce(&T) -> R) -> R {
        let _guard = self.lock.lock();
        self.with_value(visit)
    }

    #[inline(always)]
    fn with_value<R>(&self, visit: impl FnOnce(&T) -> R) -> R {
        self.value.with_mut(|value| {
            // SAFETY: under the lock, or on the only thread that comes here, no other code has the
            // value. Nothing ever has a `&mut` to it.
            visit(unsafe { &*value })
        })
    }

    /// Returns true if threads other than the owner may access the value.
    #[inline(always)]
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
