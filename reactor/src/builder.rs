//! [`Builder`]: the settings of a reactor, checked once so that later code can trust them.

mod observe;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::context;
use crate::cpus::Cpus;
use crate::handle::Handle;
use crate::hooks::{Hooks, TaskPanic, ThreadHook, ThreadName};
use crate::placement::{Pinning, Placement};
use crate::reactor::Reactor;
use crate::shard::{Settings, ShardId};
use crate::stall::{Stall, StallSettings};

/// The maximum batch of events. It equals the kernel's default limit of descriptors per process
/// (`/proc/sys/fs/nr_open`), so no larger batch arrives, and its buffer already takes 12 MiB.
const EVENTS_PER_POLL_MAX: usize = 1 << 20;

/// A builder that configures and starts a [`Reactor`], from [`Reactor::builder`].
///
/// # Examples
///
/// ```
/// use reactor::{Pinning, Placement, Reactor};
///
/// let reactor = Reactor::builder()
///     .shards(2)
///     .pinning(Pinning::None)
///     .placement(Placement::RoundRobin)
///     .thread_name("edge")
///     .build()?;
/// assert_eq!(reactor.handle().shards().len(), 2);
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "a builder does nothing until `build`"]
pub struct Builder {
    pub(crate) shards: Option<usize>,
    pub(crate) pinning: Pinning,
    pub(crate) placement: Placement,
    pub(crate) thread_name: ThreadName,
    pub(crate) thread_stack_size: Option<usize>,
    pub(crate) on_thread_start: Option<ThreadHook>,
    pub(crate) on_thread_stop: Option<ThreadHook>,
    pub(crate) hooks: Hooks,
    pub(crate) stalls: StallSettings,
    pub(crate) work_stealing: bool,
    pub(crate) timer_resolution: Duration,
    #[cfg(feature = "test-util")]
    pub(crate) start_paused: bool,
    pub(crate) blocking_threads_max: usize,
    pub(crate) blocking_keep_alive: Duration,
    pub(crate) settings: Settings,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            shards: None,
            pinning: Pinning::Auto,
            placement: Placement::Hash,
            thread_name: ThreadName::from("shard"),
            thread_stack_size: None,
            on_thread_start: None,
            on_thread_stop: None,
            hooks: Hooks::default(),
            stalls: StallSettings::default(),
            work_stealing: true,
            timer_resolution: Duration::from_millis(1),
            #[cfg(feature = "test-util")]
            start_paused: false,
            blocking_threads_max: 512,
            blocking_keep_alive: Duration::from_secs(10),
            settings: Settings {
                events_per_poll: 1024,
                event_interval: 61,
                task_budget: 128,
                busy_poll: Duration::ZERO,
                histograms: false,
                task_tracking: false,
            },
        }
    }

    /// Sets the number of shards (threads), from 1 to 1,023. Default: one for each CPU that the
    /// process may use.
    ///
    /// The default is lower if a cgroup limits the CPU time of the process, as containers do. It is
    /// then the limit, rounded up to whole CPUs: 2 shards for 1.5 CPUs. [`Reactor::warnings`] says
    /// so. More threads would use up the limit early in each period, and all of them would then
    /// wait for the next period.
    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = Some(shards);
        self
    }

    /// Sets the CPUs that the shards are pinned to. Default: [`Pinning::Auto`].
    pub fn pinning(mut self, pinning: Pinning) -> Self {
        self.pinning = pinning;
        self
    }

    /// Sets the placement of registrations that name none. Default: [`Placement::Hash`].
    pub fn placement(mut self, placement: Placement) -> Self {
        self.placement = placement;
        self
    }

    /// Lets idle shards run ready tasks of busy ones. Default: true. With one shard it changes
    /// nothing.
    ///
    /// A task made by [`Handle::spawn`] may then run on any shard, since its future is `Send`. A
    /// task made by [`Handle::spawn_on`] or [`spawn_local`](crate::spawn_local) always stays on its
    /// shard. While load is even, no task is stolen and the shards share no cache line. Without
    /// work stealing, all tasks stay on the shard that they were spawned on, and a shard takes no
    /// lock for its queue.
    pub fn work_stealing(mut self, enabled: bool) -> Self {
        self.work_stealing = enabled;
        self
    }

    /// Sets the name of the shard threads, which is followed by the shard's index. Default:
    /// `shard`. The kernel shows 15 bytes of it.
    pub fn thread_name(mut self, name: impl Into<String>) -> Self {
        self.thread_name = ThreadName::Fixed(name.into());
        self
    }

    /// Sets a function that returns the name of each thread of the reactor: shards, threads for
    /// blocking jobs, and the watch thread. It replaces [`thread_name`](Self::thread_name). Same as
    /// tokio's.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::atomic::{AtomicUsize, Ordering};
    ///
    /// static NEXT: AtomicUsize = AtomicUsize::new(0);
    /// let reactor = reactor::Reactor::builder()
    ///     .shards(1)
    ///     .thread_name_fn(|| format!("edge-{}", NEXT.fetch_add(1, Ordering::Relaxed)))
    ///     .build()?;
    /// let name = reactor.spawn(async { std::thread::current().name().map(str::to_owned) });
    /// assert_eq!(reactor.block_on(name)?.as_deref(), Some("edge-0"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn thread_name_fn(mut self, name: impl Fn() -> String + Send + Sync + 'static) -> Self {
        self.thread_name = ThreadName::Made(Arc::new(name));
        self
    }

    /// Sets the stack size of each shard thread, in bytes. Default: the standard library's (2 MiB).
    pub fn thread_stack_size(mut self, bytes: usize) -> Self {
        self.thread_stack_size = Some(bytes);
        self
    }

    /// Sets a hook that runs on each shard thread before its first task. A panic in it makes
    /// [`build`](Self::build) fail.
    pub fn on_thread_start(mut self, hook: impl Fn(ShardId) + Send + Sync + 'static) -> Self {
        self.on_thread_start = Some(Arc::new(hook));
        self
    }

    /// Sets a hook that runs on each shard thread after its last task was dropped.
    pub fn on_thread_stop(mut self, hook: impl Fn(ShardId) + Send + Sync + 'static) -> Self {
        self.on_thread_stop = Some(Arc::new(hook));
        self
    }

    /// Sets a hook that is called on a shard thread before it sleeps, with its shard. Default:
    /// none.
    ///
    /// It is called after the shard found nothing to run, and before the shard announces its sleep.
    /// A task that the hook spawns or wakes runs first; the shard then does not sleep. A panic of
    /// the hook is caught and counted.
    pub fn on_thread_park(mut self, hook: impl Fn(ShardId) + Send + Sync + 'static) -> Self {
        self.hooks.on_thread_park = Some(Arc::new(hook));
        self
    }

    /// Sets a hook that is called on a shard thread after it slept, with its shard. Default: none.
    ///
    /// It is called once for each call of [`on_thread_park`](Self::on_thread_park)'s hook, even if
    /// the shard did not sleep after all. A panic of the hook is caught and counted.
    pub fn on_thread_unpark(mut self, hook: impl Fn(ShardId) + Send + Sync + 'static) -> Self {
        self.hooks.on_thread_unpark = Some(Arc::new(hook));
        self
    }

    /// Sets a hook that is called with each panic of a task or of a blocking job, for example to
    /// log it. The panic occurs in a poll, in the drop of a future, or in the drop of an output
    /// that no handle took. It is caught and counted in the metrics with or without a hook.
    ///
    /// The hook runs on the thread that caught the panic: on the task's shard, which it should not
    /// block, or on the thread that dropped the handle of a task whose output panics. A panic of
    /// the hook itself is caught and does no harm.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, reports) = std::sync::mpsc::channel();
    /// let reactor = reactor::Reactor::builder()
    ///     .shards(1)
    ///     .on_task_panic(move |panic| {
    ///         let _ = sender.send(format!("{}: {:?}", panic.task(), panic.message()));
    ///     })
    ///     .build()?;
    /// drop(reactor.handle().spawn(async { panic!("no such row") }));
    /// let report = reports.recv().unwrap();
    /// assert!(report.contains("on shard 0") && report.contains("no such row"), "{report}");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn on_task_panic(mut self, hook: impl Fn(&TaskPanic<'_>) + Send + Sync + 'static) -> Self {
        self.hooks.on_task_panic = Some(Arc::new(hook));
        self
    }

    /// Sets the function that polls the ready tasks of a shard. Use it for code that has to run
    /// around polls, such as entering the context of another runtime.
    ///
    /// The shard calls it in each turn with ready tasks. The hook's argument is a function that
    /// polls the next ready task and returns true, or returns false if the turn is over. Hook code
    /// before and after all its calls runs once per turn. Hook code around each call runs once per
    /// poll. Tasks that the hook does not poll stay queued for the next turn. A panic of the hook
    /// is caught and counted.
    ///
    /// # Examples
    ///
    /// ```
    /// let reactor = reactor::Reactor::builder()
    ///     .shards(1)
    ///     .poll_tasks_with(|poll_next| {
    ///         // Enter the other runtime's context here.
    ///         while poll_next() {}
    ///     })
    ///     .build()?;
    /// assert_eq!(reactor.block_on(reactor.handle().spawn(async { 7 }))?, 7);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn poll_tasks_with(
        mut self,
        hook: impl Fn(&mut dyn FnMut() -> bool) + Send + Sync + 'static,
    ) -> Self {
        self.hooks.poll_tasks = Some(Arc::new(hook));
        self
    }

    /// Enables the stall detector, which reports polls that last longer than `threshold`. Such a
    /// poll keeps its shard from all other work. Default: off. Must not be 0.
    ///
    /// A thread of the reactor checks the shards four times per threshold, but at most once per
    /// millisecond. It is off by default because that thread wakes up even if all shards sleep. The
    /// shards themselves do no extra work. Stalls are counted in
    /// [`ShardMetrics::stalls`](crate::ShardMetrics::stalls) and passed to
    /// [`on_stall`](Self::on_stall). The threshold is wall-clock time: on a machine with more
    /// runnable threads than CPUs, a shard that gets no CPU is reported as well. A threshold of 100
    /// milliseconds finds the stalls that users notice.
    pub fn detect_stalls(mut self, threshold: Duration) -> Self {
        self.stalls.threshold = Some(threshold);
        self
    }

    /// Sets a hook that is called with each stall that [`detect_stalls`](Self::detect_stalls)
    /// finds: once while it lasts, and once when it is over. It runs on the detector's thread,
    /// since the shard may be stuck for good. Its panic is caught and does no harm.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let reactor = reactor::Reactor::builder()
    ///     .detect_stalls(Duration::from_millis(100))
    ///     .on_stall(|stall| eprintln!("{stall}"))
    ///     .build()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn on_stall(mut self, hook: impl Fn(&Stall) + Send + Sync + 'static) -> Self {
        self.stalls.hook = Some(Arc::new(hook));
        self
    }

    /// Sets the maximum number of threads of [`spawn_blocking`](crate::spawn_blocking). Each runs
    /// one job at a time. Default: 512, as tokio's. Must not be 0.
    pub fn max_blocking_threads(mut self, threads: usize) -> Self {
        self.blocking_threads_max = threads;
        self
    }

    /// Sets the time that an idle thread of [`spawn_blocking`](crate::spawn_blocking) waits for a
    /// job before it ends. Default: 10 seconds, as tokio's.
    pub fn thread_keep_alive(mut self, time: Duration) -> Self {
        self.blocking_keep_alive = time;
        self
    }

    /// Sets the maximum number of events that a shard takes from the OS at once, from 1 to
    /// 1,048,576. Default: 1,024 (12 KiB of buffer).
    pub fn events_per_poll(mut self, events: usize) -> Self {
        self.settings.events_per_poll = events;
        self
    }

    /// Sets the maximum number of task polls before a shard polls the OS again. Default: 61, as
    /// tokio's. Must not be 0.
    pub fn event_interval(mut self, polls: u32) -> Self {
        self.settings.event_interval = polls;
        self
    }

    /// Sets the number of operations (reads, writes, waits that were ready) that a task may do in
    /// one poll before it must yield. Default: 128, as tokio's. Must not be 0.
    pub fn task_budget(mut self, units: u32) -> Self {
        self.settings.task_budget = units;
        self
    }

    /// Sets the time that a shard without work keeps polling the OS before it sleeps. Default:
    /// zero, which means that it sleeps at once.
    ///
    /// A message that arrives within that time is served without a thread wake-up by the kernel.
    /// This saves some microseconds, or more if the CPU went to sleep as well. A wake or spawn from
    /// another thread then makes no system call. The price is CPU time: a shard uses all of its CPU
    /// if its traffic never pauses for this long. Busy polling pays off if each shard has a CPU of
    /// its own, latency matters more than power, and messages arrive somewhat more often than once
    /// in this time. Usual values are 50 to 200 microseconds. Busy polling does harm if shards
    /// share CPUs with each other or with other programs, or run under a CPU quota. Compare
    /// [`ShardMetrics::spins`](crate::ShardMetrics::spins) with
    /// [`waits`](crate::ShardMetrics::waits) to judge its effect.
    ///
    /// Measured: two tasks on two shards that wake each other in turns take 11.2 microseconds for a
    /// round of two wakes, and 0.9 while both shards spin, with 10 eventfd writes in 1.5 million
    /// wakes (`cargo bench -p benches --bench wake -- wake_other_thread`).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let reactor = reactor::Reactor::builder()
    ///     .shards(1)
    ///     .busy_poll(Duration::from_micros(50))
    ///     .build()?;
    /// reactor.block_on(reactor.handle().spawn(async {}))?;
    /// assert!(reactor.handle().metrics().total(|shard| shard.spins) > 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn busy_poll(mut self, time: Duration) -> Self {
        self.settings.busy_poll = time;
        self
    }

    /// Sets the resolution of timers: a wait ends within this time after its deadline, plus the
    /// time that the system needs to wake the thread. Default: one millisecond, and coarser values
    /// are the same. The finest is one microsecond. Must not be zero.
    ///
    /// With a finer resolution, each sleep of a shard with an armed timer costs one more system
    /// call. The sleep then ends at the timer, and not at the next whole millisecond of the OS
    /// wait. On Linux, the shard threads give up their timer slack, which is 50 microseconds.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let reactor = reactor::Reactor::builder()
    ///     .shards(1)
    ///     .timer_resolution(Duration::from_micros(20))
    ///     .build()?;
    /// reactor.block_on(async {
    ///     reactor::time::sleep(Duration::from_micros(50)).await;
    /// });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn timer_resolution(mut self, resolution: Duration) -> Self {
        self.timer_resolution = resolution;
        self
    }

    /// Starts the reactor with a paused clock, for tests. Needs one shard. Same as tokio's. See
    /// [`time::pause`](crate::time::pause).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let reactor = reactor::Reactor::builder().shards(1).start_paused(true).build()?;
    /// reactor.block_on(async {
    ///     reactor::time::sleep(Duration::from_secs(86_400)).await; // at once
    /// });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[cfg(feature = "test-util")]
    #[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
    pub fn start_paused(mut self, start_paused: bool) -> Self {
        self.start_paused = start_paused;
        self
    }

    /// Starts the reactor.
    ///
    /// A CPU pin that the OS refuses is a warning and not an error: see [`Reactor::warnings`].
    ///
    /// # Errors
    ///
    /// Returns `InvalidInput` if a setting is out of its range, and the system's error if it cannot
    /// create an epoll descriptor or a thread. Nothing is left running then.
    pub fn build(self) -> io::Result<Reactor> {
        let settings = &self.settings;
        check(
            "events_per_poll",
            settings.events_per_poll,
            EVENTS_PER_POLL_MAX,
        )?;
        check(
            "event_interval",
            settings.event_interval as usize,
            u32::MAX as usize,
        )?;
        check(
            "task_budget",
            settings.task_budget as usize,
            u32::MAX as usize - 1,
        )?;
        if self.timer_resolution.is_zero() {
            let message = "timer_resolution must not be zero";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        if self.stalls.threshold == Some(Duration::ZERO) {
            let message = "the threshold of detect_stalls must not be zero";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        check(
            "max_blocking_threads",
            self.blocking_threads_max,
            usize::MAX,
        )?;
        let cpus = Cpus::of_current_thread();
        let shards = self
            .shards
            .unwrap_or_else(|| cpus.default_shards().min(ShardId::MAX_SHARDS));
        check("shards", shards, ShardId::MAX_SHARDS)?;
        #[cfg(feature = "test-util")]
        if self.start_paused && shards != 1 {
            let message = format!("a paused clock needs one shard, not {shards}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        if matches!(&self.thread_name, ThreadName::Fixed(name) if name.contains('\0')) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "thread_name must not contain a NUL character",
            ));
        }
        if let Placement::Shard(shard) = self.placement {
            if shard.index() >= shards {
                let message =
                    format!("placement names shard {shard}, but there are {shards} shards");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
        }
        Reactor::start(&self, shards, &cpus)
    }

    /// Starts the reactor and makes it the global one, which is current on every thread without
    /// another reactor. It runs until the process ends.
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build), and `AlreadyExists` if there is already a global reactor.
    pub fn build_global(self) -> io::Result<Handle> {
        let reactor = self.build()?;
        let handle = reactor.handle().clone();
        match context::set_global(reactor) {
            Ok(()) => Ok(handle),
            Err(second) => {
                drop(second);
                let message = "this process already has a global reactor";
                Err(io::Error::new(io::ErrorKind::AlreadyExists, message))
            }
        }
    }
}

fn check(name: &str, value: usize, max: usize) -> io::Result<()> {
    if value == 0 || value > max {
        let message = format!("{name} must be between 1 and {max}, not {value}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    Ok(())
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("shards", &self.shards)
            .field("pinning", &self.pinning)
            .field("placement", &self.placement)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
