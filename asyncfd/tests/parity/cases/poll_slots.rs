//! `poll_read_ready`, `poll_write_ready` and their mut forms: one slot per direction, separate from
//! the async waits.

use std::io::Write;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use super::kit::{cached, registered, settle};
use super::side::{Interest, Ready, run};
use crate::support::{Probe, drain, fill};

#[test]
fn a_poll_that_is_pending_wakes_its_task() {
    run(|| async {
        let (mut a, mut b) = registered().await;
        let probe = Probe::new();
        assert!(probe.with(|cx| a.poll_read_ready(cx).is_pending()));
        settle().await;
        assert_eq!(probe.wakes(), 0);
        b.write_all(b"x").unwrap();
        probe.woken().await;
        let Poll::Ready(guard) = probe.with(|cx| a.poll_read_ready(cx)) else {
            panic!("woken and not ready")
        };
        assert_eq!(guard.unwrap().ready(), Ready::READABLE);
        let Poll::Ready(guard) = probe.with(|cx| a.poll_read_ready_mut(cx)) else {
            panic!("woken and not ready")
        };
        let mut guard = guard.unwrap();
        assert_eq!(guard.ready(), Ready::READABLE);
        guard.clear_ready();
        drop(guard);
        assert!(probe.with(|cx| a.poll_read_ready_mut(cx).is_pending()));
    });
}

#[test]
fn a_poll_for_writing_waits_for_room() {
    run(|| async {
        let (mut a, b) = registered().await;
        let probe = Probe::new();
        let Poll::Ready(guard) = probe.with(|cx| a.poll_write_ready(cx)) else {
            panic!("there is room")
        };
        assert_eq!(guard.unwrap().ready(), Ready::WRITABLE);
        fill(a.get_ref());
        let Poll::Ready(guard) = probe.with(|cx| a.poll_write_ready_mut(cx)) else {
            panic!("nobody cleared it")
        };
        guard.unwrap().clear_ready();
        assert!(probe.with(|cx| a.poll_write_ready_mut(cx).is_pending()));
        drain(&b);
        probe.woken().await;
        assert!(probe.with(|cx| a.poll_write_ready(cx).is_ready()));
    });
}

#[test]
fn the_newest_waker_replaces_the_older_which_is_not_woken() {
    run(|| async {
        let (mut a, mut b) = registered().await;
        let (first, second, third) = (Probe::new(), Probe::new(), Probe::new());
        assert!(first.with(|cx| a.poll_read_ready(cx).is_pending()));
        assert!(second.with(|cx| a.poll_read_ready(cx).is_pending()));
        // The mut form has no slot of its own.
        assert!(third.with(|cx| a.poll_read_ready_mut(cx).is_pending()));
        assert_eq!(
            (Arc::strong_count(&first), Arc::strong_count(&second)),
            (1, 1)
        );
        b.write_all(b"x").unwrap();
        third.woken().await;
        settle().await;
        assert_eq!((first.wakes(), second.wakes(), third.wakes()), (0, 0, 1));
    });
}

#[test]
fn the_slots_of_the_two_directions_are_apart() {
    run(|| async {
        let (a, mut b) = registered().await;
        fill(a.get_ref());
        a.writable().await.unwrap().clear_ready();
        let (reading, writing) = (Probe::new(), Probe::new());
        assert!(reading.with(|cx| a.poll_read_ready(cx).is_pending()));
        assert!(writing.with(|cx| a.poll_write_ready(cx).is_pending()));
        b.write_all(b"x").unwrap();
        reading.woken().await;
        settle().await;
        assert_eq!(writing.wakes(), 0);
        drain(&b);
        writing.woken().await;
        assert!(writing.with(|cx| a.poll_write_ready(cx).is_ready()));
    });
}

#[test]
fn the_slots_and_the_async_waits_are_apart() {
    run(|| async {
        let (a, mut b) = registered().await;
        let (slot, wait_probe) = (Probe::new(), Probe::new());
        let mut wait = pin!(a.readable());
        assert!(wait_probe.poll(wait.as_mut()).is_pending());
        assert!(slot.with(|cx| a.poll_read_ready(cx).is_pending()));
        b.write_all(b"x").unwrap();
        slot.woken().await;
        wait_probe.woken().await;
        assert!(slot.with(|cx| a.poll_read_ready(cx).is_ready()));
        drop(wait.await.unwrap());
    });
}

#[test]
fn a_ready_poll_leaves_no_waker_behind() {
    run(|| async {
        let (a, mut b) = registered().await;
        b.write_all(b"x").unwrap();
        a.readable().await.unwrap().retain_ready();
        let probe = Probe::new();
        assert!(probe.with(|cx| a.poll_read_ready(cx).is_ready()));
        assert_eq!(Arc::strong_count(&probe), 1);
        assert_eq!(cached(&a, Interest::READABLE), Ready::READABLE);
    });
}

#[test]
fn a_slot_fires_once() {
    run(|| async {
        let (a, mut b) = registered().await;
        let probe = Probe::new();
        assert!(probe.with(|cx| a.poll_read_ready(cx).is_pending()));
        b.write_all(b"x").unwrap();
        probe.woken().await;
        b.write_all(b"y").unwrap();
        settle().await;
        assert_eq!(probe.wakes(), 1);
        assert_eq!(Arc::strong_count(&probe), 1, "the waker is spent");
    });
}
