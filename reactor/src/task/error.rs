//! [`JoinError`]: the reason that a task has no output.
//!
//! Made by the shard that ends a task, and by the blocking pool; returned by the task's join
//! handle. Tests are in `tests/tasks.rs`, `tests/panics.rs` and `tests/blocking.rs`.

#![expect(
    unsafe_code,
    reason = "a panic's payload is only inspected when shared"
)]

use std::any::Any;
use std::fmt;
use std::io;
use std::sync::Arc;

use crate::panics::{Payload, message};
use crate::task::meta::TaskId;

/// The reason that a task has no output.
pub struct JoinError {
    task: TaskId,
    cause: Cause,
}

enum Cause {
    Cancelled,
    Shutdown,
    NoThread(Arc<io::Error>),
    Panicked(Panic),
}

/// A payload that is moved out whole, or inspected for its message.
struct Panic(Payload);

// SAFETY: through a shared reference, the payload is only tested for `&'static str` and `String`
// and read as such. Both types are Sync.
unsafe impl Sync for Panic {}

impl Panic {
    fn message(&self) -> Option<&str> {
        message(&*self.0)
    }
}

impl JoinError {
    pub(crate) fn cancelled(task: TaskId) -> Self {
        Self {
            task,
            cause: Cause::Cancelled,
        }
    }

    pub(crate) fn shutdown(task: TaskId) -> Self {
        Self {
            task,
            cause: Cause::Shutdown,
        }
    }

    /// Creates the error of a `spawn_blocking` job for which no thread could be started.
    pub(crate) fn no_thread(job: TaskId, error: Arc<io::Error>) -> Self {
        Self {
            task: job,
            cause: Cause::NoThread(error),
        }
    }

    pub(crate) fn panicked(task: TaskId, payload: Payload) -> Self {
        Self {
            task,
            cause: Cause::Panicked(Panic(payload)),
        }
    }

    /// Returns the payload of the task's panic, if it panicked. Only the owner of the error may
    /// look at a payload, which need not be `Sync`.
    pub(super) fn payload(&self) -> Option<&(dyn Any + Send)> {
        match &self.cause {
            Cause::Panicked(panic) => Some(&*panic.0),
            _ => None,
        }
    }

    /// Returns true if the task was dropped before it completed: it was aborted, its reactor shut
    /// down, or no thread could be started for a blocking job.
    pub fn is_cancelled(&self) -> bool {
        !self.is_panic()
    }

    /// Returns true if the task was dropped because its reactor shut down.
    pub fn is_shutdown(&self) -> bool {
        matches!(self.cause, Cause::Shutdown)
    }

    /// Returns true if the task panicked, in a poll or in the drop of its future.
    pub fn is_panic(&self) -> bool {
        matches!(self.cause, Cause::Panicked(_))
    }

    /// Returns the payload of the task's panic, for [`std::panic::resume_unwind`].
    ///
    /// # Panics
    ///
    /// Panics if the task did not panic. Check [`is_panic`](Self::is_panic) first, or use
    /// [`try_into_panic`](Self::try_into_panic).
    #[track_caller]
    pub fn into_panic(self) -> Box<dyn Any + Send> {
        self.try_into_panic()
            .expect("into_panic is for the error of a task that panicked")
    }

    /// Returns the payload of the task's panic.
    ///
    /// # Errors
    ///
    /// Returns the error itself if the task did not panic.
    pub fn try_into_panic(self) -> Result<Box<dyn Any + Send>, Self> {
        match self.cause {
            Cause::Panicked(Panic(payload)) => Ok(payload),
            cause => Err(Self { cause, ..self }),
        }
    }

    /// Returns the id of the task that has no output.
    pub fn id(&self) -> TaskId {
        self.task
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Cancelled => f.write_str("the task was aborted"),
            Cause::Shutdown => {
                f.write_str("the task was dropped because its reactor has shut down")
            }
            Cause::NoThread(error) => {
                write!(
                    f,
                    "the job was dropped because no thread could be started for it: {error}"
                )
            }
            Cause::Panicked(panic) => match panic.message() {
                Some(message) => write!(f, "the task panicked: {message}"),
                None => f.write_str("the task panicked"),
            },
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Cancelled => f.write_str("JoinError::Cancelled"),
            Cause::Shutdown => f.write_str("JoinError::Shutdown"),
            Cause::NoThread(error) => f.debug_tuple("JoinError::NoThread").field(error).finish(),
            Cause::Panicked(panic) => f
                .debug_tuple("JoinError::Panic")
                .field(&panic.message())
                .finish(),
        }
    }
}

impl std::error::Error for JoinError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.cause {
            Cause::NoThread(error) => Some(&**error),
            _ => None,
        }
    }
}

impl From<JoinError> for io::Error {
    fn from(error: JoinError) -> Self {
        Self::other(error)
    }
}
