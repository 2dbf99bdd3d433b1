//! [`AbortOnDropHandle`].

use std::pin::Pin;
use std::task::{Context, Poll};

use crate::task::{AbortHandle, JoinError, JoinHandle, TaskId};

/// A [`JoinHandle`] that aborts its task when it is dropped. Same as the type of this name in
/// `tokio-util`.
///
/// # Cancel safety
///
/// Dropping it aborts the task. Awaiting `&mut handle` and dropping that wait does not.
///
/// # Examples
///
/// ```
/// let reactor = reactor::Reactor::builder().shards(1).build()?;
/// let task = reactor::AbortOnDropHandle::new(reactor.spawn(async { 1 + 1 }));
/// assert_eq!(reactor.block_on(task)?, 2);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping the handle aborts the task at once"]
pub struct AbortOnDropHandle<T>(Option<JoinHandle<T>>);

impl<T> AbortOnDropHandle<T> {
    /// Wraps a handle.
    pub fn new(handle: JoinHandle<T>) -> Self {
        Self(Some(handle))
    }

    /// Returns the handle. The task continues when that handle is dropped.
    pub fn detach(mut self) -> JoinHandle<T> {
        self.0.take().expect(TAKEN_BY_DETACH)
    }

    /// Requests the end of the task. See [`JoinHandle::abort`].
    pub fn abort(&self) {
        self.handle().abort();
    }

    /// Returns a handle that can only abort the task. See [`JoinHandle::abort_handle`].
    pub fn abort_handle(&self) -> AbortHandle {
        self.handle().abort_handle()
    }

    /// Returns true if the task has ended. See [`JoinHandle::is_finished`].
    pub fn is_finished(&self) -> bool {
        self.handle().is_finished()
    }

    /// Returns the task's id.
    pub fn id(&self) -> TaskId {
        self.handle().id()
    }

    fn handle(&self) -> &JoinHandle<T> {
        self.0.as_ref().expect(TAKEN_BY_DETACH)
    }
}

const TAKEN_BY_DETACH: &str = "only `detach`, which consumes this, takes the handle out";

impl<T> Drop for AbortOnDropHandle<T> {
    fn drop(&mut self) {
        if let Some(handle) = &self.0 {
            handle.abort();
        }
    }
}

impl<T> Future for AbortOnDropHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(self.0.as_mut().expect(TAKEN_BY_DETACH)).poll(cx)
    }
}
