//! Measures the cost of waking a task from another thread, compared with tokio.
//!
//! Every round runs each side once, so that disturbances on the machine affect all of them. Ratios
//! and their intervals are those of `loadgen compare`. With one side it is suitable for strace:
//! `cargo xtask wakes` counts the system calls of a wake that way. The code of a scenario is the
//! same for every side: std's atomics, a mutex around a waker, and the side's way to spawn a task.
//!
//! | scenario | one wake |
//! |---|---|
//! | `ping-pong` | a task passes a baton to a task on another thread, which sleeps |
//! | `foreign` | a thread outside the runtime wakes a sleeping task, and blocks until it has run |
//! | `busy` | such a thread wakes a task whose own thread never sleeps, as another task there is always ready |
//!
//! Threads are pinned to the CPUs this process may use, in order; the foreign thread is not pinned.
#![forbid(unsafe_code)]

use std::future::{Future, poll_fn};
use std::pin::Pin as Pinned;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

use benches::pin::{pin_current, plan};
use clap::{Parser, ValueEnum};
use loadgen::measure::stats::{median, paired_ratio};
use reactor::{Pinning, Reactor};

/// Measures the cost of waking a task from another thread.
#[derive(Parser)]
struct Args {
    /// Side that runs the tasks [default: each in turn]
    #[arg(long, value_enum)]
    side: Option<Side>,

    /// Scenario to run [default: each in turn]
    #[arg(long, value_enum)]
    scenario: Option<Scenario>,

    /// Wakes of each side per round
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    wakes: u64,

    /// Rounds of each side
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    rounds: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Side {
    /// Shards of a reactor
    Here,
    /// A current-thread tokio runtime for each thread
    TokioCt,
    /// One multi-thread tokio runtime with as many workers; its scheduler decides where tasks run
    TokioMt,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Scenario {
    PingPong,
    Foreign,
    Busy,
}

type Task = Pinned<Box<dyn Future<Output = ()> + Send>>;

/// Two threads that run tasks.
enum Threads {
    Here(Reactor),
    TokioCt(Vec<TokioThread>),
    TokioMt(tokio::runtime::Runtime),
}

impl Threads {
    fn start(side: Side) -> Result<Self, String> {
        let text = |error: std::io::Error| error.to_string();
        match side {
            Side::Here => {
                let builder = Reactor::builder().shards(2).pinning(Pinning::Auto);
                builder.build().map(Self::Here).map_err(text)
            }
            Side::TokioCt => {
                let cpus = plan(&Pinning::Auto, 2).map_err(text)?;
                let threads = cpus.into_iter().map(TokioThread::start);
                threads
                    .collect::<Result<_, _>>()
                    .map(Self::TokioCt)
                    .map_err(text)
            }
            Side::TokioMt => {
                let mut runtime = tokio::runtime::Builder::new_multi_thread();
                let runtime = runtime.worker_threads(2).enable_all().build();
                runtime.map(Self::TokioMt).map_err(text)
            }
        }
    }

    /// Runs `task` on thread number `index` of the two.
    fn spawn(&self, index: usize, task: Task) {
        match self {
            Self::Here(reactor) => {
                let handle = reactor.handle();
                let shard = handle
                    .shards()
                    .nth(index)
                    .expect("the reactor has two shards");
                drop(handle.spawn_on(shard, move || task));
            }
            Self::TokioCt(threads) => drop(threads[index].handle.spawn(task)),
            Self::TokioMt(runtime) => drop(runtime.spawn(task)),
        }
    }
}

/// A current-thread runtime on a thread of its own.
struct TokioThread {
    handle: tokio::runtime::Handle,
    end: Arc<Signal>,
    thread: Option<thread::JoinHandle<()>>,
}

impl TokioThread {
    fn start(cpu: Option<usize>) -> std::io::Result<Self> {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build()?;
        let handle = runtime.handle().clone();
        let end = Arc::new(Signal::default());
        let ends = Arc::clone(&end);
        let thread = thread::spawn(move || {
            pin_current(cpu);
            runtime.block_on(ends.take());
        });
        Ok(Self {
            handle,
            end,
            thread: Some(thread),
        })
    }
}

impl Drop for TokioThread {
    fn drop(&mut self) {
        self.end.set();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the runtime's thread does not panic");
        }
    }
}

/// A flag that a task waits for.
#[derive(Default)]
struct Signal {
    set: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Signal {
    fn set(&self) {
        self.set.store(true, Ordering::SeqCst);
        let waker = self
            .waker
            .lock()
            .expect("no holder of the lock panics")
            .take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn poll_take(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.set.swap(false, Ordering::SeqCst) {
            return Poll::Ready(());
        }
        *self.waker.lock().expect("no holder of the lock panics") = Some(cx.waker().clone());
        // It may have been set before the waker was stored.
        if self.set.swap(false, Ordering::SeqCst) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    async fn take(&self) {
        poll_fn(|cx| self.poll_take(cx)).await;
    }
}

/// Runs two tasks on two threads, half of the wakes each.
fn ping_pong(threads: &Threads, wakes: u64) {
    let signals = Arc::new([Signal::default(), Signal::default()]);
    let (done, both_done) = mpsc::channel();
    for me in 0..2 {
        let (signals, done) = (Arc::clone(&signals), done.clone());
        threads.spawn(
            me,
            Box::pin(async move {
                for _ in 0..wakes.div_ceil(2) {
                    signals[me].take().await;
                    signals[1 - me].set();
                }
                done.send(()).expect("the main thread waits");
            }),
        );
    }
    signals[0].set();
    for _ in 0..2 {
        both_done.recv().expect("the tasks end");
    }
}

/// A task that counts its wakes, and unparks the thread that waits for them.
fn counting_task(signal: Arc<Signal>, seen: Arc<AtomicU64>, tell: Thread) -> Task {
    Box::pin(async move {
        loop {
            signal.take().await;
            seen.fetch_add(1, Ordering::SeqCst);
            tell.unpark();
        }
    })
}

/// Wakes a task on the first thread from this thread, each time after the last wake was served.
fn from_outside(threads: &Threads, wakes: u64) {
    let (signal, seen) = (Arc::new(Signal::default()), Arc::new(AtomicU64::new(0)));
    let task = counting_task(Arc::clone(&signal), Arc::clone(&seen), thread::current());
    threads.spawn(0, task);
    for wake in 1..=wakes {
        signal.set();
        while seen.load(Ordering::SeqCst) < wake {
            thread::park();
        }
    }
}

/// Like `from_outside`, for a thread that is kept awake.
fn to_busy(threads: &Threads, wakes: u64) {
    let enough = Arc::new(AtomicBool::new(false));
    // One for each thread, since a multi-thread runtime would move the woken task to an idle one.
    for index in 0..2 {
        let enough = Arc::clone(&enough);
        threads.spawn(
            index,
            Box::pin(poll_fn(move |cx| {
                if enough.load(Ordering::Relaxed) {
                    return Poll::Ready(());
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            })),
        );
    }
    from_outside(threads, wakes);
    enough.store(true, Ordering::Relaxed);
}

/// Returns the nanoseconds per wake, in one round of one side.
fn measure(side: Side, scenario: Scenario, wakes: u64) -> Result<f64, String> {
    let threads = Threads::start(side)?;
    let scenario = match scenario {
        Scenario::PingPong => ping_pong,
        Scenario::Foreign => from_outside,
        Scenario::Busy => to_busy,
    };
    // A warm-up: threads start, and caches fill.
    scenario(&threads, 200);
    let start = Instant::now();
    scenario(&threads, wakes);
    let elapsed = start.elapsed();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let per_wake = elapsed.as_nanos() as f64 / wakes as f64;
    Ok(per_wake)
}

/// Runs all rounds of a scenario and prints one line per side.
fn compare(scenario: Scenario, args: &Args) -> Result<(), String> {
    let sides: Vec<Side> = match args.side {
        Some(side) => vec![side],
        None => Side::value_variants().to_vec(),
    };
    let mut rounds = vec![Vec::new(); sides.len()];
    for _ in 0..args.rounds {
        for (side, rounds) in sides.iter().zip(&mut rounds) {
            rounds.push(measure(*side, scenario, args.wakes)?);
        }
    }
    for (side, times) in sides.iter().zip(&rounds) {
        let name = |value: &dyn Fn() -> Option<clap::builder::PossibleValue>| {
            value().map_or_else(String::new, |value| value.get_name().to_owned())
        };
        let median = median(times).ok_or("no rounds were requested")?;
        let versus = match paired_ratio(times, &rounds[0]) {
            Some(interval) if *side != sides[0] => format!(
                "{} takes {:.3} [{:.3}, {:.3}] of this",
                name(&|| sides[0].to_possible_value()),
                interval.ratio,
                interval.low,
                interval.high
            ),
            _ => String::new(),
        };
        println!(
            "{:<10} {:<9} {median:>8.0} ns  {versus}",
            name(&|| scenario.to_possible_value()),
            name(&|| side.to_possible_value()),
        );
    }
    Ok(())
}

fn main() -> ExitCode {
    let args = Args::parse();
    let scenarios = match args.scenario {
        Some(scenario) => vec![scenario],
        None => Scenario::value_variants().to_vec(),
    };
    for scenario in scenarios {
        if let Err(problem) = compare(scenario, &args) {
            eprintln!("error: {problem}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
