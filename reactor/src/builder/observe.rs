//! The settings that make more of a reactor visible: hooks around tasks, the times of tasks,
//! histograms, and backtraces of stalls. All are off by default.

use std::sync::Arc;

#[cfg(doc)]
use crate::Stall;
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
    /// Each poll then costs a reading of the clock and a lock of its shard, and each task about 100
    /// bytes. Tasks have ids, names and states without it.
    pub fn task_tracking(mut self, enabled: bool) -> Self {
        self.settings.task_tracking = enabled;
        self
    }

    /// Records histograms for each shard: the durations of polls, the times from wake to poll, the
    /// times in `epoll_wait`, and the events per call. See
    /// [`ShardMetrics::poll_time`](crate::ShardMetrics::poll_time) and the next three. Default:
    /// false.
    ///
    /// Each poll then costs a reading of the clock, the same one as for
    /// [`task_tracking`](Self::task_tracking). The time from wake to poll begins with
    /// the poll or the batch of events that woke the task. If another thread woke it, the time
    /// begins with the first message that the shard had not received by then. The times that a
    /// task waited before it was stolen do not count.
    pub fn histograms(mut self, enabled: bool) -> Self {
        self.settings.histograms = enabled;
        self
    }

    /// Adds a backtrace of the stuck thread to the reports of
    /// [`detect_stalls`](Self::detect_stalls): see [`Stall::backtrace`]. Default: false.
    ///
    /// It costs nothing until a poll stalls. Then the detector's thread sends a signal to the stuck
    /// thread, whose handler copies up to 128 KiB of the stack in some 20 microseconds. The handler
    /// calls no function of the program or of an allocator, so it may interrupt the thread
    /// anywhere. Frame pointers are not needed.
    ///
    /// The signal has two effects on the program:
    ///
    /// - The handler stays installed for one real-time signal until the process ends. The builder
    ///   takes the highest free one but the last, or that of [`stall_signal`](Self::stall_signal).
    ///   It replaces no handler. If the program installs its own later, backtraces end.
    /// - A system call of the stuck poll may end with `EINTR`. Calls that can go on after a signal
    ///   do so (`SA_RESTART`); sleeps, `poll` and `epoll_wait` cannot, and the standard library
    ///   repeats its own.
    ///
    /// There is no backtrace if the thread blocks the signal, or is in a system call that no signal
    /// interrupts. The report then comes up to 250 milliseconds later. There is none either if the
    /// poll has ended meanwhile. If the stack is deeper than the copy, the oldest frames are
    /// missing.
    ///
    /// # Errors
    ///
    /// [`build`](Self::build) returns an error if no signal is free, or on a system that is not
    /// Linux on x86-64 or ARM.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let reactor = reactor::Reactor::builder()
    ///     .detect_stalls(Duration::from_millis(100))
    ///     .stall_backtraces(true)
    ///     .on_stall(|stall| {
    ///         eprintln!("{stall}");
    ///         if let Some(backtrace) = stall.backtrace() {
    ///             eprint!("{backtrace}");
    ///         }
    ///     })
    ///     .build()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[cfg(feature = "stall-backtrace")]
    #[cfg_attr(docsrs, doc(cfg(feature = "stall-backtrace")))]
    pub fn stall_backtraces(mut self, enabled: bool) -> Self {
        self.stalls.backtraces = enabled;
        self
    }

    /// Sets the real-time signal of [`stall_backtraces`](Self::stall_backtraces), from `SIGRTMIN`
    /// to `SIGRTMAX`. Default: a free one.
    ///
    /// # Errors
    ///
    /// [`build`](Self::build) returns an error if the program has a handler for it.
    #[cfg(feature = "stall-backtrace")]
    #[cfg_attr(docsrs, doc(cfg(feature = "stall-backtrace")))]
    pub fn stall_signal(mut self, signal: i32) -> Self {
        self.stalls.signal = Some(signal);
        self
    }
}
