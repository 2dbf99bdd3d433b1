//! Nothing allocates in the steady state. The tests repeat waits, wakes from the same shard and
//! from another, sleeps, timeouts, intervals and moved deadlines, and count every allocation of the
//! process, except those of the test harness. There is one test, so that nothing else runs
//! meanwhile.

#[path = "support/counting.rs"]
mod counting;
mod support;

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use reactor::time::{coarse_now, interval, sleep, timeout};
use reactor::{
    Handle, Interest, Placement, Reactor, Ready, Registration, ShardId, spawn_local, yield_now,
};
#[cfg(target_os = "linux")]
use support::eventually;
use support::reactor;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

const LONG: Duration = Duration::from_secs(3_600);
const WARM_UP: u32 = 100;
const ROUNDS: u32 = 400;

/// Runs `body` on a shard, with the meter that repeats its steps. Returns the number of allocations
/// that the process made in the repetitions.
fn counted<B, F>(reactor: &Reactor, body: B) -> u64
where
    B: FnOnce(Meter) -> F + Send + 'static,
    F: Future<Output = u64> + 'static,
{
    let first = reactor.handle().shards().next().unwrap();
    // The task is spawned from within: this thread has allocated what it needs to wait before the
    // shard begins.
    let task = async { reactor.handle().spawn_on(first, || body(Meter)).await };
    reactor.block_on(task).unwrap()
}

struct Meter;

impl Meter {
    /// Repeats a step, after a warm-up in which buffers grow to their final size.
    async fn repeat(self, mut step: impl AsyncFnMut()) -> u64 {
        for _ in 0..WARM_UP {
            step().await;
        }
        let before = counting::allocations();
        for _ in 0..ROUNDS {
            step().await;
        }
        counting::allocations() - before
    }
}

/// One end of a socket pair, registered on the current shard.
struct End {
    stream: UnixStream,
    registration: Registration,
}

impl End {
    fn new(stream: UnixStream) -> Self {
        stream.set_nonblocking(true).unwrap();
        let both = Interest::READABLE | Interest::WRITABLE;
        let registration = Registration::new(
            &Handle::current(),
            Placement::Current,
            &stream,
            both,
            Ready::EMPTY,
        );
        Self {
            stream,
            registration: registration.unwrap(),
        }
    }

    async fn read(&self) {
        let mut byte = [0];
        loop {
            let event = self.registration.ready(Interest::READABLE).await.unwrap();
            match (&self.stream).read(&mut byte) {
                Ok(1) => return,
                Ok(_) => panic!("the peer ended"),
                Err(_would_block) => self.registration.clear(event),
            }
        }
    }

    fn write(&self) {
        assert_eq!((&self.stream).write(b"x").unwrap(), 1);
    }
}

/// A place to wait for another task's call.
#[derive(Default)]
struct Bell(Mutex<(bool, Option<Waker>)>);

impl Bell {
    fn ring(&self) {
        let waker = {
            let mut bell = self.0.lock().unwrap();
            bell.0 = true;
            bell.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    async fn rung(&self) {
        poll_fn(|cx| {
            let mut bell = self.0.lock().unwrap();
            if std::mem::take(&mut bell.0) {
                return Poll::Ready(());
            }
            bell.1 = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// Waits of two tasks of one shard for each other's bytes.
fn waits(reactor: &Reactor) -> u64 {
    counted(reactor, async |meter: Meter| {
        let (here, there) = UnixStream::pair().unwrap();
        let (here, there) = (End::new(here), End::new(there));
        let echo = spawn_local(async move {
            loop {
                there.read().await;
                there.write();
            }
        });
        let count = meter
            .repeat(async || {
                here.write();
                here.read().await;
            })
            .await;
        echo.abort();
        count
    })
}

/// Wakes of a task by another one, on `other` or on the same shard.
fn wakes(reactor: &Reactor, other: ShardId) -> u64 {
    let handle = reactor.handle().clone();
    counted(reactor, async move |meter: Meter| {
        let (ask, answer) = (Arc::new(Bell::default()), Arc::new(Bell::default()));
        let (asked, answers) = (Arc::clone(&ask), Arc::clone(&answer));
        let other = handle.spawn_on(other, || async move {
            loop {
                asked.rung().await;
                answers.ring();
            }
        });
        let count = meter
            .repeat(async || {
                ask.ring();
                answer.rung().await;
            })
            .await;
        other.abort();
        count
    })
}

/// Timers that fire, that are dropped and that are moved, with other timers beside them.
fn timers(reactor: &Reactor) -> u64 {
    counted(reactor, async |meter: Meter| {
        let mut idle = sleep(LONG);
        let mut ticks = interval(Duration::from_micros(1));
        meter
            .repeat(async || {
                // A request with a deadline.
                timeout(LONG, yield_now()).await.unwrap();
                assert!(
                    timeout(Duration::from_micros(1), pending_once())
                        .await
                        .is_err()
                );
                // An idle timeout that is moved, later and earlier, and waited for in between.
                for ahead in [LONG, LONG / 2, 2 * LONG] {
                    Pin::new(&mut idle).reset(coarse_now() + ahead);
                    poll_fn(|cx| {
                        assert!(Pin::new(&mut idle).poll(cx).is_pending());
                        Poll::Ready(())
                    })
                    .await;
                }
                ticks.tick().await;
                sleep(Duration::from_micros(10)).await;
            })
            .await
    })
}

/// Never ready; only its deadline ends it.
async fn pending_once() {
    std::future::pending::<()>().await;
}

/// Many tasks that yield to each other.
fn yields(reactor: &Reactor) -> u64 {
    counted(reactor, async |meter: Meter| {
        let ran = Rc::new(RefCell::new(0_u64));
        let others: Vec<_> = (0..10)
            .map(|_| {
                let ran = Rc::clone(&ran);
                spawn_local(async move {
                    loop {
                        *ran.borrow_mut() += 1;
                        yield_now().await;
                    }
                })
            })
            .collect();
        let count = meter.repeat(async || yield_now().await).await;
        others.iter().for_each(|other| other.abort());
        assert!(*ran.borrow() > u64::from(ROUNDS));
        count
    })
}

/// One allocation in each round, which the count has to show.
fn seeded(reactor: &Reactor) -> u64 {
    counted(reactor, async |meter: Meter| {
        meter
            .repeat(async || {
                let mut kept = pin!(Some(Box::new(0_u64)));
                yield_now().await;
                std::hint::black_box(kept.as_mut().get_mut().take());
            })
            .await
    })
}

#[cfg(target_os = "linux")]
fn watch_thread_sleeps() -> bool {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    threads.flatten().any(|thread| {
        // The name is in brackets, and the state follows it.
        let stat = std::fs::read_to_string(thread.path().join("stat"));
        stat.is_ok_and(|stat| stat.contains("watch) S"))
    })
}

#[test]
fn nothing_allocates_in_the_steady_state() {
    let reactor = reactor(2);
    let shards: Vec<ShardId> = reactor.handle().shards().collect();
    // A thread allocates when it starts, and no call waits for the start of this one.
    #[cfg(target_os = "linux")]
    eventually("the watch thread sleeps", watch_thread_sleeps);
    assert_eq!(
        seeded(&reactor),
        u64::from(ROUNDS),
        "an allocation is not counted"
    );
    assert_eq!(waits(&reactor), 0, "waits for readiness");
    assert_eq!(wakes(&reactor, shards[0]), 0, "wakes on the own shard");
    assert_eq!(wakes(&reactor, shards[1]), 0, "wakes by another shard");
    assert_eq!(timers(&reactor), 0, "timers");
    assert_eq!(yields(&reactor), 0, "yields");
    drop(reactor);
    for histograms in [false, true] {
        let measured = Reactor::builder()
            .shards(1)
            .task_tracking(true)
            .histograms(histograms)
            .build()
            .unwrap();
        assert_eq!(waits(&measured), 0, "measured waits, {histograms}");
        assert_eq!(yields(&measured), 0, "measured yields, {histograms}");
    }
}
