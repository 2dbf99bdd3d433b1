//! The three ways a future becomes a task, each with the reason why it may cross to the shard that runs it.

#![expect(
    unsafe_code,
    reason = "a future that is not Send is given a task that is"
)]

use std::pin::Pin;
use std::task::{Context, Poll};

use crate::task::cell::allocate;
use crate::task::header::{NewTask, Runnable, Schedule, TaskRef};
use crate::task::site::SpawnSite;

/// Both halves of a new task: what waits for it, and what its shard has to queue. Where the shard refused it, there is nothing to
/// queue, and the join half ends with an error at once.
pub(crate) struct Spawned<S: Schedule> {
    pub(crate) join: TaskRef<S>,
    pub(crate) first_run: Option<Runnable<S>>,
}

/// A future that may run anywhere.
pub(crate) fn spawn_send<F, S>(future: F, scheduler: S, at: SpawnSite) -> Spawned<S>
where
    F: Future<Output: Send> + Send + 'static,
    S: Schedule,
{
    // SAFETY: the future is Send.
    unsafe { spawn::<F, F, S>(future, scheduler, at) }
}

/// A future that may run anywhere, called after the closure in it.
pub(crate) fn spawn_job<Closure, F, S>(job: F, scheduler: S, at: SpawnSite) -> Spawned<S>
where
    F: Future<Output: Send> + Send + 'static,
    S: Schedule,
{
    // SAFETY: the future is Send.
    unsafe { spawn::<Closure, F, S>(job, scheduler, at) }
}

/// A future that stays on the calling thread, which is the scheduler's home.
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
    unsafe { spawn::<F, F, S>(future, scheduler, at) }
}

/// A future that is made, polled and dropped on the scheduler's home, by a closure that may travel there.
pub(crate) fn spawn_made<M, F, S>(make: M, scheduler: S, at: SpawnSite) -> Spawned<S>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future<Output: Send> + 'static,
    S: Schedule,
{
    // SAFETY: until its first poll, which is at home, `Made` holds the closure alone, and that is Send.
    unsafe { spawn::<F, _, S>(Made::Closure(Some(make)), scheduler, at) }
}

/// # Safety
///
/// As for `allocate`.
unsafe fn spawn<Name, F, S>(future: F, scheduler: S, at: SpawnSite) -> Spawned<S>
where
    F: Future + 'static,
    S: Schedule,
{
    // SAFETY: by the demand.
    let NewTask {
        live,
        first_run,
        join,
    } = unsafe { allocate::<Name, F, S>(future, scheduler, at) };
    match join.scheduler().adopt(live) {
        Ok(()) => Spawned {
            join,
            first_run: Some(first_run),
        },
        Err(refused) => {
            // SAFETY: it was allocated above and given to nobody.
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
        // SAFETY: the closure is moved out and was never pinned; the future is written in place once and not moved after.
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
