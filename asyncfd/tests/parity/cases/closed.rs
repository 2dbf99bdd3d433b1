//! The readiness after the end of a stream, a hang-up and an error.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};

use super::kit::{cached, registered, settle, settled};
use super::side::{AsyncFd, Interest, OURS, Ready, run};
use crate::support::{Probe, drain, fill, tcp_pair, timestamp_sends};

const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

#[test]
fn a_peer_that_stops_writing_closes_the_read_side_only() {
    run(|| async {
        let (a, b) = registered().await;
        let probe = Probe::new();
        let mut wait = pin!(a.readable());
        assert!(probe.poll(wait.as_mut()).is_pending());
        b.shutdown(Shutdown::Write).unwrap();
        probe.woken().await;
        let ready = wait.await.unwrap().ready();
        assert!(ready.is_read_closed() && ready.is_readable(), "{ready:?}");
        let ready = cached(&a, BOTH);
        assert!(!ready.is_write_closed(), "{ready:?}");
    });
}

#[test]
fn a_peer_that_is_gone_closes_both_sides() {
    run(|| async {
        let (a, b) = registered().await;
        fill(a.get_ref());
        a.writable().await.unwrap().clear_ready();
        let probe = Probe::new();
        let mut wait = pin!(a.writable());
        assert!(probe.poll(wait.as_mut()).is_pending());
        drop(b);
        probe.woken().await;
        let ready = wait.await.unwrap().ready();
        assert!(ready.is_write_closed() && ready.is_writable(), "{ready:?}");
        assert!(cached(&a, Interest::READABLE).is_read_closed());
    });
}

#[test]
fn a_reset_ends_every_wait() {
    run(|| async {
        let (a, b) = tcp_pair();
        let a = AsyncFd::new(a).unwrap();
        // There is room, but no event for it from here on.
        a.writable().await.unwrap().clear_ready();
        let (reading, writing, erring) = (Probe::new(), Probe::new(), Probe::new());
        let mut read = pin!(a.readable());
        let mut write = pin!(a.writable());
        let mut error = pin!(a.ready(Interest::ERROR));
        assert!(writing.poll(write.as_mut()).is_pending());
        assert!(reading.poll(read.as_mut()).is_pending());
        assert!(erring.poll(error.as_mut()).is_pending());
        socket2::SockRef::from(&b)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(b);
        reading.woken().await;
        writing.woken().await;
        erring.woken().await;
        assert_eq!(error.await.unwrap().ready(), Ready::ERROR);
        let ready = settled(&a, BOTH).await;
        assert!(
            ready.is_read_closed() && ready.is_write_closed(),
            "{ready:?}"
        );
        let result = a.get_ref().read(&mut [0; 8]);
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_wait_for_priority_ends_when_the_read_side_is_closed() {
    run(|| async {
        let (a, b) = tcp_pair();
        let a = AsyncFd::with_interest(a, Interest::READABLE | Interest::PRIORITY).unwrap();
        let probe = Probe::new();
        let mut wait = pin!(a.ready(Interest::PRIORITY));
        assert!(probe.poll(wait.as_mut()).is_pending());
        b.shutdown(Shutdown::Write).unwrap();
        probe.woken().await;
        assert_eq!(wait.await.unwrap().ready(), Ready::READ_CLOSED);
    });
}

#[test]
fn what_was_sent_before_the_end_can_be_read() {
    run(|| async {
        let (a, mut b) = registered().await;
        b.write_all(b"last words").unwrap();
        drop(b);
        let mut text = Vec::new();
        loop {
            let mut chunk = [0; 4];
            let n = a
                .async_io(Interest::READABLE, |mut a| a.read(&mut chunk))
                .await
                .unwrap();
            if n == 0 {
                break;
            }
            text.extend_from_slice(&chunk[..n]);
        }
        assert_eq!(text, b"last words");
    });
}

#[test]
fn closed_before_it_was_registered_is_seen_too() {
    run(|| async {
        let (a, b) = crate::support::pair();
        drop(b);
        let a = AsyncFd::new(a).unwrap();
        let ready = a.readable().await.unwrap().ready();
        assert!(ready.is_read_closed(), "{ready:?}");
    });
}

#[test]
fn the_writer_of_a_pipe_learns_that_its_reader_left() {
    run(|| async {
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::NONBLOCK).unwrap();
        let writer = AsyncFd::new(std::fs::File::from(writer)).unwrap();
        writer.writable().await.unwrap().retain_ready();
        fill(writer.get_ref());
        writer.writable().await.unwrap().clear_ready();
        let probe = Probe::new();
        let mut wait = pin!(writer.writable());
        assert!(probe.poll(wait.as_mut()).is_pending());
        drop(reader);
        probe.woken().await;
        let ready = wait.await.unwrap().ready();
        assert!(ready.is_write_closed(), "{ready:?}");
        let error = writer.get_ref().write(b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn the_reader_of_a_pipe_learns_that_its_writer_left() {
    run(|| async {
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::NONBLOCK).unwrap();
        let reader = AsyncFd::with_interest(reader, Interest::READABLE).unwrap();
        let probe = Probe::new();
        let mut wait = pin!(reader.readable());
        assert!(probe.poll(wait.as_mut()).is_pending());
        drop(writer);
        probe.woken().await;
        let ready = wait.await.unwrap().ready();
        assert!(ready.is_read_closed(), "{ready:?}");
    });
}

#[test]
fn a_queued_error_on_a_full_socket_does_not_spin_the_writer() {
    // mio reports the write side of such a socket as closed. tokio believes it, so there every wait
    // for room ends at once.
    if !OURS {
        return;
    }
    run(|| async {
        let (a, b) = tcp_pair();
        timestamp_sends(&a);
        fill(&a);
        let mut state = [PollFd::new(&a, PollFlags::empty())];
        rustix::event::poll(&mut state, None).unwrap();
        assert_eq!(
            state[0].revents(),
            PollFlags::ERR,
            "alive, and something on the queue"
        );

        let a = AsyncFd::new(a).unwrap();
        let tries = AtomicUsize::new(0);
        let write = || {
            Box::pin(a.async_io(Interest::WRITABLE, |mut a| {
                tries.fetch_add(1, Ordering::Relaxed);
                a.write(b"x")
            }))
        };
        let mut writing = write();
        let probe = Probe::new();
        // Room returns now and then: bytes in flight are confirmed late, and the system enlarges
        // buffers.
        let mut room = 0;
        for _ in 0..30 {
            if probe.poll(writing.as_mut()).is_ready() {
                room += 1;
                fill(a.get_ref());
                writing = write();
            }
            settle().await;
        }
        let tried = tries.load(Ordering::Relaxed);
        assert!(
            (1..5 + 2 * room).contains(&tried),
            "{tried} tries on a full socket, which had room {room} times"
        );
        let mut write = writing;
        while probe.poll(write.as_mut()).is_pending() {
            drain(&b);
            settle().await;
        }
    });
}
