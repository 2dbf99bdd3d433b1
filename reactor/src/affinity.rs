//! Functions that undo a shard's CPU pin, for threads and processes that a task starts:
//! [`unpinned`] and [`unpin_current`].
//!
//! The masks are kept by `sys/linux.rs`. Tests are in `tests/unpinned.rs`.

use std::io;

use crate::sys;

/// Runs a closure under the CPU mask from before the pin, and pins the calling thread again.
///
/// A thread or a process inherits the CPU mask of the thread that starts it. A task runs on a
/// shard, and the shard may be pinned to one CPU. So everything that a task starts would share that
/// CPU for good:
///
/// - a child process,
/// - a thread of `std::thread`,
/// - a thread pool that starts with its first use, such as rayon's global pool, which counts the
///   CPUs of the calling thread: it would have a single thread in the whole process,
/// - another runtime.
///
/// Start them inside the closure. The closure blocks the shard, so it should only start them, and
/// leave the work to them. [`spawn_blocking`](crate::spawn_blocking) needs none of this: its
/// threads have the whole mask.
///
/// The mask is the one that this thread had before its pin. A thread that was not pinned itself may
/// have inherited a pin: it gets the mask that the first pinned thread of the process had. Without
/// any pin in the process, or if the system refuses the mask, the closure just runs. Only the
/// calling thread changes, and only until the closure returns or panics.
///
/// # Platform notes
///
/// Threads are pinned on Linux only. Elsewhere the closure just runs.
///
/// # Examples
///
/// ```
/// # #[cfg(target_os = "linux")] {
/// use std::thread;
///
/// let cpus = thread::available_parallelism()?;
/// let reactor = reactor::Reactor::new()?;
/// let task = reactor.spawn(async {
///     let worker = reactor::unpinned(|| thread::spawn(thread::available_parallelism));
///     worker.join().expect("the worker does not panic")
/// });
/// assert_eq!(reactor.block_on(task)??, cpus);
/// # }
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn unpinned<R>(f: impl FnOnce() -> R) -> R {
    let _pin_again = sys::lift_pin();
    f()
}

/// Restores on the calling thread the CPU mask that the process had before the first shard was
/// pinned.
///
/// Use it in threads that a program starts from a task: they inherit the pin of the shard that
/// started them. [`unpinned`] keeps them from inheriting it.
///
/// # Errors
///
/// Returns the kernel's error if it refuses the mask.
pub fn unpin_current() -> io::Result<()> {
    sys::unpin_current()
}
