//! `spawn_blocking`: the threads of jobs, the ends of jobs, and jobs at the end of their reactor.

mod support;

use std::panic::panic_any;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier};
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use reactor::time::timeout;
use reactor::{Handle, JoinHandle, Pinning, Reactor, ShardId, spawn_blocking};
use support::{DEADLINE, eventually, reactor, receive};

/// Creates a reactor of one shard whose pool has at most this many threads.
fn with_threads(threads: usize) -> Reactor {
    Reactor::builder()
        .shards(1)
        .pinning(Pinning::None)
        .max_blocking_threads(threads)
        .build()
        .unwrap()
}

/// Starts a job that runs until it receives a message. Returns its handle and the sender.
fn occupy(handle: &Handle) -> (JoinHandle<()>, Sender<()>) {
    let (runs, running) = channel();
    let (end, gate) = channel::<()>();
    let job = handle.spawn_blocking(move || {
        runs.send(()).unwrap();
        let _ = gate.recv_timeout(DEADLINE);
    });
    receive(&running, "the job runs");
    (job, end)
}

#[cfg(target_os = "linux")]
#[test]
fn a_job_has_the_mask_from_before_the_pins() {
    use rustix::thread::{CpuSet, sched_getaffinity};
    let mask = || {
        let set = sched_getaffinity(None).unwrap();
        (0..CpuSet::MAX_CPU)
            .filter(|&cpu| set.is_set(cpu))
            .collect::<Vec<_>>()
    };
    let allowed = mask();
    let reactor = Reactor::builder()
        .shards(1)
        .pinning(Pinning::Cpus(vec![allowed[0]]))
        .build()
        .unwrap();
    let masks = reactor.handle().spawn(async move {
        let first = spawn_blocking(mask).await.unwrap();
        // Again on the existing thread, and once more where a shard's task builds a reactor.
        let second = spawn_blocking(mask).await.unwrap();
        let inner = with_threads(1);
        let third = inner.handle().spawn_blocking(mask).await.unwrap();
        (mask(), [first, second, third])
    });
    let (own, jobs) = reactor.block_on(masks).unwrap();
    assert_eq!(own, &allowed[..1], "the shard is pinned");
    assert_eq!(jobs, [&allowed, &allowed, &allowed].map(Clone::clone));
}

#[test]
fn a_job_runs_off_the_shards_with_the_reactor_current() {
    let reactor = reactor(1);
    let job = reactor.handle().spawn(async {
        let shard = ShardId::current();
        let job = spawn_blocking(|| {
            let handle = Handle::current();
            let name = thread::current().name().map(str::to_owned);
            // A job may block on the reactor that runs it.
            let on_shard = handle.block_on(handle.spawn(async { ShardId::current() }));
            (ShardId::current(), on_shard.unwrap(), name)
        });
        (shard, job.await.unwrap())
    });
    let (shard, (in_job, from_job, name)) = reactor.block_on(job).unwrap();
    assert!(shard.is_some());
    assert_eq!(in_job, None);
    assert_eq!(from_job, shard);
    assert_eq!(name.as_deref(), Some("shard-blocking"));
}

#[test]
fn a_panic_is_an_error_with_its_payload_and_the_thread_lives() {
    let reactor = with_threads(1);
    let panicking = reactor.handle().spawn_blocking(|| panic_any(17_u8));
    let error = reactor.block_on(panicking).unwrap_err();
    assert_eq!(*error.into_panic().downcast::<u8>().unwrap(), 17);
    let next = reactor.handle().spawn_blocking(|| 1);
    assert_eq!(reactor.block_on(next).unwrap(), 1);

    struct PanicsInDrop;
    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            panic!("an output nobody wants");
        }
    }
    drop(reactor.handle().spawn_blocking(|| PanicsInDrop));
    eventually("both panics are counted", || {
        reactor.handle().metrics().blocking.panics == 2
    });
    assert_eq!(reactor.handle().metrics().blocking.threads, 1);
}

#[test]
fn a_job_aborted_before_it_begins_never_runs() {
    let reactor = with_threads(1);
    let (running, end) = occupy(reactor.handle());
    let ran = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&ran);
    let queued = reactor
        .handle()
        .spawn_blocking(move || flag.store(true, Ordering::SeqCst));
    let abort = queued.abort_handle();
    abort.abort();
    running.abort();
    assert!(!running.is_finished() && !abort.is_finished());
    end.send(()).unwrap();
    reactor
        .block_on(running)
        .expect("a job that runs is not aborted");
    let error = reactor.block_on(queued).unwrap_err();
    assert!(error.is_cancelled() && !error.is_shutdown(), "{error:?}");
    assert!(abort.is_finished());
    assert!(!ran.load(Ordering::SeqCst));
    assert_eq!(Arc::strong_count(&ran), 1, "its closure is dropped");
}

#[test]
fn as_many_jobs_run_at_once_as_there_may_be_threads() {
    let reactor = with_threads(8);
    let metrics = || reactor.handle().metrics().blocking;
    for at_once in [1, 2, 4, 8] {
        // No job passes before all have arrived, so each needs a thread: the idle ones, and new
        // ones.
        let barrier = Arc::new(Barrier::new(at_once));
        let jobs: Vec<_> = (0..at_once)
            .map(|_| {
                let barrier = Arc::clone(&barrier);
                reactor
                    .handle()
                    .spawn_blocking(move || barrier.wait().is_leader())
            })
            .collect();
        let all = async {
            let mut leaders = 0;
            for job in jobs {
                leaders += u32::from(job.await.unwrap());
            }
            leaders
        };
        let leaders = reactor.block_on(async { timeout(DEADLINE, all).await });
        assert_eq!(leaders, Ok(1));
        assert_eq!(metrics().threads, at_once as u64);
        eventually("all are idle", || metrics().idle_threads == at_once as u64);
    }
    let busy: Vec<_> = (0..8).map(|_| occupy(reactor.handle())).collect();
    let waiting = reactor.handle().spawn_blocking(|| 5);
    assert_eq!(metrics().queue_depth, 1);
    assert_eq!((metrics().threads, metrics().idle_threads), (8, 0));
    drop(busy);
    assert_eq!(reactor.block_on(waiting).unwrap(), 5);
    eventually("the count of jobs", || metrics().jobs_completed == 24);
}

#[test]
fn a_thread_without_a_job_ends_and_another_takes_its_place() {
    let reactor = Reactor::builder()
        .shards(1)
        .pinning(Pinning::None)
        .thread_keep_alive(Duration::from_millis(1))
        .build()
        .unwrap();
    for round in 0..3 {
        let job = reactor.handle().spawn_blocking(move || round);
        assert_eq!(reactor.block_on(job).unwrap(), round);
        eventually("the thread's end", || {
            reactor.handle().metrics().blocking.threads == 0
        });
    }
}

/// Sends a message when it is dropped.
struct Witness(Sender<()>);

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

fn witness() -> (Witness, Receiver<()>) {
    let (sender, receiver) = channel();
    (Witness(sender), receiver)
}

#[test]
fn the_end_of_the_reactor_drops_jobs_that_have_not_begun_and_leaves_the_others() {
    let reactor = with_threads(1);
    let handle = reactor.handle().clone();
    let (running, end) = occupy(&handle);
    let (kept, dropped) = witness();
    let queued = handle.spawn_blocking(move || drop(kept));
    drop(reactor);
    dropped
        .try_recv()
        .expect("the closure is dropped with the reactor");
    let block_on = Reactor::builder().shards(1).build().unwrap();
    let error = block_on.block_on(queued).unwrap_err();
    assert!(error.is_shutdown(), "{error:?}");
    assert!(!running.is_finished());
    end.send(()).unwrap();
    block_on
        .block_on(running)
        .expect("it ran to its end, after the reactor's");
    eventually("the pool's last thread ends", || {
        handle.metrics().blocking.threads == 0
    });

    let (kept, dropped) = witness();
    let refused = handle.spawn_blocking(move || drop(kept));
    dropped
        .try_recv()
        .expect("the closure is dropped where it was refused");
    assert!(block_on.block_on(refused).unwrap_err().is_shutdown());
    assert_eq!(handle.metrics().blocking.jobs_completed, 2);
}

#[test]
fn a_job_that_drops_the_reactor_ends_the_others_and_then_itself() {
    let reactor = with_threads(1);
    let handle = reactor.handle().clone();
    let (begin, gate) = channel::<()>();
    let first = handle.spawn_blocking(move || {
        gate.recv_timeout(DEADLINE).unwrap();
        drop(reactor);
        7
    });
    let (witness, dropped) = witness();
    let second = handle.spawn_blocking(move || drop(witness));
    begin.send(()).unwrap();
    let outside = with_threads(1);
    assert_eq!(outside.block_on(first).unwrap(), 7);
    receive(&dropped, "the second is dropped");
    assert!(outside.block_on(second).unwrap_err().is_shutdown());
    assert_eq!(handle.metrics().blocking.jobs_completed, 2);
}

#[test]
fn a_shutdown_waits_for_jobs_as_for_tasks() {
    let reactor = with_threads(1);
    let (running, end) = occupy(reactor.handle());
    let (job, gate) = channel::<()>();
    let handle = reactor.handle().clone();
    let after = handle.spawn_blocking(move || {
        let _ = gate.recv_timeout(DEADLINE);
        7
    });
    let shutdown = thread::spawn(move || reactor.shutdown(DEADLINE));
    handle.block_on(handle.shutdown_requested());
    end.send(()).unwrap();
    handle.block_on(running).unwrap();
    assert!(
        !shutdown.is_finished(),
        "the queued job is waited for as well"
    );
    job.send(()).unwrap();
    let ended = std::time::Instant::now();
    assert_eq!(handle.block_on(after).unwrap(), 7);
    shutdown.join().unwrap().unwrap();
    assert!(ended.elapsed() < DEADLINE, "it ends with the last job");
}

#[test]
fn a_shutdowns_deadline_holds_while_a_job_runs() {
    let reactor = with_threads(1);
    let handle = reactor.handle().clone();
    let (running, end) = occupy(&handle);
    reactor.shutdown(Duration::from_millis(1)).unwrap();
    assert!(!running.is_finished());
    end.send(()).unwrap();
    handle.block_on(running).unwrap();
}

#[test]
fn jobs_from_many_threads_all_run_once() {
    const THREADS: usize = 4;
    const JOBS: usize = 500;
    let reactor = with_threads(3);
    let (sender, receiver) = channel();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (handle, sender) = (reactor.handle(), sender.clone());
            scope.spawn(move || {
                for job in 0..JOBS {
                    let sender = sender.clone();
                    drop(handle.spawn_blocking(move || sender.send(thread * JOBS + job)));
                }
            });
        }
    });
    drop(sender);
    let mut ran: Vec<usize> = (0..THREADS * JOBS)
        .map(|_| receive(&receiver, "a job"))
        .collect();
    ran.sort_unstable();
    assert!(ran.into_iter().eq(0..THREADS * JOBS));
}

#[test]
fn no_threads_at_all_are_refused() {
    let error = Reactor::builder()
        .max_blocking_threads(0)
        .build()
        .unwrap_err();
    assert!(error.to_string().contains("max_blocking_threads"));
}

#[test]
#[should_panic(expected = "there is no reactor on this thread")]
fn without_a_reactor_it_panics_with_advice() {
    drop(spawn_blocking(|| ()));
}

/// Runs a test of this program in a child process, whose threads have stacks of this size unless
/// they set another one.
fn in_a_child_with_stacks(test: &str, bytes: u64) {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--test-threads=1", test])
        .env("RUST_MIN_STACK", bytes.to_string())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

#[test]
fn a_job_that_no_thread_can_be_had_for_ends_with_the_reason() {
    // No machine has a stack of this size.
    in_a_child_with_stacks("in_a_child_without_threads", 1 << 60);
}

#[cfg(target_os = "linux")]
#[test]
fn a_job_that_no_further_thread_can_be_had_for_waits_for_a_thread_that_is_there() {
    in_a_child_with_stacks("in_a_child_with_one_thread", STACK);
}

/// A stack that is much larger than all else that a small test maps.
#[cfg(target_os = "linux")]
const STACK: u64 = 256 << 20;

#[cfg(target_os = "linux")]
#[test]
#[ignore = "the test above runs it"]
fn in_a_child_with_one_thread() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let reactor = Reactor::builder()
        .shards(1)
        .thread_stack_size(256 * 1024)
        .build()
        .unwrap();
    let (running, end) = occupy(reactor.handle());
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let size = size.and_then(|text| text.trim().strip_suffix(" kB"));
    let kib: u64 = size.unwrap().parse().unwrap();
    // From here on there is memory for anything but one more stack.
    let mut limit = getrlimit(Resource::As);
    limit.current = Some(kib * 1024 + STACK / 2);
    setrlimit(Resource::As, limit).unwrap();
    let queued = reactor.handle().spawn_blocking(|| 7);
    let blocking = || reactor.handle().metrics().blocking;
    assert_eq!((blocking().threads, blocking().queue_depth), (1, 1));
    end.send(()).unwrap();
    assert_eq!(reactor.block_on(queued).unwrap(), 7);
    reactor.block_on(running).unwrap();
}

#[test]
fn a_job_that_runs_is_not_counted_as_completed() {
    let reactor = with_threads(1);
    let completed = || reactor.handle().metrics().blocking.jobs_completed;
    let (running, end) = occupy(reactor.handle());
    assert_eq!(completed(), 0);
    end.send(()).unwrap();
    reactor.block_on(running).unwrap();
    assert_eq!(completed(), 1);
}

#[test]
fn a_panic_in_a_waker_that_awaits_a_job_is_counted() {
    struct Panics;
    impl std::task::Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a waker");
        }
    }
    let reactor = with_threads(1);
    let (mut running, end) = occupy(reactor.handle());
    let waker = Waker::from(Arc::new(Panics));
    let polled = Pin::new(&mut running).poll(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
    end.send(()).unwrap();
    eventually("the panic", || {
        reactor.handle().metrics().blocking.panics == 1
    });
    reactor.block_on(running).unwrap();
}

#[test]
#[ignore = "the test above runs it"]
fn in_a_child_without_threads() {
    let reactor = Reactor::builder()
        .shards(1)
        .thread_stack_size(256 * 1024)
        .build()
        .unwrap();
    let (kept, dropped) = witness();
    let job = reactor.handle().spawn_blocking(move || drop(kept));
    dropped.try_recv().expect("the closure is dropped");
    let error = reactor.block_on(job).unwrap_err();
    assert!(error.is_cancelled() && !error.is_shutdown(), "{error:?}");
    assert!(error.to_string().contains("no thread"), "{error}");
    assert!(std::error::Error::source(&error).is_some());
    // A shutdown does not wait for it.
    let start = std::time::Instant::now();
    reactor.shutdown(DEADLINE).unwrap();
    assert!(start.elapsed() < DEADLINE);
}

#[test]
fn a_shutdown_from_a_job_does_not_wait_for_that_job() {
    let reactor = with_threads(2);
    let (running, end) = occupy(reactor.handle());
    let task = reactor.handle().clone().spawn(async move {
        Handle::current().shutdown_requested().await;
        // Other work gets the time of the deadline.
        end.send(()).unwrap();
    });
    let (sender, done) = channel();
    drop(reactor.handle().clone().spawn_blocking(move || {
        sender.send(reactor.shutdown(Duration::MAX)).unwrap();
    }));
    receive(&done, "the shutdown waits for the job that called it").unwrap();
    // Their work is done. Their handles may complete a moment later.
    let outside = with_threads(1);
    outside.block_on(running).unwrap();
    outside.block_on(task).unwrap();
}

#[test]
fn a_shutdown_from_a_job_lets_the_queue_behind_it_run() {
    // The keep-alive is so short that the thread started for the queue has ended before the next
    // job comes.
    let reactor = Reactor::builder()
        .shards(1)
        .max_blocking_threads(1)
        .thread_keep_alive(Duration::ZERO)
        .build()
        .unwrap();
    let handle = reactor.handle().clone();
    let (begin, gate) = channel::<()>();
    let (sender, done) = channel();
    let first = handle.spawn_blocking(move || {
        gate.recv_timeout(DEADLINE).unwrap();
        sender.send(reactor.shutdown(Duration::MAX)).unwrap();
    });
    let queued = handle.spawn_blocking(|| 7);
    // A task that needs another job after that, as it ends.
    let task = handle.spawn(async move {
        Handle::current().shutdown_requested().await;
        let seven = queued.await.unwrap();
        while Handle::current().metrics().blocking.threads > 1 {
            reactor::yield_now().await;
        }
        seven + spawn_blocking(|| 1).await.unwrap()
    });
    begin.send(()).unwrap();
    receive(&done, "the shutdown and the queue wait for each other").unwrap();
    let outside = with_threads(1);
    assert_eq!(outside.block_on(task).unwrap(), 8);
    outside.block_on(first).unwrap();
}
