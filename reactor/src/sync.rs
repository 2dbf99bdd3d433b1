//! The only source of atomics, locks, cells, and of the channels that models explore.
//!
//! A normal build gets std's types and `parking_lot`'s mutex (one byte, no poisoning, no false
//! reports under ThreadSanitizer). A build with `--cfg reactor_loom` gets loom's, so that the
//! models in `crate::loom` explore the very code that ships.

/// Returns true if a model run enables this seeded bug. It is always false in a normal build, where
/// the branch is compiled away.
///
/// The bugs are in the code that ships, at the places where they could be made.
/// `scripts/loom.sh --mutants` runs the models against each. `scripts/sanitize.sh thread --seeds`
/// runs ThreadSanitizer against some, and `scripts/sim.sh --mutants` the simulation.
#[cfg(not(any(reactor_loom, reactor_sanitize, reactor_sim)))]
#[inline(always)]
pub(crate) const fn mutant(_name: &str) -> bool {
    false
}

/// As above. `REACTOR_MUTANT` names the bug, so that one build serves all of them.
#[cfg(any(reactor_loom, reactor_sanitize, reactor_sim))]
pub(crate) fn mutant(name: &str) -> bool {
    static ASKED_FOR: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    ASKED_FOR
        .get_or_init(|| std::env::var("REACTOR_MUTANT").ok())
        .as_deref()
        == Some(name)
}

#[cfg(not(reactor_loom))]
#[expect(clippy::disallowed_types, reason = "this is the door")]
mod imp {
    pub(crate) use std::sync::atomic::Ordering;

    #[cfg(reactor_sim)]
    pub(crate) use super::sim::*;
    #[cfg(not(reactor_sim))]
    pub(crate) use aliases::*;

    pub(crate) use crossbeam_channel::{Receiver, Sender, unbounded};
    pub(crate) use std::thread_local as per_thread;

    #[cfg(not(reactor_sim))]
    mod aliases {
        pub(crate) use parking_lot::Mutex;
        pub(crate) use std::sync::atomic::fence;
        pub(crate) use std::thread::sleep;

        // These are aliases rather than re-exports: the lint sees through a re-export and would
        // flag every use.
        pub(crate) type AtomicBool = std::sync::atomic::AtomicBool;
        pub(crate) type AtomicI32 = std::sync::atomic::AtomicI32;
        pub(crate) type AtomicPtr<T> = std::sync::atomic::AtomicPtr<T>;
        pub(crate) type AtomicU8 = std::sync::atomic::AtomicU8;
        pub(crate) type AtomicU32 = std::sync::atomic::AtomicU32;
        pub(crate) type AtomicU64 = std::sync::atomic::AtomicU64;
        pub(crate) type AtomicUsize = std::sync::atomic::AtomicUsize;
    }

    /// `std::cell::UnsafeCell` with loom's closure interface.
    #[derive(Debug)]
    #[repr(transparent)]
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        /// Passes a pointer for writing to `f`. Dereferencing it is the caller's unsafe act.
        #[inline(always)]
        pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}

#[cfg(reactor_sim)]
#[path = "sync_sim.rs"]
mod sim;

#[cfg(reactor_loom)]
mod imp {
    use std::collections::VecDeque;
    use std::sync::Arc;

    pub(crate) use loom::cell::UnsafeCell;
    use loom::sync::MutexGuard;
    pub(crate) use loom::sync::atomic::{
        AtomicBool, AtomicI32, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
        fence,
    };

    /// loom's thread-locals, in the form of std's constant ones.
    macro_rules! per_thread {
        ($($(#[$attribute:meta])* static $name:ident: $type:ty = const $value:block;)*) => {
            loom::thread_local! {
                $($(#[$attribute])* static $name: $type = $value;)*
            }
        };
    }
    pub(crate) use per_thread;

    /// A sleep: other threads go on.
    pub(crate) fn sleep(_: std::time::Duration) {
        loom::thread::yield_now();
    }

    /// loom's mutex without poisoning, like `parking_lot`'s.
    #[derive(Debug)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
        }

        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            self.0.try_lock().ok()
        }
    }

    /// These two replace crossbeam's channels, which loom cannot explore.
    #[derive(Debug)]
    pub(crate) struct Sender<T>(Arc<Mutex<VecDeque<T>>>);

    #[derive(Debug)]
    pub(crate) struct Receiver<T>(Arc<Mutex<VecDeque<T>>>);

    pub(crate) fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
        let queue = Arc::new(Mutex::new(VecDeque::new()));
        (Sender(Arc::clone(&queue)), Receiver(queue))
    }

    impl<T> Sender<T> {
        pub(crate) fn send(&self, item: T) -> Result<(), T> {
            self.0.lock().push_back(item);
            Ok(())
        }
    }

    impl<T> Receiver<T> {
        pub(crate) fn try_recv(&self) -> Result<T, ()> {
            self.0.lock().pop_front().ok_or(())
        }
    }
}

/// Returns the ordering, or `Relaxed` if a model run enables the seeded bug `name`.
#[inline(always)]
pub(crate) fn unless_mutant(name: &str, ordering: Ordering) -> Ordering {
    if mutant(name) {
        Ordering::Relaxed
    } else {
        ordering
    }
}

pub(crate) use imp::*;
