//! Two whole shards for loom's models: the code that ships, on real epoll instances. No thread
//! sleeps on them.
//!
//! A model runs the steps of a shard in a thread of its own, in the order in which the shard takes
//! them. [`Pair::finish`] runs the tasks that are left at the end. The models are in
//! `loom/steal.rs`.

use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use loom::thread;

use crate::blocking::{BlockingPool, PoolSettings};
use crate::driver::Driver;
use crate::handle::Handle;
use crate::hooks::{Hooks, ThreadName};
use crate::io::ShardIo;
use crate::placement::Placement;
use crate::shard::inbox::Command;
use crate::shard::parker::Parker;
use crate::shard::steal::StealGroup;
use crate::shard::{Parts, Settings, Shard, ShardId, ShardRef, ShardShared, current};
use crate::shutdown::Lifecycle;
use crate::sync::Mutex;
use crate::table::SlotRef;
use crate::task::{
    LocalQueue, RawJoin, Runnable, SpawnSite, TaskAddress, spawn_here, spawn_made, spawn_send,
};
use crate::time::Clock;
use crate::time::resolution::Resolution;
use crate::token::Token;
use crate::{Interest, Ready};

const SETTINGS: Settings = Settings {
    // One event each for a shard and for the sibling that serves it.
    events_per_poll: 1,
    event_interval: 16,
    task_budget: 16,
    busy_poll: Duration::ZERO,
    histograms: false,
    task_tracking: false,
};

/// The id of the task in whose poll a shard is stuck. Any id will do.
const STUCK_IN: u64 = 64;

/// A reactor of two shards without threads.
#[derive(Clone)]
pub(crate) struct Pair {
    handle: Handle,
    /// Makes the calls that change and read shard 0's epoll instance visible to loom.
    epoll: Arc<Mutex<()>>,
}

impl Pair {
    pub(crate) fn new() -> Self {
        let lifecycle = Arc::new(Lifecycle::new());
        let group = Arc::new(StealGroup::new(2, true));
        let clock = Clock::start();
        let make = |index| {
            let (driver, registry, notifier) =
                Driver::new(SETTINGS.events_per_poll, &clock).unwrap();
            let parker = Arc::new(Parker::new(notifier));
            ShardShared::new(Parts {
                id: ShardId::from_index(index),
                io: ShardIo::new(index, registry, Arc::clone(&parker)),
                parker,
                driver,
                clock: clock.clone(),
                lifecycle: Arc::clone(&lifecycle),
                hooks: Hooks::default(),
                group: Arc::clone(&group),
                resolution: Resolution::MILLISECOND,
                settings: SETTINGS,
            })
        };
        let shards = [make(0), make(1)];
        ShardShared::introduce(&shards);
        let pool = PoolSettings {
            threads_max: 1,
            keep_alive: Duration::ZERO,
            thread_name: ThreadName::Fixed("model".to_owned()),
            mask: None,
            hooks: Hooks::default(),
            inhibitor: clock.inhibitor(),
        };
        let handle = Handle::new(
            Box::new(shards),
            Placement::Hash,
            Arc::clone(&lifecycle),
            BlockingPool::new(pool, lifecycle),
        );
        Self {
            handle,
            epoll: Arc::new(Mutex::new(())),
        }
    }

    pub(crate) fn shard(&self, index: usize) -> &ShardRef {
        &self.handle.all_shards()[index]
    }

    /// Held while a thread calls shard 0's epoll instance.
    pub(crate) fn epoll(&self) -> impl Drop + '_ {
        self.epoll.lock()
    }

    /// Runs the steps of a shard in a thread.
    pub(crate) fn play<T: 'static>(
        &self,
        index: usize,
        play: impl FnOnce(&Player) -> T + 'static,
    ) -> thread::JoinHandle<T> {
        let (shared, pair) = (ShardRef::clone(self.shard(index)), self.clone());
        thread::spawn(move || {
            let shard = Rc::new(Shard::new(shared, pair.handle.clone(), SETTINGS));
            current::set(Rc::clone(&shard));
            play(&Player { shard, pair })
        })
    }

    /// Spawns a mobile task of shard 0 into its queue.
    pub(crate) fn spawn<F>(&self, future: F) -> RawJoin<F::Output, ShardRef>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let (join, first_run) = mobile(self.shard(0), future);
        self.shard(0).queue.with(|queue| queue.push(first_run));
        join
    }

    /// Polls the task at the head of shard 0's queue, which stays pending, as the shard `on`.
    pub(crate) fn poll_once(&self, on: u16) {
        let task = self.shard(0).queue.with(LocalQueue::pop).unwrap();
        if task.task().home() != on {
            task.set_home(on);
        }
        assert!(task.run().is_none(), "it waits");
    }

    /// Moves the inbox of shard 0 to its queue.
    pub(crate) fn take_inbox_of_0(&self) {
        let shard = self.shard(0);
        shard
            .inbox
            .take_wakes(|task| shard.queue.with(|queue| queue.push(task)));
    }

    /// Runs all remaining tasks after the threads have ended. Returns the number of entries that
    /// were in queues.
    pub(crate) fn finish(&self) -> usize {
        let mut entries = 0;
        for shard in self.handle.all_shards() {
            let mut left = Vec::new();
            while let Some(task) = shard.queue.with(LocalQueue::pop) {
                left.push(task);
            }
            shard.inbox.take_wakes(|task| left.push(task));
            entries += left.len();
            for task in left {
                assert_eq!(
                    task.task().home(),
                    shard.id.0,
                    "a task waits where its wakes do not go"
                );
                let mut next = Some(task);
                while let Some(task) = next {
                    next = task.run();
                }
            }
        }
        entries
    }

    /// Returns the number of tasks of a shard that have not ended.
    pub(crate) fn live(&self, index: usize) -> usize {
        self.shard(index).live.len()
    }

    /// Returns true if the shard's sleep was ended.
    pub(crate) fn is_notified(&self, index: usize) -> bool {
        self.shard(index).inbox.parker().notifies() > 0
    }

    /// Returns true if the shard's siblings consider it stuck.
    pub(crate) fn looks_stuck(&self, index: usize) -> bool {
        self.shard(index).beacon.is_stuck()
    }

    /// Puts shard 0 into a poll that does not end.
    pub(crate) fn begin_stuck_poll(&self) {
        self.shard(0).counters.polling.set_own(STUCK_IN);
    }

    /// Runs one check of the patrol, which has seen shard 0 in that poll before.
    pub(crate) fn patrol(&self) {
        let task = TaskAddress::from_bits(STUCK_IN).unwrap();
        let sibling = std::iter::once(self.shard(1).as_ref());
        self.shard(0).report_stuck((task, 0), sibling);
    }

    /// Registers a descriptor with shard 0.
    pub(crate) fn register(&self, fd: RawFd) -> (SlotRef, Token) {
        self.register_with(0, fd)
    }

    /// Registers a descriptor with a shard.
    pub(crate) fn register_with(&self, index: usize, fd: RawFd) -> (SlotRef, Token) {
        let io = &self.shard(index).io;
        ShardIo::register(io, fd, Interest::READABLE, Ready::EMPTY).unwrap()
    }

    /// Moves a registration to the epoll of shard 0.
    pub(crate) fn relocate(&self, slot: &SlotRef, fd: RawFd, token: Token) {
        ShardIo::relocate(slot, &self.shard(0).io, fd, token, Interest::READABLE).unwrap();
    }

    /// Spawns a task of shard 0 that stays there, from another thread.
    pub(crate) fn send_pinned(&self) {
        let shard = self.shard(0);
        let make = || async {};
        let spawned = spawn_made(make, ShardRef::clone(shard), SpawnSite::here());
        let first_run = spawned.first_run.expect("the shard takes tasks");
        shard.inbox.send(Command::Run(first_run));
    }

    /// Returns true if shard 0 has a task to run.
    pub(crate) fn has_work(&self) -> bool {
        let shard = self.shard(0);
        let commands = &shard.dispatch.lock().commands;
        !shard.queue.with(LocalQueue::is_empty) || !shard.inbox.is_empty(commands)
    }
}

fn mobile<F>(shard: &ShardRef, future: F) -> (RawJoin<F::Output, ShardRef>, Runnable<ShardRef>)
where
    F: Future<Output: Send> + Send + 'static,
{
    let spawned = spawn_send(future, ShardRef::clone(shard), SpawnSite::here());
    let first_run = spawned.first_run.expect("the shard takes tasks");
    (RawJoin::new(spawned.join), first_run)
}

/// A shard, and the steps that its thread takes.
pub(crate) struct Player {
    shard: Rc<Shard>,
    pair: Pair,
}

impl Player {
    fn sibling(&self) -> &ShardRef {
        &self.shard.handle.all_shards()[1 - self.shard.shared.id.index()]
    }

    /// Queues a task that any shard may run.
    pub(crate) fn push_mobile(&self, future: impl Future<Output = ()> + Send + 'static) {
        let (_, first_run) = mobile(&self.shard.shared, future);
        self.shard.push_local(first_run);
    }

    /// Queues a task that stays here.
    pub(crate) fn push_pinned(&self, future: impl Future<Output = ()> + 'static) {
        let shared = ShardRef::clone(&self.shard.shared);
        let spawned = spawn_here(future, shared, SpawnSite::here());
        self.shard.push_local(spawned.first_run.unwrap());
    }

    pub(crate) fn take_inbox(&self) {
        let dispatch = self.shard.shared.dispatch.lock();
        self.shard.here().dispatch_for(
            &self.shard.shared,
            std::iter::empty(),
            &dispatch.commands,
            || unreachable!("no timer is armed"),
        );
    }

    pub(crate) fn run_tasks(&self) {
        self.shard.here().run_tasks();
    }

    /// Steals from the sibling.
    pub(crate) fn steal_from(&self) {
        self.shard.steal_from(self.sibling());
    }

    /// Dispatches in the sibling's place.
    pub(crate) fn serve(&self) {
        self.shard.serve(self.sibling());
    }

    /// Runs the first half of a turn that waits without the poll lock. The wait returns at once.
    pub(crate) fn dispatch(&self) {
        let shared = &self.shard.shared;
        let mut dispatch = shared.dispatch.lock();
        shared.io.release_quarantine();
        let mut driver = dispatch.take_driver();
        drop(dispatch);
        let epoll = self.pair.epoll();
        driver.wait(Some(Duration::ZERO)).unwrap();
        drop(epoll);
        let mut dispatch = shared.dispatch.lock();
        dispatch.put_driver(driver);
        self.shard
            .here()
            .dispatch_for(shared, dispatch.batch(), &dispatch.commands, || {
                unreachable!("no timer is armed")
            });
    }

    /// Offers tasks, as a shard whose polls take a millisecond.
    pub(crate) fn offer(&self) {
        let start = self.shard.shared.clock.epoch();
        for turn in 1..8 {
            let now = start + Duration::from_millis(turn);
            self.shard.meter.end_stretch(now, turn);
        }
        self.shard.offer_surplus(SETTINGS.event_interval, 0);
    }

    /// Ends the poll that the shard was stuck in, and the turn.
    pub(crate) fn end_stuck_poll(&self) {
        self.shard.shared.counters.polling.set_own(0);
        self.shard.shared.report_unstuck();
    }

    /// Decides on a sleep. Returns true if the shard sleeps until it is notified.
    pub(crate) fn falls_asleep(&self) -> bool {
        let commands = &self.shard.shared.dispatch.lock().commands;
        let timeout = self
            .shard
            .here()
            .prepare_wait(commands, || unreachable!("no timer is armed"));
        timeout.is_none()
    }

    /// Falls asleep as the loop does, up to the wait. Returns the driver if the shard waits until
    /// it is notified.
    pub(crate) fn begins_wait(&self) -> Option<Driver> {
        let mut dispatch = self.shard.shared.dispatch.lock();
        let here = self.shard.here();
        let timeout = here.prepare_wait(&dispatch.commands, || unreachable!("no timer is armed"));
        timeout.is_none().then(|| dispatch.take_driver())
    }

    /// Ends that wait.
    pub(crate) fn ends_wait(&self, driver: Option<Driver>) {
        let mut dispatch = self.shard.shared.dispatch.lock();
        if let Some(driver) = driver {
            dispatch.put_driver(driver);
        }
    }

    /// Releases the shard's own quarantine, between two turns.
    pub(crate) fn release_quarantine(&self) {
        self.shard.shared.io.release_quarantine();
    }

    /// Ends the shard.
    pub(crate) fn end(&self) {
        self.shard
            .end(&mut self.shard.shared.dispatch.lock().commands);
    }
}
