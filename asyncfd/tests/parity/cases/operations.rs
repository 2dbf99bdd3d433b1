//! `try_io` and `async_io`, shared and mut.

use std::io::{self, Read, Write};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use super::kit::{cached, registered, settle, settled};
use super::side::{AsyncFd, Interest, OURS, Ready, run};
use crate::support::{Probe, drain, tcp_pair};

fn would_block<T>() -> io::Result<T> {
    Err(io::ErrorKind::WouldBlock.into())
}

#[test]
fn try_io_without_readiness_would_block_and_calls_nothing() {
    run(|| async {
        let (mut a, _b) = registered().await;
        let error = a
            .try_io(Interest::READABLE, |_| -> io::Result<()> {
                panic!("called")
            })
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        let error = a
            .try_io_mut(Interest::READABLE, |_| -> io::Result<()> {
                panic!("called")
            })
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    });
}

#[test]
fn try_io_goes_by_what_is_cached_and_not_by_what_is_there() {
    run(|| async {
        let (a, mut b) = registered().await;
        b.write_all(b"x").unwrap();
        a.readable().await.unwrap().clear_ready();
        // The byte is there, but its event is used up.
        let result = a.try_io(Interest::READABLE, |mut a| a.read(&mut [0; 8]));
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(drain(a.get_ref()), 1);
    });
}

#[test]
fn try_io_clears_on_would_block() {
    run(|| async {
        let (a, _b) = registered().await;
        assert!(
            a.try_io(Interest::WRITABLE, |_| would_block::<()>())
                .is_err()
        );
        assert_eq!(cached(&a, Interest::WRITABLE), Ready::EMPTY);

        let (mut c, _d) = registered().await;
        assert!(
            c.try_io_mut(Interest::WRITABLE, |_| would_block::<()>())
                .is_err()
        );
        assert_eq!(cached(&c, Interest::WRITABLE), Ready::EMPTY);
    });
}

#[test]
fn try_io_passes_values_and_errors_and_clears_nothing() {
    run(|| async {
        let (mut a, mut b) = registered().await;
        assert_eq!(
            a.try_io(Interest::WRITABLE, |mut a| a.write(b"abc"))
                .unwrap(),
            3
        );
        assert_eq!(
            a.try_io_mut(Interest::WRITABLE, |a| a.write(b"de"))
                .unwrap(),
            2
        );
        let error = a.try_io(Interest::WRITABLE, |_| {
            Err::<(), _>(io::Error::other("mine"))
        });
        assert_eq!(error.unwrap_err().to_string(), "mine");
        assert_eq!(cached(&a, Interest::WRITABLE), Ready::WRITABLE);
        let mut text = [0; 8];
        assert_eq!(b.read(&mut text).unwrap(), 5);
        assert_eq!(&text[..5], b"abcde");
    });
}

#[test]
fn a_clear_by_try_io_spares_what_came_during_the_call() {
    run(|| async {
        let (a, mut b) = registered().await;
        b.write_all(b"x").unwrap();
        a.readable().await.unwrap().retain_ready();
        let blocked = a.try_io(Interest::READABLE, |mut fd| {
            assert_eq!(drain(fd), 1);
            let error = fd.read(&mut [0; 8]).unwrap_err();
            b.write_all(b"y").unwrap();
            Err::<(), _>(error)
        });
        assert!(blocked.is_err());
        assert_eq!(settled(&a, Interest::READABLE).await, Ready::READABLE);
    });
}

#[test]
fn async_io_waits_calls_and_returns() {
    run(|| async {
        let (mut a, mut b) = registered().await;
        let probe = Probe::new();
        {
            let calls = AtomicUsize::new(0);
            let mut read = pin!(a.async_io(Interest::READABLE, |mut a| {
                calls.fetch_add(1, Ordering::Relaxed);
                a.read(&mut [0; 8])
            }));
            assert!(probe.poll(read.as_mut()).is_pending());
            b.write_all(b"abc").unwrap();
            probe.woken().await;
            assert_eq!(read.await.unwrap(), 3);
            assert_eq!(
                calls.load(Ordering::Relaxed),
                1,
                "not before there was something to read"
            );
        }
        b.write_all(b"de").unwrap();
        let n = a
            .async_io_mut(Interest::READABLE, |a| a.read(&mut [0; 8]))
            .await
            .unwrap();
        assert_eq!(n, 2);
    });
}

#[test]
fn async_io_clears_and_waits_again_when_it_would_block() {
    run(|| async {
        let (a, mut b) = registered().await;
        b.write_all(b"x").unwrap();
        a.readable().await.unwrap().retain_ready();
        assert_eq!(drain(a.get_ref()), 1);
        // Readiness is cached but no longer true.
        let probe = Probe::new();
        let mut calls = 0;
        {
            let mut read = pin!(a.async_io(Interest::READABLE, |mut a| {
                calls += 1;
                a.read(&mut [0; 8])
            }));
            assert!(probe.poll(read.as_mut()).is_pending());
            settle().await;
            assert_eq!(probe.wakes(), 0, "it sleeps rather than spins");
            b.write_all(b"yz").unwrap();
            probe.woken().await;
            let Poll::Ready(n) = probe.poll(read.as_mut()) else {
                panic!("still pending")
            };
            assert_eq!(n.unwrap(), 2);
        }
        assert_eq!(calls, 2);
    });
}

#[test]
fn async_io_passes_errors_and_clears_nothing() {
    run(|| async {
        let (mut a, _b) = registered().await;
        let failed = a.async_io(Interest::WRITABLE, |_| {
            Err::<(), _>(io::Error::other("mine"))
        });
        assert_eq!(failed.await.unwrap_err().to_string(), "mine");
        let failed = a.async_io_mut(Interest::WRITABLE, |_| {
            Err::<(), _>(io::Error::other("too"))
        });
        assert_eq!(failed.await.unwrap_err().to_string(), "too");
        assert_eq!(cached(&a, Interest::WRITABLE), Ready::WRITABLE);
    });
}

#[test]
fn a_dropped_async_io_loses_nothing() {
    run(|| async {
        let (a, mut b) = registered().await;
        let probe = Probe::new();
        {
            let mut read = pin!(a.async_io(Interest::READABLE, |mut a| a.read(&mut [0; 8])));
            assert!(probe.poll(read.as_mut()).is_pending());
            b.write_all(b"abc").unwrap();
            probe.woken().await;
        }
        let n = a
            .async_io(Interest::READABLE, |mut a| a.read(&mut [0; 8]))
            .await
            .unwrap();
        assert_eq!(n, 3);
    });
}

#[test]
fn async_io_for_reading_and_writing_together_is_invalid() {
    // tokio may sleep for ever here, so the case does not call it.
    if !OURS {
        return;
    }
    run(|| async {
        let (mut a, _b) = registered().await;
        let both = Interest::READABLE | Interest::WRITABLE;
        let error = a.async_io(both, |_| Ok(())).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let error = a.async_io_mut(both, |_| Ok(())).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    });
}

#[test]
fn async_io_for_reading_and_priority_together_works() {
    run(|| async {
        let (a, mut b) = tcp_pair();
        let both = Interest::READABLE | Interest::PRIORITY;
        let a = AsyncFd::with_interest(a, both).unwrap();
        b.write_all(b"abc").unwrap();
        let n = a.async_io(both, |mut a| a.read(&mut [0; 8])).await.unwrap();
        assert_eq!(n, 3);
    });
}
