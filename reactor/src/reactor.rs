//! [`Reactor`]: owns the shard threads, and starts, stops and joins them.

use std::fmt;
use std::io;
use std::iter;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::blocking::{BlockingPool, PoolSettings};
use crate::builder::Builder;
use crate::context::EnterGuard;
use crate::cpus::Cpus;
use crate::driver::Driver;
use crate::handle::Handle;
use crate::hooks::ThreadHook;
use crate::io::ShardIo;
use crate::panics::{Payload, caught, drop_payload};
use crate::placement::plan_pins;
use crate::shard::current::ShardThread;
use crate::shard::parker::Parker;
use crate::shard::steal::StealGroup;
use crate::shard::{self, Parts, Settings, Shard, ShardId, ShardRef, ShardShared, current};
use crate::shutdown::{Lifecycle, ShutdownError, ShutdownReport, nothing_left};
use crate::stall::Watch;
use crate::sys::{self, CpuMask};
use crate::task::{JoinHandle, TaskId, TaskMeta};
use crate::time::Clock;
use crate::time::resolution::Resolution;
use crate::trace;

/// The extra time for polls that still run at the deadline of a shutdown. The design fixes it at
/// one second.
const GRACE: Duration = Duration::from_secs(1);

/// A set of shard threads, each with its own epoll instance, run queue and timers.
///
/// Dropping a reactor shuts it down at once: it drops its tasks and joins its threads. It waits for
/// a running poll without a time limit. [`shutdown`](Self::shutdown) gives tasks time first. Spawn
/// work through its [`Handle`].
///
/// # Examples
///
/// ```
/// use reactor::Reactor;
///
/// let reactor = Reactor::new()?;
/// let greeting = reactor.block_on(reactor.handle().spawn(async { "hello" }))?;
/// assert_eq!(greeting, "hello");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Reactor {
    handle: Handle,
    threads: Vec<thread::JoinHandle<()>>,
    /// The thread that finds stalls and stuck shards, if one is needed. It ends last.
    watch: Option<Watch>,
    warnings: Vec<String>,
}

impl Reactor {
    /// Starts a reactor with one shard for each CPU that the process may use, each pinned to its
    /// own CPU.
    ///
    /// # Errors
    ///
    /// Returns the system's error if it cannot create an epoll descriptor or a thread.
    pub fn new() -> io::Result<Self> {
        Self::builder().build()
    }

    /// Returns a builder that configures a reactor.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Returns the handle, through which other code uses the reactor.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Makes this reactor current on the calling thread. See [`Handle::enter`].
    #[track_caller]
    pub fn enter(&self) -> EnterGuard<'_> {
        self.handle.enter()
    }

    /// Runs a future on the calling thread until it completes. See [`Handle::block_on`].
    ///
    /// # Panics
    ///
    /// Panics on a shard.
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.handle.block_on(future)
    }

    /// Spawns a future on a shard. See [`Handle::spawn`].
    ///
    /// # Panics
    ///
    /// Panics in a forked child.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.handle.spawn(future)
    }

    /// Runs a closure that may block, on a thread of the blocking pool. See
    /// [`Handle::spawn_blocking`].
    ///
    /// # Panics
    ///
    /// Panics in a forked child.
    #[track_caller]
    pub fn spawn_blocking<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.handle.spawn_blocking(f)
    }

    /// Returns warnings from startup, such as CPU pins that the OS refused. Each is one sentence.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Shuts the reactor down and gives its tasks time to end by themselves.
    ///
    /// It first announces the shutdown ([`Handle::shutdown_requested`]) and waits until no task and
    /// no blocking job is left, or for `deadline`. Then every wait on the reactor ends with the
    /// shutdown error, remaining tasks are dropped on their shards, and the threads are joined. A
    /// poll that is still running gets one more second. A running `on_stall` hook gets that second
    /// too. Its thread is then detached. A blocking job that calls this waits for all other jobs.
    ///
    /// # Errors
    ///
    /// Returns an error that names the shards which are still inside a poll (or an `on_thread_stop`
    /// hook) after that second. Their threads are detached, and handles to their tasks return an
    /// error. If such a poll ever returns, its shard drops its tasks and ends. Until then the tasks
    /// are leaked.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let reactor = reactor::Reactor::builder().shards(1).build()?;
    /// drop(reactor.spawn(std::future::pending::<()>()));
    /// let report = reactor.shutdown(Duration::from_millis(10))?;
    /// assert_eq!(report.cut_off().len(), 1, "{report}");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn shutdown(mut self, deadline: Duration) -> Result<ShutdownReport, ShutdownError> {
        if self.forget_if_forked() {
            return Ok(ShutdownReport::default());
        }
        let lifecycle = self.handle.lifecycle();
        lifecycle.announce();
        let until = Instant::now().checked_add(deadline);
        // On one of the reactor's own shards, this would wait for the calling task, which cannot
        // end.
        let own_shard = self.is_on_own_shard();
        if !own_shard {
            self.handle.blocking().lend_place();
            lifecycle.wait_until(until, |_| self.is_idle());
        }
        let cut_off = self.live_tasks();
        caught(|| trace::shuts_down(&cut_off));
        self.stop();
        if own_shard {
            self.threads.clear();
            self.detach_watch();
            return Ok(ShutdownReport::new(cut_off));
        }
        let lifecycle = Arc::clone(self.handle.lifecycle());
        let threads = self.threads.len();
        let grace_end = Instant::now() + GRACE;
        let all_ended = lifecycle.wait_until(Some(grace_end), |ended| ended == threads);
        let mut stuck = Vec::new();
        let mut panic = None;
        for (thread, shard) in self.threads.drain(..).zip(self.handle.all_shards()) {
            if all_ended || thread.is_finished() {
                panic = join(thread).or(panic);
            } else {
                let awaits_siblings = shard.awaits_siblings();
                shard.abandon();
                if awaits_siblings {
                    panic = join(thread).or(panic);
                } else {
                    stuck.push(shard.id);
                }
            }
        }
        if let Some(watch) = self.watch.take() {
            watch.end_by(grace_end);
        }
        pass_on(panic);
        if stuck.is_empty() {
            Ok(ShutdownReport::new(cut_off))
        } else {
            Err(ShutdownError::new(stuck))
        }
    }

    /// Shuts the reactor down and returns at once, without joining its threads.
    ///
    /// Every wait on the reactor ends with the shutdown error. Each shard finishes its current
    /// poll, drops its tasks, and ends. A running blocking job continues to its end.
    ///
    /// # Examples
    ///
    /// ```
    /// let reactor = reactor::Reactor::builder().shards(1).build()?;
    /// let task = reactor.spawn(std::future::pending::<()>());
    /// let handle = reactor.handle().clone();
    /// reactor.shutdown_background();
    /// assert!(handle.block_on(task).unwrap_err().is_shutdown());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn shutdown_background(mut self) {
        if self.forget_if_forked() {
            return;
        }
        self.handle.lifecycle().announce();
        self.stop();
        self.threads.clear();
        self.detach_watch();
    }

    /// Ends every wait, and stops the shards, which drop their tasks and end.
    pub(crate) fn stop(&self) {
        for shard in self.handle.all_shards() {
            shard.io.shut_down();
        }
        for shard in self.handle.all_shards() {
            shard.stop();
        }
        self.handle.blocking().close();
    }

    /// Describes the tasks that have not ended, without the caller's own.
    fn live_tasks(&self) -> Vec<TaskMeta> {
        let own = TaskId::current();
        let live = self
            .handle
            .all_shards()
            .iter()
            .flat_map(|shard| shard.live.all());
        live.map(|task| task.meta())
            .filter(|task| Some(task.id) != own)
            .collect()
    }

    /// Returns true if at one moment no shard has a task and the pool has no blocking job.
    fn is_idle(&self) -> bool {
        nothing_left(|| {
            let shards = self.handle.all_shards().iter();
            let tasks = shards.map(|shard| shard.live.idle_since());
            tasks.chain(iter::once_with(|| self.handle.blocking().idle_since()))
        })
    }

    /// Returns true in a forked child, and forgets the threads there. The threads do not exist in
    /// the child, and the epoll instances are the parent's, so there is nothing to end.
    fn forget_if_forked(&mut self) -> bool {
        let forked = self.handle.all_shards()[0].io.is_forked();
        if forked {
            self.threads.drain(..).for_each(std::mem::forget);
            // Its channel's lock may be held by a thread that does not exist in this process.
            std::mem::forget(self.watch.take());
        }
        forked
    }

    /// Detaches the stall detector. Its hook may be running now and waiting for the caller.
    fn detach_watch(&mut self) {
        if let Some(watch) = self.watch.take() {
            watch.detach();
        }
    }

    fn is_on_own_shard(&self) -> bool {
        self.handle
            .all_shards()
            .iter()
            .any(|shard| current::is(shard))
    }

    /// Starts the threads. The builder has checked its settings.
    pub(crate) fn start(builder: &Builder, shards: usize, cpus: &Cpus) -> io::Result<Self> {
        let (pins, mut warnings) = plan_pins(&builder.pinning, cpus, shards);
        if builder.shards.is_none() {
            warnings.extend(cpus.default_shards_warning());
        }
        let lifecycle = Arc::new(Lifecycle::new());
        let clock = Clock::start();
        #[cfg(feature = "test-util")]
        if builder.start_paused {
            clock.start_paused();
        }
        let group = Arc::new(StealGroup::new(shards, builder.work_stealing));
        let resolution = Resolution::at_most(builder.timer_resolution);
        let mut all = Vec::with_capacity(shards);
        for index in 0..shards {
            let (mut driver, registry, notifier) =
                Driver::new(builder.settings.events_per_poll, &clock)?;
            if resolution.is_fine() {
                driver.wait_precisely();
            }
            let parker = Arc::new(Parker::new(notifier));
            #[cfg(feature = "test-util")]
            clock.serves(&parker);
            let io = ShardIo::new(index, registry, Arc::clone(&parker));
            all.push(ShardShared::new(Parts {
                id: ShardId::from_index(index),
                io,
                parker,
                driver,
                clock: clock.clone(),
                lifecycle: Arc::clone(&lifecycle),
                hooks: builder.hooks.clone(),
                group: Arc::clone(&group),
                resolution,
                settings: builder.settings,
            }));
        }
        ShardShared::introduce(&all);
        let all = all.into_boxed_slice();
        let mask = sys::mask_before_pin();
        let settings = PoolSettings {
            threads_max: builder.blocking_threads_max,
            keep_alive: builder.blocking_keep_alive,
            thread_name: builder.thread_name.clone(),
            mask,
            hooks: builder.hooks.clone(),
            inhibitor: clock.inhibitor(),
        };
        let blocking = BlockingPool::new(settings, Arc::clone(&lifecycle));
        let handle = Handle::new(all, builder.placement, lifecycle, blocking);
        // If an error occurs below, the drop of this value stops and joins the threads that were
        // started.
        let mut reactor = Self {
            handle,
            threads: Vec::with_capacity(shards),
            watch: None,
            warnings,
        };
        let (report, reports) = mpsc::channel();
        let shards = reactor.handle.all_shards().to_vec();
        for (shared, cpu) in shards.into_iter().zip(pins) {
            let start = Start {
                shared,
                handle: reactor.handle.clone(),
                settings: builder.settings,
                has_fine_timers: resolution.is_fine(),
                cpu,
                mask,
                on_start: builder.on_thread_start.clone(),
                on_stop: builder.on_thread_stop.clone(),
                report: report.clone(),
            };
            let mut thread = thread::Builder::new().name(builder.thread_name.with(start.shared.id));
            if let Some(bytes) = builder.thread_stack_size {
                thread = thread.stack_size(bytes);
            }
            match thread.spawn(move || start.run()) {
                Ok(thread) => reactor.threads.push(thread),
                Err(error) => {
                    // Hooks of the started threads may have spawned tasks on shards that never
                    // start.
                    reactor.handle.all_shards()[reactor.threads.len()..]
                        .iter()
                        .for_each(|shard| shard.abandon());
                    return Err(error);
                }
            }
        }
        drop(report);
        let mut silent = reactor.threads.len();
        for (shard, started) in reports {
            silent -= 1;
            match started {
                Started::AsAsked => {}
                Started::Unpinned(error) => reactor
                    .warnings
                    .push(format!("shard {shard} stays unpinned: {error}")),
                Started::HookPanicked => {
                    return Err(io::Error::other(format!(
                        "the on_thread_start hook panicked on shard {shard}"
                    )));
                }
            }
        }
        if silent > 0 {
            return Err(io::Error::other(format!(
                "{silent} shard threads ended before their first turn"
            )));
        }
        let name = builder.thread_name.with("watch");
        let shards = reactor.handle.all_shards().to_vec();
        reactor.watch = Watch::start(name, mask, &builder.stalls, shards)?;
        Ok(reactor)
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        if self.threads.is_empty() {
            return;
        }
        if self.forget_if_forked() {
            return;
        }
        self.handle.lifecycle().announce();
        self.stop();
        if self.is_on_own_shard() {
            self.detach_watch();
            return;
        }
        let mut panic = None;
        for thread in self.threads.drain(..) {
            panic = join(thread).or(panic);
        }
        pass_on(panic);
    }
}

/// Joins a shard thread and returns the payload of its panic, if any.
fn join(thread: thread::JoinHandle<()>) -> Option<Payload> {
    thread.join().err()
}

/// Propagates a shard thread's panic to the thread that joined it. Such a panic is a bug of the
/// reactor, since panics of tasks are caught.
fn pass_on(panic: Option<Payload>) {
    if let Some(payload) = panic {
        if !thread::panicking() {
            resume_unwind(payload);
        }
    }
}

/// The report of a shard thread to the builder before its first turn.
enum Started {
    AsAsked,
    Unpinned(io::Error),
    HookPanicked,
}

/// Everything that a new shard thread receives.
struct Start {
    shared: ShardRef,
    handle: Handle,
    settings: Settings,
    has_fine_timers: bool,
    cpu: Option<usize>,
    /// The CPU mask to start with. The builder's own thread may be pinned.
    mask: Option<CpuMask>,
    on_start: Option<ThreadHook>,
    on_stop: Option<ThreadHook>,
    report: mpsc::Sender<(ShardId, Started)>,
}

impl Start {
    /// Runs a shard thread from start to end.
    fn run(self) {
        let id = self.shared.id;
        let shared = ShardRef::clone(&self.shared);
        if let Some(mask) = self.mask {
            // If the mask cannot be restored, the thread runs on the mask of its starter. A pin
            // below corrects that, or a report shows it.
            let _ = mask.restore();
        }
        if self.has_fine_timers {
            sys::give_up_timer_slack();
        }
        let pinned = self.cpu.map(sys::pin_current);
        let cpu = if matches!(pinned, Some(Ok(()))) {
            self.cpu
        } else {
            None
        };
        shared.thread.get_or_init(|| ShardThread::current(cpu));
        let shard = Rc::new(Shard::new(self.shared, self.handle, self.settings));
        current::set(Rc::clone(&shard));
        let started = self
            .on_start
            .map(|hook| catch_unwind(AssertUnwindSafe(|| hook(id))));
        shared.io.process().abort_child();
        let started = match started {
            Some(Err(payload)) => {
                drop_payload(payload);
                Started::HookPanicked
            }
            _ => pinned
                .and_then(Result::err)
                .map_or(Started::AsAsked, Started::Unpinned),
        };
        // A send error means that the builder has failed. It then stops the shard.
        let _ = self.report.send((id, started));
        drop(self.report);
        let outcome = catch_unwind(AssertUnwindSafe(|| shard::run(&shard)));
        if !matches!(outcome, Ok(Ok(()))) {
            // No further event arrives, and no shutdown has ended the waits on this shard's
            // descriptors.
            shared.io.shut_down();
        }
        if let Some(hook) = self.on_stop {
            caught(|| hook(id));
            shared.io.process().abort_child();
        }
        shared.lifecycle.shard_has_ended();
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(error)) => panic!("shard {id} cannot wait for events any more: {error}"),
            Err(payload) => {
                shared.abandon();
                resume_unwind(payload)
            }
        }
    }
}

// Shared references lead to the handle and to strings that never change.
impl RefUnwindSafe for Reactor {}
impl UnwindSafe for Reactor {}

impl fmt::Debug for Reactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor")
            .field("handle", &self.handle)
            .finish_non_exhaustive()
    }
}
