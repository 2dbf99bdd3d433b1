//! How a reactor ends: the announcement, the wait for its tasks, and the error that names what was stuck.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use slab::Slab;

use crate::panics::caught;
use crate::shard::ShardId;
use crate::sync::{AtomicBool, Ordering};
use crate::sys::Process;

/// What the shards, their users and the thread that shuts a reactor down tell each other.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    /// The one that made the reactor.
    process: Process,
    /// Set once. A shard whose last task ends looks at it.
    announced: AtomicBool,
    /// Who awaits the announcement.
    waiters: parking_lot::Mutex<Slab<Option<Waker>>>,
    /// How many shard threads have ended; the condition also stands for "a shard ran out of tasks, or the pool of jobs".
    progress: Mutex<usize>,
    changed: Condvar,
}

impl Lifecycle {
    pub(crate) fn new() -> Self {
        Self {
            process: Process::current(),
            announced: AtomicBool::new(false),
            waiters: parking_lot::Mutex::default(),
            progress: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    pub(crate) fn is_announced(&self) -> bool {
        // ORDERING [announced-look], partner [announce].
        self.announced.load(Ordering::Acquire)
    }

    /// Tells everybody who asked that the reactor is about to shut down.
    pub(crate) fn announce(&self) {
        // ORDERING [announce], partner [announced-look].
        self.announced.store(true, Ordering::Release);
        let woken: Vec<Waker> = self
            .waiters
            .lock()
            .iter_mut()
            .filter_map(|(_, waker)| waker.take())
            .collect();
        for waker in woken {
            // A waker that panics is its owner's bug, and must not keep the others asleep.
            caught(|| waker.wake());
        }
    }

    /// The last task of a shard, or the last blocking job, ended. Called often while the reactor lives, so it only looks.
    pub(crate) fn is_idle(&self) {
        if self.is_announced() {
            // The lock orders this after a waiter's look at the tasks, so that the waiter sleeps already or sees them gone.
            drop(self.progress.lock().unwrap_or_else(PoisonError::into_inner));
            self.changed.notify_all();
        }
    }

    /// A shard thread is about to return.
    pub(crate) fn shard_has_ended(&self) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.changed.notify_all();
    }

    /// Waits until `done` (told how many shards have ended) or the deadline; `None` is no deadline. Returns whether it is done.
    pub(crate) fn wait_until(
        &self,
        deadline: Option<Instant>,
        done: impl Fn(usize) -> bool,
    ) -> bool {
        let mut ended = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        while !done(*ended) {
            ended = match deadline {
                None => self
                    .changed
                    .wait(ended)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return false;
                    }
                    self.changed
                        .wait_timeout(ended, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
        true
    }
}

/// Whether there was a moment at which no place had work. A place says how much ever came in, where it has none.
///
/// One look at each in turn is not enough: work may be handed over from a place that comes later to one that was looked at. So
/// there are two looks, which agree only where nothing came in anywhere in between; in that time all were empty.
pub(crate) fn nothing_left<Places>(places: impl Fn() -> Places) -> bool
where
    Places: Iterator<Item = Option<u64>>,
{
    let look = || places().collect::<Option<Vec<u64>>>();
    let first = look();
    first.is_some() && first == look()
}

/// Waits for the announcement that a reactor is about to shut down. From [`Handle::shutdown_requested`](crate::Handle::shutdown_requested).
#[must_use = "a future does nothing unless it is awaited"]
pub(crate) struct ShutdownRequested {
    lifecycle: Arc<Lifecycle>,
    place: Option<usize>,
}

impl ShutdownRequested {
    pub(crate) fn new(lifecycle: Arc<Lifecycle>) -> Self {
        Self {
            lifecycle,
            place: None,
        }
    }
}

impl Future for ShutdownRequested {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.lifecycle.is_announced() {
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        let mut waiters = self.lifecycle.waiters.lock();
        let (place, replaced) = match self.place {
            Some(place) => (place, waiters[place].replace(waker)),
            None => (waiters.insert(Some(waker)), None),
        };
        drop(waiters);
        drop(replaced);
        self.place = Some(place);
        // The look after the put: an announcement in between may have found no waker here.
        if self.lifecycle.is_announced() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Drop for ShutdownRequested {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            if !self.lifecycle.process.is_current() {
                // A thread that is not there may hold the lock.
                return;
            }
            let waker = self.lifecycle.waiters.lock().remove(place);
            drop(waker);
        }
    }
}

/// A reactor that did not shut down whole: these shards were still inside a task's poll a second after the deadline.
///
/// Their threads were detached. Their tasks' futures are leaked, and the tasks' handles end with an error.
#[derive(Debug, Clone)]
pub struct ShutdownError {
    stuck: Vec<ShardId>,
}

impl ShutdownError {
    pub(crate) fn new(stuck: Vec<ShardId>) -> Self {
        Self { stuck }
    }

    /// The shards that did not stop.
    pub fn stuck_shards(&self) -> &[ShardId] {
        &self.stuck
    }
}

impl fmt::Display for ShutdownError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.stuck.iter().map(ToString::to_string).collect();
        write!(
            f,
            "shard {} did not stop: a task there has not returned from its poll; move blocking work to a thread of its own",
            names.join(", ")
        )
    }
}

impl std::error::Error for ShutdownError {}

impl From<ShutdownError> for std::io::Error {
    fn from(error: ShutdownError) -> Self {
        Self::new(std::io::ErrorKind::TimedOut, error)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::iter;

    use super::nothing_left;

    /// Two places, one piece of work, and who takes it where: after so many looks at a place it is in another one.
    fn looked_at(hops: &[usize]) -> bool {
        let looks = Cell::new(0);
        let look_at = |place: usize| {
            // It came in at place 1 in the beginning, and at the other with each hop.
            let hopped = hops.iter().filter(|after| **after <= looks.get()).count();
            looks.set(looks.get() + 1);
            let came_in = if place == 1 {
                1 + hopped / 2
            } else {
                hopped.div_ceil(2)
            };
            let has_it = (hopped % 2 == 0) == (place == 1);
            (!has_it).then_some(came_in as u64)
        };
        nothing_left(|| {
            let first = iter::once_with(|| look_at(0));
            first.chain(iter::once_with(|| look_at(1)))
        })
    }

    #[test]
    fn work_that_is_handed_over_between_the_looks_is_not_overlooked() {
        // From the second place to the first, which was empty when it was looked at, and so was then the second.
        assert!(!looked_at(&[1]));
        // And back, so that both are empty whenever they are looked at.
        assert!(!looked_at(&[1, 2, 3]));
        assert!(!looked_at(&[]));
    }

    #[test]
    fn nothing_is_left_where_nothing_comes_in() {
        assert!(nothing_left(|| [Some(3), Some(0)].into_iter()));
        assert!(!nothing_left(|| [Some(3), None].into_iter()));
    }
}

#[cfg(all(test, target_os = "linux"))]
mod fork_tests {
    #![expect(unsafe_code, reason = "fork(2)")]

    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Waker};

    use super::{Lifecycle, ShutdownRequested};

    #[test]
    fn a_forked_child_that_drops_a_wait_takes_no_lock() {
        let lifecycle = Arc::new(Lifecycle::new());
        let mut wait = ShutdownRequested::new(Arc::clone(&lifecycle));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(pin!(&mut wait).poll(&mut cx).is_pending());
        // As another thread may, which the child has not.
        let held = lifecycle.waiters.lock();
        // SAFETY: the child drops the wait, which is what is tested, and leaves with _exit.
        let child = unsafe { libc::fork() };
        assert!(child >= 0);
        if child == 0 {
            // SAFETY: a drop that hangs ends by this signal, in ten seconds.
            unsafe { libc::alarm(10) };
            drop(wait);
            // SAFETY: ends the child without running anything of the parent's.
            unsafe { libc::_exit(0) };
        }
        drop(held);
        let mut status = 0;
        // SAFETY: waits for the child made above; `status` is alive for the call.
        let ended = unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!(ended, child);
        assert!(libc::WIFEXITED(status), "status {status}");
        drop(wait);
        assert!(lifecycle.waiters.lock().is_empty());
    }
}
