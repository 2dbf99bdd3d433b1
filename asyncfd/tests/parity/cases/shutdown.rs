//! The effect of a runtime's end on the waits on it.

use std::io::{self, Read, Write};
use std::pin::pin;
use std::task::Poll;
use std::thread;

use super::side::{AsyncFd, Interest, OURS, Ready, Runtime, is_shutdown_error};
use crate::support::{Probe, block_by_hand, fill, pair};

fn registered(
    runtime: &Runtime,
) -> (
    AsyncFd<std::os::unix::net::UnixStream>,
    std::os::unix::net::UnixStream,
) {
    let (a, b) = pair();
    let a = runtime.enter(|| AsyncFd::new(a)).unwrap();
    (a, b)
}

/// Waits until the first event is published, without any executor.
fn writable(fd: &AsyncFd<std::os::unix::net::UnixStream>) {
    block_by_hand(fd.writable()).unwrap().retain_ready();
}

#[test]
fn every_pending_wait_ends_in_the_shutdown_error() {
    let mut runtime = Runtime::new();
    let (a, _b) = registered(&runtime);
    writable(&a);
    fill(a.get_ref());
    block_by_hand(a.writable()).unwrap().clear_ready();

    let interests = [
        Interest::READABLE,
        Interest::WRITABLE,
        Interest::PRIORITY,
        Interest::ERROR,
        Interest::READABLE | Interest::WRITABLE,
    ];
    let mut waits: Vec<_> = interests
        .iter()
        .cycle()
        .take(100)
        .map(|&interest| (Probe::new(), Box::pin(a.ready(interest))))
        .collect();
    for (probe, wait) in &mut waits {
        assert!(probe.poll(wait.as_mut()).is_pending());
    }
    let (reading, writing) = (Probe::new(), Probe::new());
    assert!(reading.with(|cx| a.poll_read_ready(cx).is_pending()));
    assert!(writing.with(|cx| a.poll_write_ready(cx).is_pending()));
    let operating = Probe::new();
    let mut operation = pin!(a.async_io(Interest::READABLE, |mut a| a.read(&mut [0; 8])));
    assert!(operating.poll(operation.as_mut()).is_pending());

    runtime.shut_down();

    for (probe, wait) in &mut waits {
        probe.wait_woken();
        let Poll::Ready(Err(error)) = probe.poll(wait.as_mut()) else {
            panic!("no error")
        };
        assert!(is_shutdown_error(&error), "{error:?}");
    }
    reading.wait_woken();
    let Poll::Ready(Err(error)) = reading.with(|cx| a.poll_read_ready(cx)) else {
        panic!("no error")
    };
    assert!(is_shutdown_error(&error), "{error:?}");
    writing.wait_woken();
    let Poll::Ready(Err(error)) = writing.with(|cx| a.poll_write_ready(cx)) else {
        panic!("no error")
    };
    assert!(is_shutdown_error(&error), "{error:?}");
    operating.wait_woken();
    let Poll::Ready(Err(error)) = operating.poll(operation) else {
        panic!("no error")
    };
    assert!(is_shutdown_error(&error), "{error:?}");
}

#[test]
fn a_wait_on_another_thread_ends_too() {
    let mut runtime = Runtime::new();
    let (a, _b) = registered(&runtime);
    let (begun, begins) = std::sync::mpsc::channel();
    let waiter = thread::spawn(move || {
        let probe = Probe::new();
        let mut wait = pin!(a.readable());
        assert!(probe.poll(wait.as_mut()).is_pending());
        begun.send(()).unwrap();
        probe.wait_woken();
        let Poll::Ready(Err(error)) = probe.poll(wait.as_mut()) else {
            panic!("no error")
        };
        assert!(is_shutdown_error(&error), "{error:?}");
    });
    begins.recv().unwrap();
    runtime.shut_down();
    waiter.join().unwrap();
}

#[test]
fn waits_begun_after_it_end_at_once() {
    let mut runtime = Runtime::new();
    let (mut a, _b) = registered(&runtime);
    runtime.shut_down();
    for _ in 0..3 {
        for interest in [Interest::READABLE, Interest::WRITABLE, Interest::ERROR] {
            assert!(is_shutdown_error(
                &block_by_hand(a.ready(interest)).unwrap_err()
            ));
        }
        assert!(is_shutdown_error(
            &block_by_hand(a.writable_mut()).unwrap_err()
        ));
        let probe = Probe::new();
        let Poll::Ready(Err(error)) = probe.with(|cx| a.poll_read_ready_mut(cx)) else {
            panic!("no error")
        };
        assert!(is_shutdown_error(&error));
    }
}

#[test]
fn it_outranks_readiness() {
    let mut runtime = Runtime::new();
    let (a, mut b) = registered(&runtime);
    b.write_all(b"x").unwrap();
    drop(block_by_hand(a.readable()).unwrap());
    writable(&a);
    runtime.shut_down();
    assert!(is_shutdown_error(&block_by_hand(a.readable()).unwrap_err()));
    assert!(is_shutdown_error(&block_by_hand(a.writable()).unwrap_err()));
    let calls = std::cell::Cell::new(0);
    let operation = a.async_io(Interest::READABLE, |_| {
        calls.set(calls.get() + 1);
        Ok(())
    });
    assert!(is_shutdown_error(&block_by_hand(operation).unwrap_err()));
    assert_eq!(calls.get(), 0);
}

#[test]
fn try_io_returns_it_too() {
    let mut runtime = Runtime::new();
    let (mut a, _b) = registered(&runtime);
    writable(&a);
    runtime.shut_down();
    let result = a.try_io(Interest::WRITABLE, |_| Ok(()));
    if OURS {
        // tokio checks only the cached readiness, and calls the closure.
        assert!(is_shutdown_error(&result.unwrap_err()));
        let error = a.try_io_mut(Interest::READABLE, |_| Ok(())).unwrap_err();
        assert!(is_shutdown_error(&error));
    }
}

#[test]
fn clearing_afterwards_neither_panics_nor_hides_it() {
    let mut runtime = Runtime::new();
    let (a, mut b) = registered(&runtime);
    b.write_all(b"x").unwrap();
    let mut reading = block_by_hand(a.readable()).unwrap();
    let mut writing = block_by_hand(a.writable()).unwrap();
    let mut blocked = block_by_hand(a.readable()).unwrap();
    runtime.shut_down();
    reading.clear_ready();
    writing.clear_ready_matching(Ready::ALL);
    let eagain = || io::Error::from_raw_os_error(rustix::io::Errno::AGAIN.raw_os_error());
    assert!(blocked.try_io(|_| Err::<(), _>(eagain())).is_err());
    assert!(is_shutdown_error(&block_by_hand(a.readable()).unwrap_err()));
    assert!(is_shutdown_error(&block_by_hand(a.writable()).unwrap_err()));
}

#[test]
fn a_constructor_on_a_runtime_that_is_gone_returns_it() {
    let mut runtime = Runtime::new();
    runtime.shut_down();
    runtime.enter(|| {
        let (a, mut b) = pair();
        let (a, error) = AsyncFd::try_new(a).unwrap_err().into_parts();
        assert!(is_shutdown_error(&error), "{error:?}");
        assert!(is_shutdown_error(&AsyncFd::new(a).unwrap_err()));
        assert_eq!(
            b.read(&mut [0; 8]).unwrap(),
            0,
            "and `new` dropped the object"
        );
    });
}

#[test]
fn it_ends_the_waits_of_a_descriptor_in_each_state() {
    type Fd = AsyncFd<std::os::unix::net::UnixStream>;
    type Peer = std::os::unix::net::UnixStream;
    type BringAbout = fn(&Fd, Peer) -> Option<Peer>;
    let mut runtime = Runtime::new();
    // Each makes its state known to the runtime before it returns.
    let states: [(&str, BringAbout); 6] = [
        ("fresh", |_, peer| Some(peer)),
        ("ready", |fd, mut peer| {
            peer.write_all(b"x").unwrap();
            block_by_hand(fd.readable()).unwrap().retain_ready();
            writable(fd);
            Some(peer)
        }),
        ("cleared", |fd, peer| {
            writable(fd);
            block_by_hand(fd.writable()).unwrap().clear_ready();
            Some(peer)
        }),
        ("full", |fd, peer| {
            writable(fd);
            fill(fd.get_ref());
            block_by_hand(fd.writable()).unwrap().clear_ready();
            Some(peer)
        }),
        ("half-closed", |fd, peer| {
            peer.shutdown(std::net::Shutdown::Write).unwrap();
            block_by_hand(fd.readable()).unwrap().clear_ready();
            Some(peer)
        }),
        ("closed", |fd, peer| {
            drop(peer);
            block_by_hand(fd.readable()).unwrap().clear_ready();
            None
        }),
    ];
    let mut fds: Vec<_> = states
        .iter()
        .map(|(state, bring_about)| {
            let (fd, peer) = registered(&runtime);
            let peer = bring_about(&fd, peer);
            (state, fd, peer)
        })
        .collect();
    runtime.shut_down();
    for (state, fd, _peer) in &mut fds {
        let interests = [
            Interest::READABLE,
            Interest::WRITABLE,
            Interest::PRIORITY,
            Interest::ERROR,
        ];
        for interest in interests {
            let error = block_by_hand(fd.ready(interest)).unwrap_err();
            assert!(is_shutdown_error(&error), "{state}, {interest:?}: {error}");
        }
        let probe = Probe::new();
        for polled in [
            probe.with(|cx| fd.poll_read_ready(cx).map_ok(drop)),
            probe.with(|cx| fd.poll_write_ready(cx).map_ok(drop)),
        ] {
            let Poll::Ready(Err(error)) = polled else {
                panic!("{state}: no error");
            };
            assert!(is_shutdown_error(&error), "{state}: {error}");
        }
        let error = block_by_hand(fd.readable_mut()).unwrap_err();
        assert!(is_shutdown_error(&error), "{state}: {error}");
    }
}
