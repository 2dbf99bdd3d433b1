//! Locks a mutex, even after a panic under its lock.
//!
//! The mutex is std's: unlike `parking_lot`'s, it keeps the public types `UnwindSafe`.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex whose value is valid after each single call.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
