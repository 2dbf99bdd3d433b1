//! [`Runnable`]: the permission to run a task once.

#![expect(
    unsafe_code,
    reason = "only the task's home may poll a future that is not `Send`"
)]

use std::marker::PhantomData;
use std::task::Context;

use crate::hooks::PanicPlace;
use crate::task::error::JoinError;
use crate::task::header::{Polled, Schedule, TaskRef};
use crate::task::state::{Paused, Start};
use crate::task::waker;

/// Proof that the calling thread is the home of a scheduler: it cannot leave the thread.
#[derive(Debug)]
pub(crate) struct AtHome<'a, S> {
    scheduler: &'a S,
    _thread: PhantomData<*const ()>,
}

impl<'a, S: Schedule> AtHome<'a, S> {
    /// # Panics
    ///
    /// Panics on any other thread.
    #[inline]
    pub(crate) fn new(scheduler: &'a S) -> Self {
        assert!(scheduler.is_home(), "a shard runs on its own thread");
        Self {
            scheduler,
            _thread: PhantomData,
        }
    }
}

/// A task to be run once. Queues hold these. The state word ensures that at most one exists per
/// task.
#[derive(Debug)]
pub(crate) struct Runnable<S: Schedule>(pub(super) TaskRef<S>);

impl<S: Schedule> Runnable<S> {
    pub(crate) fn task(&self) -> &TaskRef<S> {
        &self.0
    }

    /// Makes another shard the task's home. The task is mobile.
    pub(crate) fn set_home(&self, home: u16) {
        debug_assert!(self.0.is_mobile(), "a pinned task stays on its shard");
        self.0.header().state.set_home(home);
    }

    /// Ends the task with an error.
    ///
    /// # Safety
    ///
    /// As for the vtable's `poll`.
    #[cold]
    unsafe fn fail(&self, error: JoinError) -> Polled {
        // SAFETY: by the demand.
        unsafe { (self.0.header().vtable.fail)(self.0.header, error) }
    }

    /// Polls the task, or ends it if it was cancelled. Returns it if it has to be queued again.
    ///
    /// # Panics
    ///
    /// Panics if the task is pinned and this is not its home.
    #[inline(never)]
    pub(crate) fn run(self) -> Option<Self> {
        let header = self.0.header();
        // The soundness of `!Send` futures rests on this.
        assert!(
            header.state.is_mobile() || header.scheduler.is_home(),
            "a pinned task runs on its own shard"
        );
        let mut again = None;
        // SAFETY: asserted above.
        unsafe { self.run_here(|task| again = Some(task)) };
        again
    }

    /// Like `run`, for the loop of a shard. The usual case is one comparison. A task that has to be
    /// queued again is passed to `again`.
    ///
    /// # Panics
    ///
    /// Panics if the task is pinned and this is not its home.
    #[inline(always)]
    pub(crate) fn run_at(self, here: &AtHome<'_, S>, again: impl FnOnce(Self)) {
        if self.0.scheduler().shares_home(here.scheduler) {
            // SAFETY: `here` proves that this thread is the task's home.
            unsafe { self.run_here(again) };
        } else if let Some(task) = self.run() {
            again(task);
        }
    }

    /// Polls the task, or ends it if it was cancelled. Passes it to `again` if it has to be queued
    /// again.
    ///
    /// # Safety
    ///
    /// 1. The task is mobile, or this is its home.
    #[inline(always)]
    unsafe fn run_here(self, again: impl FnOnce(Self)) {
        let header = self.0.header();
        let polled = match header.state.start() {
            Start::Completed => return,
            Start::Poll => {
                let waker = waker::borrowed(&self.0);
                let mut cx = Context::from_waker(&waker);
                let vtable = header.vtable;
                // SAFETY: (1) by this function's demand, (2) `start` made the state RUNNING.
                let poll = || unsafe { (vtable.poll)(self.0.header, &mut cx) };
                match header.guarded(PanicPlace::Poll, poll) {
                    Ok(polled) => polled,
                    // SAFETY: as above.
                    Err(payload) => unsafe { self.fail(JoinError::panicked(self.0.id(), payload)) },
                }
            }
            // SAFETY: as above.
            Start::Cancel => unsafe { self.fail(self.0.reason_to_end()) },
        };
        if polled == Polled::Done {
            self.0.finish();
            return;
        }
        match header.state.pause() {
            // `pause` released the reference, in the same instruction.
            Paused::Idle => std::mem::forget(self),
            Paused::Requeue => again(self),
        }
    }
}
