//! Ending a registration: by drop, by `into_inner`, on any thread and at any time.

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::pin::pin;
use std::sync::Arc;
use std::thread;

use super::kit::{cached, registered, settle, settled};
use super::side::{AsyncFd, Interest, OURS, Ready, Runtime, run};
use crate::support::{Probe, pair};

#[test]
fn dropping_closes_at_once() {
    run(|| async {
        let (a, mut b) = pair();
        drop(AsyncFd::new(a).unwrap());
        assert_eq!(
            b.read(&mut [0; 8]).unwrap(),
            0,
            "the peer sees the end of the stream"
        );
    });
}

#[test]
fn into_inner_keeps_the_descriptor_open_and_the_same() {
    run(|| async {
        let (a, mut b) = pair();
        let number = a.as_raw_fd();
        let mut a = AsyncFd::new(a).unwrap().into_inner();
        assert_eq!(a.as_raw_fd(), number);
        b.write_all(b"x").unwrap();
        assert_eq!(a.read(&mut [0; 8]).unwrap(), 1);
    });
}

#[test]
fn registering_again_right_after_into_inner_works() {
    run(|| async {
        let (mut a, mut b) = pair();
        b.write_all(b"x").unwrap();
        for _ in 0..100 {
            let fd = AsyncFd::new(a).unwrap();
            fd.readable().await.unwrap().retain_ready();
            a = fd.into_inner();
        }
    });
}

#[test]
fn registering_a_number_again_right_after_a_drop_works() {
    run(|| async {
        let (a, mut b) = pair();
        b.write_all(b"x").unwrap();
        for _ in 0..100 {
            // Only the number is passed, so dropping closes nothing.
            let fd = AsyncFd::new(a.as_raw_fd()).unwrap();
            fd.readable().await.unwrap().retain_ready();
            drop(fd);
        }
    });
}

#[test]
fn a_new_registration_inherits_no_readiness() {
    run(|| async {
        let (a, mut b) = pair();
        b.write_all(b"x").unwrap();
        let fd = AsyncFd::new(a).unwrap();
        fd.readable().await.unwrap().retain_ready();
        let mut a = fd.into_inner();
        assert_eq!(a.read(&mut [0; 8]).unwrap(), 1);
        let fd = AsyncFd::new(a).unwrap();
        assert_eq!(settled(&fd, Interest::READABLE).await, Ready::EMPTY);
    });
}

#[test]
fn dropping_off_the_runtime_works() {
    let runtime = Runtime::new();
    let (a, mut b) = pair();
    let a = runtime.enter(|| AsyncFd::new(a)).unwrap();
    thread::spawn(move || drop(a)).join().unwrap();
    assert_eq!(b.read(&mut [0; 8]).unwrap(), 0);
    assert!(runtime.registrations().is_none_or(|left| left == 0));
}

#[test]
fn everything_but_waiting_works_after_the_runtime_is_gone() {
    let mut runtime = Runtime::new();
    let (a, mut b) = pair();
    let (c, mut d) = pair();
    let number = a.as_raw_fd();
    let (mut a, c) = runtime.enter(|| (AsyncFd::new(a).unwrap(), AsyncFd::new(c).unwrap()));
    runtime.shut_down();
    drop(runtime);

    assert_eq!(a.as_raw_fd(), number);
    assert_eq!(a.get_ref().as_raw_fd(), number);
    assert_eq!(a.get_mut().as_raw_fd(), number);
    assert!(
        format!("{a:?}").starts_with("AsyncFd { inner: Some(UnixStream"),
        "{a:?}"
    );
    let mut a = a.into_inner();
    b.write_all(b"x").unwrap();
    assert_eq!(a.read(&mut [0; 8]).unwrap(), 1);
    drop(c);
    assert_eq!(d.read(&mut [0; 8]).unwrap(), 0);

    // The descriptor can also be registered with another runtime.
    let other = Runtime::new();
    let a = other.enter(|| AsyncFd::new(a)).unwrap();
    b.write_all(b"y").unwrap();
    other.block_on(async { a.readable().await.unwrap().retain_ready() });
}

#[test]
fn two_runtimes_may_hold_one_descriptor() {
    let (one, two) = (Runtime::new(), Runtime::new());
    let (a, mut b) = pair();
    let number = a.as_raw_fd();
    let first = one.enter(|| AsyncFd::new(a)).unwrap();
    let second = two.enter(|| AsyncFd::new(number)).unwrap();
    b.write_all(b"x").unwrap();
    one.block_on(async { first.readable().await.unwrap().retain_ready() });
    two.block_on(async { second.readable().await.unwrap().retain_ready() });
    drop(second);
    drop(first);
}

#[test]
fn a_dropped_fd_keeps_no_waker_alive() {
    run(|| async {
        let (a, b) = registered().await;
        crate::support::fill(a.get_ref());
        a.writable().await.unwrap().clear_ready();
        let probe = Probe::new();
        assert!(probe.with(|cx| a.poll_read_ready(cx).is_pending()));
        assert!(probe.with(|cx| a.poll_write_ready(cx).is_pending()));
        assert_eq!(Arc::strong_count(&probe), 3, "one per slot and ours");
        drop(a);
        assert_eq!(Arc::strong_count(&probe), 1);
        drop(b);
    });
}

#[test]
fn a_waker_that_owns_its_fd_is_no_cycle_after_the_drop_of_the_wait() {
    run(|| async {
        let (a, _b) = registered().await;
        let a = Arc::new(a);
        let probe = Probe::new();
        {
            let mut wait = pin!(a.readable());
            assert!(probe.poll(wait.as_mut()).is_pending());
            assert!(Arc::strong_count(&probe) > 1);
        }
        assert_eq!(Arc::strong_count(&probe), 1);
        assert_eq!(Arc::strong_count(&a), 1);
    });
}

#[test]
fn a_late_drop_does_not_deafen_the_next_owner_of_the_number() {
    run(|| async {
        let (a, _b) = pair();
        let (c, mut d) = pair();
        let stale = AsyncFd::new(a.as_raw_fd()).unwrap();
        // `a`'s number now names `c`'s socket; the system removes the old registration by itself.
        let mut a: OwnedFd = a.into();
        rustix::io::dup2(&c, &mut a).unwrap();
        let stranger = AsyncFd::new(a).unwrap();
        drop(stale);
        settle().await;
        d.write_all(b"x").unwrap();
        let seen = settled(&stranger, Interest::READABLE).await;
        if OURS {
            // tokio deregisters by the number alone, and removes the stranger from the epoll.
            assert_eq!(seen, Ready::READABLE);
        }
    });
}

#[test]
fn closing_behind_its_back_harms_nothing_else() {
    run(|| async {
        let (a, b) = pair();
        let (other, mut peer) = registered().await;
        let fd = AsyncFd::new(a.as_raw_fd()).unwrap();
        drop(a);
        drop(b);
        settle().await;
        drop(fd);
        peer.write_all(b"x").unwrap();
        other.readable().await.unwrap().retain_ready();
        assert_eq!(cached(&other, Interest::READABLE), Ready::READABLE);
    });
}
