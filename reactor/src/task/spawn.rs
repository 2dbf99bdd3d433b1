//! The three ways a future becomes a task, each with the reason that it may move to the shard that
//! runs it.

#![expect(
    unsafe_code,
    reason = "a future that is not Send is given a task that is"
)]

use std::pin::Pin;
use std::task::{Context, Poll};

use crate::task::cell::allocate;
use crate::task::header::{NewTask, Schedule, TaskRef};
use crate::task::runnable::Runnable;
use crate::task::site::SpawnSite;
use crate::task::state::Mobility;

/// Both halves of a new task: the reference that waits for it, and the first run that its shard has
/// to queue. If the shard refused the task, there is no first run, and the join half ends with an
/// error at once.
pub(crate) struct Spawned<S: Schedule> {
    pub(crate) join: TaskRef<S>,
    pub(crate) first_run: Option<Runnable<S>>,
}

/// Spawns a future that may run on any thread.
pub(crate) fn spawn_send<F, S>(future: F, scheduler: S, at: SpawnSite) -> Spawned<S>
where
    F: Future<Output: Send> + Send + 'static,
    S: Schedule,
{
    // SAFETY: the future is Send.
    unsafe { spawn::<F, F, S>(future, scheduler, Mobility::Mobile, at) }
}

/// Spawns a future that may run on any thread, named after the closure in it.
pub(crate) fn spawn_job<Closure, F, S>(job: F, scheduler: S, at: SpawnSite) -> Spawned<S>
where
    F: Future<Output: Send> + Send + 'static,
    S: Schedule,
{
    // SAFETY: the future is Send.
    unsafe { spawn::<Closure, F, S>(job, scheduler, Mobility::Mobile, at) }
}

/// Spawns a future that stays on the calling thread, which is the scheduler's home.
pub(crate) fn spawn_here<F, S>(future: F, scheduler: S, at: SpawnSite) -> Spawned<S>
where
    F: Future + 'static,
    S: Schedule,
{
    assert!(
        scheduler.is_home(),
        "a future that is not Send is spawned on the shard that runs it"
    );
    // SAFETY: asserted above.
    unsafe { spawn::<F, F, S>(future, scheduler, Mobility::Pinned, at) }
}

/// Spawns a future that is made, polled and dropped on the scheduler's home. The closure that makes
/// it is sent there.
pub(crate) fn spawn_made<M, F, S>(make: M, scheduler: S, at: SpawnSite) -> Spawned<S>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future<Output: Send> + 'static,
    S: Schedule,
{
    // SAFETY: until its first poll, which is at home, `Made` holds only the closure, and the
    // closure is Send. The task is pinned.
    unsafe { spawn::<F, _, S>(Made::Closure(Some(make)), scheduler, Mobility::Pinned, at) }
}

/// Allocates a task and adds it to its shard's list of live tasks.
///
/// # Safety
///
/// As for `allocate`.
unsafe fn spawn<Name, F, S>(
    future: F,
    scheduler: S,
    mobility: Mobility,
    at: SpawnSite,
) -> Spawned<S>
where
    F: Future + 'static,
    S: Schedule,
{
    // SAFETY: by this function's demand.
    let NewTask {
        live,
        first_run,
        join,
    } = unsafe { allocate::<Name, F, S>(future, scheduler, mobility, at) };
    match join.scheduler().adopt(live) {
        Ok(()) => Spawned {
            join,
            first_run: Some(first_run),
        },
        Err(refused) => {
            // SAFETY: it was allocated above and given to no one.
            unsafe { refused.refuse() };
            Spawned {
                join,
                first_run: None,
            }
        }
    }
}

/// A future that begins as the closure that makes it.
enum Made<M, F> {
    Closure(Option<M>),
    Future(F),
}

impl<M: FnOnce() -> F, F: Future> Future for Made<M, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: the closure is moved out and was never pinned. The future is written in place
        // once and not moved afterwards.
        let this = unsafe { self.get_unchecked_mut() };
        if let Self::Closure(make) = this {
            let make = make
                .take()
                .expect("a task whose closure panicked is not polled again");
            *this = Self::Future(make());
        }
        match this {
            // SAFETY: structural pinning, as above.
            Self::Future(future) => unsafe { Pin::new_unchecked(future) }.poll(cx),
            Self::Closure(_) => unreachable!("it was replaced above"),
        }
    }
}
