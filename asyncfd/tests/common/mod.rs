//! What the integration tests of our own side share: a reactor around each case, and the helpers of
//! the parity suite.

#![allow(dead_code, reason = "no test file uses all of it")]

#[path = "../parity/support.rs"]
pub(crate) mod support;

use std::future::{Future, poll_fn};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use asyncfd::{AsyncFd, Interest, Ready};
use reactor::Reactor;

use self::support::{DEADLINE, Probe, pair};

/// Runs a case twice, each time with a reactor of its own: awaited on a plain thread, and as a task
/// of the shard.
pub(crate) fn run<F, Fut>(case: F)
where
    F: FnOnce() -> Fut + Send + Clone + 'static,
    Fut: Future<Output = ()> + 'static,
{
    run_off_shard(case.clone());
    run_on_shard(case);
}

/// Runs a case on a plain thread. One shard, so that events keep the order in which they happened.
pub(crate) fn run_off_shard<F, Fut>(case: F)
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = ()>,
{
    let reactor = Reactor::builder().shards(1).build().unwrap();
    within_deadline(&reactor, async { case().await });
}

/// Runs a case as a task of the shard that polls its descriptors.
pub(crate) fn run_on_shard<F, Fut>(case: F)
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let reactor = Reactor::builder().shards(1).build().unwrap();
    let shard = reactor.handle().shards().next().unwrap();
    let task = reactor.handle().spawn_on(shard, case);
    if let Err(error) = within_deadline(&reactor, task) {
        resume_unwind(error.into_panic());
    }
}

pub(crate) fn within_deadline<F: Future>(reactor: &Reactor, future: F) -> F::Output {
    reactor
        .block_on(async { reactor::time::timeout(DEADLINE, future).await })
        .expect("the case did not end in time")
}

/// Returns once every event that happened before the call is published; see the parity suite's.
pub(crate) async fn settle() {
    let (a, mut b) = pair();
    let a = AsyncFd::from_fd(a).unwrap();
    b.write_all(b"x").unwrap();
    a.readable().await.unwrap().retain_ready();
}

/// What a descriptor is cached as ready for just now.
pub(crate) fn cached<T: AsRawFd>(fd: &AsyncFd<T>, interest: Interest) -> Ready {
    match Probe::new().poll(pin!(fd.ready(interest))) {
        Poll::Ready(guard) => guard.unwrap().ready(),
        Poll::Pending => Ready::EMPTY,
    }
}

/// Lets two futures run side by side until both have ended.
pub(crate) async fn both(a: impl Future<Output = ()>, b: impl Future<Output = ()>) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut a_ended, mut b_ended) = (false, false);
    poll_fn(|cx| {
        a_ended = a_ended || a.as_mut().poll(cx).is_ready();
        b_ended = b_ended || b.as_mut().poll(cx).is_ready();
        if a_ended && b_ended {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// A path of its own for one run of a test, whose socket or FIFO goes away with it.
pub(crate) struct SocketPath(pub(crate) PathBuf);

impl SocketPath {
    pub(crate) fn new(name: &str) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let file = format!("asyncfd-{name}-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(file);
        // Left by a process of the same number that was killed.
        let _ = std::fs::remove_file(&path);
        Self(path)
    }
}

impl Drop for SocketPath {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
