//! [`JoinSet`]: tasks that are joined in the order in which they end.
//!
//! Each member has a waker of its own, which queues the member's index, so a wait polls only the
//! members that ended. The queue's lock is held for a push or a pop; no waker is woken, cloned or
//! dropped under it. Tests are in `tests/like_tokio/cases/join_set.rs`.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use slab::Slab;

use crate::handle::{Handle, spawn_local};
use crate::task::{AbortHandle, JoinError, JoinHandle, TaskId};

/// A set of tasks with one output type, whose outputs are taken as the tasks end.
///
/// Dropping the set aborts all tasks in it. Same as tokio's.
///
/// # Examples
///
/// ```
/// let reactor = reactor::Reactor::builder().shards(2).build()?;
/// let mut sum = reactor.block_on(async {
///     let mut set = reactor::JoinSet::new();
///     for n in 1..=10 {
///         set.spawn(async move { n });
///     }
///     let mut sum = 0;
///     while let Some(n) = set.join_next().await {
///         sum += n.expect("no task panicked or was aborted");
///     }
///     sum
/// });
/// assert_eq!(sum, 55);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct JoinSet<T> {
    members: Slab<Member<T>>,
    ended: Arc<Ended>,
}

struct Member<T> {
    task: JoinHandle<T>,
    waker: Waker,
}

/// The members to poll, and the task that waits for one of them.
#[derive(Default)]
struct Ended(Mutex<State>);

#[derive(Default)]
struct State {
    /// Indices of new members and of members that were woken. An index may be stale or in the queue
    /// twice, which costs a poll.
    queue: VecDeque<usize>,
    waiting: Option<Waker>,
}

impl Ended {
    /// std's mutex, unlike `parking_lot`'s, keeps [`JoinSet`] `UnwindSafe`.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The waker of one member.
struct MemberWaker {
    index: usize,
    ended: Arc<Ended>,
}

impl Wake for MemberWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = self.ended.lock();
        state.queue.push_back(self.index);
        let waiting = state.waiting.take();
        drop(state);
        if let Some(waker) = waiting {
            waker.wake();
        }
    }
}

impl<T> JoinSet<T> {
    /// Creates an empty set.
    pub fn new() -> Self {
        Self {
            members: Slab::new(),
            ended: Arc::default(),
        }
    }

    /// Returns the number of tasks whose output was not taken yet.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Returns true if there is no task in the set.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Adds a task that was spawned elsewhere, for instance on a certain shard.
    pub fn insert(&mut self, task: JoinHandle<T>) -> AbortHandle {
        let abort = task.abort_handle();
        let entry = self.members.vacant_entry();
        let index = entry.key();
        let waker = Arc::new(MemberWaker {
            index,
            ended: Arc::clone(&self.ended),
        });
        entry.insert(Member {
            task,
            waker: Waker::from(Arc::clone(&waker)),
        });
        // The first poll of the handle stores the member's waker.
        waker.wake();
        abort
    }

    /// Aborts all tasks. They stay in the set, and their handles give an error.
    pub fn abort_all(&mut self) {
        for (_, member) in &self.members {
            member.task.abort();
        }
    }

    /// Removes all tasks from the set without aborting them.
    pub fn detach_all(&mut self) {
        self.members.clear();
    }

    /// Aborts all tasks and waits until they have ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the wait loses nothing: tasks that have not ended stay in the set.
    pub async fn shutdown(&mut self) {
        self.abort_all();
        while self.join_next().await.is_some() {}
    }

    /// Waits for all tasks, and returns their outputs in the order in which the tasks ended.
    ///
    /// # Panics
    ///
    /// Panics if a task panicked, with that panic, or if one was aborted.
    ///
    /// # Cancel safety
    ///
    /// Dropping the wait drops the set, which aborts its tasks.
    pub async fn join_all(mut self) -> Vec<T> {
        let mut outputs = Vec::with_capacity(self.len());
        while let Some(output) = self.join_next().await {
            match output.map_err(JoinError::try_into_panic) {
                Ok(output) => outputs.push(output),
                Err(Ok(panic)) => std::panic::resume_unwind(panic),
                Err(Err(error)) => panic!("a task of the set did not complete: {error}"),
            }
        }
        outputs
    }

    /// Waits until a task ends, removes it, and returns its output. Returns `None` if the set is
    /// empty.
    ///
    /// # Errors
    ///
    /// The inner result is an error if the task panicked or was aborted, or its reactor shut down.
    ///
    /// # Cancel safety
    ///
    /// Dropping the wait loses nothing: no task is removed.
    pub async fn join_next(&mut self) -> Option<Result<T, JoinError>> {
        poll_fn(|cx| self.poll_join_next(cx)).await
    }

    /// Like [`join_next`](Self::join_next), and also returns the id of the task. An error has the
    /// id too.
    ///
    /// # Errors
    ///
    /// The same as for [`join_next`](Self::join_next).
    ///
    /// # Cancel safety
    ///
    /// Dropping the wait loses nothing: no task is removed.
    pub async fn join_next_with_id(&mut self) -> Option<Result<(TaskId, T), JoinError>> {
        poll_fn(|cx| self.poll_join_next_with_id(cx)).await
    }

    /// Like [`join_next`](Self::join_next), without waiting: `None` also means that no task has
    /// ended.
    ///
    /// # Errors
    ///
    /// The same as for [`join_next`](Self::join_next).
    pub fn try_join_next(&mut self) -> Option<Result<T, JoinError>> {
        self.try_join_next_with_id().map(without_id)
    }

    /// Like [`join_next_with_id`](Self::join_next_with_id), without waiting: `None` also means that
    /// no task has ended.
    ///
    /// # Errors
    ///
    /// The same as for [`join_next`](Self::join_next).
    pub fn try_join_next_with_id(&mut self) -> Option<Result<(TaskId, T), JoinError>> {
        // A member that is queued again meanwhile has no budget left, and another pass would spin.
        let queued = self.ended.lock().queue.len();
        (0..queued).find_map(|_| self.poll_one_ended())
    }

    /// Like [`join_next`](Self::join_next), for code that implements `poll` by hand.
    ///
    /// # Errors
    ///
    /// The same as for [`join_next`](Self::join_next).
    ///
    /// # Wakeups
    ///
    /// If the result is `Pending`, the task of `cx` is woken once a task of the set ends. The
    /// newest waker replaces the previous one.
    pub fn poll_join_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, JoinError>>> {
        self.poll_join_next_with_id(cx)
            .map(|joined| joined.map(without_id))
    }

    /// Like [`join_next_with_id`](Self::join_next_with_id), for code that implements `poll` by
    /// hand.
    ///
    /// # Errors
    ///
    /// The same as for [`join_next`](Self::join_next).
    ///
    /// # Wakeups
    ///
    /// As [`poll_join_next`](Self::poll_join_next).
    pub fn poll_join_next_with_id(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<(TaskId, T), JoinError>>> {
        if self.is_empty() {
            return Poll::Ready(None);
        }
        // Stored before the queue is read: a member that ends in between wakes it.
        let waker = cx.waker().clone();
        let replaced = self.ended.lock().waiting.replace(waker);
        drop(replaced);
        match self.try_join_next_with_id() {
            Some(joined) => Poll::Ready(Some(joined)),
            None => Poll::Pending,
        }
    }

    /// Takes one index from the queue and polls that member. Returns its output if it has ended.
    fn poll_one_ended(&mut self) -> Option<Result<(TaskId, T), JoinError>> {
        let index = self.ended.lock().queue.pop_front()?;
        // The member may be gone, and its index may have gone to another one.
        let member = self.members.get_mut(index)?;
        let mut cx = Context::from_waker(&member.waker);
        let Poll::Ready(output) = Pin::new(&mut member.task).poll(&mut cx) else {
            return None;
        };
        let member = self.members.remove(index);
        Some(output.map(|output| (member.task.id(), output)))
    }
}

impl<T: Send + 'static> JoinSet<T> {
    /// Spawns a task on the current reactor and adds it. See [`spawn`](crate::spawn).
    ///
    /// # Panics
    ///
    /// Panics if there is no current reactor, and in a forked child.
    #[track_caller]
    pub fn spawn<F>(&mut self, task: F) -> AbortHandle
    where
        F: Future<Output = T> + Send + 'static,
    {
        self.insert(Handle::current().spawn(task))
    }

    /// Spawns a task on a reactor and adds it. See [`Handle::spawn`].
    ///
    /// # Panics
    ///
    /// Panics in a forked child.
    #[track_caller]
    pub fn spawn_on<F>(&mut self, task: F, handle: &Handle) -> AbortHandle
    where
        F: Future<Output = T> + Send + 'static,
    {
        self.insert(handle.spawn(task))
    }

    /// Runs a closure that may block, on a blocking thread of the current reactor, and adds its
    /// job. See [`spawn_blocking`](crate::spawn_blocking).
    ///
    /// # Panics
    ///
    /// Panics if there is no current reactor, and in a forked child.
    #[track_caller]
    pub fn spawn_blocking<F>(&mut self, f: F) -> AbortHandle
    where
        F: FnOnce() -> T + Send + 'static,
    {
        self.insert(Handle::current().spawn_blocking(f))
    }

    /// Runs a closure that may block, on a blocking thread of a reactor, and adds its job. See
    /// [`Handle::spawn_blocking`].
    ///
    /// # Panics
    ///
    /// Panics in a forked child.
    #[track_caller]
    pub fn spawn_blocking_on<F>(&mut self, f: F, handle: &Handle) -> AbortHandle
    where
        F: FnOnce() -> T + Send + 'static,
    {
        self.insert(handle.spawn_blocking(f))
    }
}

impl<T: 'static> JoinSet<T> {
    /// Spawns a task that need not be `Send` on the current shard and adds it. See
    /// [`spawn_local`].
    ///
    /// # Panics
    ///
    /// Panics on a thread that is not a shard.
    #[track_caller]
    pub fn spawn_local<F>(&mut self, task: F) -> AbortHandle
    where
        F: Future<Output = T> + 'static,
    {
        self.insert(spawn_local(task))
    }
}

fn without_id<T>(joined: Result<(TaskId, T), JoinError>) -> Result<T, JoinError> {
    joined.map(|(_, output)| output)
}

impl<T> Drop for JoinSet<T> {
    fn drop(&mut self) {
        self.abort_all();
    }
}

impl<T> Default for JoinSet<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Spawns each future on the current reactor.
impl<T, F> FromIterator<F> for JoinSet<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    fn from_iter<I: IntoIterator<Item = F>>(futures: I) -> Self {
        let mut set = Self::new();
        for future in futures {
            set.spawn(future);
        }
        set
    }
}

impl<T> fmt::Debug for JoinSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinSet").field("len", &self.len()).finish()
    }
}
