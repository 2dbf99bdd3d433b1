//! Streams of which one half has ended while the other goes on, and closed bits that an operation
//! contradicts: after a call that has nothing to do with the end, on a descriptor that becomes
//! active again, and on one whose reads block although they were shut down.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::kit::{cached, registered, settle, settled};
use super::side::{AsyncFd, Interest, OURS, Ready, run};
use crate::support::{Fifo, Probe, fill, take_queued, tcp_pair};

const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// Waits until a TCP peer's FIN is published.
///
/// If the system checks while the FIN arrives, it reports readable first, and the end afterwards.
async fn hear_the_end(a: &AsyncFd<TcpStream>) {
    while !settled(a, Interest::READABLE).await.is_read_closed() {}
}

fn blocks(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

#[test]
fn after_a_half_close_the_other_direction_goes_on() {
    run(|| async {
        let (a, mut b) = tcp_pair();
        let a = AsyncFd::new(a).unwrap();
        a.writable().await.unwrap().retain_ready();
        // Our own half is shut down: nothing can be written, and an answer still arrives.
        a.get_ref().shutdown(Shutdown::Write).unwrap();
        let error = a.get_ref().write(b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert!(!settled(&a, BOTH).await.is_read_closed());
        b.write_all(b"answer").unwrap();
        let n = a.async_io(Interest::READABLE, |mut a| a.read(&mut [0; 8]));
        assert_eq!(n.await.unwrap(), 6);

        // The peer's half is shut down: nothing more arrives, and we still answer.
        let (a, b) = tcp_pair();
        let a = AsyncFd::new(a).unwrap();
        b.shutdown(Shutdown::Write).unwrap();
        hear_the_end(&a).await;
        for _ in 0..3 {
            let n = a.async_io(Interest::WRITABLE, |mut a| a.write(b"answer"));
            assert_eq!(n.await.unwrap(), 6);
        }
        assert!(!settled(&a, BOTH).await.is_write_closed());
    });
}

#[test]
fn both_halves_shut_one_after_the_other_close_both_sides() {
    run(|| async {
        let (a, b) = tcp_pair();
        let a = AsyncFd::new(a).unwrap();
        b.shutdown(Shutdown::Write).unwrap();
        hear_the_end(&a).await;
        assert_eq!(cached(&a, BOTH) & Ready::WRITE_CLOSED, Ready::EMPTY);
        a.get_ref().shutdown(Shutdown::Write).unwrap();
        let ready = settled(&a, BOTH).await;
        assert!(
            ready.is_read_closed() && ready.is_write_closed(),
            "{ready:?}"
        );
    });
}

#[test]
fn an_end_behind_data_survives_the_clear_after_the_data() {
    run(|| async {
        let (a, mut b) = tcp_pair();
        let a = AsyncFd::new(a).unwrap();
        b.write_all(b"data").unwrap();
        b.shutdown(Shutdown::Write).unwrap();
        // Both have arrived and are published, so the clear below is not stale.
        hear_the_end(&a).await;
        settle().await;
        let mut guard = a.readable().await.unwrap();
        assert_eq!(a.get_ref().read(&mut [0; 8]).unwrap(), 4);
        // A caller does this if it takes the short read for the last one.
        guard.clear_ready();
        assert_eq!(cached(&a, Interest::READABLE), Ready::READ_CLOSED);
        let mut guard = a.readable().await.unwrap();
        let end = guard.try_io(|a| a.get_ref().read(&mut [0; 8])).unwrap();
        assert_eq!(end.unwrap(), 0);
    });
}

#[test]
fn an_eagain_of_the_error_queue_does_not_hide_the_end() {
    run(|| async {
        let (a, b) = tcp_pair();
        let a = AsyncFd::new(a).unwrap();
        b.shutdown(Shutdown::Write).unwrap();
        hear_the_end(&a).await;
        let mut guard = a.readable().await.unwrap();
        assert!(guard.ready().is_read_closed());
        // The queue is empty, which proves nothing about the stream.
        assert!(guard.try_io(|a| take_queued(a.get_ref())).is_err());
        let ready = a.readable().await.unwrap().ready();
        assert!(ready.is_read_closed(), "{ready:?}");
        let end = a.async_io(Interest::READABLE, |mut a| a.read(&mut [0; 8]));
        assert_eq!(end.await.unwrap(), 0);
    });
}

#[test]
fn an_eagain_of_a_full_write_does_not_hide_the_end() {
    run(|| async {
        let (a, b) = tcp_pair();
        let a = AsyncFd::new(a).unwrap();
        b.shutdown(Shutdown::Write).unwrap();
        hear_the_end(&a).await;
        // One guard for both directions, as in a loop that serves both.
        let mut guard = a.ready(BOTH).await.unwrap();
        let written = guard.try_io(|a| -> io::Result<()> {
            loop {
                a.get_ref().write_all(&[7; 4096])?;
            }
        });
        assert!(written.is_err(), "{written:?}");
        let ready = a.readable().await.unwrap().ready();
        assert!(ready.is_read_closed(), "{ready:?}");
        let end = a.async_io(Interest::READABLE, |mut a| a.read(&mut [0; 8]));
        assert_eq!(end.await.unwrap(), 0);
    });
}

#[test]
fn reading_from_a_datagram_socket_that_was_shut_down_still_hears_of_room() {
    run(|| async {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        socket.connect(peer.local_addr().unwrap()).unwrap();
        let socket = AsyncFd::new(socket).unwrap();
        socket.writable().await.unwrap().retain_ready();
        rustix::net::shutdown(socket.get_ref(), rustix::net::Shutdown::Read).unwrap();
        let ready = socket.readable().await.unwrap().ready();
        assert!(ready.is_read_closed(), "{ready:?}");
        // The system reports closed, and also that a read would block. Both are true; the wait
        // ends.
        let mut guard = socket.readable().await.unwrap();
        let result = guard.try_io(|socket| socket.get_ref().recv(&mut [0; 8]));
        assert!(result.is_err(), "{result:?}");
        assert!(settled(&socket, BOTH).await.is_read_closed());
        let sent = socket.async_io(Interest::WRITABLE, |socket| socket.send(b"abc"));
        assert_eq!(sent.await.unwrap(), 3);
        let mut buffer = [0; 8];
        assert_eq!(peer.recv(&mut buffer).unwrap(), 3);
    });
}

#[test]
fn one_that_waits_for_writing_alone_is_not_told_of_the_peers_half_close() {
    run(|| async {
        let (a, b) = crate::support::pair();
        let a = AsyncFd::with_interest(a, Interest::WRITABLE).unwrap();
        a.writable().await.unwrap().retain_ready();
        b.shutdown(Shutdown::Write).unwrap();
        assert!(!settled(&a, BOTH).await.is_read_closed());
        // A hang-up is reported for every interest.
        drop(b);
        let ready = settled(&a, BOTH).await;
        assert!(
            ready.is_read_closed() && ready.is_write_closed(),
            "{ready:?}"
        );
    });
}

#[test]
fn what_was_written_to_a_pipe_before_its_writer_left_can_be_read() {
    run(|| async {
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::NONBLOCK).unwrap();
        let reader =
            AsyncFd::with_interest(std::fs::File::from(reader), Interest::READABLE).unwrap();
        rustix::io::write(&writer, b"last words").unwrap();
        drop(writer);
        let ready = settled(&reader, Interest::READABLE).await;
        assert!(ready.is_readable() && ready.is_read_closed(), "{ready:?}");
        let mut lengths = Vec::new();
        for _ in 0..3 {
            let mut chunk = [0; 6];
            let n = reader.async_io(Interest::READABLE, |mut reader| reader.read(&mut chunk));
            lengths.push(n.await.unwrap());
        }
        assert_eq!(lengths, [6, 4, 0]);
    });
}

#[test]
fn the_reader_of_a_fifo_sleeps_again_when_a_writer_returns() {
    run(|| async {
        let fifo = Fifo::new();
        let reader = AsyncFd::with_interest(fifo.reader(), Interest::READABLE).unwrap();
        drop(fifo.writer());
        assert!(reader.readable().await.unwrap().ready().is_read_closed());
        let mut writer = fifo.writer();
        let tries = AtomicUsize::new(0);
        let mut read = pin!(reader.async_io(Interest::READABLE, |mut reader| {
            tries.fetch_add(1, Ordering::Relaxed);
            reader.read(&mut [0; 8])
        }));
        if !OURS {
            // tokio keeps the closed bit for good: every wait ends at once, and every call blocks.
            for _ in 0..100 {
                let mut guard = reader.readable().await.unwrap();
                assert!(guard.ready().is_read_closed());
                let result = guard.try_io(|reader| reader.get_ref().read(&mut [0; 8]));
                assert!(result.is_err(), "{result:?}");
            }
            return;
        }
        let probe = Probe::new();
        for _ in 0..30 {
            assert!(probe.poll(read.as_mut()).is_pending());
            settle().await;
        }
        let tries = tries.load(Ordering::Relaxed);
        assert!((1..5).contains(&tries), "{tries} tries, and nothing came");
        writer.write_all(b"abc").unwrap();
        assert_eq!(read.await.unwrap(), 3);
    });
}

#[test]
fn a_socket_registered_before_its_connect_sleeps_once_it_is_connected() {
    run(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let kind = socket2::Type::STREAM.nonblocking();
        let socket = socket2::Socket::new(socket2::Domain::IPV4, kind, None).unwrap();
        let socket = AsyncFd::new(socket).unwrap();
        let ready = settled(&socket, BOTH).await;
        assert!(
            ready.is_read_closed() && ready.is_write_closed(),
            "{ready:?}"
        );

        let _ = socket
            .get_ref()
            .connect(&listener.local_addr().unwrap().into());
        let (_peer, _) = listener.accept().unwrap();
        settle().await;
        let mut blocked = 0;
        for _ in 0..30 {
            let probe = Probe::new();
            let mut wait = pin!(socket.readable());
            let std::task::Poll::Ready(guard) = probe.poll(wait.as_mut()) else {
                break;
            };
            let result = guard
                .unwrap()
                .try_io(|socket| socket.get_ref().read(&mut [0; 8]));
            assert!(result.is_err(), "{result:?}");
            blocked += 1;
            settle().await;
        }
        if OURS {
            assert!(blocked < 5, "{blocked} tries, and nothing came");
            // A blocked read makes the reactor check the read side. A blocked write does the same
            // for the write side.
            let ready = cached(&socket, Interest::READABLE);
            assert_eq!(ready, Ready::EMPTY, "connected and idle");
        } else {
            // tokio keeps the closed bits for good.
            assert_eq!(blocked, 30);
        }
        let error = socket.get_ref().read(&mut [0; 8]).unwrap_err();
        assert!(blocks(&error), "{error}");
    });
}

#[test]
fn a_closed_descriptor_that_idles_wakes_nobody() {
    run(|| async {
        let (a, b) = registered().await;
        b.shutdown(Shutdown::Write).unwrap();
        drop(a.readable().await.unwrap());
        fill(a.get_ref());
        a.writable().await.unwrap().clear_ready();
        let probe = Probe::new();
        let mut wait = pin!(a.writable());
        assert!(probe.poll(wait.as_mut()).is_pending());
        for _ in 0..30 {
            settle().await;
        }
        assert_eq!(probe.wakes(), 0);
    });
}
