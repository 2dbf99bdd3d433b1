//! The place of a join handle's waker: a lock of one byte, with the task's id in the bytes beside
//! it. A mutex would leave those bytes unused, and the header has no other room for an id.

#![expect(unsafe_code, reason = "a lock beside other data is made of its parts")]

use std::task::Waker;

use crate::task::meta::TaskId;

pub(super) use imp::WaiterCell;

#[cfg(not(reactor_loom))]
mod imp {
    use std::cell::UnsafeCell;
    use std::ops::{Deref, DerefMut};

    use parking_lot::RawMutex;
    use parking_lot::lock_api::RawMutex as _;

    use super::{TaskId, Waker};

    /// A waker behind a lock, and the id of the task that it waits for.
    #[repr(C)]
    pub(in crate::task) struct WaiterCell {
        lock: RawMutex,
        id_high: u16,
        id_low: u32,
        waker: UnsafeCell<Option<Waker>>,
    }

    // The lock and the id share the eight bytes before the waker.
    const _: () = assert!(size_of::<WaiterCell>() == 8 + size_of::<Waker>());

    // SAFETY: the waker is `Send`, and is reached through a guard of the lock only. The rest never
    // changes.
    unsafe impl Sync for WaiterCell {}

    impl WaiterCell {
        pub(in crate::task) fn new(id: TaskId) -> Self {
            let (id_high, id_low) = id.to_parts();
            Self {
                lock: RawMutex::INIT,
                id_high,
                id_low,
                waker: UnsafeCell::new(None),
            }
        }

        pub(in crate::task) fn id(&self) -> TaskId {
            TaskId::from_parts(self.id_high, self.id_low)
        }

        #[inline]
        pub(in crate::task) fn lock(&self) -> WaiterGuard<'_> {
            self.lock.lock();
            WaiterGuard(self)
        }
    }

    /// Access to the waker while the lock is held.
    pub(in crate::task) struct WaiterGuard<'a>(&'a WaiterCell);

    impl Deref for WaiterGuard<'_> {
        type Target = Option<Waker>;

        fn deref(&self) -> &Option<Waker> {
            // SAFETY: this guard holds the lock, so no other thread has a reference. A `&mut`
            // comes only from a `&mut` to the guard.
            unsafe { &*self.0.waker.get() }
        }
    }

    impl DerefMut for WaiterGuard<'_> {
        fn deref_mut(&mut self) -> &mut Option<Waker> {
            // SAFETY: as above, and the guard is borrowed mutably.
            unsafe { &mut *self.0.waker.get() }
        }
    }

    impl Drop for WaiterGuard<'_> {
        #[inline]
        fn drop(&mut self) {
            // SAFETY: the guard was made when the lock was taken, and is dropped once.
            unsafe { self.0.lock.unlock() };
        }
    }
}

/// The form for models: loom's lock, with the id beside it.
#[cfg(reactor_loom)]
mod imp {
    use std::ops::DerefMut;

    use super::{TaskId, Waker};
    use crate::sync::Mutex;

    pub(in crate::task) struct WaiterCell {
        id: TaskId,
        waker: Mutex<Option<Waker>>,
    }

    impl WaiterCell {
        pub(in crate::task) fn new(id: TaskId) -> Self {
            Self {
                id,
                waker: Mutex::new(None),
            }
        }

        pub(in crate::task) fn id(&self) -> TaskId {
            self.id
        }

        pub(in crate::task) fn lock(&self) -> impl DerefMut<Target = Option<Waker>> + '_ {
            self.waker.lock()
        }
    }
}
