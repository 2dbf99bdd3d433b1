//! The settings that make more of a reactor visible: hooks around tasks, the times of tasks, and
//! histograms. All are off by default.

use std::sync::Arc;

use crate::builder::Builder;
#[cfg(doc)]
use crate::handle::Handle;
use crate::hooks::UnhandledPanic;
use crate::task::TaskMeta;

impl Builder {
    /// Sets a hook that is called with each task that is spawned, on the thread that spawns it.
    /// Blocking jobs are not reported. Default: none.
    ///
    /// A panic of this hook, or of one of the next three, is caught. As tokio's hook of the same
    /// name.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, ids) = std::sync::mpsc::channel();
    /// let reactor = reactor::Reactor::builder()
    ///     .shards(1)
    ///     .on_task_spawn(move |task| drop(sender.send(task.id())))
    ///     .build()?;
    /// let task = reactor.spawn(async {});
    /// assert_eq!(ids.recv(), Ok(task.id()));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn on_task_spawn(mut self, hook: impl Fn(&TaskMeta) + Send + Sync + 'static) -> Self {
        self.hooks.on_task_spawn = Some(Arc::new(hook));
        self
    }

    /// Sets a hook that a shard calls before each poll of a task. Default: none.
    pub fn on_before_task_poll(mut self, hook: impl Fn(&TaskMeta) + Send + Sync + 'static) -> Self {
        self.hooks.on_before_task_poll = Some(Arc::new(hook));
        self
    }

    /// Sets a hook that a shard calls after each poll of a task. Default: none.
    pub fn on_after_task_poll(mut self, hook: impl Fn(&TaskMeta) + Send + Sync + 'static) -> Self {
        self.hooks.on_after_task_poll = Some(Arc::new(hook));
        self
    }

    /// Sets a hook that is called with each task that has ended, in any way. It runs on the thread
    /// that dropped the task's future, before the task's handle learns of the end. Default: none.
    pub fn on_task_terminate(mut self, hook: impl Fn(&TaskMeta) + Send + Sync + 'static) -> Self {
        self.hooks.on_task_terminate = Some(Arc::new(hook));
        self
    }

    /// Sets the effect of a panic that no handle reports, because the task's handle was dropped or
    /// the drop of the task's output panicked. Default: [`UnhandledPanic::Ignore`]. As tokio's,
    /// which acts on panics with a handle as well.
    pub fn unhandled_panic(mut self, effect: UnhandledPanic) -> Self {
        self.hooks.unhandled_panic = effect;
        self
    }

    /// Measures the polls of each task, for [`Handle::tasks`]. Default: false.
    ///
    /// Each poll then costs two more readings of the clock and a lock of its shard, and each task
    /// about 100 bytes. Tasks have ids, names and states without it.
    pub fn task_tracking(mut self, enabled: bool) -> Self {
        self.settings.task_tracking = enabled;
        self
    }

    /// Records histograms for each shard: the durations of polls, the times from wake to poll, the
    /// times in `epoll_wait`, and the events per call. See
    /// [`ShardMetrics::poll_time`](crate::ShardMetrics::poll_time) and the next three. Default:
    /// false.
    ///
    /// Each poll then costs one more reading of the clock. The time from wake to poll begins with
    /// the poll or the batch of events that woke the task. If another thread woke it, the time
    /// begins with the first message that the shard had not received by then. The times that a
    /// task waited before it was stolen do not count.
    pub fn histograms(mut self, enabled: bool) -> Self {
        self.settings.histograms = enabled;
        self
    }
}
