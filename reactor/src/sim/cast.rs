//! The tasks and threads of a seeded play (`stealing.rs`). Each chooses its steps at random,
//! from the one generator of the play.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::driver::{Random, pause};
use crate::shard::patrol::Patrol;
use crate::sim::pipe::Pipe;
use crate::sync::Mutex;
use crate::time::{Clock, sleep, timeout};
use crate::{Handle, Interest, JoinHandle, ShardId, spawn_local, yield_now};

const MS: Duration = Duration::from_millis(1);
const US: Duration = Duration::from_micros(1);

/// The number of generations of tasks: the last one spawns none.
const DEPTH_MAX: u32 = 3;

/// All that the tasks of a play share.
pub(super) struct Stage {
    pub(super) handle: Handle,
    pub(super) clock: Clock,
    random: Mutex<Random>,
    /// Faults that were seen, each in words.
    faults: Mutex<Vec<String>>,
    pub(super) spawned: AtomicUsize,
    /// The number of futures that were dropped, each after its task ended.
    pub(super) ended: AtomicUsize,
    /// Set when tasks may no longer begin waits that only others can end.
    pub(super) closing: AtomicBool,
    /// Set when the shutdown begins.
    pub(super) stopping: AtomicBool,
    pipes: Mutex<Vec<Arc<Pipe>>>,
    gates: Mutex<Vec<Arc<Gate>>>,
    pub(super) numbers: Arc<Mutex<Vec<bool>>>,
}

impl Stage {
    pub(super) fn new(handle: Handle, clock: Clock, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            handle,
            clock,
            random: Mutex::new(Random::new(!seed)),
            faults: Mutex::default(),
            spawned: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            pipes: Mutex::default(),
            gates: Mutex::default(),
            numbers: Arc::default(),
        })
    }

    pub(super) fn below(&self, limit: u64) -> u64 {
        self.random.lock().below(limit)
    }

    pub(super) fn one_in(&self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn fault(&self, fault: impl Into<String>) {
        self.faults.lock().push(fault.into());
    }

    pub(super) fn expect(&self, holds: bool, fault: &str) {
        if !holds {
            self.fault(fault);
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(SeqCst)
    }

    fn is_closing(&self) -> bool {
        self.closing.load(SeqCst) || self.is_stopping()
    }

    pub(super) fn take_faults(&self) -> Vec<String> {
        std::mem::take(&mut *self.faults.lock())
    }

    /// Ends every wait that only others can end. Called at rest.
    pub(super) fn close(&self) {
        self.closing.store(true, SeqCst);
        let pipes = self.pipes.lock().clone();
        pipes.iter().for_each(|pipe| pipe.end(&self.clock));
        let gates = self.gates.lock().clone();
        gates.iter().for_each(|gate| gate.open());
    }

    /// Checks, at rest, that nobody waits for something that has come.
    pub(super) fn check_waits(&self) {
        for pipe in self.pipes.lock().iter() {
            let flow = *pipe.flow.lock();
            let is_ready = flow.unread > 0 || flow.has_ended;
            self.expect(
                !(is_ready && flow.readers > 0),
                "readiness was lost: a reader waits beside unread bytes",
            );
        }
        for gate in self.gates.lock().iter() {
            let (is_open, waits) = (gate.is_open.load(SeqCst), gate.waker.lock().is_some());
            self.expect(
                !(is_open && waits),
                "a wake was lost: a task waits at an open gate",
            );
        }
    }

    /// Drops what the play still holds.
    pub(super) fn clear(&self) {
        let pipes = std::mem::take(&mut *self.pipes.lock());
        let gates = std::mem::take(&mut *self.gates.lock());
        drop((pipes, gates));
    }

    fn any_pipe(&self) -> Option<Arc<Pipe>> {
        let pipes = self.pipes.lock();
        let index = (!pipes.is_empty()).then(|| self.below(pipes.len() as u64))?;
        Some(Arc::clone(&pipes[index as usize]))
    }

    fn forget_pipe(&self, pipe: &Arc<Pipe>) {
        self.pipes.lock().retain(|other| !Arc::ptr_eq(other, pipe));
    }

    pub(super) fn any_shard(&self) -> ShardId {
        let shards = self.handle.shards().len();
        self.handle.shard(self.below(shards as u64) as usize)
    }
}

/// A gate that one task waits at and any thread opens.
#[derive(Default)]
struct Gate {
    is_open: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Gate {
    fn open(&self) {
        self.is_open.store(true, SeqCst);
        let waker = self.waker.lock().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    async fn wait(&self) {
        poll_fn(|cx| {
            let waker = cx.waker().clone();
            let replaced = self.waker.lock().replace(waker);
            drop(replaced);
            if self.is_open.load(SeqCst) {
                let unused = self.waker.lock().take();
                drop(unused);
                return Poll::Ready(());
            }
            Poll::Pending
        })
        .await;
    }
}

/// A future under observation: one thread polls it at a time, a pinned one always on its shard, and
/// it is dropped once.
struct Watched<F> {
    future: Pin<Box<F>>,
    stage: Arc<Stage>,
    pinned_to: Option<ShardId>,
    is_polled: AtomicBool,
    output: u64,
}

impl<F: Future<Output = ()>> Watched<F> {
    fn new(stage: &Arc<Stage>, pinned_to: Option<ShardId>, output: u64, future: F) -> Self {
        stage.spawned.fetch_add(1, SeqCst);
        Self {
            future: Box::pin(future),
            stage: Arc::clone(stage),
            pinned_to,
            is_polled: AtomicBool::new(false),
            output,
        }
    }
}

impl<F: Future<Output = ()>> Future for Watched<F> {
    type Output = Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Output> {
        let twice = self.is_polled.swap(true, SeqCst);
        self.stage.expect(!twice, "two threads poll one task");
        let here = ShardId::current();
        let at_home = self.pinned_to.is_none_or(|home| here == Some(home));
        self.stage.expect(at_home, "a pinned task left its shard");
        let polled = self.future.as_mut().poll(cx);
        self.is_polled.store(false, SeqCst);
        polled.map(|()| Output {
            value: self.output,
            _stage: Arc::clone(&self.stage),
        })
    }
}

impl<F> Drop for Watched<F> {
    fn drop(&mut self) {
        let polled = *self.is_polled.get_mut();
        self.stage
            .expect(!polled, "a future is dropped in its poll");
        let here = ShardId::current();
        // A refused task is dropped by its spawner.
        let at_home = self.pinned_to.is_none_or(|home| here == Some(home));
        let refused = self.stage.is_stopping();
        self.stage.expect(
            at_home || refused,
            "a pinned future was dropped on another thread",
        );
        self.stage.ended.fetch_add(1, SeqCst);
    }
}

/// A task's output. One that is never dropped keeps the stage.
struct Output {
    value: u64,
    _stage: Arc<Stage>,
}

/// Spawns a task of random kind that takes random steps.
fn spawn(stage: &Arc<Stage>, depth: u32) -> (JoinHandle<Output>, u64) {
    let output = stage.below(u64::MAX);
    let steps = steps(Arc::clone(stage), depth);
    let join = match stage.below(6) {
        0 => {
            let shard = stage.any_shard();
            let (stage, handle) = (Arc::clone(stage), stage.handle.clone());
            handle.spawn_on(shard, move || {
                Watched::new(&stage, Some(shard), output, steps)
            })
        }
        1 if ShardId::current().is_some() => {
            spawn_local(Watched::new(stage, ShardId::current(), output, steps))
        }
        _ => stage.handle.spawn(Watched::new(stage, None, output, steps)),
    };
    (join, output)
}

/// Runs random steps.
fn steps(stage: Arc<Stage>, depth: u32) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        for _ in 0..stage.below(7) {
            step(&stage, depth).await;
        }
    })
}

async fn step(stage: &Arc<Stage>, depth: u32) {
    match stage.below(19) {
        0..=2 => stage.clock.pass(stage.below(400) as u32 * US),
        3 => yield_now().await,
        4 => {
            let until = stage.clock.now() + stage.below(5) as u32 * MS;
            sleep(until - stage.clock.now()).await;
            let early = stage.clock.now() < until && !stage.is_stopping();
            stage.expect(!early, "a sleep ended early");
        }
        // A poll that lasts, and in which other threads go on.
        5 => {
            for _ in 0..stage.below(12) {
                stage.clock.pass(500 * US);
                pause();
            }
        }
        6 if depth < DEPTH_MAX => {
            let (join, output) = spawn(stage, depth + 1);
            check_join(stage, join.await, Some(output), false);
        }
        7 if depth < DEPTH_MAX => {
            let (mut join, output) = spawn(stage, depth + 1);
            if stage.one_in(2) {
                let limit = stage.below(3) as u32 * MS;
                if let Ok(joined) = timeout(limit, &mut join).await {
                    check_join(stage, joined, Some(output), false);
                    return;
                }
            }
            join.abort();
            check_join(stage, join.await, Some(output), true);
        }
        8 if depth < DEPTH_MAX => drop(spawn(stage, depth + 1)),
        9 => {
            if let Some(pipe) = stage.any_pipe() {
                pipe.write(1 + stage.below(3));
            }
        }
        10 => {
            if let Some(pipe) = stage.any_pipe() {
                let limit = stage.below(4) as u32 * MS;
                let _ = timeout(limit, pipe.read(stage)).await;
            }
        }
        11 if !stage.is_closing() => {
            if let Ok(pipe) = Pipe::new(stage) {
                stage.pipes.lock().push(Arc::clone(&pipe));
                pipe.read(stage).await;
                if stage.one_in(2) {
                    stage.forget_pipe(&pipe);
                }
            }
        }
        12 if !stage.is_closing() => gate(stage).await,
        13..=15 if !stage.is_closing() => converse(stage).await,
        16..=17 if !stage.is_closing() => churn(stage).await,
        _ => {
            // A sleep that is armed by one task and ends in another.
            let mut wait = sleep(stage.below(4) as u32 * MS);
            let mut cx = Context::from_waker(Waker::noop());
            let _ = Pin::new(&mut wait).poll(&mut cx);
            if depth < DEPTH_MAX {
                let until = wait.deadline();
                let (clock, on) = (stage.clock.clone(), Arc::clone(stage));
                let rest = async move {
                    wait.await;
                    let early = clock.now() < until && !on.is_stopping();
                    on.expect(!early, "a sleep that moved ended early");
                };
                drop(stage.handle.spawn(Watched::new(stage, None, 0, rest)));
            }
        }
    }
}

fn check_join(
    stage: &Stage,
    joined: Result<Output, crate::JoinError>,
    output: Option<u64>,
    aborted: bool,
) {
    match joined {
        Ok(joined) => stage.expect(
            Some(joined.value) == output,
            "a handle got another task's output",
        ),
        Err(error) if error.is_panic() => stage.fault(format!("a task panicked: {error}")),
        Err(error) => {
            let expected = error.is_shutdown() && stage.is_stopping() || aborted;
            stage.expect(expected, "a task ended without reason");
        }
    }
}

/// Waits at a gate that another task, or the end of the play, opens.
async fn gate(stage: &Arc<Stage>) {
    let gate = Arc::new(Gate::default());
    stage.gates.lock().push(Arc::clone(&gate));
    if stage.one_in(2) {
        let (opens, on) = (Arc::clone(&gate), Arc::clone(stage));
        let open = async move {
            if on.one_in(2) {
                yield_now().await;
            }
            opens.open();
        };
        drop(stage.handle.spawn(Watched::new(stage, None, 0, open)));
    }
    gate.wait().await;
}

/// One task writes to a pipe, and another reads on a shard of its own. At a slow pace the
/// registration moves to that shard. At a fast pace, events race with waits.
async fn converse(stage: &Arc<Stage>) {
    const MESSAGES: u64 = 14;
    let Ok(pipe) = Pipe::new(stage) else {
        return;
    };
    stage.pipes.lock().push(Arc::clone(&pipe));
    let (reads, on) = (Arc::clone(&pipe), Arc::clone(stage));
    let reader = async move {
        let mut left = MESSAGES;
        while left > 0 {
            let Some(bytes) = reads.read(&on).await else {
                return;
            };
            left = left.saturating_sub(bytes);
        }
    };
    let shard = stage.any_shard();
    let on = Arc::clone(stage);
    let reader = stage
        .handle
        .spawn_on(shard, move || Watched::new(&on, Some(shard), 0, reader));
    let is_slow = stage.one_in(2);
    for _ in 0..MESSAGES {
        if is_slow {
            sleep((2 + stage.below(2)) as u32 * MS).await;
        } else if stage.one_in(2) {
            yield_now().await;
        }
        if stage.is_stopping() {
            return;
        }
        pipe.write(1);
        if is_slow && pipe.is_hashed && stage.one_in(8) {
            pipe.check_double(stage);
        }
    }
    check_join(stage, reader.await, Some(0), false);
}

/// Makes and drops registrations that may have an event under way. Their numbers and slots are used
/// again at once.
async fn churn(stage: &Arc<Stage>) {
    for _ in 0..6 {
        let Ok(pipe) = Pipe::new(stage) else {
            return;
        };
        if stage.one_in(2) {
            pipe.write(1);
        }
        if stage.one_in(3) {
            yield_now().await;
        }
        for _ in 0..stage.below(3) {
            pause();
        }
        let event = pipe.registration.try_ready(Interest::READABLE);
        let is_ready = event.is_ok_and(|event| !event.ready().is_empty());
        let was_written = pipe.flow.lock().written > 0;
        stage.expect(
            was_written || !is_ready,
            "a new registration got the event of another",
        );
    }
}

/// A thread that is no shard: it spawns, aborts, writes, and lets the time pass.
pub(super) fn outsider(stage: &Arc<Stage>) {
    let mut handles = Vec::new();
    let _current = stage.handle.enter();
    for _ in 0..4 + stage.below(24) {
        match stage.below(8) {
            0..=2 => handles.push(spawn(stage, 0)),
            3 => {
                if let Some((join, _)) = handles.last() {
                    join.abort();
                }
            }
            4 => drop(handles.pop()),
            5 => {
                if let Some(pipe) = stage.any_pipe() {
                    pipe.write(1);
                }
            }
            6 => {
                // Armed by a shard at this thread's request.
                let mut wait = sleep(MS);
                let mut cx = Context::from_waker(Waker::noop());
                let _ = Pin::new(&mut wait).poll(&mut cx);
            }
            _ => stage.clock.idle(stage.below(3_000) as u32 * US),
        }
    }
}

/// The patrol, which finds stuck shards (`shard/patrol.rs`).
pub(super) fn patrol(stage: &Arc<Stage>, checks: u32) {
    let shards = stage.handle.all_shards();
    let mut patrol = Patrol::new(shards.len());
    for _ in 0..checks {
        patrol.check(shards);
        stage.clock.idle(MS);
    }
}
