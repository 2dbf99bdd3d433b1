//! The arguments of a [`Builder`](crate::Builder)'s hooks, and their calls. A panic of a hook does
//! no harm.

use std::any::Any;
use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use crate::panics::{caught, message};
use crate::shard::ShardId;
use crate::task::TaskMeta;

/// A hook that is called with each panic of a task.
pub(crate) type PanicHook = Arc<dyn Fn(&TaskPanic<'_>) + Send + Sync>;

/// A hook that a shard calls with a function that polls one task.
pub(crate) type PollHook = Arc<dyn Fn(&mut dyn FnMut() -> bool) + Send + Sync>;

/// A hook that is called with a task at a point of its life.
pub(crate) type TaskHook = Arc<dyn Fn(&TaskMeta) + Send + Sync>;

/// A hook that is called on a shard thread, with its shard.
pub(crate) type ThreadHook = Arc<dyn Fn(ShardId) + Send + Sync>;

/// The names of a reactor's threads.
#[derive(Clone)]
pub(crate) enum ThreadName {
    /// Followed by the thread's index or purpose.
    Fixed(String),
    /// Called for each name.
    Made(Arc<dyn Fn() -> String + Send + Sync>),
}

impl ThreadName {
    /// Returns the name of one thread.
    pub(crate) fn with(&self, suffix: impl fmt::Display) -> String {
        match self {
            Self::Fixed(name) => format!("{name}-{suffix}"),
            // The system takes no name with a NUL character.
            Self::Made(make) => make().replace('\0', ""),
        }
    }
}

impl From<&str> for ThreadName {
    fn from(name: &str) -> Self {
        Self::Fixed(name.to_owned())
    }
}

impl fmt::Debug for ThreadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(name) => name.fmt(f),
            Self::Made(_) => f.write_str("made by a function"),
        }
    }
}

/// The hooks that are called while a reactor runs.
#[derive(Clone, Default)]
pub(crate) struct Hooks {
    pub(crate) poll_tasks: Option<PollHook>,
    pub(crate) on_task_panic: Option<PanicHook>,
    pub(crate) on_thread_park: Option<ThreadHook>,
    pub(crate) on_thread_unpark: Option<ThreadHook>,
    pub(crate) on_task_spawn: Option<TaskHook>,
    pub(crate) on_before_task_poll: Option<TaskHook>,
    pub(crate) on_after_task_poll: Option<TaskHook>,
    pub(crate) on_task_terminate: Option<TaskHook>,
    pub(crate) unhandled_panic: UnhandledPanic,
}

/// The effect of a panic that no handle reports: the task's handle was dropped, or the drop of its
/// output panicked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnhandledPanic {
    /// The panic is counted in the metrics and passed to the hook, like every panic.
    #[default]
    Ignore,
    /// A line on standard error also names the task.
    Log,
    /// The process is aborted after such a line.
    Abort,
}

impl Hooks {
    /// Returns true if a hook is called before or after a sleep.
    pub(crate) fn has_park_hook(&self) -> bool {
        self.on_thread_park.is_some() || self.on_thread_unpark.is_some()
    }

    pub(crate) fn has_poll_hooks(&self) -> bool {
        self.on_before_task_poll.is_some() || self.on_after_task_poll.is_some()
    }

    #[cold]
    pub(crate) fn task_panicked(&self, panic: &TaskPanic<'_>) {
        if let Some(hook) = &self.on_task_panic {
            caught(|| hook(panic));
        }
    }

    /// Deals with a panic that no handle reports.
    #[cold]
    pub(crate) fn panic_unhandled(&self, panic: &TaskPanic<'_>) {
        if self.unhandled_panic == UnhandledPanic::Ignore {
            return;
        }
        // Standard error may be closed. That is no reason to panic.
        // One write, so that the output of other threads does not divide the line.
        let _ = io::stderr().write_all(format!("unhandled: {panic}\n").as_bytes());
        if self.unhandled_panic == UnhandledPanic::Abort {
            std::process::abort();
        }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("poll_tasks", &self.poll_tasks.is_some())
            .field("on_task_panic", &self.on_task_panic.is_some())
            .field("on_thread_park", &self.on_thread_park.is_some())
            .field("on_thread_unpark", &self.on_thread_unpark.is_some())
            .field("on_task_spawn", &self.on_task_spawn.is_some())
            .field("on_before_task_poll", &self.on_before_task_poll.is_some())
            .field("on_after_task_poll", &self.on_after_task_poll.is_some())
            .field("on_task_terminate", &self.on_task_terminate.is_some())
            .finish()
    }
}

/// The part of a task that panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PanicPlace {
    /// A poll of its future, or the closure of a blocking job. Its handle returns the panic as an
    /// error.
    Poll,
    /// The drop of its future. Its handle returns the panic as an error, unless a poll panicked
    /// before.
    ///
    /// A panic in a poll drops the future while it unwinds. A panic of that drop is reported first.
    FutureDrop,
    /// The drop of its output, which no handle took. Only the hook reports this panic.
    OutputDrop,
}

/// A panic of a task, as passed to [`Builder::on_task_panic`](crate::Builder::on_task_panic).
pub struct TaskPanic<'a> {
    pub(crate) task: TaskMeta,
    pub(crate) place: PanicPlace,
    pub(crate) payload: &'a (dyn Any + Send),
}

impl TaskPanic<'_> {
    /// Returns the description of the task that panicked.
    pub fn task(&self) -> &TaskMeta {
        &self.task
    }

    /// Returns the part of the task that panicked.
    pub fn place(&self) -> PanicPlace {
        self.place
    }

    /// Returns the panic's message, if it has one: the text of `panic!`.
    pub fn message(&self) -> Option<&str> {
        message(self.payload)
    }

    /// Returns the panic's payload.
    pub fn payload(&self) -> &(dyn Any + Send) {
        self.payload
    }
}

impl fmt::Display for TaskPanic<'_> {
    /// Writes one line, for example:
    ///
    /// ```text
    /// task 4711 of app::serve::{{closure}}, spawned at src/main.rs:12:9, on shard 3, panicked: no
    /// such row
    /// ```
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, panicked", self.task)?;
        match self.place {
            PanicPlace::Poll => {}
            PanicPlace::FutureDrop => f.write_str(" in the drop of its future")?,
            PanicPlace::OutputDrop => f.write_str(" in the drop of its output")?,
        }
        match self.message() {
            Some(message) => write!(f, ": {message}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for TaskPanic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskPanic")
            .field("task", &self.task)
            .field("place", &self.place)
            .field("message", &self.message())
            .finish_non_exhaustive()
    }
}
