//! Urgent data, errors and messages on the error queue, again and again: each is reported, and none
//! keeps a waiter from sleeping.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::pin::pin;

use super::kit::{cached, settle, settled};
use super::side::{AsyncFd, Interest, OURS, Ready, run};
use crate::support::{Probe, queue_errors, take_queued, tcp_pair, timestamp_sends};

const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// Clears until no event is left for data that was already taken. The system may report one thing
/// twice, and the second report makes a clear of the first stale.
async fn quiet<T: AsRawFd>(fd: &AsyncFd<T>, interest: Interest) {
    let mut clears = 0;
    while !settled(fd, interest).await.is_empty() {
        fd.ready(interest).await.unwrap().clear_ready();
        clears += 1;
        assert!(clears < 10, "{interest:?} does not end");
    }
}

#[test]
fn every_piece_of_urgent_data_is_reported() {
    run(|| async {
        let (a, b) = tcp_pair();
        let a = AsyncFd::with_interest(a, Interest::PRIORITY | Interest::READABLE).unwrap();
        for round in 0..20_u8 {
            let probe = Probe::new();
            let mut wait = pin!(a.ready(Interest::PRIORITY));
            assert!(probe.poll(wait.as_mut()).is_pending(), "round {round}");
            rustix::net::send(&b, &[round], rustix::net::SendFlags::OOB).unwrap();
            probe.woken().await;
            let mut guard = wait.await.unwrap();
            assert_eq!(guard.ready(), Ready::PRIORITY);
            let mut byte = [0; 1];
            rustix::net::recv(a.get_ref(), &mut byte, rustix::net::RecvFlags::OOB).unwrap();
            assert_eq!(byte, [round]);
            guard.clear_ready();
            // The same event shows as readable, although the stream has no bytes.
            quiet(&a, Interest::PRIORITY | Interest::READABLE).await;
        }
    });
}

#[test]
fn a_flood_of_urgent_data_costs_a_bounded_number_of_tries() {
    run(|| async {
        const SENT: usize = 200;
        let (a, b) = tcp_pair();
        let a = AsyncFd::with_interest(a, Interest::PRIORITY | Interest::READABLE).unwrap();
        let mut tries = 0;
        let mut received = 0;
        for _ in 0..SENT {
            rustix::net::send(&b, b"!", rustix::net::SendFlags::OOB).unwrap();
            settle().await;
            // Urgent data stays out of the stream, unless the next urgent byte has overtaken it.
            loop {
                let probe = Probe::new();
                let mut wait = pin!(a.readable());
                let std::task::Poll::Ready(guard) = probe.poll(wait.as_mut()) else {
                    break;
                };
                tries += 1;
                assert!(tries < 10 * SENT, "spinning after {received} bytes");
                let result = guard.unwrap().try_io(|a| {
                    let mut buffer = [0; 64];
                    let (n, _) = rustix::net::recv(
                        a.get_ref(),
                        &mut buffer,
                        rustix::net::RecvFlags::empty(),
                    )?;
                    Ok::<_, io::Error>(n)
                });
                if let Ok(n) = result {
                    received += n.unwrap();
                }
            }
        }
        assert!(tries <= 3 * SENT, "{tries} tries for {SENT} sends");
    });
}

/// Returns a socket that sends to a closed port and gets the refusal on its error queue.
fn refused() -> UdpSocket {
    let gone = UdpSocket::bind("127.0.0.1:0").unwrap();
    let gone = gone.local_addr().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    queue_errors(&socket);
    socket.connect(gone).unwrap();
    socket
}

#[test]
fn every_error_on_the_queue_of_a_datagram_socket_is_reported() {
    run(|| async {
        let socket = AsyncFd::new(refused()).unwrap();
        socket.writable().await.unwrap().retain_ready();
        for round in 0..20 {
            let probe = Probe::new();
            let mut wait = pin!(socket.ready(Interest::ERROR));
            assert!(probe.poll(wait.as_mut()).is_pending(), "round {round}");
            socket.get_ref().send(b"x").unwrap();
            probe.woken().await;
            let mut guard = wait.await.unwrap();
            assert_eq!(guard.ready(), Ready::ERROR);
            // The refusal is there twice: on the queue with the datagram, and as the socket's
            // error.
            assert_eq!(take_queued(socket.get_ref()).unwrap(), 1);
            let error = socket.get_ref().take_error().unwrap();
            assert!(error.is_none_or(|error| error.kind() == io::ErrorKind::ConnectionRefused));
            guard.clear_ready();
            let error = take_queued(socket.get_ref()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            quiet(&socket, Interest::ERROR).await;
        }
        let ready = cached(&socket, BOTH);
        if OURS {
            // tokio has counted the write side as closed since the first error.
            assert!(!ready.is_write_closed(), "{ready:?} on a live socket");
        }
        assert!(!ready.is_read_closed(), "{ready:?}");
    });
}

#[test]
fn a_socket_with_its_errors_taken_sleeps_and_hears_what_comes_next() {
    run(|| async {
        let socket = AsyncFd::new(refused()).unwrap();
        socket.get_ref().send(b"x").unwrap();
        drop(socket.ready(Interest::ERROR).await.unwrap());
        while take_queued(socket.get_ref()).is_ok() {}
        let _ = socket.get_ref().take_error().unwrap();
        quiet(&socket, Interest::ERROR).await;

        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket
            .get_ref()
            .connect(peer.local_addr().unwrap())
            .unwrap();
        peer.connect(socket.get_ref().local_addr().unwrap())
            .unwrap();
        // One try may be spent on the readiness that came with the error.
        let mut read =
            pin!(socket.async_io(Interest::READABLE, |socket| { socket.recv(&mut [0; 8]) }));
        let probe = Probe::new();
        assert!(probe.poll(read.as_mut()).is_pending());
        settle().await;
        assert_eq!(probe.wakes(), 0);
        peer.send(b"abc").unwrap();
        probe.woken().await;
        assert_eq!(read.await.unwrap(), 3);
    });
}

#[test]
fn every_transmit_timestamp_is_reported() {
    run(|| async {
        let (a, b) = tcp_pair();
        timestamp_sends(&a);
        let a = AsyncFd::new(a).unwrap();
        a.writable().await.unwrap().retain_ready();
        for round in 0..20 {
            let probe = Probe::new();
            let mut wait = pin!(a.ready(Interest::ERROR));
            assert!(probe.poll(wait.as_mut()).is_pending(), "round {round}");
            rustix::io::write(a.get_ref(), b"x").unwrap();
            probe.woken().await;
            let mut guard = wait.await.unwrap();
            assert_eq!(guard.ready(), Ready::ERROR);
            while take_queued(a.get_ref()).is_ok() {}
            guard.clear_ready();
            quiet(&a, Interest::ERROR).await;
        }
        let ready = cached(&a, BOTH);
        assert!(!ready.is_read_closed(), "{ready:?}");
        if OURS {
            // tokio has counted the write side as closed since the first error.
            assert!(!ready.is_write_closed(), "{ready:?} on a live socket");
        }
        drop(b);
    });
}
