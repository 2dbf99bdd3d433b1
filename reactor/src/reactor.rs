//! [`Reactor`]: owns the shard threads; start, shutdown, join.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use crate::builder::{Builder, ThreadHook};
use crate::context::EnterGuard;
use crate::driver::Driver;
use crate::handle::Handle;
use crate::io::ShardIo;
use crate::panics::caught;
use crate::placement::plan_pins;
use crate::shard::inbox::Command;
use crate::shard::parker::Parker;
use crate::shard::{self, Settings, Shard, ShardId, ShardRef, ShardShared, current};
use crate::shutdown::{Lifecycle, ShutdownError};
use crate::sys;

/// How long polls that still run at the deadline of a shutdown get: DESIGN fixes one second.
const GRACE: Duration = Duration::from_secs(1);

/// N shard threads, each with its own epoll, run queue and timers.
///
/// Dropping it shuts it down at once: tasks are dropped, and the threads joined, however long a poll under way takes.
/// [`shutdown`](Self::shutdown) gives tasks time first. Work is given to it through its [`Handle`].
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
    warnings: Vec<String>,
}

impl Reactor {
    /// Starts a reactor with one shard for each CPU that the process may use, each pinned to its own.
    ///
    /// # Errors
    ///
    /// The system's, where an epoll descriptor or a thread could not be had.
    pub fn new() -> io::Result<Self> {
        Self::builder().build()
    }

    /// Configures a reactor.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// What others need to use the reactor.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Makes this reactor current on the calling thread: see [`Handle::enter`].
    pub fn enter(&self) -> EnterGuard<'_> {
        self.handle.enter()
    }

    /// Runs a future on the calling thread until it completes: see [`Handle::block_on`].
    ///
    /// # Panics
    ///
    /// Panics on a shard.
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.handle.block_on(future)
    }

    /// What could not be had at the start and could be done without: pins that were refused. One sentence each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Shuts the reactor down, giving its tasks time to end by themselves.
    ///
    /// Announces it first ([`Handle::shutdown_requested`]) and waits until no task is left, or for `deadline`. Then every wait
    /// on the reactor ends with the shutdown error, tasks that are left are dropped on their shards, and the threads are joined. A poll
    /// that still runs then gets one second more.
    ///
    /// # Errors
    ///
    /// Names the shards that are still inside a poll after that. Their threads are detached and their tasks leaked; handles to those
    /// tasks end with an error.
    pub fn shutdown(mut self, deadline: Duration) -> Result<(), ShutdownError> {
        let shards = self.handle.all_shards();
        let lifecycle = self.handle.lifecycle();
        lifecycle.announce();
        let until = Instant::now().checked_add(deadline);
        // On one of its own shards this would wait for the very task that calls it.
        let own_shard = self.is_on_own_shard();
        if !own_shard {
            lifecycle.wait_until(until, |_| shards.iter().all(|shard| shard.live.len() == 0));
        }
        self.stop();
        if own_shard {
            self.threads.clear();
            return Ok(());
        }
        let lifecycle = Arc::clone(self.handle.lifecycle());
        let threads = self.threads.len();
        lifecycle.wait_until(Some(Instant::now() + GRACE), |ended| ended == threads);
        let mut stuck = Vec::new();
        for (thread, shard) in self.threads.drain(..).zip(self.handle.all_shards()) {
            if shard.has_ended() {
                join(thread);
            } else {
                shard.abandon();
                stuck.push(shard.id);
            }
        }
        if stuck.is_empty() {
            Ok(())
        } else {
            Err(ShutdownError::new(stuck))
        }
    }

    /// Ends every wait, and tells the shards to drop their tasks and end.
    fn stop(&self) {
        for shard in self.handle.all_shards() {
            shard.io.shut_down();
        }
        for shard in self.handle.all_shards() {
            shard.stop();
        }
    }

    fn is_on_own_shard(&self) -> bool {
        self.handle
            .all_shards()
            .iter()
            .any(|shard| current::is(shard))
    }

    /// Starts the threads; the builder has checked its settings.
    pub(crate) fn start(builder: &Builder, shards: usize, allowed: &[usize]) -> io::Result<Self> {
        let (pins, warnings) = plan_pins(&builder.pinning, allowed, shards);
        let lifecycle = Arc::new(Lifecycle::default());
        let mut parts = Vec::with_capacity(shards);
        for index in 0..shards {
            let (driver, registry, notifier) = Driver::new(builder.settings.events_per_poll)?;
            let parker = Arc::new(Parker::new(notifier));
            let io = ShardIo::new(index, registry, Arc::clone(&parker));
            let (shared, commands) = ShardShared::new(
                ShardId::from_index(index),
                io,
                parker,
                Arc::clone(&lifecycle),
            );
            parts.push((driver, shared, commands));
        }
        let all: Box<[ShardRef]> = parts
            .iter()
            .map(|(_, shared, _)| ShardRef::clone(shared))
            .collect();
        let handle = Handle::new(all, builder.placement, lifecycle);
        let epoch = Instant::now();
        // Dropped on an error below, it stops and joins what was started.
        let mut reactor = Self {
            handle,
            threads: Vec::with_capacity(shards),
            warnings,
        };
        let (report, reports) = mpsc::channel();
        for ((driver, shared, commands), cpu) in parts.into_iter().zip(pins) {
            let start = Start {
                driver,
                shared,
                commands,
                handle: reactor.handle.clone(),
                settings: builder.settings,
                epoch,
                cpu,
                on_start: builder.on_thread_start.clone(),
                on_stop: builder.on_thread_stop.clone(),
                report: report.clone(),
            };
            let mut thread =
                thread::Builder::new().name(format!("{}-{}", builder.thread_name, start.shared.id));
            if let Some(bytes) = builder.thread_stack_size {
                thread = thread.stack_size(bytes);
            }
            reactor.threads.push(thread.spawn(move || start.run())?);
        }
        drop(report);
        for (shard, started) in reports {
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
        Ok(reactor)
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        if self.threads.is_empty() {
            return;
        }
        self.handle.lifecycle().announce();
        self.stop();
        if self.is_on_own_shard() {
            return;
        }
        for thread in self.threads.drain(..) {
            join(thread);
        }
    }
}

/// A shard thread's panic is a bug of the reactor (tasks' own are caught): it goes on in whoever joins.
fn join(thread: thread::JoinHandle<()>) {
    if let Err(payload) = thread.join() {
        if !thread::panicking() {
            resume_unwind(payload);
        }
    }
}

/// What a shard thread tells the builder before its first turn.
enum Started {
    AsAsked,
    Unpinned(io::Error),
    HookPanicked,
}

/// All that a new shard thread is given.
struct Start {
    driver: Driver,
    shared: ShardRef,
    commands: Receiver<Command>,
    handle: Handle,
    settings: Settings,
    epoch: Instant,
    cpu: Option<usize>,
    on_start: Option<ThreadHook>,
    on_stop: Option<ThreadHook>,
    report: mpsc::Sender<(ShardId, Started)>,
}

impl Start {
    /// The life of a shard thread.
    fn run(mut self) {
        let id = self.shared.id;
        let shared = ShardRef::clone(&self.shared);
        let pinned = self.cpu.map(sys::pin_current);
        let cpu = if matches!(pinned, Some(Ok(()))) {
            self.cpu
        } else {
            None
        };
        shared.cpu.get_or_init(|| cpu);
        let shard = Rc::new(Shard::new(
            self.shared,
            self.handle,
            self.commands,
            self.settings,
            self.epoch,
        ));
        current::set(Rc::clone(&shard));
        let started = match self
            .on_start
            .map(|hook| catch_unwind(AssertUnwindSafe(|| hook(id))))
        {
            Some(Err(_payload)) => Started::HookPanicked,
            _ => pinned
                .and_then(Result::err)
                .map_or(Started::AsAsked, Started::Unpinned),
        };
        // The builder that does not listen any more has failed, and stops the shard.
        let _ = self.report.send((id, started));
        drop(self.report);
        let outcome = catch_unwind(AssertUnwindSafe(|| shard::run(&shard, &mut self.driver)));
        if let Some(hook) = self.on_stop {
            caught(|| hook(id));
        }
        shared.lifecycle.shard_has_ended();
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(error)) => panic!("shard {id} cannot wait for events any more: {error}"),
            Err(payload) => resume_unwind(payload),
        }
    }
}

impl fmt::Debug for Reactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor")
            .field("handle", &self.handle)
            .finish_non_exhaustive()
    }
}
