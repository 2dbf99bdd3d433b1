//! A child made by fork(2) has copies of every descriptor and of every `AsyncFd`, over the same
//! epoll instances as its parent. Nothing that it drops, closes or holds harms the parent.
//!
//! The reactor's own `tests/fork.rs` tests the registration below.
#![expect(unsafe_code, reason = "fork(2)")]
#![cfg(target_os = "linux")]

mod common;

use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use asyncfd::{AsyncFd, Interest, Ready};
use reactor::{Placement, Reactor};

use common::support::{Probe, pair};
use common::{cached, settle, within_deadline};

const READ: Interest = Interest::READABLE;

/// The cases rely on the lowest free number being used next.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A child process, which is killed on drop if it still runs.
struct Child(libc::pid_t);

impl Child {
    /// Forks, lets the child run a closure, and ends it with the result.
    ///
    /// The child has only this thread, and locks of other threads stay locked in it for ever. So it
    /// should do no more than the case needs.
    fn that(does: impl FnOnce() -> bool) -> Self {
        // SAFETY: the child runs `does`, which is written for that, and exits without running any
        // other code of the parent's.
        match unsafe { libc::fork() } {
            0 => {
                // A panic must not unwind into the harness, which the child has a copy of.
                let good = catch_unwind(AssertUnwindSafe(does)).unwrap_or(false);
                let code = i32::from(!good);
                // SAFETY: ends the child and runs nothing.
                unsafe { libc::_exit(code) }
            }
            child => {
                assert!(child > 0, "{}", std::io::Error::last_os_error());
                Self(child)
            }
        }
    }

    /// Forks a child that sleeps, and holds its copies, until this value is dropped.
    fn that_stays() -> Self {
        Self::that(|| {
            loop {
                // SAFETY: it only waits for a signal.
                unsafe { libc::pause() };
            }
        })
    }

    fn wait(&mut self) -> i32 {
        let mut status = 0;
        // SAFETY: waits once for the child made above; `status` is alive for the call.
        let ended = unsafe { libc::waitpid(self.0, &raw mut status, 0) };
        assert_eq!(ended, self.0);
        self.0 = 0;
        status
    }

    fn assert_good(mut self) {
        let status = self.wait();
        assert!(
            libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0,
            "the child ended with {status:#x}"
        );
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.0 > 0 {
            // SAFETY: the child was not waited for yet, so the number is still its own.
            unsafe { libc::kill(self.0, libc::SIGKILL) };
            self.wait();
        }
    }
}

/// Returns the child's copy of a value that its parent goes on using.
///
/// # Safety
///
/// 1. It is called in a forked child, which never uses or drops `original` itself.
unsafe fn copy_in_child<T>(original: &T) -> T {
    // SAFETY: the child's memory is its own, and (1) leaves one owner in it.
    unsafe { std::ptr::read(original) }
}

fn registrations(reactor: &Reactor) -> u64 {
    let metrics = reactor.handle().metrics();
    metrics.total(|shard| shard.registrations)
}

fn stale_events(reactor: &Reactor) -> u64 {
    reactor.handle().metrics().total(|shard| shard.stale_events)
}

fn registered(reactor: &Reactor) -> (AsyncFd<UnixStream>, UnixStream) {
    let (a, b) = pair();
    let a = AsyncFd::new_on(reactor.handle(), Placement::Hash, a).unwrap();
    (a, b)
}

async fn talk(fd: &AsyncFd<UnixStream>, mut peer: &UnixStream) {
    for _ in 0..3 {
        peer.write_all(b"abc").unwrap();
        let read = fd.async_io(READ, |mut fd| fd.read(&mut [0; 8]));
        assert_eq!(read.await.unwrap(), 3);
        assert!(fd.try_io(READ, |mut fd| fd.read(&mut [0; 8])).is_err());
    }
}

#[test]
fn a_child_that_drops_its_copies_and_ends_harms_no_wait() {
    let _alone = alone();
    let reactor = Reactor::builder().shards(1).build().unwrap();
    let (a, b) = registered(&reactor);
    let (taken_apart, _c) = registered(&reactor);
    let probe = Probe::new();
    {
        let mut wait = pin!(a.readable());
        assert!(probe.poll(wait.as_mut()).is_pending());
        Child::that(|| {
            // SAFETY: (1) this is the child, which exits with this closure and uses neither
            // original.
            let copy = unsafe { copy_in_child(&a) };
            // SAFETY: (1) as above.
            let other = unsafe { copy_in_child(&taken_apart) };
            let number = copy.as_raw_fd();
            drop(copy);
            drop(other.into_inner());
            // The descriptor is closed here, so that was a real drop.
            rustix::io::dup(std::io::stderr()).is_ok_and(|lowest| lowest.as_raw_fd() <= number)
        })
        .assert_good();
        assert_eq!(registrations(&reactor), 2);
        within_deadline(&reactor, async {
            settle().await;
            assert_eq!(probe.wakes(), 0, "the child's close is no event");
            { &b }.write_all(b"x").unwrap();
            probe.woken().await;
            wait.await.unwrap().retain_ready();
            assert_eq!(a.get_ref().read(&mut [0; 8]).unwrap(), 1);
            talk(&a, &b).await;
        });
    }
    drop((a, taken_apart));
    assert_eq!(registrations(&reactor), 0);
}

#[test]
fn a_child_that_just_ends_harms_nothing() {
    let _alone = alone();
    let reactor = Reactor::builder().shards(1).build().unwrap();
    let (a, b) = registered(&reactor);
    Child::that(|| true).assert_good();
    within_deadline(&reactor, talk(&a, &b));
}

#[test]
fn a_child_can_register_and_change_nothing() {
    let _alone = alone();
    let reactor = Reactor::builder().shards(1).build().unwrap();
    let (a, b) = registered(&reactor);
    let (unregistered, _c) = pair();
    Child::that(|| {
        let number = unregistered.as_raw_fd();
        let refused = AsyncFd::new_on(reactor.handle(), Placement::Hash, number);
        let refused = refused.is_err_and(|error| {
            std::io::Error::from(error).kind() == std::io::ErrorKind::Unsupported
        });
        refused && a.clear_closed().is_err()
    })
    .assert_good();
    assert_eq!(registrations(&reactor), 1);
    within_deadline(&reactor, talk(&a, &b));
}

#[test]
fn what_the_parent_drops_is_gone_though_a_child_holds_it() {
    let _alone = alone();
    let reactor = Reactor::builder().shards(1).build().unwrap();
    let (a, b) = registered(&reactor);
    let number = a.as_raw_fd();
    let child = Child::that_stays();
    // The child keeps the file open, so the system would go on reporting it.
    drop(a);
    let (c, d) = pair();
    assert_eq!(c.as_raw_fd(), number, "the lowest free number");
    let c = AsyncFd::new_on(reactor.handle(), Placement::Hash, c).unwrap();
    within_deadline(&reactor, async {
        talk(&c, &d).await;
        let stale = stale_events(&reactor);
        for _ in 0..5 {
            { &b }.write_all(b"x").expect("the child has the other end");
            settle().await;
        }
        assert_eq!(stale_events(&reactor), stale);
        assert_eq!(cached(&c, READ), Ready::EMPTY);
        talk(&c, &d).await;
        drop(child);
        settle().await;
        talk(&c, &d).await;
    });
}

#[test]
fn what_was_closed_behind_its_back_does_not_spin_while_a_child_holds_it() {
    let _alone = alone();
    let reactor = Reactor::builder().shards(1).build().unwrap();
    let (a, b) = pair();
    let number = a.as_raw_fd();
    let old = AsyncFd::new_on(reactor.handle(), Placement::Hash, number).unwrap();
    let child = Child::that_stays();
    drop(a);
    drop(old);
    let (c, d) = pair();
    assert_eq!(c.as_raw_fd(), number);
    let c = AsyncFd::new_on(reactor.handle(), Placement::Hash, c).unwrap();
    within_deadline(&reactor, async {
        talk(&c, &d).await;
        let stale = stale_events(&reactor);
        { &b }.write_all(b"x").unwrap();
        // No call can name that entry any more. Its one event is handled once, sooner or later, and
        // never again.
        for _ in 0..20 {
            settle().await;
        }
        let reported = stale_events(&reactor) - stale;
        assert!(reported <= 1, "{reported} stale events for one");
        assert_eq!(cached(&c, READ), Ready::EMPTY);
        talk(&c, &d).await;
        // The entry goes away with the last copy of the file.
        drop(child);
        settle().await;
        talk(&c, &d).await;
    });
}
