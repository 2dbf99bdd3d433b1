//! The locks and atomics of a simulation: std's, with a point before each access at which another
//! thread may go on (`driver_sim/schedule.rs`).
//!
//! One thread of a play runs at a time, so every access is sequentially consistent. The models in
//! `loom/` explore what weaker orderings allow.

#![expect(clippy::disallowed_types, reason = "this is a part of the door")]

use std::sync::atomic::{self, Ordering};

use parking_lot::MutexGuard;

use crate::driver::{blocked, point};

/// A lock. A thread of a play that finds it locked lets the others go on.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(parking_lot::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(parking_lot::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        point();
        loop {
            if let Some(guard) = self.0.try_lock() {
                return guard;
            }
            if !blocked() {
                return self.0.lock();
            }
        }
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        point();
        self.0.try_lock()
    }
}

pub(crate) fn fence(order: Ordering) {
    point();
    atomic::fence(order);
}

/// Defines an atomic type with these methods of std's, each with a point before it.
macro_rules! atomics {
    ($($name:ident$(<$t:ident>)?: $value:ty { $($method:ident)* })*) => {$(
        #[derive(Debug, Default)]
        pub(crate) struct $name$(<$t>)?(atomic::$name$(<$t>)?);

        #[allow(dead_code, reason = "every type has the same methods")]
        impl$(<$t>)? $name$(<$t>)? {
            pub(crate) const fn new(value: $value) -> Self {
                Self(atomic::$name::new(value))
            }

            pub(crate) fn load(&self, order: Ordering) -> $value {
                point();
                self.0.load(order)
            }

            pub(crate) fn store(&self, value: $value, order: Ordering) {
                point();
                self.0.store(value, order);
            }

            $(pub(crate) fn $method(&self, value: $value, order: Ordering) -> $value {
                point();
                self.0.$method(value, order)
            })*

            pub(crate) fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                point();
                self.0.compare_exchange(current, new, success, failure)
            }

            /// Never fails without a reason, so that a seed plays the same schedule again.
            pub(crate) fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange(current, new, success, failure)
            }
        }
    )*};
}

atomics! {
    AtomicBool: bool { swap fetch_or fetch_and }
    AtomicI32: i32 { swap }
    AtomicPtr<T>: *mut T { swap }
    AtomicU8: u8 { swap fetch_or fetch_and }
    AtomicU32: u32 { swap fetch_add fetch_sub fetch_or fetch_and fetch_xor }
    AtomicU64: u64 { swap fetch_add fetch_sub fetch_or fetch_and fetch_xor fetch_max }
    AtomicUsize: usize { swap fetch_add fetch_sub fetch_or fetch_and fetch_xor }
}
