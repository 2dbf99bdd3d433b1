//! A child made by fork(2) has a copy of every registration, over the very epoll instances of its parent. What it drops
//! there touches neither.
#![expect(unsafe_code, reason = "fork(2)")]
#![cfg(target_os = "linux")]

mod support;

use std::future::Future;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::mpsc::channel;
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use reactor::time::{sleep, timeout};
use reactor::{Handle, Interest, Placement, Ready, Registration};
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
        // SAFETY: the child touches nothing but this crate's drops, which is what is tested, and leaves with _exit.
        let child = unsafe { libc::fork() };
        assert!(child >= 0);
        if child == 0 {
            // What a child's unwinding or an explicit drop does.
            // SAFETY: the original is never used or dropped in this process, which ends below.
            let copy = unsafe { std::ptr::read(&raw const registration) };
            let told = copy.deregister().is_err();
            // SAFETY: ends the child without running anything of the parent's.
            unsafe { libc::_exit(if told { 0 } else { 1 }) };
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
    // SAFETY: the child drops its copy of the reactor, which is what is tested, and leaves with _exit.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        // SAFETY: a drop that hangs ends by this signal, in ten seconds.
        unsafe { libc::alarm(10) };
        let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(reactor)));
        // SAFETY: ends the child without running anything of the parent's.
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

/// Forks a child that drops its copy of `value`, and sees that no shard is woken by it.
fn drop_in_child<T>(value: &T, handle: &Handle) {
    // SAFETY: the child drops the copy, which is what is tested, and leaves with _exit.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        // SAFETY: a drop that hangs ends by this signal, in ten seconds.
        unsafe { libc::alarm(10) };
        // The child's copy of the count, which no other thread changes.
        let notified = || total(handle, |shard| shard.notifies);
        let before = notified();
        // SAFETY: the original is never used or dropped in this process, which ends below.
        drop(unsafe { std::ptr::read(value) });
        let woke = notified() != before;
        // SAFETY: ends the child without running anything of the parent's.
        unsafe { libc::_exit(if woke { 1 } else { 0 }) };
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
