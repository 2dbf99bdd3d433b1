//! A child made by fork(2) has a copy of every registration, and shares the epoll instances of its
//! parent. Drops in the child affect neither.
#![expect(unsafe_code, reason = "fork(2)")]
#![cfg(target_os = "linux")]

mod support;

use std::future::Future;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use reactor::time::{sleep, timeout};
use reactor::{Handle, Interest, Placement, Ready, Registration, spawn_local};
use support::{DEADLINE, eventually, reactor, total};

#[test]
fn a_forked_childs_drops_harm_nothing() {
    let reactor = reactor(1);
    let (near, mut far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let new = |interest| {
        Registration::new(
            reactor.handle(),
            Placement::Hash,
            &near,
            interest,
            Ready::EMPTY,
        )
    };
    let registration = new(Interest::READABLE).unwrap();
    {
        let mut wait = pin!(registration.ready(Interest::READABLE));
        assert!(
            wait.as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
        // SAFETY: the child touches nothing but this crate's drops, which are tested, and leaves
        // with _exit.
        let child = unsafe { libc::fork() };
        assert!(child >= 0);
        if child == 0 {
            // This is the effect of a child's unwinding, or of an explicit drop.
            // SAFETY: the original is never used or dropped in this process, which ends below.
            let copy = unsafe { std::ptr::read(&raw const registration) };
            let refused = copy.deregister().is_err();
            // SAFETY: ends the child without running any code of the parent.
            unsafe { libc::_exit(if refused { 0 } else { 1 }) };
        }
        let mut status = 0;
        // SAFETY: waits for the child made above; `status` is alive for the call.
        let ended = unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!(ended, child);
        assert!(
            libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0,
            "status {status}"
        );
    }
    // The parent's epoll still has it.
    far.write_all(b"x").unwrap();
    let event = reactor
        .block_on(async { timeout(DEADLINE, registration.ready(Interest::READABLE)).await })
        .expect("the child took the parent's registration away")
        .unwrap();
    assert!(event.ready().is_readable());
}

#[test]
fn a_forked_child_that_drops_the_reactor_harms_nothing() {
    let reactor = reactor(1);
    // SAFETY: the child drops its copy of the reactor, which is the tested action, and leaves with
    // _exit.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        // SAFETY: a drop that hangs is ended by this signal after ten seconds.
        unsafe { libc::alarm(10) };
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(reactor)));
        // SAFETY: ends the child without running any code of the parent.
        unsafe { libc::_exit(if dropped.is_ok() { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: waits for the child made above; `status` is alive for the call.
    let ended = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(ended, child);
    assert!(
        libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0,
        "status {status}"
    );
    assert_eq!(
        reactor
            .block_on(reactor.handle().spawn(async { 1 }))
            .unwrap(),
        1
    );
}

#[test]
fn a_forked_child_that_drops_a_sleep_wakes_no_shard() {
    let reactor = reactor(1);
    let armed = || {
        let mut wait = sleep(Duration::from_secs(3_600));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(pin!(&mut wait).poll(&mut cx).is_pending());
        wait
    };
    let (sender, receiver) = channel();
    let on_shard = reactor.handle().spawn(async move {
        sender.send(armed()).unwrap();
    });
    reactor.block_on(on_shard).unwrap();
    let _guard = reactor.enter();
    let sleeps = (receiver.recv().unwrap(), armed());
    let timers = || total(reactor.handle(), |shard| shard.timers);
    eventually("both are armed", || timers() == 2);
    // More than once, since only a shard that sleeps at the fork would be woken.
    for _ in 0..5 {
        thread::sleep(Duration::from_millis(5));
        drop_in_child(&sleeps, reactor.handle());
    }
    drop(sleeps);
    eventually("no timer is left", || timers() == 0);
}

#[test]
fn a_forked_child_that_spawns_or_waits_is_refused() {
    let reactor = reactor(1);
    let handle = reactor.handle();
    let shard = handle.shards().next().unwrap();
    let _guard = reactor.enter();
    in_child(|| refused(|| drop(handle.spawn(async {}))));
    in_child(|| refused(|| drop(handle.spawn_on(shard, || async {}))));
    in_child(|| refused(|| drop(handle.spawn_on_all(|_| async {}))));
    in_child(|| refused(|| drop(handle.spawn_blocking(|| ()))));
    in_child(|| refused(|| reactor.block_on(async {})));
    in_child(|| {
        refused(|| {
            let mut cx = Context::from_waker(Waker::noop());
            let _ = pin!(sleep(DEADLINE)).poll(&mut cx);
        })
    });
    // The child of a shard runs on a copy of its thread, which continues its poll and not its loop.
    let on_shard = handle.spawn_on(shard, || async {
        in_child(|| refused(|| drop(spawn_local(async {}))));
    });
    reactor.block_on(on_shard).unwrap();
}

#[test]
fn a_forked_child_is_refused_where_a_lock_was_held_at_the_fork() {
    let reactor = reactor(1);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        // These hold the locks of spawning nearly all the time.
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    drop(reactor.handle().spawn(async {}));
                    drop(reactor.handle().spawn_blocking(|| ()));
                }
            });
        }
        let all_refused = (0..20).all(|_| {
            let spawn = || drop(reactor.handle().spawn(async {}));
            let spawn_blocking = || drop(reactor.handle().spawn_blocking(|| ()));
            child(|| refused(spawn)) == 0 && child(|| refused(spawn_blocking)) == 0
        });
        stop.store(true, Ordering::Relaxed);
        assert!(all_refused, "a child was not refused, or hung");
    });
}

/// Returns true if `call` panics with the message that names the reactor's process.
fn refused(call: impl FnOnce()) -> bool {
    // The usual hook takes locks that a thread which does not exist in the child may hold.
    set_hook(Box::new(|_| ()));
    let Err(payload) = catch_unwind(AssertUnwindSafe(call)) else {
        return false;
    };
    let words = payload.downcast_ref::<&str>();
    words.is_some_and(|words| words.contains("belongs to the parent process"))
}

/// Forks a child that runs `does`, and checks that it succeeded.
#[track_caller]
fn in_child(does: impl FnOnce() -> bool) {
    let status = child(does);
    assert_eq!(status, 0, "the child did not do well, or hung");
}

/// Forks a child that runs `does`. Returns its exit status: 0 if it succeeded.
fn child(does: impl FnOnce() -> bool) -> libc::c_int {
    // SAFETY: the child runs the tested code, and leaves with _exit.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        // SAFETY: a call that hangs is ended by this signal after ten seconds.
        unsafe { libc::alarm(10) };
        let good = does();
        // SAFETY: ends the child without running any code of the parent.
        unsafe { libc::_exit(if good { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: waits for the child made above; `status` is alive for the call.
    let ended = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(ended, child);
    status
}

/// Forks a child that drops its copy of `value`, and checks that the drop wakes no shard.
fn drop_in_child<T>(value: &T, handle: &Handle) {
    in_child(|| {
        // The child's copy of the counter, which no other thread changes.
        let notified = || total(handle, |shard| shard.notifies);
        let before = notified();
        // SAFETY: the original is never used or dropped in this process, which ends soon.
        drop(unsafe { std::ptr::read(value) });
        notified() == before
    });
}
