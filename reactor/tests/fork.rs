//! A child made by fork(2) has a copy of every registration, over the very epoll instances of its parent. What it drops
//! there touches neither.
#![expect(unsafe_code, reason = "fork(2)")]
#![cfg(target_os = "linux")]

mod support;

use std::future::Future;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::task::{Context, Waker};

use reactor::time::timeout;
use reactor::{Interest, Placement, Ready, Registration};
use support::{DEADLINE, reactor};

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
