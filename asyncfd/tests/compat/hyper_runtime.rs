//! hyper's timer and executor.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use asyncfd::compat::{ShardExecutor, ShardTimer};
use asyncfd::net::{TcpStream, UnixStream, pipe};
use hyper::rt::{Executor, Sleep, Timer, Write};
use reactor::ShardId;

use crate::common::support::{Probe, panic_of};
use crate::common::{run, run_on_shard};

const FAR: Duration = Duration::from_secs(3600);
const NEAR: Duration = Duration::from_millis(5);

fn address(sleep: &Pin<Box<dyn Sleep>>) -> *const () {
    (&raw const **sleep).cast()
}

#[test]
fn a_sleep_ends_at_its_time_and_not_before() {
    run(|| async {
        let timer = ShardTimer::new();
        let began = Instant::now();
        timer.sleep(NEAR).await;
        assert!(began.elapsed() >= NEAR);
        let deadline = timer.now() + NEAR;
        timer.sleep_until(deadline).await;
        assert!(Instant::now() >= deadline);
    });
}

#[test]
fn a_sleep_that_is_reset_is_the_same_one_with_another_deadline() {
    run(|| async {
        let timer = ShardTimer::new();
        let mut sleep = timer.sleep(FAR);
        let before = address(&sleep);
        let probe = Probe::new();
        assert!(probe.poll(sleep.as_mut()).is_pending());
        // An earlier deadline, while a task waits: otherwise the case would hit its time limit.
        timer.reset(&mut sleep, Instant::now() + NEAR);
        probe.woken().await;
        sleep.as_mut().await;
        // A later deadline, after the sleep ended.
        timer.reset(&mut sleep, Instant::now() + FAR);
        assert!(Probe::new().poll(sleep.as_mut()).is_pending());
        assert_eq!(address(&sleep), before, "no other was made");
    });
}

/// A sleep of another timer, which never ends.
struct Stranger;

impl Future for Stranger {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

impl Sleep for Stranger {}

#[test]
fn a_strangers_sleep_is_replaced_by_a_reset() {
    run(|| async {
        let mut sleep: Pin<Box<dyn Sleep>> = Box::pin(Stranger);
        ShardTimer::new().reset(&mut sleep, Instant::now() + NEAR);
        sleep.await;
    });
}

#[test]
fn a_task_spawned_by_the_executor_need_not_be_send_and_stays_on_the_shard() {
    run_on_shard(|| async {
        let here = ShardId::current();
        let (ran, waiting) = (Rc::new(Cell::new(None)), Probe::new());
        let (told, task) = (Rc::clone(&ran), std::task::Waker::from(waiting.clone()));
        ShardExecutor::new().execute(async move {
            told.set(ShardId::current());
            task.wake();
        });
        assert_eq!(ran.get(), None, "it is spawned and not run on the spot");
        waiting.woken().await;
        assert_eq!(ran.get(), here);
    });
}

#[test]
fn the_executor_panics_off_the_shards() {
    let reactor = reactor::Reactor::builder().shards(1).build().unwrap();
    let _entered = reactor.enter();
    let (message, _, _) = panic_of(|| ShardExecutor::new().execute(async {}));
    assert!(message.contains("spawn_local"), "{message}");
}

#[test]
fn streams_say_that_a_vectored_write_is_one_call() {
    run(|| async {
        let (a, b) = UnixStream::pair().unwrap();
        assert!(Write::is_write_vectored(&a));
        assert!(Write::is_write_vectored(&b.into_split().1));
        let (sender, _receiver) = pipe::pipe().unwrap();
        assert!(Write::is_write_vectored(&sender));
        assert!(tokio::io::AsyncWrite::is_write_vectored(&a));
        assert!(tokio::io::AsyncWrite::is_write_vectored(&sender));
    });
    fn is_both<T: hyper::rt::Read + Write + Unpin + Send + 'static>() {}
    is_both::<TcpStream>();
}
