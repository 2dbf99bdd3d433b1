//! The shutdown of a reactor: the announcement, the wait for its tasks, and the error that names
//! stuck shards.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use slab::Slab;

use crate::error::forked;
use crate::panics::caught;
use crate::shard::ShardId;
use crate::sync::{AtomicBool, Ordering};
use crate::sys::Process;
use crate::task::TaskMeta;

/// The state shared by the shards, their users and the thread that shuts a reactor down.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    /// The process that made the reactor.
    process: Process,
    /// Set once. A shard reads it when its last task ends.
    announced: AtomicBool,
    /// The wakers of the tasks that await the announcement.
    waiters: Mutex<Slab<Option<Waker>>>,
    /// The number of shard threads that have ended. The condition variable also signals that a
    /// shard has no task left, or the pool no blocking job.
    progress: Mutex<usize>,
    changed: Condvar,
}

impl Lifecycle {
    pub(crate) fn new() -> Self {
        Self {
            process: Process::current(),
            announced: AtomicBool::new(false),
            waiters: Mutex::default(),
            progress: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    pub(crate) fn is_announced(&self) -> bool {
        // ORDERING [announced-look], partner [announce].
        self.announced.load(Ordering::Acquire)
    }

    /// Announces to all waiters that the reactor is about to shut down.
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
            // A waker that panics is its owner's bug. It must not keep the other waiters asleep.
            caught(|| waker.wake());
        }
    }

    /// Records that the last task of a shard, or the last blocking job, ended. This is called often
    /// while the reactor lives, so it only reads a flag then.
    pub(crate) fn is_idle(&self) {
        if self.is_announced() {
            // The lock orders this after a waiter's check of the tasks: the waiter either sleeps
            // already or sees that they are gone.
            drop(self.progress.lock());
            self.changed.notify_all();
        }
    }

    /// Records that a shard thread is about to return.
    pub(crate) fn shard_has_ended(&self) {
        *self.progress.lock() += 1;
        self.changed.notify_all();
    }

    /// Waits until `done` returns true for the number of ended shards, or until the deadline;
    /// `None` means no deadline. Returns true if `done` did.
    pub(crate) fn wait_until(
        &self,
        deadline: Option<Instant>,
        done: impl Fn(usize) -> bool,
    ) -> bool {
        let mut ended = self.progress.lock();
        let waits = |ended: &mut usize| !done(*ended);
        match deadline {
            None => self.changed.wait_while(&mut ended, waits),
            Some(deadline) => {
                self.changed.wait_while_until(&mut ended, waits, deadline);
            }
        }
        done(*ended)
    }
}

/// Returns true if there was a moment at which no queue had work. An idle queue returns the number
/// of work items it ever received, and a busy queue returns `None`.
///
/// One pass over the queues is not enough: a queue that is checked later may hand work to one that
/// was checked before. So there are two passes. They agree only if no queue received work in
/// between, and then all queues were empty at the same time.
pub(crate) fn nothing_left<Queues>(queues: impl Fn() -> Queues) -> bool
where
    Queues: Iterator<Item = Option<u64>>,
{
    let pass = || queues().collect::<Option<Vec<u64>>>();
    let first = pass();
    first.is_some() && first == pass()
}

/// A future that waits for the announcement of the shutdown, from
/// [`Handle::shutdown_requested`](crate::Handle::shutdown_requested).
#[must_use = "a future does nothing unless it is awaited"]
pub(crate) struct ShutdownRequested {
    lifecycle: Arc<Lifecycle>,
    key: Option<usize>,
}

impl ShutdownRequested {
    pub(crate) fn new(lifecycle: Arc<Lifecycle>) -> Self {
        Self {
            lifecycle,
            key: None,
        }
    }
}

impl Future for ShutdownRequested {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.lifecycle.is_announced() {
            return Poll::Ready(());
        }
        if !self.lifecycle.process.is_current() {
            forked();
        }
        let waker = cx.waker().clone();
        let mut waiters = self.lifecycle.waiters.lock();
        let (key, replaced) = match self.key {
            Some(key) => (key, waiters[key].replace(waker)),
            None => (waiters.insert(Some(waker)), None),
        };
        drop(waiters);
        drop(replaced);
        self.key = Some(key);
        // This check follows the insertion: an announcement in between may have found no waker
        // here.
        if self.lifecycle.is_announced() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Drop for ShutdownRequested {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            if !self.lifecycle.process.is_current() {
                // A thread that does not exist in this process may hold the lock.
                return;
            }
            let waker = self.lifecycle.waiters.lock().remove(key);
            drop(waker);
        }
    }
}

/// The outcome of a [`Reactor::shutdown`](crate::Reactor::shutdown) in which every shard stopped.
#[derive(Debug, Clone, Default)]
pub struct ShutdownReport {
    cut_off: Vec<TaskMeta>,
}

impl ShutdownReport {
    pub(crate) fn new(cut_off: Vec<TaskMeta>) -> Self {
        Self { cut_off }
    }

    /// Returns the tasks that had not ended by the deadline. Their futures were dropped.
    pub fn cut_off(&self) -> &[TaskMeta] {
        &self.cut_off
    }
}

impl fmt::Display for ShutdownReport {
    /// Writes the number of tasks that were cut off, and the first of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cut_off[..] {
            [] => f.write_str("every task ended in time"),
            [task] => write!(f, "1 task was cut off: {task}"),
            [first, ..] => write!(
                f,
                "{} tasks were cut off, among them {first}",
                self.cut_off.len()
            ),
        }
    }
}

/// The error returned when a shutdown deadline passes with shards still busy: one second after the
/// deadline, they were still inside a task's poll.
///
/// Their threads were detached. Their tasks' futures are leaked, and the tasks' handles return an
/// error.
#[derive(Debug, Clone)]
pub struct ShutdownError {
    stuck: Vec<ShardId>,
}

impl ShutdownError {
    pub(crate) fn new(stuck: Vec<ShardId>) -> Self {
        Self { stuck }
    }

    /// Returns the shards that did not stop.
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
    use std::sync::{Arc, mpsc};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::{Lifecycle, nothing_left};

    #[test]
    fn an_end_between_the_check_and_the_wait_is_not_missed() {
        let lifecycle = Arc::new(Lifecycle::new());
        lifecycle.announce();
        let checks = Cell::new(0);
        let done = |_| {
            if checks.replace(checks.get() + 1) > 0 {
                return true;
            }
            // The last task ends now. Its notification must not be sent before the wait begins.
            let (told, is_told) = mpsc::channel();
            let theirs = Arc::clone(&lifecycle);
            thread::spawn(move || {
                theirs.is_idle();
                told.send(()).unwrap_or_default();
            });
            let early = is_told.recv_timeout(Duration::from_millis(200));
            assert!(early.is_err(), "notified before any thread waits");
            false
        };
        let limit = Instant::now() + Duration::from_secs(20);
        assert!(lifecycle.wait_until(Some(limit), done));
    }

    #[test]
    fn each_shard_that_ends_is_counted() {
        let lifecycle = Lifecycle::new();
        let ended = |count| lifecycle.wait_until(Some(Instant::now()), |ended| ended == count);
        assert!(ended(0));
        lifecycle.shard_has_ended();
        assert!(ended(1));
        lifecycle.shard_has_ended();
        assert!(ended(2));
    }

    /// Runs `nothing_left` on two queues with one piece of work. The work moves to the other queue
    /// after each number of checks in `hops`.
    fn checked(hops: &[usize]) -> bool {
        let checks = Cell::new(0);
        let check = |queue: usize| {
            // The work arrived in queue 1 in the beginning, and in the other queue with each hop.
            let hopped = hops.iter().filter(|after| **after <= checks.get()).count();
            checks.set(checks.get() + 1);
            let came_in = if queue == 1 {
                1 + hopped / 2
            } else {
                hopped.div_ceil(2)
            };
            let has_it = (hopped % 2 == 0) == (queue == 1);
            (!has_it).then_some(came_in as u64)
        };
        nothing_left(|| {
            let first = iter::once_with(|| check(0));
            first.chain(iter::once_with(|| check(1)))
        })
    }

    #[test]
    fn work_that_is_handed_over_between_the_passes_is_not_overlooked() {
        // The work moves from the second queue to the first after the first was found empty. Then
        // the second is empty too.
        assert!(!checked(&[1]));
        // And back, so that both are empty whenever they are checked.
        assert!(!checked(&[1, 2, 3]));
        assert!(!checked(&[]));
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
        // Another thread may hold this lock, and that thread does not exist in the child.
        let held = lifecycle.waiters.lock();
        // SAFETY: the child drops the wait, which is the tested action, and leaves with _exit.
        let child = unsafe { libc::fork() };
        assert!(child >= 0);
        if child == 0 {
            // SAFETY: a drop that hangs is ended by this signal after ten seconds.
            unsafe { libc::alarm(10) };
            drop(wait);
            // SAFETY: ends the child without running any code of the parent.
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
