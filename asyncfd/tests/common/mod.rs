//! Shared by the integration tests of this crate's side: a reactor around each case, and the
//! helpers of the parity suite.

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

/// Runs a case twice, each time with its own reactor: awaited on a plain thread, and as a task of
/// the shard.
pub(crate) fn run<F, Fut>(case: F)
where
    F: FnOnce() -> Fut + Send + Clone + 'static,
    Fut: Future<Output = ()> + 'static,
{
    run_off_shard(case.clone());
    run_on_shard(case);
}

/// Runs a case on a plain thread. There is one shard, so that events keep the order in which they
/// happened.
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

/// Returns once every event that happened before the call is published; see the parity suite's
/// `settle`.
pub(crate) async fn settle() {
    let (a, mut b) = pair();
    let a = AsyncFd::from_fd(a).unwrap();
    b.write_all(b"x").unwrap();
    a.readable().await.unwrap().retain_ready();
}

/// Returns the readiness that is cached at the moment.
pub(crate) fn cached<T: AsRawFd>(fd: &AsyncFd<T>, interest: Interest) -> Ready {
    match Probe::new().poll(pin!(fd.ready(interest))) {
        Poll::Ready(guard) => guard.unwrap().ready(),
        Poll::Pending => Ready::EMPTY,
    }
}

/// Runs two futures side by side until both have ended.
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

/// A path for one run of a test, whose socket or FIFO is removed with it.
pub(crate) struct SocketPath(pub(crate) PathBuf);

impl SocketPath {
    pub(crate) fn new(name: &str) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let file = format!("asyncfd-{name}-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(file);
        // A killed process with the same id may have left one.
        let _ = std::fs::remove_file(&path);
        Self(path)
    }
}

impl Drop for SocketPath {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
