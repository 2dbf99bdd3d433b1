//! Only EAGAIN proves that no message is left. A read after a message shorter than the buffer
//! hangs, and so fails at the deadline, if the readiness was cleared wrongly.
//!
//! The `poll_` forms are tested here too, since tokio's types take another buffer.

use std::future::poll_fn;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::task::Poll;

use asyncfd::net::{UdpSocket, UnixDatagram};
use asyncfd::{AsyncFd, Interest, Ready};

use crate::common::support::Probe;
use crate::common::{cached, run, settle};

/// The number of ways to receive on both kinds.
const FORMS: usize = 6;

/// The cases for both kinds of socket.
macro_rules! only_eagain_clears {
    ($name:ident, $pair:ident) => {
        #[test]
        fn $name() {
            run(|| async {
                let (a, b) = $pair().await;
                for _ in 0..FORMS {
                    a.send(b"abc").await.unwrap();
                }
                // The events are published first, so that none comes in between and hides a wrong
                // clear.
                settle().await;
                let mut buffer = [0; 64];
                for form in 0..FORMS {
                    // The forms that do not wait use the cached readiness, so wait before each.
                    b.readable().await.unwrap();
                    assert_eq!(b.peek(&mut buffer).await.unwrap(), 3);
                    let n = match form {
                        0 => b.recv(&mut buffer).await.unwrap(),
                        1 => b.try_recv(&mut buffer).unwrap(),
                        2 => poll_fn(|cx| b.poll_recv(cx, &mut buffer)).await.unwrap(),
                        3 => b.recv_from(&mut buffer).await.unwrap().0,
                        4 => b.try_recv_from(&mut buffer).unwrap().0,
                        _ => {
                            poll_fn(|cx| b.poll_recv_from(cx, &mut buffer))
                                .await
                                .unwrap()
                                .0
                        }
                    };
                    assert_eq!(n, 3);
                }
                nothing_is_left(b.as_async_fd(), || b.try_recv(&mut buffer));
            });
        }
    };
}

/// Checks that readiness stays exactly until EAGAIN.
fn nothing_is_left<T: AsRawFd>(fd: &AsyncFd<T>, receive: impl FnOnce() -> io::Result<usize>) {
    assert!(cached(fd, Interest::READABLE).is_readable());
    assert_eq!(receive().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert_eq!(cached(fd, Interest::READABLE), Ready::EMPTY);
}

async fn udp() -> (UdpSocket, UdpSocket) {
    let a = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let b = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    a.connect(b.local_addr().unwrap()).await.unwrap();
    b.connect(a.local_addr().unwrap()).await.unwrap();
    (a, b)
}

async fn unix() -> (UnixDatagram, UnixDatagram) {
    UnixDatagram::pair().unwrap()
}

only_eagain_clears!(a_message_is_not_the_last_on_udp, udp);
only_eagain_clears!(a_message_is_not_the_last_on_a_unix_socket, unix);

#[test]
fn a_message_peeked_at_is_still_there() {
    run(|| async {
        let (a, b) = udp().await;
        a.send(b"abc").await.unwrap();
        settle().await;
        let mut buffer = [0; 64];
        b.readable().await.unwrap();
        assert_eq!(b.peek(&mut buffer).await.unwrap(), 3);
        assert_eq!(b.try_peek(&mut buffer).unwrap(), 3);
        assert_eq!(poll_fn(|cx| b.poll_peek(cx, &mut buffer)).await.unwrap(), 3);
        assert_eq!(b.peek_from(&mut buffer).await.unwrap().0, 3);
        assert_eq!(b.try_peek_from(&mut buffer).unwrap().0, 3);
        let peek = poll_fn(|cx| b.poll_peek_from(cx, &mut buffer));
        assert_eq!(peek.await.unwrap().0, 3);
        assert_eq!(b.recv(&mut buffer).await.unwrap(), 3);
        nothing_is_left(b.as_async_fd(), || b.try_peek(&mut buffer));
    });
}

#[test]
fn a_message_sent_says_nothing_about_the_next_and_a_full_queue_clears() {
    run(|| async {
        let (a, b) = UnixDatagram::pair().unwrap();
        let mut sent = 0;
        let error = loop {
            match a.try_send(b"x") {
                Ok(n) => assert_eq!(n, 1),
                Err(error) => break error,
            }
            sent += 1;
        };
        assert!(sent > 1, "readiness was lost after {sent}");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(cached(a.as_async_fd(), Interest::WRITABLE), Ready::EMPTY);
        // Room makes it writable again, for each form.
        let probe = Probe::new();
        assert!(probe.with(|cx| a.poll_send(cx, b"x").is_pending()));
        for _ in 0..sent {
            b.recv(&mut [0; 8]).await.unwrap();
        }
        probe.woken().await;
        assert_eq!(poll_fn(|cx| a.poll_send(cx, b"x")).await.unwrap(), 1);
        assert_eq!(a.send(b"x").await.unwrap(), 1);
    });
}

#[test]
fn the_polled_forms_wake_the_newest_who_waits() {
    run(|| async {
        let (a, b) = udp().await;
        let mut buffer = [0; 8];
        let (older, newer) = (Probe::new(), Probe::new());
        assert!(older.with(|cx| b.poll_recv_ready(cx).is_pending()));
        assert!(newer.with(|cx| b.poll_recv(cx, &mut buffer).is_pending()));
        let to = b.local_addr().unwrap();
        let sent = poll_fn(|cx| a.poll_send_to(cx, b"abc", to)).await;
        assert_eq!(sent.unwrap(), 3);
        newer.woken().await;
        assert_eq!(older.wakes(), 0);
        let Poll::Ready(Ok(3)) = newer.with(|cx| b.poll_recv(cx, &mut buffer)) else {
            panic!("woken, and nothing there")
        };
        assert!(newer.with(|cx| b.poll_send_ready(cx).is_ready()));
    });
}

#[test]
fn what_was_just_made_is_ready_to_send() {
    crate::common::run_on_shard(|| async {
        // No turn of the shard's loop comes in between.
        let (a, _b) = UnixDatagram::pair().unwrap();
        assert_eq!(a.try_send(b"x").unwrap(), 1);
        let a = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let to = a.local_addr().unwrap();
        assert_eq!(a.try_send_to(b"x", to).unwrap(), 1);
    });
}
