//! The async waits: the events that end them, the tasks that are woken, and the state after one is
//! dropped.

use std::io::{Read, Write};
use std::net::UdpSocket;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use super::kit::{cached, registered, settle, settled};
use super::side::{AsyncFd, Interest, OURS, Ready, run};
use crate::support::{Probe, drain, fill, pair, tcp_pair};

#[test]
fn readable_waits_for_data() {
    run(|| async {
        let (a, mut b) = registered().await;
        let probe = Probe::new();
        let mut wait = pin!(a.readable());
        assert!(probe.poll(wait.as_mut()).is_pending());
        settle().await;
        assert_eq!(probe.wakes(), 0);
        b.write_all(b"x").unwrap();
        probe.woken().await;
        assert_eq!(wait.await.unwrap().ready(), Ready::READABLE);
    });
}

#[test]
fn writable_waits_for_room() {
    run(|| async {
        let (a, b) = registered().await;
        fill(a.get_ref());
        a.writable().await.unwrap().clear_ready();
        let probe = Probe::new();
        let mut wait = pin!(a.writable());
        assert!(probe.poll(wait.as_mut()).is_pending());
        settle().await;
        assert_eq!(probe.wakes(), 0);
        drain(&b);
        probe.woken().await;
        assert_eq!(wait.await.unwrap().ready(), Ready::WRITABLE);
    });
}

#[test]
fn the_mut_forms_wait_alike() {
    run(|| async {
        let (mut a, mut b) = registered().await;
        assert_eq!(a.writable_mut().await.unwrap().ready(), Ready::WRITABLE);
        b.write_all(b"x").unwrap();
        assert_eq!(a.readable_mut().await.unwrap().ready(), Ready::READABLE);
        let both = Interest::READABLE | Interest::WRITABLE;
        let guard = a.ready_mut(both).await.unwrap();
        assert_eq!(guard.ready(), Ready::READABLE | Ready::WRITABLE);
    });
}

#[test]
fn a_combined_wait_says_what_is_ready() {
    run(|| async {
        let (a, mut b) = registered().await;
        let both = Interest::READABLE | Interest::WRITABLE;
        assert_eq!(a.ready(both).await.unwrap().ready(), Ready::WRITABLE);
        b.write_all(b"x").unwrap();
        assert_eq!(settled(&a, both).await, Ready::READABLE | Ready::WRITABLE);
        assert_eq!(cached(&a, Interest::READABLE), Ready::READABLE);
    });
}

#[test]
fn priority_waits_for_urgent_data() {
    run(|| async {
        let (a, b) = tcp_pair();
        let interest = Interest::PRIORITY | Interest::READABLE;
        let a = AsyncFd::with_interest(a, interest).unwrap();
        let probe = Probe::new();
        let mut wait = pin!(a.ready(Interest::PRIORITY));
        assert!(probe.poll(wait.as_mut()).is_pending());
        rustix::net::send(&b, b"!", rustix::net::SendFlags::OOB).unwrap();
        probe.woken().await;
        assert_eq!(wait.await.unwrap().ready(), Ready::PRIORITY);
        // The event shows as readable too.
        assert_eq!(settled(&a, Interest::READABLE).await, Ready::READABLE);
    });
}

/// Returns a socket that receives a datagram's refusal, on its error queue or as its error.
fn refused() -> UdpSocket {
    let gone = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.connect(gone).unwrap();
    socket
}

#[test]
fn error_can_be_awaited_on_a_plain_object() {
    run(|| async {
        let socket = AsyncFd::new(refused()).unwrap();
        socket.writable().await.unwrap().retain_ready();
        let probe = Probe::new();
        let mut wait = pin!(socket.ready(Interest::ERROR));
        assert!(probe.poll(wait.as_mut()).is_pending());
        socket.get_ref().send(b"x").unwrap();
        probe.woken().await;
        assert_eq!(wait.await.unwrap().ready(), Ready::ERROR);
    });
}

#[test]
fn an_error_without_a_hang_up_wakes_both_directions() {
    run(|| async {
        let socket = AsyncFd::new(refused()).unwrap();
        socket.writable().await.unwrap().clear_ready();
        let (reading, writing) = (Probe::new(), Probe::new());
        let mut read = pin!(socket.readable());
        let mut write = pin!(socket.writable());
        assert!(reading.poll(read.as_mut()).is_pending());
        assert!(writing.poll(write.as_mut()).is_pending());
        socket.get_ref().send(b"x").unwrap();
        if OURS {
            reading.woken().await;
            writing.woken().await;
            let ready = read.await.unwrap().ready() | write.await.unwrap().ready();
            assert!(
                !ready.is_read_closed() && !ready.is_write_closed(),
                "{ready:?} on a live socket"
            );
        } else {
            // tokio reports the write side as closed, and does not wake a reader unless there is
            // also data.
            writing.woken().await;
        }
    });
}

#[test]
fn every_matching_waiter_is_woken() {
    run(|| async {
        let (a, mut b) = registered().await;
        let mut waits: Vec<_> = (0..40)
            .map(|_| (Probe::new(), Box::pin(a.readable())))
            .collect();
        for (probe, wait) in &mut waits {
            assert!(probe.poll(wait.as_mut()).is_pending());
        }
        // The budget of one poll may be too small for 80 polls of the waits.
        settle().await;
        b.write_all(b"x").unwrap();
        for (probe, _) in &waits {
            probe.woken().await;
        }
        for (probe, wait) in waits {
            assert_eq!(wait.await.unwrap().ready(), Ready::READABLE);
            assert_eq!(probe.wakes(), 1);
        }
    });
}

#[test]
fn waiters_of_another_direction_sleep_on() {
    run(|| async {
        let (a, mut b) = registered().await;
        fill(a.get_ref());
        a.writable().await.unwrap().clear_ready();
        let (reading, writing) = (Probe::new(), Probe::new());
        let mut read = pin!(a.readable());
        let mut write = pin!(a.writable());
        assert!(reading.poll(read.as_mut()).is_pending());
        assert!(writing.poll(write.as_mut()).is_pending());
        b.write_all(b"x").unwrap();
        reading.woken().await;
        settle().await;
        assert_eq!(writing.wakes(), 0);
        assert!(writing.poll(write.as_mut()).is_pending());
    });
}

#[test]
fn readiness_stays_until_it_is_cleared() {
    run(|| async {
        let (a, mut b) = registered().await;
        b.write_all(b"x").unwrap();
        for _ in 0..10 {
            drop(a.readable().await.unwrap());
        }
        assert_eq!(drain(a.get_ref()), 1);
        assert_eq!(
            settled(&a, Interest::READABLE).await,
            Ready::READABLE,
            "nobody said otherwise"
        );
    });
}

#[test]
fn cleared_readiness_comes_back_with_the_next_change_only() {
    run(|| async {
        let (a, mut b) = registered().await;
        b.write_all(b"x").unwrap();
        a.readable().await.unwrap().clear_ready();
        assert_eq!(
            settled(&a, Interest::READABLE).await,
            Ready::EMPTY,
            "the byte is no new change"
        );
        b.write_all(b"y").unwrap();
        assert_eq!(settled(&a, Interest::READABLE).await, Ready::READABLE);
        assert_eq!(drain(a.get_ref()), 2);
    });
}

#[test]
fn a_dropped_wait_is_removed_and_loses_nothing() {
    run(|| async {
        let (a, mut b) = registered().await;
        let (kept, dropped) = (Probe::new(), Probe::new());
        let mut wait = pin!(a.readable());
        assert!(kept.poll(wait.as_mut()).is_pending());
        {
            let mut wait = pin!(a.readable());
            assert!(dropped.poll(wait.as_mut()).is_pending());
        }
        assert_eq!(Arc::strong_count(&dropped), 1, "its waker is gone with it");
        b.write_all(b"x").unwrap();
        kept.woken().await;
        assert_eq!(dropped.wakes(), 0);
        drop(wait.await.unwrap());

        // A wait that is dropped after its wake leaves the readiness to the next one.
        let late = Probe::new();
        a.readable().await.unwrap().clear_ready();
        {
            let mut wait = pin!(a.readable());
            assert!(late.poll(wait.as_mut()).is_pending());
            b.write_all(b"y").unwrap();
            late.woken().await;
        }
        assert_eq!(cached(&a, Interest::READABLE), Ready::READABLE);
    });
}

#[test]
fn waits_in_the_middle_of_the_list_can_go() {
    run(|| async {
        let (a, mut b) = registered().await;
        let mut waits: Vec<_> = (0..9)
            .map(|_| (Probe::new(), Some(Box::pin(a.readable()))))
            .collect();
        for (probe, wait) in &mut waits {
            assert!(probe.poll(wait.as_mut().unwrap().as_mut()).is_pending());
        }
        for index in [4, 0, 8, 3] {
            waits[index].1 = None;
        }
        b.write_all(b"x").unwrap();
        settle().await;
        for (probe, wait) in &waits {
            assert_eq!(probe.wakes(), usize::from(wait.is_some()));
        }
    });
}

#[test]
fn the_newest_waker_of_a_wait_counts() {
    run(|| async {
        let (a, mut b) = registered().await;
        let (first, second) = (Probe::new(), Probe::new());
        let mut wait = pin!(a.readable());
        assert!(first.poll(wait.as_mut()).is_pending());
        assert!(second.poll(wait.as_mut()).is_pending());
        assert_eq!(Arc::strong_count(&first), 1);
        b.write_all(b"x").unwrap();
        second.woken().await;
        assert_eq!(first.wakes(), 0);
    });
}

#[test]
fn a_waiter_that_was_notified_completes_though_all_is_cleared() {
    run(|| async {
        let (a, mut b) = registered().await;
        let probe = Probe::new();
        let mut wait = pin!(a.readable());
        assert!(probe.poll(wait.as_mut()).is_pending());
        b.write_all(b"x").unwrap();
        probe.woken().await;
        a.readable().await.unwrap().clear_ready();
        let Poll::Ready(guard) = probe.poll(wait.as_mut()) else {
            panic!("a notified waiter went back to sleep");
        };
        assert_eq!(guard.unwrap().ready(), Ready::EMPTY);
        // The caller tries again, and now it really waits.
        assert_eq!(settled(&a, Interest::READABLE).await, Ready::EMPTY);
    });
}

#[test]
fn a_clear_of_what_was_seen_spares_what_came_after() {
    run(|| async {
        let (a, mut b) = registered().await;
        b.write_all(b"x").unwrap();
        let mut guard = a.readable().await.unwrap();
        assert_eq!(drain(a.get_ref()), 1);
        b.write_all(b"y").unwrap();
        settle().await;
        guard.clear_ready();
        assert_eq!(
            cached(&a, Interest::READABLE),
            Ready::READABLE,
            "newer than the guard"
        );
    });
}

#[test]
fn a_stale_clear_is_stale_at_any_distance() {
    run(|| async {
        // tokio's tick has 8 bits, so there the 256th event looks like the one that was seen (tokio
        // #8331).
        let distances: &[usize] = if OURS {
            &[1, 2, 255, 256, 257, 512]
        } else {
            &[1, 2, 255]
        };
        for &distance in distances {
            let (a, mut b) = registered().await;
            b.write_all(b"x").unwrap();
            let mut guard = a.readable().await.unwrap();
            for _ in 0..distance {
                drain(a.get_ref());
                b.write_all(b"y").unwrap();
                settle().await;
            }
            guard.clear_ready();
            assert_eq!(
                cached(&a, Interest::READABLE),
                Ready::READABLE,
                "after {distance} events"
            );
        }
    });
}

#[test]
fn an_event_of_one_direction_does_not_defeat_a_clear_of_the_other() {
    run(|| async {
        let (a, mut b) = registered().await;
        fill(a.get_ref());
        b.write_all(b"x").unwrap();
        let mut guard = a.readable().await.unwrap();
        assert_eq!(drain(a.get_ref()), 1);
        // This event reports only room to write.
        drain(&b);
        settle().await;
        guard.clear_ready();
        let left = cached(&a, Interest::READABLE);
        if OURS {
            // tokio has one tick for both directions (tokio #8054).
            assert_eq!(left, Ready::EMPTY);
        }
    });
}

#[test]
fn two_tasks_may_wait_for_the_two_directions() {
    run(|| async {
        let (a, b) = pair();
        let (a, b) = (AsyncFd::new(a).unwrap(), AsyncFd::new(b).unwrap());
        const TOTAL: usize = 1 << 20;
        let mut send = Box::pin(async {
            let mut sent = 0;
            while sent < TOTAL {
                let mut guard = a.writable().await.unwrap();
                let chunk = [3; 5000];
                let end = chunk.len().min(TOTAL - sent);
                if let Ok(result) = guard.try_io(|a| a.get_ref().write(&chunk[..end])) {
                    sent += result.unwrap();
                }
            }
        });
        let mut receive = Box::pin(async {
            let mut received = 0;
            while received < TOTAL {
                let mut guard = b.readable().await.unwrap();
                let mut chunk = [0; 7000];
                if let Ok(result) = guard.try_io(|b| b.get_ref().read(&mut chunk)) {
                    received += result.unwrap();
                }
            }
            received
        });
        let (mut sent, mut received) = (false, None);
        std::future::poll_fn(|cx| {
            if !sent {
                sent = Pin::new(&mut send).poll(cx).is_ready();
            }
            if received.is_none() {
                if let Poll::Ready(total) = Pin::new(&mut receive).poll(cx) {
                    received = Some(total);
                }
            }
            if sent && received.is_some() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        assert_eq!(received, Some(TOTAL));
    });
}
